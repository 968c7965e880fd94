"""What a run costs and breaks, summed over pieces of time in which nothing changes.

Shapes: W services, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.simulator.fleet.arrays import BoolArray, FloatArray

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class SupplyFigures:
    """Figures of the counted part of a run.

    Attributes:
        rate: Share of the known time out of SLA, mean over services.
        rates: (W,) the same of each service.
        node_hours: Nodes from being asked for to going.
        replica_hours: Replicas that were ready.
        pending_replica_hours: Replicas that waited for a node.
    """

    rate: float
    rates: FloatArray
    node_hours: float
    replica_hours: float
    pending_replica_hours: float


class SupplyLedger:
    """The account of one run.

    Args:
        need: (W, T) replicas that hold the demand of each step; NaN where it is unknown.
        step_s: Length of a step in seconds.
        n_warm_up: Steps that are not counted.
    """

    def __init__(self, need: FloatArray, step_s: float, n_warm_up: int) -> None:
        self.step_s = step_s
        self._need = np.where(np.isfinite(need), need, -1.0)
        self._is_known = np.isfinite(need)
        self._first = n_warm_up
        self._out_s = np.zeros(need.shape)
        self._seen_s = np.zeros(need.shape[1])
        self._node_s = np.zeros(need.shape[1])
        self._ready_s = np.zeros(need.shape[1])
        self._pending_s = np.zeros(need.shape[1])

    @property
    def n_steps(self) -> int:
        """T."""
        return int(self._need.shape[1])

    def add(self, step: int, length_s: float, ready: FloatArray, nodes: int, pending: int) -> None:
        """Count a piece of a step.

        Args:
            step: Which step.
            length_s: Seconds of the piece.
            ready: (W,) replicas that serve in it.
            nodes: Nodes that are paid for.
            pending: Replicas that wait for a node.
        """
        self._out_s[:, step] += length_s * (self._need[:, step] > ready)
        self._seen_s[step] += length_s
        self._node_s[step] += length_s * nodes
        self._ready_s[step] += length_s * ready.sum()
        self._pending_s[step] += length_s * pending

    def violation(self, step: int) -> FloatArray:
        """(W,) share of a whole step out of SLA; NaN where its demand is unknown."""
        return np.where(self._is_known[:, step], self._out_s[:, step] / self.step_s, np.nan)

    def figures(self) -> SupplyFigures:
        """The counted part, as far as it was seen."""
        counted = slice(self._first, None)
        known_s = (self._is_known[:, counted] * self._seen_s[counted]).sum(axis=1)
        rates = self._out_s[:, counted].sum(axis=1) / np.where(known_s > 0, known_s, np.nan)
        is_told: BoolArray = np.isfinite(rates)
        return SupplyFigures(
            float(rates[is_told].mean()) if is_told.any() else float("nan"),
            rates,
            float(self._node_s[counted].sum()) / HOUR_S,
            float(self._ready_s[counted].sum()) / HOUR_S,
            float(self._pending_s[counted].sum()) / HOUR_S,
        )
