"""Lets the faults of a schedule strike in their time, and puts all right again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
from redis import RedisError
from sqlalchemy.exc import DBAPIError

from services.kernel.clock import SystemClock
from services.lab.bench.faults.acts.makers import FaultAct, make_act
from services.lab.bench.faults.rig import TICK_S, FaultRig, Say
from services.lab.bench.faults.schedule import PlannedFault, StruckFault

_GIVEN_UP_S = 60.0
_EXPECTED = (httpx.HTTPError, RedisError, DBAPIError)
"""What a step may meet while another fault is in force."""
_N_THREADS = 8


@dataclass(slots=True)
class _Course:
    """One fault under way: its steps are done one after the other until each has worked."""

    act: FaultAct
    struck: StruckFault
    pool: ThreadPoolExecutor
    phase: str = "waiting"
    waiting: Future[bool] | None = None
    since_s: float = field(default_factory=time.monotonic)

    def turn(self, rig: FaultRig, elapsed_s: float) -> None:
        """Do what is due."""
        planned, clock = self.struck.planned, SystemClock()
        if self.phase == "waiting" and elapsed_s >= planned.at_s:
            self.struck.began_at = clock.now()
            self._enter("beginning")
        if self.phase == "beginning" and self._works(lambda: self.act.begin(rig)):
            self._enter("in force")
        elif self.phase == "in force":
            if time.monotonic() - self.since_s >= planned.duration_s:
                if self.waiting is None:
                    self._enter("ending")
                elif self.waiting.done():
                    self.waiting = None
            else:
                self._works(lambda: self.act.go_on(rig))
        elif self.phase == "ending" and self._works(lambda: self.act.end(rig)):
            self.struck.ended_at = clock.now()
            self._enter("checking")
        elif self.phase == "checking" and self._works(lambda: self.act.has_bitten(rig)):
            self.struck.has_bitten = True
            self._enter("over")
        elif self.phase in ("beginning", "checking") and self._is_late():
            self._enter("over")

    def _is_late(self) -> bool:
        return self.waiting is None and time.monotonic() - self.since_s > _GIVEN_UP_S

    def _enter(self, phase: str) -> None:
        self.phase, self.since_s = phase, time.monotonic()

    def _works(self, step: Callable[[], bool]) -> bool:
        """Do a step, or look whether it is done; false: not yet, or not this time."""
        try:
            if not self.act.is_threaded:
                return step()
            if self.waiting is None:
                self.waiting = self.pool.submit(step)
            if not self.waiting.done():
                return False
            done, self.waiting = self.waiting, None
            return done.result()
        except _EXPECTED:
            return False


def conduct(
    rig: FaultRig, schedule: Sequence[PlannedFault], watch: Say, patience_s: float
) -> list[StruckFault]:
    """Let all faults strike; returns once the last is over, or long after it should have been.

    Args:
        rig: What they strike.
        schedule: The faults.
        watch: Called with what is in force, as it changes.
        patience_s: How long to wait for the last one beyond the end of the schedule.
    """
    struck = [StruckFault(planned) for planned in schedule]
    last_s = max((planned.end_s for planned in schedule), default=0.0) + patience_s
    with ThreadPoolExecutor(_N_THREADS, thread_name_prefix="faults") as pool:
        courses = [_Course(make_act(one.planned), one, pool) for one in struck]
        started_s = time.monotonic()
        shown = ""
        while any(course.phase != "over" for course in courses):
            elapsed_s = time.monotonic() - started_s
            if elapsed_s > last_s:
                break
            rig.tick()
            for course in courses:
                course.turn(rig, elapsed_s)
            shown = _show(courses, watch, shown)
            time.sleep(TICK_S)
    return struck


def _show(courses: Sequence[_Course], watch: Say, shown: str) -> str:
    names = [
        course.struck.planned.kind.name
        for course in courses
        if course.phase in ("beginning", "in force", "ending")
    ]
    n_over = sum(course.phase in ("checking", "over") for course in courses)
    text = f"{n_over} of {len(courses)} faults over; in force: {', '.join(names) or 'none'}"
    if text != shown:
        watch(text)
    return text
