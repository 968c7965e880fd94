"""Inputs of a decision: frozen values, checked when they are made.

Shapes: W workloads, S sample paths, H horizon, P posterior draws, C context steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from decider.config import TrailingRule
from decider.errors import require
from decider.fleet_types import Elsewhere, FleetVerdict
from decider.miss_draws import MissDraws
from decider.use import MAX_FURTHER
from decider.variant_types import VariantSet

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
RiskKind = Literal["TimeFraction", "DemandFraction", "AnyInWindow"]
RISK_KINDS: tuple[RiskKind, ...] = ("TimeFraction", "DemandFraction", "AnyInWindow")


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """Replicas of one workload now.

    Attributes:
        spec: Current target count (what was last asked for).
        ready: Replicas that serve.
        starting_age_s: Seconds since each start on its way that is bound to a node.
        pending_age_s: Seconds since each start that has no node yet.
        schedulable_gpus: Free GPUs of its type that it could use; None: unknown.
    """

    spec: int
    ready: int
    starting_age_s: tuple[float, ...] = ()
    pending_age_s: tuple[float, ...] = ()
    schedulable_gpus: int | None = None

    def __post_init__(self) -> None:
        """Refuse negative counts and ages."""
        require(self.spec >= 0, f"spec={self.spec} must be >= 0")
        require(self.ready >= 0, f"ready={self.ready} must be >= 0")
        ages = self.starting_age_s + self.pending_age_s
        require(all(a >= 0 and math.isfinite(a) for a in ages), f"ages {ages} must be >= 0")
        free = self.schedulable_gpus
        require(free is None or free >= 0, f"schedulable_gpus={free} must be >= 0")

    @property
    def on_the_way(self) -> int:
        """Starts asked for that do not serve yet."""
        return max(0, self.spec - self.ready)


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """One rate limit of HPA's `behavior`: at most `value` pods or per cent in `period_s`."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_s: float


@dataclass(frozen=True, slots=True)
class DirectionRules:
    """HPA's `behavior.scaleUp` or `.scaleDown`; no policies means no rate limit."""

    stabilization_window_s: float = 0.0
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    policies: tuple[RatePolicy, ...] = ()
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds and manners of scaling.

    Attributes:
        min_replicas: Lower bound; 0 allows scaling to zero.
        max_replicas: Upper bound.
        scale_up: HPA's `behavior.scaleUp`.
        scale_down: HPA's `behavior.scaleDown`.
        static_replicas: Last rung of the fallback ladder; None: hold.
    """

    min_replicas: int
    max_replicas: int
    scale_up: DirectionRules = DirectionRules()
    scale_down: DirectionRules = DirectionRules()
    static_replicas: int | None = None

    def __post_init__(self) -> None:
        """Refuse contradictory bounds."""
        require(
            0 <= self.min_replicas <= self.max_replicas,
            f"min_replicas={self.min_replicas}, max_replicas={self.max_replicas}: "
            "need 0 <= min <= max",
        )

    def clamp(self, replicas: int) -> int:
        """`replicas` brought within the bounds."""
        return max(self.min_replicas, min(self.max_replicas, replicas))


@dataclass(frozen=True, slots=True)
class Control:
    """Controls that people have set: pauses, freezes, schedules.

    Attributes:
        is_paused: Nothing may change.
        paused_until_s: Epoch seconds at which a pause ends by itself.
        scale_in_only: Only decreases may happen.
        scale_out_only: Only increases may happen.
        schedule: Name of the schedule in force, if any.
        schedule_min: Lower bound of that schedule.
        schedule_max: Upper bound of that schedule.
        freeze: `ScaleDown` or `Both` while a freeze is in force.
        is_automatic: Decisions are applied without a human. What others hold is never taken for a
            GPU budget: nobody knows whether they will let it go.
    """

    is_paused: bool = False
    paused_until_s: float | None = None
    scale_in_only: bool = False
    scale_out_only: bool = False
    schedule: str = ""
    schedule_min: int | None = None
    schedule_max: int | None = None
    freeze: Literal["ScaleDown", "Both"] | None = None
    is_automatic: bool = True


@dataclass(frozen=True, slots=True)
class Sla:
    """The promise: at most `epsilon` of `kind` out of SLA over the window.

    Attributes:
        epsilon: Risk level in (0, 1); None: prices alone decide (newsvendor).
        kind: What epsilon is a share of.
        window_s: SLA window in seconds.
        class_weight: How much a loss of this workload counts under a scarce budget.
        good_share: Share of a minute's requests that must meet the objective's goals for it to be
            a good one, where an objective is measured; None: there is none, and being out of SLA
            is what the believed capacity says.
    """

    epsilon: float | None = 0.01
    kind: RiskKind = "TimeFraction"
    window_s: float = 28 * 86400.0
    class_weight: float = 1.0
    good_share: float | None = None

    def __post_init__(self) -> None:
        """Refuse impossible promises."""
        share = self.good_share
        require(share is None or 0 < share < 1, f"good_share={share} must lie in (0, 1)")
        require(
            self.epsilon is None or 0 < self.epsilon < 1,
            f"epsilon={self.epsilon} must lie in (0, 1)",
        )
        require(self.kind in RISK_KINDS, f"kind={self.kind!r} must be one of {RISK_KINDS}")
        require(self.window_s > 0, f"window_s={self.window_s} must be > 0")
        require(self.class_weight > 0, f"class_weight={self.class_weight} must be > 0")


@dataclass(frozen=True, slots=True)
class Hardware:
    """GPUs of one replica and what they cost."""

    gpu_type: str
    gpus_per_replica: int = 1
    price_usd_per_gpu_hour: float = 0.0

    def __post_init__(self) -> None:
        """Refuse impossible hardware."""
        require(self.gpus_per_replica >= 1, "gpus_per_replica must be >= 1")
        require(self.price_usd_per_gpu_hour >= 0, "price_usd_per_gpu_hour must be >= 0")

    def usd_per_hour(self, replicas: float) -> float:
        """Cost of `replicas` in USD per hour."""
        return replicas * self.gpus_per_replica * self.price_usd_per_gpu_hour


@dataclass(frozen=True, slots=True)
class RiskState:
    """Memory of the risk control of one workload, passed in and out.

    Attributes:
        log_level: Natural logarithm of (level in use / epsilon), before pacing.
        spent_steps: Believed violation within the SLA window so far, in steps.
        observed_steps: Steps within the window of which it is known.
        log_multiplier: Logarithm of the price of risk carried over; None: not found yet.
        measured_missed: What was measured to be out of SLA within the window: requests of a promise
            of requests, steps of one of time.
        measured_total: What it was of, in the same unit.
        measured_steps: Steps within the window that were measured.
    """

    log_level: float = 0.0
    spent_steps: float = 0.0
    observed_steps: float = 0.0
    log_multiplier: float | None = None
    measured_missed: float = 0.0
    measured_total: float = 0.0
    measured_steps: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Demand, scalings and recommendations so far, newest last.

    Attributes:
        demand: (C,) demand of completed steps on the grid; NaN where it was not observed.
        demand_until_s: End of the last of those steps, epoch seconds.
        changes: (at_s, change of the spec) of applied scalings.
        recommendations: (at_s, raw count) of earlier decisions.
    """

    demand: FloatArray = field(default_factory=lambda: np.zeros(0))
    demand_until_s: float = 0.0
    changes: tuple[tuple[float, int], ...] = ()
    recommendations: tuple[tuple[float, int], ...] = ()

    def __post_init__(self) -> None:
        """Refuse a matrix."""
        require(self.demand.ndim == 1, f"demand has shape {self.demand.shape}, must be (C,)")

    def last_demand(self) -> tuple[float, int] | None:
        """Newest observed demand and its age in steps (0: the last step); None if unknown."""
        known = np.flatnonzero(np.isfinite(self.demand) & (self.demand >= 0))
        if known.size == 0:
            return None
        return float(self.demand[known[-1]]), int(self.demand.size - 1 - known[-1])


