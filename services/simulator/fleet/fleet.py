"""A fleet of GPU services in memory: what they are, what is asked of them, what is measured.

The generator and the trace loader both make one; the demo, the simulator and the benchmarks read
it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import numpy as np

from services.kernel.domain import (
    CapacitySpec,
    IndicatorSpec,
    LeadTimeSpec,
    SlaSpec,
    WorkloadSpec,
)
from services.kernel.domain.workload import Mode
from services.simulator.fleet.arrays import BoolArray, FloatArray
from services.simulator.policies.view import replicas_for

WorkloadKind = Literal["llm", "diffusion", "vision", "trace"]

GPUS_PER_NODE = {"H100": 8, "A100": 8, "L4": 4}
POOL_SLACK = 1.1


@dataclass(frozen=True, slots=True)
class StartupProfile:
    """Start-up time of a replica, from being placed on a node to Ready.

    Attributes:
        median_s: Median of a lognormal.
        sigma: Standard deviation of its logarithm.
        fail_probability: Chance that the first start crashes and begins again.
        restart_s: Pause before the second start.
    """

    median_s: float = 60.0
    sigma: float = 0.4
    fail_probability: float = 0.0
    restart_s: float = 20.0

    def quantile_s(self, z: float) -> float:
        """The lognormal's quantile at `z` standard deviations (failures left out)."""
        return self.median_s * math.exp(self.sigma * z)


@dataclass(frozen=True, slots=True)
class FleetWorkload:
    """One service.

    Attributes:
        namespace: Kubernetes namespace.
        name: Name of its Deployment.
        kind: What it serves.
        gpu_type: GPU model.
        gpus_per_replica: GPUs of one replica, a gang on one node.
        capacity_per_replica: Load that one ready replica serves within the SLO, in units of demand.
        demand: Name of the demand indicator.
        indicators: Exogenous indicators, one per column of `Fleet.values`.
        min_replicas: Lower bound.
        max_replicas: Upper bound.
        startup: Start-up time of a replica.
        price_usd_per_gpu_hour: Price of one GPU for an hour.
        epsilon: Promised largest fraction of time out of SLA.
    """

    namespace: str
    name: str
    kind: WorkloadKind
    gpu_type: str
    gpus_per_replica: int
    capacity_per_replica: float
    demand: str
    indicators: tuple[IndicatorSpec, ...]
    min_replicas: int
    max_replicas: int
    startup: StartupProfile
    price_usd_per_gpu_hour: float
    epsilon: float = 0.01

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    def to_spec(
        self, *, extra: tuple[IndicatorSpec, ...] = (), mode: Mode = "Auto"
    ) -> WorkloadSpec:
        """The platform's view of this workload; `extra` indicators come from the closed loop."""
        return WorkloadSpec(
            target=f"Deployment/{self.name}",
            kind=self.kind,
            mode=mode,
            gpu_type=self.gpu_type,
            gpus_per_replica=self.gpus_per_replica,
            min_replicas=self.min_replicas,
            max_replicas=self.max_replicas,
            demand=self.demand,
            indicators=self.indicators + extra,
            capacity=CapacitySpec(per_replica=self.capacity_per_replica),
            lead_time=LeadTimeSpec(median_s=self.startup.median_s, sigma=self.startup.sigma),
            sla=SlaSpec(epsilon=self.epsilon),
            price_usd_per_gpu_hour=self.price_usd_per_gpu_hour,
        )


