"""Harmony as it is deployed: one promise per setting, risk control and guards at work, no tuning.

The decision is `decider.decide_shard`, fed back by measured violations as the decision service
does. Before the counted part it has lived through the forecasts of the prelude.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np

from decider import (
    DecideConfig,
    Hardware,
    History,
    Limits,
    ReplicaState,
    RiskState,
    ShardRequest,
    Sla,
    WorkloadInput,
    decide_shard,
)
from decider.policies.grid import FloatArray, GridView
from decider.risk import pooled_error, update_risk

N_HISTORY = 144
N_REMEMBERED = 64


@dataclass(slots=True)
class Memory:
    """What the service remembers of one promise's workloads; W entries each."""

    risk: list[RiskState]
    recommendations: list[deque[tuple[float, int]]]
    changes: list[deque[tuple[float, int]]]

    @classmethod
    def empty(cls, n: int) -> Memory:
        """Nothing has happened yet."""
        return cls(
            [RiskState()] * n,
            [deque(maxlen=N_REMEMBERED) for _ in range(n)],
            [deque(maxlen=N_REMEMBERED) for _ in range(n)],
        )


@dataclass(frozen=True, slots=True)
class Deployed:
    """One promise per setting (`GridPolicy`).

    Attributes:
        epsilons: G promises, shares of time out of SLA.
        lead_time_s: (P,) draws of the lead time.
        config: Settings of the decision stage: the service's defaults.
        capacity_draws: (P,) draws of true over stated capacity.
        name: Name in tables.
    """

    epsilons: tuple[float, ...]
    lead_time_s: FloatArray
    config: DecideConfig = field(default_factory=DecideConfig)
    capacity_draws: FloatArray = field(default_factory=lambda: np.ones(1))
    name: str = "harmony"

    @property
    def n_settings(self) -> int:
        """G."""
        return len(self.epsilons)

    def label(self, setting: int) -> str:
        """The promise."""
        return f"promise {self.epsilons[setting]:.2%}, not tuned"

    def initial_state(self) -> tuple[Memory, ...]:
        """Filled at the first decision, when the number of workloads is known."""
        return ()

    def decide(
        self, view: GridView, state: tuple[Memory, ...]
    ) -> tuple[FloatArray, tuple[Memory, ...]]:
        """Learn from the last step, then decide; hold before the first forecast."""
        G, W = view.shape
        memory = state or tuple(Memory.empty(W) for _ in range(G))
        if view.paths is None:
            return view.answer(np.full(view.shape, np.nan)), memory
        wanted = np.empty(view.shape)
        for g, epsilon in enumerate(self.epsilons):
            sla = Sla(epsilon)
            self._learn(view, g, sla, memory[g])
            wanted[g] = self._decide(view, g, sla, memory[g])
        return wanted, memory

    def _learn(self, view: GridView, g: int, sla: Sla, memory: Memory) -> None:
        if view.last_violation is None:
            return
        known = {w: float(v) for w, v in enumerate(view.last_violation[g]) if np.isfinite(v)}
        pooled = pooled_error(list(known.values()), [sla] * len(known), self.config.risk)
        for w, ratio in known.items():
            memory.risk[w] = update_risk(
                memory.risk[w], ratio, sla, view.step_s, self.config.risk, pooled
            )

    def _decide(self, view: GridView, g: int, sla: Sla, memory: Memory) -> FloatArray:
        paths = view.paths
        assert paths is not None
        is_known = np.asarray(np.isfinite(paths).all(axis=(1, 2)))
        W = view.shape[1]
        request = ShardRequest(
            tuple(
                self._input(view, (g, w), sla, memory, has_paths=bool(is_known[w]))
                for w in range(W)
            ),
            np.where(is_known[:, None, None], paths, 0.0),
            view.capacity[:, None] * self.capacity_draws,
            np.broadcast_to(self.lead_time_s, (W, self.lead_time_s.size)),
            view.step_s,
        )
        decisions = decide_shard(request, self.config, view.now_s)
        for w, decision in enumerate(decisions):
            memory.recommendations[w].append((view.now_s, decision.raw))
            if decision.final != decision.current:
                memory.changes[w].append((view.now_s, decision.final - decision.current))
            memory.risk[w] = replace(memory.risk[w], log_multiplier=decision.next_log_multiplier)
        return np.array([float(d.final) for d in decisions])

    def _input(
        self, view: GridView, at: tuple[int, int], sla: Sla, memory: Memory, *, has_paths: bool
    ) -> WorkloadInput:
        g, w = at
        ages: tuple[float, ...] = ()
        if view.start_age_s is not None:
            row = view.start_age_s[g, w]
            ages = tuple(row[np.isfinite(row)].tolist())
        return WorkloadInput(
            f"w{w}",
            ReplicaState(int(view.replicas[g, w]), int(view.ready[g, w]), ages),
            Limits(int(view.min_replicas[w]), int(view.max_replicas[w])),
            sla,
            Hardware("any"),
            history=History(
                view.demand[w, -N_HISTORY:],
                view.now_s,
                tuple(memory.changes[w]),
                tuple(memory.recommendations[w]),
            ),
            risk=memory.risk[w],
            forecast_rung="model" if has_paths else "",
            forecast_origin_s=view.now_s - view.step_s,
        )