@dataclass(frozen=True, slots=True)
class WorkloadInput:
    """Everything about one workload that is not a large array.

    Attributes:
        workload: Name or id, echoed in the decision.
        replicas: Replicas now.
        limits: Bounds and behaviour.
        sla: The promise.
        hardware: GPUs and price.
        control: Pauses, freezes, schedules.
        history: Demand and scaling history.
        risk: Risk control's memory.
        forecast_rung: Rung of the forecaster that made the paths; empty: there is no forecast.
        forecast_origin_s: Start of the last step that the forecast has seen.
        verdict: What the fleet's budget left of the count; set for replays only.
        has_replica_state: The replicas were measured; where they were not, nothing is changed.
        is_model_trusted: The forecast has earned its place (`decider.trust.gate`); one that has
            not is planned with, but a rung below answers.
        trust_reason: Why, in words.
        trailing_rule: Setting of the trailing rung; None: the ladder's own.
        variants: GPU types that it may run on; None: it has no variants, `hardware` is its type.
        requests_per_step: Requests of a usual step, or minute where that is what a promise of time
            counts: how far chance moves the share missed of one; infinite: not at all. Used with a
            response only.
        waiting_load: Load that waits now, in demand of one step: requests waiting times the demand
            that one is; 0: none, or unknown. Used with a response only.
        waiting_requests: Requests that it is, for the explanation; 0: unknown.
        further_capacity: What a replica carries of each further load alone, as stated; empty: the
            demand alone binds it. The demand of `history` is then the equivalent one.
    """

    workload: str
    replicas: ReplicaState
    limits: Limits
    sla: Sla
    hardware: Hardware
    control: Control = Control()
    history: History = field(default_factory=History)
    risk: RiskState = RiskState()
    forecast_rung: str = "model"
    forecast_origin_s: float = 0.0
    verdict: FleetVerdict | None = None
    has_replica_state: bool = True
    is_model_trusted: bool = True
    trust_reason: str = ""
    trailing_rule: TrailingRule | None = None
    variants: VariantSet | None = None
    requests_per_step: float = math.inf
    waiting_load: float = 0.0
    waiting_requests: float = 0.0
    further_capacity: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse impossible queues and capacities of further loads."""
        for field_name in ("waiting_load", "waiting_requests"):
            waits: float = getattr(self, field_name)
            is_load = 0 <= waits < math.inf
            require(is_load, f"{self.workload}: {field_name}={waits} must be finite and >= 0")
        given, name = self.further_capacity, f"{self.workload}: further_capacity"
        require(len(given) <= MAX_FURTHER, f"{name}={given}: at most {MAX_FURTHER} loads")
        require(all(0 < c < math.inf for c in given), f"{name}={given} must be finite and > 0")


@dataclass(frozen=True, slots=True)
class ShardRequest:
    """A shard's decision inputs.

    Attributes:
        workloads: W workloads.
        paths: (W, S, H) joint demand sample paths; `paths[w, :, h]` is the step that starts at
            `forecast_origin_s + (h + 1) * step_s`.
        capacity_draws: (W, P) load that one ready replica serves within the SLO.
        lead_time_draws_s: (W, P) posterior predictive draws of the lead time.
        step_s: Step length in seconds.
        gpu_budgets: GPUs that all workloads of a type may use together; None: the budget could not
            be read, so no increase is allowed; a type not listed has no budget.
        elsewhere: By GPU type, what the workloads that are not in this request hold and would take;
            a type not listed has no other workloads.
        responses: What each workload's load does to its requests, learned from what was measured;
            None: its capacity has a sharp edge. Empty: none has one. A workload with a response
            still has its `capacity_draws`: `decider.equivalent_capacity` of it.
        further_paths: By workload, (F, S, H) paths of its further loads, path by path with its
            demand; None: none are forecast, and if it has any its demand is not planned with.
    """

    workloads: tuple[WorkloadInput, ...]
    paths: FloatArray
    capacity_draws: FloatArray
    lead_time_draws_s: FloatArray
    step_s: float
    gpu_budgets: Mapping[str, int | None] = field(default_factory=dict)
    elsewhere: Mapping[str, Elsewhere] = field(default_factory=dict)
    responses: tuple[MissDraws | None, ...] = ()
    further_paths: tuple[FloatArray | None, ...] = ()

    def __post_init__(self) -> None:
        """Check shapes; the content of single rows is judged by the fallback ladder."""
        n = len(self.workloads)
        require(n >= 1, "workloads must hold at least one workload")
        require(self.paths.ndim == 3, f"paths has shape {self.paths.shape}, must be (W, S, H)")
        require(self.paths.shape[0] == n, f"paths has {self.paths.shape[0]} rows, must be W={n}")
        require(min(self.paths.shape[1:]) >= 1, f"paths has shape {self.paths.shape}: S, H >= 1")
        for name in ("capacity_draws", "lead_time_draws_s"):
            draws: FloatArray = getattr(self, name)
            require(draws.ndim == 2, f"{name} has shape {draws.shape}, must be (W, P)")
            require(draws.shape[0] == n, f"{name} has {draws.shape[0]} rows, must be W={n}")
            require(draws.shape[1] >= 1, f"{name} must hold at least one draw")
            require(bool(np.all(np.isfinite(draws))), f"{name} must be finite")
        require(bool(np.all(self.capacity_draws > 0)), "capacity_draws must be > 0")
        require(bool(np.all(self.lead_time_draws_s >= 0)), "lead_time_draws_s must be >= 0")
        require(self.step_s > 0, f"step_s={self.step_s} must be > 0")
        for gpu_type, budget in self.gpu_budgets.items():
            require(budget is None or budget >= 0, f"gpu_budgets[{gpu_type!r}]={budget}: >= 0")
        self._check_loads()

    def _check_loads(self) -> None:
        n = len(self.workloads)
        for name in ("responses", "further_paths"):
            given = len(getattr(self, name))
            require(given in (0, n), f"{name} has {given} entries, must be empty or W={n}")
        for row, w in enumerate(self.workloads):
            n_further, size = len(w.further_capacity), w.requests_per_step
            paths, response = self.further(row), self.response(row)
            if response is not None:
                require(w.sla.good_share is not None, f"{w.workload}: a response needs good_share")
                require(size > 0, f"{w.workload}: requests_per_step={size} must be > 0")
                found = f"{w.workload}: its response has {response.n_further} further loads, must"
                require(response.n_further == n_further, f"{found} have {n_further}")
            if paths is not None:
                shape = (n_further, *self.paths.shape[1:])
                found = f"{w.workload}: further_paths has shape {paths.shape}"
                require(n_further > 0 and paths.shape == shape, f"{found}, must be {shape}")

    def further(self, row: int) -> FloatArray | None:
        """(F, S, H) paths of the further loads of the workload in `row`; None: there are none."""
        return self.further_paths[row] if self.further_paths else None

    def response(self, row: int) -> MissDraws | None:
        """Response of the workload in `row`; None: its capacity has a sharp edge."""
        return self.responses[row] if self.responses else None

    @property
    def horizon(self) -> int:
        """Number of forecast steps H."""
        return int(self.paths.shape[2])
