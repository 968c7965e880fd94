"""Memory of Harmony between decisions in one process; the service keeps the same in rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from decider import (
    Decision,
    History,
    RiskControlConfig,
    RiskState,
    Sla,
    after_decision,
    update_risk,
)
from services.simulator.fleet.arrays import FloatArray

Events = tuple[tuple[float, int], ...]

N_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class DecisionMemory:
    """Memory of W workloads under one promise, passed in and out.

    Attributes:
        risk: Risk control's memory.
        recommendations: (at_s, raw count) of earlier decisions, oldest first.
        changes: (at_s, change of the spec) of applied scalings, oldest first.
    """

    risk: tuple[RiskState, ...]
    recommendations: tuple[Events, ...]
    changes: tuple[Events, ...]

    @classmethod
    def empty(cls, n_workloads: int) -> DecisionMemory:
        """Nothing has happened yet."""
        return cls((RiskState(),) * n_workloads, ((),) * n_workloads, ((),) * n_workloads)

    def learned(
        self, violation_ratio: FloatArray, sla: Sla, step_s: float, config: RiskControlConfig
    ) -> DecisionMemory:
        """After a step, of which the (W,) shares out of SLA are known; NaN where they are not."""
        risk = tuple(
            update_risk(state, float(ratio), sla, step_s, config) if np.isfinite(ratio) else state
            for state, ratio in zip(self.risk, violation_ratio, strict=True)
        )
        return replace(self, risk=risk)

    def decided(
        self, decisions: Sequence[Decision], now_s: float, config: RiskControlConfig
    ) -> DecisionMemory:
        """After W decisions, all of which were applied."""
        return DecisionMemory(
            tuple(
                after_decision(state, d, config)
                for state, d in zip(self.risk, decisions, strict=True)
            ),
            tuple(
                (*before, (now_s, d.raw))[-N_REMEMBERED:]
                for before, d in zip(self.recommendations, decisions, strict=True)
            ),
            tuple(
                (*before, (now_s, d.final - d.current))[-N_REMEMBERED:]
                if d.final != d.current
                else before
                for before, d in zip(self.changes, decisions, strict=True)
            ),
        )

    def history(self, workload: int, demand: FloatArray, until_s: float) -> History:
        """A workload's past for the next decision, with its (C,) demand that ends at `until_s`."""
        return History(demand, until_s, self.changes[workload], self.recommendations[workload])
