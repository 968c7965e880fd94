"""Harmony as it is deployed: one promise per setting, risk control and guards at work, no tuning.

The decision is `decider.decide_shard`, fed back by measured violations as the decision service
does. Before the counted part it has lived through the forecasts of the prelude.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from decider import (
    DecideConfig,
    Hardware,
    Limits,
    ReplicaState,
    ShardRequest,
    Sla,
    WorkloadInput,
    decide_shard,
)
from services.backtest.memory import DecisionMemory
from services.simulator.policies.grid import FloatArray, GridView
from services.simulator.policies.predictive.known_laws import KnownLaws

N_HISTORY = 144
BASE = DecideConfig(epsilons=())
"""What the service runs with; no count depends on the counterfactuals of explanations."""


class GridCell(NamedTuple):
    """Numbers of a setting and of a workload."""

    setting: int
    workload: int


@dataclass(frozen=True, slots=True)
class Deployed:
    """One promise per setting (`GridPolicy`).

    Attributes:
        epsilons: G promises, shares of time out of SLA.
        lead_time_s: (P,) draws of the lead time.
        config: Settings of the decision stage: the service's own.
        capacity_draws: (P,) draws of true over stated capacity.
        laws: Quantile functions that are integrated; None: paths are all that is known.
        name: Name in tables.
    """

    epsilons: tuple[float, ...]
    lead_time_s: FloatArray
    config: DecideConfig = BASE
    capacity_draws: FloatArray = field(default_factory=lambda: np.ones(1))
    laws: KnownLaws | None = None
    name: str = "harmony"

    @property
    def n_settings(self) -> int:
        """G."""
        return len(self.epsilons)

    def label(self, setting: int) -> str:
        """The promise."""
        return f"promise {self.epsilons[setting]:.2%}, not tuned"

    def initial_state(self) -> tuple[DecisionMemory, ...]:
        """Filled at the first decision, when the number of workloads is known."""
        return ()

    def decide(
        self, view: GridView, state: tuple[DecisionMemory, ...]
    ) -> tuple[FloatArray, tuple[DecisionMemory, ...]]:
        """Learn from the last step, then decide; hold before the first forecast."""
        G, W = view.shape
        memory = state or (DecisionMemory.empty(W),) * G
        if view.paths is None:
            return view.answer(np.full(view.shape, np.nan)), memory
        slas = [Sla(epsilon) for epsilon in self.epsilons]
        if view.last_violation is not None:
            memory = tuple(
                own.learned(view.last_violation[g], slas[g], view.step_s, self.config.risk)
                for g, own in enumerate(memory)
            )
        decisions = decide_shard(self.request(view, slas, memory), self.config, view.now_s)
        wanted = np.array([float(d.final) for d in decisions]).reshape(view.shape)
        after = tuple(
            own.decided(decisions[g * W : (g + 1) * W], view.now_s, self.config.risk)
            for g, own in enumerate(memory)
        )
        return wanted, after

    def request(
        self, view: GridView, slas: Sequence[Sla], memory: tuple[DecisionMemory, ...]
    ) -> ShardRequest:
        """Every promise in one shard: a decision does not depend on its neighbours.

        Args:
            view: At a step boundary, with forecasts.
            slas: G promises.
            memory: What each of them remembers.
        """
        paths = view.paths
        assert paths is not None
        is_known = np.asarray(np.isfinite(paths).all(axis=(1, 2)))
        G, W = view.shape
        asked = ShardRequest(
            tuple(
                self._input(view, GridCell(g, w), slas[g], memory[g], has_paths=bool(is_known[w]))
                for g in range(G)
                for w in range(W)
            ),
            np.tile(np.where(is_known[:, None, None], paths, 0.0), (G, 1, 1)),
            np.tile(view.capacity[:, None] * self.capacity_draws, (G, 1)),
            np.broadcast_to(self.lead_time_s, (G * W, self.lead_time_s.size)),
            view.step_s,
        )
        if self.laws is None:
            return asked
        return replace(asked, quantiles=self.laws.at(view.now_s) * G)

    def _input(
        self,
        view: GridView,
        cell: GridCell,
        sla: Sla,
        memory: DecisionMemory,
        *,
        has_paths: bool,
    ) -> WorkloadInput:
        g, w = cell
        ages: tuple[float, ...] = ()
        if view.start_age_s is not None:
            row = view.start_age_s[g, w]
            ages = tuple(row[np.isfinite(row)].tolist())
        return WorkloadInput(
            f"promise{g}-w{w}",
            ReplicaState(int(view.replicas[g, w]), int(view.ready[g, w]), ages),
            Limits(int(view.min_replicas[w]), int(view.max_replicas[w])),
            sla,
            Hardware("any"),
            history=memory.history(w, view.demand[w, -N_HISTORY:], view.now_s),
            risk=memory.risk[w],
            forecast_rung="model" if has_paths else "",
            forecast_origin_s=view.now_s - view.step_s,
        )
