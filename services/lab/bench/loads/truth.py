"""What requests truly feel under several loads: the response, and the luck of every step.

Shapes: W workloads, G loads, T steps of prelude and test, E pieces of a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.lab.bench.loads.response import LoadResponse
from services.simulator.fleet.arrays import FloatArray, IntArray
from services.simulator.replicas import GridReplicas
from services.simulator.served import ServedTruth


@dataclass(frozen=True, slots=True, eq=False)
class LoadTruth:
    """The truth of a benchmark, the same for every policy.

    Attributes:
        response: Mean share of requests that miss.
        luck: Scatter of a step's share around its mean; its own slope and floor are not used.
        loads: (W, G, T) loads; zero where unknown.
    """

    response: LoadResponse
    luck: ServedTruth
    loads: FloatArray

    def mean_missed(
        self, replicas: GridReplicas, t: int, start_s: float, end_s: float
    ) -> FloatArray:
        """(S, W) mean share of the step's requests that miss under S settings, over its pieces."""
        n_workloads = replicas.shape[1]
        workload = np.broadcast_to(np.arange(n_workloads), replicas.shape)
        missed = self.response.mean(self._per_replica(t, workload, replicas.ready), workload)
        rows = replicas.landing_rows(end_s)
        if rows.size:
            width_s, serving = replicas.pieces(rows, start_s, end_s)
            of = np.broadcast_to((rows % n_workloads)[:, None], serving.shape)
            piece = self.response.mean(self._per_replica(t, of, serving), of)
            share = width_s / (end_s - start_s)
            missed.reshape(-1)[rows] = (share * piece).sum(axis=1)
        return missed

    def _per_replica(self, t: int, workload: IntArray, ready: IntArray) -> FloatArray:
        """(..., G) loads per ready replica: none of no load, endless where nothing is ready."""
        load = self.loads[workload, :, t]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(load > 0, load / ready[..., None], 0.0)

    def need(self) -> FloatArray:
        """(W, T) use of a single replica: how many are needed to miss just what is tolerated."""
        n_workloads, _, n_steps = self.loads.shape
        workload = np.broadcast_to(np.arange(n_workloads)[:, None], (n_workloads, n_steps))
        return self.response.use(np.moveaxis(self.loads, 1, 2), workload)
