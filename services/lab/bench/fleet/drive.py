"""Drives a fleet step by step: samples, the jobs of beat, the operator's pass, at their times."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from celery import Celery

from services.kernel.celery_app import beat_schedule, make_celery
from services.kernel.settings import Settings
from services.lab.bench.fleet.feed import OperatorPass, Pushed, Pusher
from services.lab.bench.fleet.queues import QUEUES, BrokerView, QueueLook
from services.lab.bench.fleet.replay_time import ReplayTime
from services.lab.bench.fleet.rig import Rig
from services.lab.bench.fleet.speed import write_speed

_LOOK_S = 0.01
_WATCH_S = 0.2
_BEFORE_END = timedelta(milliseconds=500)
"""The operator's pass is the last thing of a step."""

Event = tuple[datetime, Callable[[], None]]
"""When something is due, and what."""


@dataclass(slots=True)
class BeatJobs:
    """The periodic jobs of a cycle, at their intervals by the replay's clock; fits are none."""

    app: Celery
    due_at: dict[str, datetime]
    entries: dict[str, dict[str, Any]]
    speed: float = 1.0

    @classmethod
    def start(cls, settings: Settings, at: datetime) -> BeatJobs:
        """As a beat that was started at `at`."""
        entries = {
            name: entry
            for name, entry in beat_schedule(settings).items()
            if dict(entry["options"])["queue"] in QUEUES  # type: ignore[call-overload]
        }
        due = {name: at + _interval(entry) for name, entry in entries.items()}
        return cls(make_celery(settings), due, entries)

    def until(self, end_at: datetime) -> list[Event]:
        """What is due up to a time."""
        found: list[Event] = []
        for name, entry in self.entries.items():
            while self.due_at[name] <= end_at:
                found.append((self.due_at[name], partial(self.send, name)))
                self.due_at[name] += _interval(entry)
        return found

    def send(self, name: str) -> None:
        """Send one now; it waits as long as ever by the replay's clock."""
        entry = self.entries[name]
        options = dict(entry["options"])
        options["expires"] = float(options["expires"]) / self.speed
        self.app.send_task(entry["task"], kwargs=entry.get("kwargs", {}), **options)


def _interval(entry: dict[str, Any]) -> timedelta:
    return timedelta(seconds=float(entry["schedule"]))


@dataclass(slots=True)
class FleetDriver:
    """A fleet that is driven.

    While steps hurry by and a worker is being started, time passes as on the wall: a start takes
    some seconds of a step of a minute, and is not to take minutes where a minute passes in one.

    Attributes:
        speed: How fast steps hurry by.
        idle_s: Wall time in which nothing was left to do.
        pushed: All that was sent.
        queue: Jobs that waited, seen now and then.
        restarts: Workers that ended and were started again.
    """

    rig: Rig
    time: ReplayTime
    broker: BrokerView
    beat: BeatJobs
    pusher: Pusher
    operator: OperatorPass
    is_waiting_for_all: bool = True
    speed: float = 1.0
    idle_s: float = 0.0
    pushed: Pushed = field(default_factory=Pushed)
    queue: list[QueueLook] = field(default_factory=list)
    restarts: int = 0
    _watched_s: float = 0.0
    _passes_at: float = 1.0

    def step(self, end_at: datetime, also: Sequence[Event] = ()) -> None:
        """The time from the end of a step to the end of the next.

        Args:
            end_at: End of the step whose samples arrive.
            also: What else happens in it.
        """
        step = timedelta(seconds=self.rig.settings.step_s)
        next_at = end_at + step
        events: list[Event] = [
            (end_at, lambda: self._push(end_at)),
            *self.beat.until(next_at),
            *also,
            (next_at - _BEFORE_END, lambda: self._operate(next_at)),
        ]
        for at, act in sorted(events, key=lambda event: event[0]):
            self._wait(at)
            act()
        self._wait(next_at)
        while self.is_waiting_for_all and not self.broker.is_idle():
            self._pause()

    def hurry(self, speed: float) -> None:
        """Let time pass at a speed, whether or not what came before is done."""
        self.is_waiting_for_all, self.speed = False, speed
        self._pass_at(speed)

    def wait_for_all(self) -> None:
        """Let each step wait until the one before is done."""
        self.is_waiting_for_all = True
        self._pass_at(1.0)

    def _pass_at(self, speed: float) -> None:
        """Let time pass at a speed, and the limits of waiting jobs with it."""
        self.time.pace(speed, None)
        self._passes_at = self.beat.speed = speed
        write_speed(self.rig.records, speed)

    def kill_workers(self) -> None:
        """End every worker at once, in whatever it is doing."""
        for child in self.rig.workers():
            child.kill()
        self._pass_at(1.0)

    def _operate(self, next_at: datetime) -> None:
        """The operator's pass; while steps hurry by, one that is late is left to the next."""
        if self.is_waiting_for_all or self.time.now() < next_at:
            self.operator.run(self.time.now())

    def _push(self, end_at: datetime) -> None:
        self.pushed += self.pusher.push(end_at)

    def _wait(self, at: datetime) -> None:
        """Until a time has come; where nothing is left to do, it comes at once."""
        self._watch()
        while self.time.now() < at:
            looked = time.perf_counter()
            if self.is_waiting_for_all and self.broker.is_idle():
                self.time.jump(at)
                self.idle_s += time.perf_counter() - looked
                return
            self._pause()

    def _pause(self) -> None:
        time.sleep(_LOOK_S)
        self._watch()

    def _watch(self) -> None:
        """Look at the queues now and then, and start again what has ended, as `harmony up` does."""
        if time.perf_counter() - self._watched_s < _WATCH_S:
            return
        self._watched_s = time.perf_counter()
        self.queue.append(
            QueueLook(
                self.time.passed().timestamp(), self.broker.waiting(), self.broker.waiting_shards()
            )
        )
        for child in self.rig.workers():
            if not child.is_alive():
                child.kill()
                self.broker.forget_taken()
                self.rig.supervisor.start_again(child)
                self.restarts += 1
        if not self.is_waiting_for_all:
            is_up = all(child.is_ready() for child in self.rig.workers())
            if self._passes_at != (speed := self.speed if is_up else 1.0):
                self._pass_at(speed)
