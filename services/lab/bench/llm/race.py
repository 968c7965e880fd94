"""What every run of a trace shares: the trace, the start-up, the start, what some rivals know."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from services.lab.arena.engine import ReplayEngine
from services.lab.arena.loop import LoopSetup
from services.lab.arena.requests import FloatArray
from services.lab.bench.llm.rivals.capacity import WorkLaw, needed_workers
from services.lab.bench.llm.rivals.schedule import STEP_S
from services.lab.bench.llm.traces.trace import LlmTrace

_FIRST_S, _FIRST_MARGIN = 300.0, 1.3


@dataclass(frozen=True, slots=True)
class Race:
    """One trace at one start-up, for every policy.

    Attributes:
        trace: The trace of a seed.
        seed: The seed.
        startup_s: Seconds from asking for a worker until it is ready.
        laws: What a request costs a worker of each pool: for rivals that are told the capacity.
        priors: What it costs those of another GPU type: what Harmony is told that starts without
            knowing. None where no such policy runs.
        told: What it costs its own, by the requests before any that is scored: what Harmony is told
            that starts knowing. None where no such policy runs.
        router: How requests find a worker.
    """

    trace: LlmTrace
    seed: int
    startup_s: float
    laws: Mapping[str, WorkLaw] = field(repr=False)
    router: str = "round_robin"
    priors: Mapping[str, WorkLaw] | None = field(default=None, repr=False)
    told: Mapping[str, WorkLaw] | None = field(default=None, repr=False)

    @property
    def pools(self) -> tuple[str, ...]:
        """Pools of workers: one, or prefill and decode."""
        return tuple(self.laws)

    def needed(self, pool: str) -> FloatArray:
        """(T,) full workers of a pool that the arrivals of each step keep busy."""
        return needed_workers(self.trace.requests, self.laws[pool], STEP_S)

    @property
    def initial(self) -> dict[str, int]:
        """Workers at the start, the same for all: a third more than the first minutes need."""
        firsts = {pool: self.needed(pool)[: round(_FIRST_S / STEP_S)] for pool in self.pools}
        most = self.trace.max_workers
        return {
            pool: int(np.clip(math.ceil(_FIRST_MARGIN * first.mean()), 1, most))
            for pool, first in firsts.items()
        }

    @property
    def setup(self) -> LoopSetup:
        """How workers come and go."""
        return LoopSetup(
            startup_s=self.startup_s,
            initial=self.initial,
            max_workers=self.trace.max_workers,
            router=self.router,
        )

    @property
    def first_minute(self) -> int:
        """The first minute that is scored."""
        return self.trace.scored_minutes(self.startup_s)[0]

    @property
    def last_minute(self) -> int:
        """The first minute that is not scored any more."""
        return self.trace.scored_minutes(self.startup_s)[1]


@dataclass(frozen=True, slots=True)
class RaceTrack:
    """Where a race is run.

    Attributes:
        race: What is run.
        engine: The engine that runs it.
    """

    race: Race
    engine: ReplayEngine
