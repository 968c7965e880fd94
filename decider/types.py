"""Inputs of a decision: frozen values, checked when they are made.

Shapes: W workloads, S sample paths, H horizon, P posterior draws, C context steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from decider.config import TrailingRule
from decider.errors import require
from decider.fleet_types import Elsewhere, FleetVerdict
from decider.miss_draws import MissDraws
from decider.pool_types import PoolPlace, check_places, pool_response
from decider.replica_types import (
    Control,
    DirectionRules,
    Hardware,
    Limits,
    RatePolicy,
    ReplicaState,
    SpotReplicas,
)
from decider.step_quantiles import StepQuantiles
from decider.use import MAX_FURTHER
from decider.variant_types import VariantSet

__all__ = [
    "RISK_KINDS",
    "SHARED_BY_POOLS",
    "BoolArray",
    "Control",
    "DirectionRules",
    "FloatArray",
    "Hardware",
    "History",
    "IntArray",
    "Limits",
    "RatePolicy",
    "ReplicaState",
    "RiskKind",
    "RiskState",
    "ShardRequest",
    "Sla",
    "SpotReplicas",
    "StepQuantiles",
    "TrailingRule",
    "WorkloadInput",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
RiskKind = Literal["TimeFraction", "DemandFraction", "AnyInWindow"]
RISK_KINDS: tuple[RiskKind, ...] = ("TimeFraction", "DemandFraction", "AnyInWindow")
SHARED_BY_POOLS = (
    *("sla", "risk", "requests_per_step"),
    *("forecast_rung", "forecast_origin_s", "is_model_trusted"),
)
"""What the pools of a service have in common: one promise, one memory, one forecast."""


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
        is_of_windows: `AnyInWindow` was stated, and epsilon is what it comes to of each step
            (`decider.promise_of_steps`).
    """

    epsilon: float | None = 0.01
    kind: RiskKind = "TimeFraction"
    window_s: float = 28 * 86400.0
    class_weight: float = 1.0
    good_share: float | None = None
    is_of_windows: bool = False

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
        level_use: Estimated risk of the last decisions over their level, a weighted mean.
    """

    log_level: float = 0.0
    spent_steps: float = 0.0
    observed_steps: float = 0.0
    log_multiplier: float | None = None
    measured_missed: float = 0.0
    measured_total: float = 0.0
    measured_steps: float = 0.0
    level_use: float = 1.0


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

    def last_demand(self, n_steps: int = 1) -> tuple[float, int] | None:
        """Newest observed demand and its age in steps (0: the last step); None if unknown.

        Args:
            n_steps: Steps up to that one whose observed demand is averaged.
        """
        known = np.flatnonzero(np.isfinite(self.demand) & (self.demand >= 0))
        if known.size == 0:
            return None
        newest = int(known[-1])
        recent = self.demand[known[known > newest - n_steps]]
        return float(recent.mean()), self.demand.size - 1 - newest


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
            of one; None: unknown, and no queue is counted with. Used with a response only.
        waiting_requests: Requests that it is, for the explanation; 0: unknown.
        further_capacity: What a replica carries of each further load alone, as stated; empty: the
            demand alone binds it. The demand of `history` is then the equivalent one.
        pool: Which pool of which service it is; None: it is a service of its own.
        carried_load: Largest demand per replica, mean of a minute, that was seen to be carried
            within the promise; None: none was, or nothing tells.
        is_response_borrowed: Its response is that of others like it: no request of its own was
            measured. Nothing is scaled in on the word of others.
        is_relearning: Its goals or its GPUs changed lately: a response is about to be known anew.
    """

    workload: str
    replicas: ReplicaState
    limits: Limits
    sla: Sla
    hardware: Hardware
    control: Control = field(default_factory=Control)
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
    waiting_load: float | None = None
    waiting_requests: float = 0.0
    further_capacity: tuple[float, ...] = ()
    pool: PoolPlace | None = None
    carried_load: float | None = None
    is_response_borrowed: bool = False
    is_relearning: bool = False

    def __post_init__(self) -> None:
        """Refuse impossible queues, capacities of further loads and loads that were carried."""
        carried = self.carried_load
        is_load = carried is None or 0 < carried < math.inf
        require(is_load, f"{self.workload}: carried_load={carried} must be finite and > 0")
        for field_name in ("waiting_load", "waiting_requests"):
            waits: float | None = getattr(self, field_name)
            is_load = waits is None or 0 <= waits < math.inf
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
            still has its `capacity_draws`: `decider.equivalent_capacity` of it. Each pool has the
            whole response of its service, and the capacities of `decider.pool_response` of it.
        further_paths: By workload, (F, S, H) paths of its further loads, path by path with its
            demand; None: none are forecast, and if it has any its demand is not planned with.
        quantiles: By workload, the quantile function that its demand's paths were drawn from; None:
            its paths are all that is known. Empty: no workload's is known.
        reach: Steps that the decisions look ahead; beyond H the paths go on as the history of each
            workload teaches (`decider.tables.reach`). 0: as far as the paths.
        n_forecast: Steps of the paths that are forecast, where they have been continued; 0: all.
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
    quantiles: tuple[StepQuantiles | None, ...] = ()
    reach: int = 0
    n_forecast: int = 0

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
        is_far = self.reach == 0 or self.reach >= self.horizon
        require(is_far, f"reach={self.reach} must be 0 or at least H={self.horizon}")
        for gpu_type, budget in self.gpu_budgets.items():
            require(budget is None or budget >= 0, f"gpu_budgets[{gpu_type!r}]={budget}: >= 0")
        self._check_loads()
        self._check_pools()

    def _check_pools(self) -> None:
        for name, rows in self.services().items():
            pools = [self.workloads[row] for row in rows]
            check_places([w.pool for w in pools if w.pool is not None])
            responses = [self.responses[row] if self.responses else None for row in rows]
            first, whole = pools[0], responses[0]
            for w, response in zip(pools, responses, strict=True):
                found = f"service {name!r}: pools {first.workload} and {w.workload}"
                require(w.variants is None, f"{w.workload}: a pool has no variants")
                for shared in SHARED_BY_POOLS:
                    is_same = getattr(w, shared) == getattr(first, shared)
                    require(is_same, f"{found} differ in {shared}, which they share")
                require(_is_same_response(response, whole), f"{found} differ in their response")
            n_loads = sum(len(w.pool.loads) for w in pools if w.pool is not None)
            if whole is not None:
                found = f"service {name!r}: its response has {whole.n_further} further loads"
                require(whole.n_further == n_loads - 1, f"{found}, its pools {n_loads - 1}")

    def services(self) -> dict[str, tuple[int, ...]]:
        """Rows of every service that has pools, in their order."""
        rows: dict[str, tuple[int, ...]] = {}
        for row, w in enumerate(self.workloads):
            if w.pool is not None:
                rows[w.pool.service] = (*rows.get(w.pool.service, ()), row)
        return rows

    def _check_loads(self) -> None:
        n = len(self.workloads)
        for name in ("responses", "further_paths", "quantiles"):
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
                found = f"{w.workload}: its response has worths of {response.n_variants} variants"
                require(response.n_variants == 0, f"{found}, must be of the mix (`at_mix`)")
            if paths is not None:
                shape = (n_further, *self.paths.shape[1:])
                found = f"{w.workload}: further_paths has shape {paths.shape}"
                require(n_further > 0 and paths.shape == shape, f"{found}, must be {shape}")
            known = self.steps(row)
            if known is not None:
                found = f"{w.workload}: quantiles of {known.values.shape[1]} steps"
                require(known.values.shape[1] == self.horizon, f"{found}, must be H={self.horizon}")

    def further(self, row: int) -> FloatArray | None:
        """(F, S, H) paths of the further loads of the workload in `row`; None: there are none."""
        return self.further_paths[row] if self.further_paths else None

    def part(self, rows: Sequence[int], **changes: Any) -> ShardRequest:
        """Some workloads of the shard, in the order of `rows`, with all that belongs to them.

        Args:
            rows: The workloads.
            changes: Fields that are to be something else.
        """
        at = list(rows)
        own: dict[str, Any] = {
            "workloads": tuple(self.workloads[row] for row in at),
            "paths": self.paths[at],
            "capacity_draws": self.capacity_draws[at],
            "lead_time_draws_s": self.lead_time_draws_s[at],
            "responses": tuple(self.responses[row] for row in at) if self.responses else (),
            "further_paths": tuple(self.further(row) for row in at) if self.further_paths else (),
            "quantiles": tuple(self.steps(row) for row in at) if self.quantiles else (),
        }
        return replace(self, **(own | changes))

    def steps(self, row: int) -> StepQuantiles | None:
        """Quantile function of the demand of the workload in `row`; None: only paths are known."""
        return self.quantiles[row] if self.quantiles else None

    def response(self, row: int) -> MissDraws | None:
        """Response of the workload in `row`, of a pool that to its own loads.

        None: its capacity has a sharp edge.
        """
        given, pool = self.responses[row] if self.responses else None, self.workloads[row].pool
        return given if given is None or pool is None else pool_response(given, pool.loads)

    @property
    def horizon(self) -> int:
        """Number of forecast steps H."""
        return int(self.paths.shape[2])


def _is_same_response(one: MissDraws | None, other: MissDraws | None) -> bool:
    if one is None or other is None:
        return one is other
    return one is other or np.array_equal(one.to_array(), other.to_array())
