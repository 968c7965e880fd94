"""Data of a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.kernel.domain.figures import percentage
from services.lab.report.evidence import Reliability, RivalFrontier, StartTimes
from services.simulator import PolicyScore
from services.simulator.fleet.arrays import FloatArray
from services.simulator.scoreboard import mean_known

LABELS = {
    "harmony": "Harmony",
    "hpa": "HPA (tuned)",
    "trailing_percentile": "Trailing percentile (tuned)",
    "static_peak": "Static peak",
    "oracle": "Oracle",
}
ORDER = tuple(LABELS)
MONTH_H = 730.0
"""Hours of a month."""


def label_of(policy: str) -> str:
    """A policy's name for people."""
    return LABELS.get(policy, policy.replace("_", " ").capitalize())


def percent(share: float) -> str:
    """A share for people."""
    return "unknown" if share != share else percentage(share)


def measured_line(data: ReportData) -> str:
    """What Harmony measured of its own requests beside the truth; empty without such a truth."""
    ours = data.score("harmony")
    if ours is None or data.felt is None:
        return ""
    counted = percent(data.felt.measured_mean)
    return f"measured by Harmony {counted}, true {percent(ours.violation_rate)}"


@dataclass(frozen=True, slots=True)
class Felt:
    """What is known of requests that were served by a response which no policy is told.

    Attributes:
        measured: (W,) fraction of time out of SLA that Harmony counted; NaN where it counted none.
        first_ratio: (W,) what a replica bears at the start of the replay, over what is stated.
        last_ratio: (W,) the same at its end.
    """

    measured: FloatArray
    first_ratio: FloatArray
    last_ratio: FloatArray

    @property
    def measured_mean(self) -> float:
        """Mean over the workloads that Harmony counted; NaN where there is none."""
        return mean_known(self.measured)


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """One pool of a service that has several.

    Attributes:
        service: The service, `namespace/name`.
        pool: Name of the pool.
        hardware: GPUs of a replica, in words.
        load: Load that falls on it.
        first_ratio: What a replica bears at the start of the replay, over what is stated; None
            where the stated capacity is the truth.
        last_ratio: The same at its end.
        gpu_hours: GPU-hours held, by policy.
    """

    service: str
    pool: str
    hardware: str
    load: str
    first_ratio: float | None
    last_ratio: float | None
    gpu_hours: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class FanChart:
    """Forecasts of one workload against what came.

    Attributes:
        workload: `namespace/name`.
        unit: Unit of demand.
        start_s: Epoch seconds of the first step.
        step_s: Step length.
        demand: (T,) demand, NaN where unknown.
        quantile_levels: (Q,) ascending.
        quantiles: (Q, T) forecasts for each step; NaN where there was none.
        ready_capacity: (T,) load that the ready replicas served within the SLO, if known.
        lead_steps: How many steps ahead the forecasts were made.
        caption: A remark, e.g. on which rung the forecast stood.
    """

    workload: str
    unit: str
    start_s: float
    step_s: float
    demand: FloatArray
    quantile_levels: FloatArray
    quantiles: FloatArray
    ready_capacity: FloatArray | None = None
    lead_steps: int = 1
    caption: str = ""

    def __post_init__(self) -> None:
        """Check shapes."""
        T, Q = self.demand.size, self.quantile_levels.size
        if self.quantiles.shape != (Q, T):
            raise ValueError(f"quantiles {self.quantiles.shape} must be ({Q}, {T})")
        if self.ready_capacity is not None and self.ready_capacity.shape != (T,):
            raise ValueError(f"ready_capacity {self.ready_capacity.shape} must be ({T},)")


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything that the page shows.

    Attributes:
        data: Where demand comes from.
        seed: Base seed.
        simulated_hours: Length of the replay.
        start_at: Its beginning.
        step_s: Step length.
        workloads: (W,) keys, in the order of the scores' per-workload arrays.
        epsilon: Promised fraction of time out of SLA.
        scores: One per policy.
        needed_gpus: (R,) GPUs that demand needed in each step.
        fans: Fan charts of a few workloads.
        notes: Remarks on data and simulation.
        wall_s: Duration of the run.
        peak_rss_gib: Peak memory of all its processes.
        machine: Machine class, e.g. `2 cores, 8 GiB`.
        title: Page title.
        pools: Pools of the services that have several.
        felt: What requests felt, where policies are scored by it instead of by the stated capacity.
        frontiers: Rivals at several settings over the same replay.
        calibration: How often demand came in below what was forecast.
        starts: Start-up times of each service.
    """

    data: str
    seed: int
    simulated_hours: float
    start_at: datetime
    step_s: int
    workloads: tuple[str, ...]
    epsilon: float
    scores: tuple[PolicyScore, ...]
    needed_gpus: FloatArray
    fans: tuple[FanChart, ...] = ()
    notes: tuple[str, ...] = field(default=())
    wall_s: float = 0.0
    peak_rss_gib: float = 0.0
    machine: str = ""
    title: str = "Harmony replay"
    felt: Felt | None = None
    pools: tuple[PoolFigures, ...] = ()
    frontiers: tuple[RivalFrontier, ...] = ()
    calibration: Reliability | None = None
    starts: tuple[StartTimes, ...] = ()

    def __post_init__(self) -> None:
        """Check that there is something to show, and that arrays fit together."""
        if not self.scores:
            raise ValueError("scores must hold at least one policy")
        names = [s.name for s in self.scores]
        if len(set(names)) != len(names):
            raise ValueError(f"scores: policy names must be unique, got {names}")
        for s in self.scores:
            if s.step_gpus.shape != self.needed_gpus.shape:
                raise ValueError(
                    f"{s.name}: step_gpus {s.step_gpus.shape} and needed_gpus "
                    f"{self.needed_gpus.shape} must cover the same steps"
                )
            if s.workload_gpu_hours.size != len(self.workloads):
                raise ValueError(f"{s.name}: scores of {s.workload_gpu_hours.size} workloads")
        if self.felt is not None and self.felt.measured.size != len(self.workloads):
            raise ValueError(f"felt: measured {self.felt.measured.size} workloads")

    def score(self, policy: str) -> PolicyScore | None:
        """The score of a policy, if it is in the report."""
        return next((s for s in self.scores if s.name == policy), None)

    @property
    def is_felt(self) -> bool:
        """Whether policies are scored by what requests felt, not by the stated capacity."""
        return self.felt is not None

    def ordered(self) -> tuple[PolicyScore, ...]:
        """Scores with Harmony first and the oracle last."""

        def rank(s: PolicyScore) -> int:
            return ORDER.index(s.name) if s.name in ORDER else len(ORDER) - 2

        return tuple(sorted(self.scores, key=rank))