@dataclass(frozen=True, slots=True)
class NodePool:
    """Identical nodes of one GPU type."""

    gpu_type: str
    n_nodes: int
    gpus_per_node: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """Workloads with their demand and indicators on one step grid.

    Attributes:
        label: Where it comes from, for reports.
        seed: Seed of the generator, or of the start-up luck for a trace.
        step_s: Step length in seconds.
        start_s: Epoch seconds of step 0, a multiple of `step_s`.
        n_history: Steps before the replay begins.
        workloads: W workloads.
        demand: (W, T) true demand; NaN where a trace does not know it.
        values: (W, T, D) exogenous indicators as measured, demand among them.
        observed: (W, T, D) whether each was observed; a gap is False, never zero.
        has_closed_loop: Whether queues, latency and GPU indicators follow from the allocation
            (generated fleets) or the trace brings its own.
        notes: What a reader of the report should know of the data.
    """

    label: str
    seed: int
    step_s: int
    start_s: int
    n_history: int
    workloads: tuple[FleetWorkload, ...]
    demand: FloatArray
    values: FloatArray
    observed: BoolArray
    has_closed_loop: bool
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Check shapes and the grid."""
        W, T = self.demand.shape
        if len(self.workloads) != W or W == 0:
            raise ValueError(f"demand has {W} rows for {len(self.workloads)} workloads")
        if self.values.shape[:2] != (W, T) or self.values.shape != self.observed.shape:
            raise ValueError(
                f"values {self.values.shape} and observed {self.observed.shape} "
                f"must both be ({W}, {T}, D)"
            )
        if any(len(w.indicators) != self.values.shape[2] for w in self.workloads):
            raise ValueError(f"every workload must have {self.values.shape[2]} indicators")
        if self.start_s % self.step_s:
            raise ValueError(f"start_s={self.start_s} must be a multiple of step_s={self.step_s}")
        if not 0 < self.n_history < T:
            raise ValueError(f"n_history={self.n_history} must lie within the {T} steps")

    @property
    def n_workloads(self) -> int:
        """W."""
        return len(self.workloads)

    @property
    def n_steps(self) -> int:
        """T, history and replay together."""
        return int(self.demand.shape[1])

    @property
    def n_replay(self) -> int:
        """Steps of the replay."""
        return self.n_steps - self.n_history

    @property
    def replay_start_s(self) -> int:
        """Epoch seconds at which the replay begins."""
        return self.start_s + self.n_history * self.step_s

    @property
    def replay_hours(self) -> float:
        """Simulated hours of the replay."""
        return self.n_replay * self.step_s / 3600.0

    def step_at(self, step: int) -> datetime:
        """Start of step `step`, aware UTC."""
        return datetime.fromtimestamp(self.start_s + step * self.step_s, UTC)

    @property
    def capacity(self) -> FloatArray:
        """(W,) load that one ready replica serves within the SLO."""
        return np.array([w.capacity_per_replica for w in self.workloads])

    @property
    def gpus_per_replica(self) -> FloatArray:
        """(W,) GPUs of one replica."""
        return np.array([float(w.gpus_per_replica) for w in self.workloads])

    @property
    def price_usd_per_gpu_hour(self) -> FloatArray:
        """(W,) price of one GPU for an hour."""
        return np.array([w.price_usd_per_gpu_hour for w in self.workloads])

    def needed_replicas(self) -> FloatArray:
        """(W, T) fewest replicas that serve the demand of each step, within bounds."""
        needed = replicas_for(self.demand, self.capacity[:, None])
        low = np.array([w.min_replicas for w in self.workloads])[:, None]
        high = np.array([w.max_replicas for w in self.workloads])[:, None]
        return np.clip(needed, low, high)

    def node_pools(self) -> tuple[NodePool, ...]:
        """A finite cluster, sufficient for every workload at its own peak at once, x 1.1."""
        peak = np.nanmax(self.needed_replicas(), axis=1)
        gpus: dict[str, float] = {}
        for workload, n in zip(self.workloads, peak, strict=True):
            total = gpus.get(workload.gpu_type, 0.0) + float(n) * workload.gpus_per_replica
            gpus[workload.gpu_type] = total
        pools = []
        for gpu_type, total in sorted(gpus.items()):
            gang = max(w.gpus_per_replica for w in self.workloads if w.gpu_type == gpu_type)
            per_node = max(GPUS_PER_NODE.get(gpu_type, 8), gang)
            pools.append(NodePool(gpu_type, math.ceil(POOL_SLACK * total / per_node), per_node))
        return tuple(pools)


def bounds_for(demand: FloatArray, capacity_per_replica: float) -> tuple[int, int]:
    """Replica bounds an owner would set: at least 1, at most 1.3 times the largest need.

    Every policy gets the same bounds; no policy is told the peak in any other way.
    """
    largest = int(np.nanmax(replicas_for(demand, capacity_per_replica)))
    return 1, max(4, math.ceil(1.3 * largest))
