"""A service with a queue in a closed loop: what is not served waits, and is served first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from decider import (
    DecideConfig,
    History,
    Limits,
    MissDraws,
    ReplicaState,
    after_decision,
    decide_shard,
)
from decider.types import RiskKind, RiskState
from tests.unit.decider.shards import noisy, workload
from tests.unit.decider.tables.soft_cases import response, sla, soft_shard

STEP_S = 60.0
CAPACITY = 10.0
LONGEST_WAIT_STEPS = 5.0
"""After which a request has gone away."""
SHORT_WAIT_STEPS = 0.02
"""A queue that is worked off in this time keeps nobody waiting."""


@dataclass
class QueueLoop:
    """One service, its replicas and its queue.

    Attributes:
        demand: Demand of each step; the forecast is that it stays as it is.
        lead_steps: Steps until a start serves.
        config: Settings.
        tells: The queue is told to the decider.
        ready: Replicas that serve.
        starts: Ages of the starts on their way, in steps.
        queue: What waits, in demand of one step.
        counts: Counts in force in each step.
        is_bad: Whether more than a twentieth of the step's requests waited or missed.
    """

    demand: Callable[[int], float]
    lead_steps: int
    config: DecideConfig
    tells: bool = True
    ready: int = 13
    starts: list[int] = field(default_factory=list)
    queue: float = 0.0
    risk: RiskState = field(default_factory=RiskState)
    counts: list[int] = field(default_factory=list)
    is_bad: list[bool] = field(default_factory=list)
    draws: MissDraws = field(default_factory=lambda: response(1, slope=12.0))
    kind: RiskKind = "TimeFraction"

    def run(self, n_steps: int) -> QueueLoop:
        """Serve and decide, step by step."""
        for t in range(n_steps):
            waited = self._serve(self.demand(t))
            self._decide(t, waited)
        return self

    def _serve(self, arriving: float) -> float:
        """Serve one step; returns the mean queue."""
        before, carried = self.queue, self.ready * CAPACITY
        left = max(0.0, before + arriving - carried)
        self.queue = min(left, LONGEST_WAIT_STEPS * arriving)
        mean = 0.5 * (before + self.queue)
        load = np.array([arriving / max(self.ready, 1e-9)])
        waits = mean > SHORT_WAIT_STEPS * max(carried, 1e-9)
        self.is_bad.append(waits or float(self.draws.miss(load).mean()) > 0.05)
        self.counts.append(self.ready + len(self.starts))
        self.starts = [age + 1 for age in self.starts]
        self.ready += sum(age >= self.lead_steps for age in self.starts)
        self.starts = [age for age in self.starts if age < self.lead_steps]
        return mean

    def _decide(self, t: int, waited: float) -> None:
        now_s = 1e6 * STEP_S + STEP_S * (t + 1)
        seen = np.array([self.demand(h) for h in range(max(0, t - 30), t + 1)])
        owner = workload(
            limits=Limits(1, 200),
            sla=sla(self.kind, 0.01),
            replicas=ReplicaState(
                self.ready + len(self.starts),
                self.ready,
                tuple(age * STEP_S for age in self.starts),
            ),
            history=History(seen, now_s),
            risk=self.risk,
            forecast_origin_s=now_s - STEP_S,
            waiting_load=self.queue if self.tells else None,
            waiting_requests=round(60.0 * self.queue) if self.tells else 0.0,
        )
        paths = noisy(float(seen[-1]), t, n_paths=100, horizon=10)
        request = replace(
            soft_shard(paths, [self.draws], [owner], lead_s=STEP_S * self.lead_steps),
            step_s=STEP_S,
        )
        (decision,) = decide_shard(request, self.config, now_s)
        self.risk = after_decision(self.risk, decision, self.config.risk)
        self._set(decision.final)

    def _set(self, count: int) -> None:
        """Ask for a count: the youngest starts go first."""
        more = count - self.ready - len(self.starts)
        if more >= 0:
            self.starts = self.starts + [0] * more
            return
        kept = max(0, len(self.starts) + more)
        self.ready = min(self.ready, count)
        self.starts = sorted(self.starts, reverse=True)[:kept]


def bad_steps(loop: QueueLoop, steps: Sequence[int] | range) -> int:
    return sum(loop.is_bad[t] for t in steps)
