"""The rivals: tuned, run and judged in a process of their own while the platform replays."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from services.kernel.errors import Unavailable
from services.lab.demo.evidence import rival_frontiers
from services.lab.report import RivalFrontier
from services.platform.child import Child, ProcessSpec
from services.platform.platform import Platform
from services.platform.stop_signals import stop_signals_deferred
from services.simulator import (
    PolicyRun,
    PolicyScore,
    ServedFleet,
    felt_score,
    run_rivals,
    service_score,
)
from services.simulator.fleet import ScaledFleet

_NICENESS = 10
"""The platform's processes go first: what they decide is waited for, step by step."""
_ASKED, _ANSWER = "race.pickle", "rivals.pickle"
_LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Race:
    """What the policies are run on and judged by.

    Attributes:
        scaled: The fleet.
        served: How requests are served; None: by the stated capacity.
        epsilon: Promised largest fraction of time out of SLA.
    """

    scaled: ScaledFleet
    served: ServedFleet | None
    epsilon: float


@dataclass(frozen=True, slots=True)
class JudgedRivals:
    """The rivals' scores.

    Attributes:
        scores: By service.
        by_target: By target.
        frontiers: At several settings, by service.
    """

    scores: tuple[PolicyScore, ...]
    by_target: tuple[PolicyScore, ...]
    frontiers: tuple[RivalFrontier, ...]


def by_service(
    race: Race, by_target: Sequence[PolicyScore], runs: Sequence[PolicyRun]
) -> tuple[PolicyScore, ...]:
    """Scores of services from those of targets, by what requests felt where that is known."""
    scores = tuple(
        service_score(one, run, race.scaled) for one, run in zip(by_target, runs, strict=True)
    )
    if race.served is None:
        return scores
    return tuple(
        felt_score(one, run, race.served, race.epsilon)
        for one, run in zip(scores, runs, strict=True)
    )


def judge_rivals(race: Race) -> JudgedRivals:
    """Tune the rivals on history, run them over the replay, judge them by what requests felt."""
    targets = race.scaled.targets
    found = run_rivals(targets, epsilon=race.epsilon, seed=targets.seed, with_hindsight=True)
    scores = by_service(race, found.scores, found.runs)
    frontiers = rival_frontiers(scores, found.tried, race.scaled, race.served, race.epsilon)
    return JudgedRivals(scores, found.scores, frontiers)


class RivalsAside(AbstractContextManager["RivalsAside"]):
    """`judge_rivals` in a process of its own; leaving the context ends it, done or not."""

    def __init__(self, race: Race, platform: Platform) -> None:
        """Start it; its log is beside those of the platform's processes."""
        self._folder = platform.supervisor.scratch()
        (self._folder / _ASKED).write_bytes(pickle.dumps(race))
        argv = [sys.executable, "-m", "services.lab.demo.rivals_process", str(self._folder)]
        spec = ProcessSpec("rivals", argv, {"OMP_NUM_THREADS": "1"})
        with stop_signals_deferred():
            self._child = Child(spec, platform.folder / "logs" / "rivals.log")

    def result(self, check: Callable[[], None]) -> JudgedRivals:
        """The rivals' scores, once they are there.

        Args:
            check: Called while they are waited for; raises when another process has ended.

        Raises:
            Unavailable: The process has ended without them.
        """
        while not self._child.wait(_LOOK_S):
            check()
        if not self._child.has_succeeded():
            raise Unavailable(f"process rivals {self._child.ending()} (log: {self._child.log})")
        answer = (self._folder / _ANSWER).read_bytes()
        found: JudgedRivals = pickle.loads(answer)  # noqa: S301 - our own process has written it
        return found

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with stop_signals_deferred():
            if self._child.is_alive():
                self._child.kill()


def judge_in(folder: Path) -> None:
    """In the process: judge the rivals of the race in a folder, and leave their scores there."""
    os.nice(_NICENESS)
    race: Race = pickle.loads((folder / _ASKED).read_bytes())  # noqa: S301 - from our own parent
    (folder / _ANSWER).write_bytes(pickle.dumps(judge_rivals(race)))
