"""Spec of a workload: the shared language of the services, stored as JSON in `workloads.spec`.

The operator makes it from a `GPUAutoscaler`; ingest, forecasting and decision read it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.kernel.domain.lead_time import LeadTimeSpec
from services.kernel.domain.objective import SERIES_PREFIX, ObjectiveSpec
from services.kernel.domain.parts import MOST_REPLICAS, PartSpec
from services.kernel.domain.pools import PoolSpec, check_pools
from services.kernel.domain.variants import VariantSpec, check_variants

EXTERNAL = "External"
"""Kind of a target that somebody else scales."""
GpuType = Annotated[str, Field(min_length=1, max_length=63)]
RiskKind = Literal["TimeFraction", "DemandFraction", "AnyInWindow"]
Mode = Literal["Advisory", "Approval", "Auto"]
LoadCounts = Literal["arrives", "served"]


CLASS_PRIORITIES = {"gold": 200, "silver": 100, "bronze": 50}
DEFAULT_PRIORITY = 100
APPROVAL_VALID_S = 900.0
MOST_APPROVAL_VALID_S = 3650 * 86400.0
MAX_FURTHER_LOADS = 3


def class_priority(name: str) -> int:
    """Priority of a class that states none: that of its name, else the default."""
    return CLASS_PRIORITIES.get(name, DEFAULT_PRIORITY)


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IndicatorSpec(_Spec):
    """One indicator of a workload.

    Attributes:
        name: Unit-carrying name, e.g. `request_rate_rps`.
        level: 1 service, 2 container, 3 hardware.
        unit: Unit in words.
        query: PromQL; empty when the indicator is pushed.
        kind: A `counter` is differenced to a rate; a `gauge` is averaged over the step.
        is_known_ahead: Its values are known before their time (a campaign calendar, a batch
            schedule): they may be pushed for steps to come, and forecasts read them over the whole
            horizon. A gauge that is pushed; never the demand.
        gap: What a step is of which the source, asked and answering, has nothing. `Unknown`:
            unobserved. `Zero`: 0, for events whose series ends when nothing happens; a query that
            fails leaves an unobserved step all the same.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    level: Literal[1, 2, 3]
    unit: str = ""
    query: str = ""
    kind: Literal["gauge", "counter"] = "gauge"
    is_known_ahead: bool = False
    gap: Literal["Unknown", "Zero"] = "Unknown"

    @model_validator(mode="after")
    def _can_be_zero(self) -> IndicatorSpec:
        if self.gap == "Zero" and (self.kind != "gauge" or "$step" not in self.query):
            raise ValueError(
                f"gap='Zero' of {self.name!r} needs a gauge whose query covers a step, as "
                "sum(rate(requests_total[$step])) does: only then does an empty answer tell of it"
            )
        return self

    @model_validator(mode="after")
    def _can_be_known_ahead(self) -> IndicatorSpec:
        if self.is_known_ahead and self.kind != "gauge":
            raise ValueError(f"kind={self.kind!r} of {self.name!r}, known ahead, must be 'gauge'")
        if self.is_known_ahead and self.query:
            raise ValueError(
                f"query={self.query[:60]!r} of {self.name!r}, known ahead, must be empty: PromQL "
                "tells of the past; push the steps to come"
            )
        return self


class FurtherLoadSpec(_Spec):
    """A load besides the demand that binds a replica.

    Attributes:
        indicator: Name of its indicator; one of the workload's.
        per_replica: Most of it that one ready replica carries within its SLO while nothing else
            binds, in the unit of the indicator. With variants that of a reference replica, as
            `CapacitySpec.per_replica` is: one worth two of these carries twice of every load.
        counts: What the indicator counts, as `WorkloadSpec.demand_counts` says of the demand.
    """

    indicator: Annotated[str, Field(min_length=1, max_length=63)]
    per_replica: float = Field(gt=0, allow_inf_nan=False)
    counts: LoadCounts = "arrives"


class CapacitySpec(_Spec):
    """Load that one ready replica serves within its SLO.

    Attributes:
        per_replica: Mean, in the unit of the demand indicator.
        cv: Coefficient of variation of what is known about it.
        latency_indicator: Name of the indicator that the SLO is about, measured in ms; it must be
            one of the workload's indicators. With it the capacity is learned from what is
            measured; empty: the stated one is used.
        slo_latency_ms: Latency that the SLO allows; given with `latency_indicator` or not at all.
        also_bound_by: Further loads, in the order in which they are counted.
    """

    per_replica: float = Field(gt=0)
    cv: float = Field(0.0, ge=0, le=1)
    latency_indicator: str = ""
    slo_latency_ms: float | None = Field(None, gt=0, allow_inf_nan=False)
    also_bound_by: tuple[FurtherLoadSpec, ...] = Field((), max_length=MAX_FURTHER_LOADS)

    @model_validator(mode="after")
    def _both_or_none(self) -> CapacitySpec:
        if bool(self.latency_indicator) != (self.slo_latency_ms is not None):
            raise ValueError(
                f"latency_indicator={self.latency_indicator!r} and "
                f"slo_latency_ms={self.slo_latency_ms} must be given together or not at all"
            )
        return self


class SlaSpec(_Spec):
    """The promise: at most `epsilon` of `kind` out of SLA over `window_s`.

    Attributes:
        sla_class: Name of the class.
        priority: How much a loss counts under a GPU budget, in proportion: at 200 twice as much
            as at 100. None: what `class_priority` says of the name.
        objective: What requests are to feel. None: nothing is measured of it, and being out of SLA
            is what the believed capacity says of the demand.
    """

    epsilon: float = Field(0.01, gt=0, lt=1)
    kind: RiskKind = "TimeFraction"
    window_s: float = Field(28 * 86400.0, gt=0)
    sla_class: str = "silver"
    priority: int | None = Field(None, ge=1, le=1000)
    objective: ObjectiveSpec | None = None

    @model_validator(mode="after")
    def _counts_requests(self) -> SlaSpec:
        if self.objective is None or self.kind != "DemandFraction":
            return self
        if any(goal.metric == "itl" for goal in self.objective.goals):
            raise ValueError(
                "objective.goals: metric='itl' counts tokens, and kind='DemandFraction' promises a "
                "share of requests; use tpot, or kind TimeFraction"
            )
        return self

    @property
    def priority_in_force(self) -> int:
        """The priority given, or that of the class's name."""
        return class_priority(self.sla_class) if self.priority is None else self.priority


class ScalingPolicy(_Spec):
    """One rate limit of HPA's `behavior`."""

    type: Literal["Pods", "Percent"]
    value: int = Field(gt=0)
    period_s: int = Field(gt=0, le=1800)


class ScalingRules(_Spec):
    """HPA's `behavior.scaleUp` or `.scaleDown`."""

    stabilization_window_s: int = Field(0, ge=0, le=3600)
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    policies: tuple[ScalingPolicy, ...] = ()
    tolerance: float = Field(0.0, ge=0, le=1)


class Behavior(_Spec):
    """HPA's `behavior`; no policies means no rate limit."""

    scale_up: ScalingRules = ScalingRules()
    scale_down: ScalingRules = ScalingRules()


class ScheduleSpec(_Spec):
    """A recurring window that changes the bounds or freezes scaling.

    It has times of begin and end on days of the week, or two cron expressions.
    """

    name: str
    timezone: str = "UTC"
    days_of_week: tuple[int, ...] = Field((0, 1, 2, 3, 4, 5, 6), description="0 is Monday")
    start_time: Annotated[str, Field(pattern=r"^(\d{2}:\d{2})?$")] = ""
    end_time: Annotated[str, Field(pattern=r"^(\d{2}:\d{2})?$")] = ""
    start: str = Field("", description="Cron expression at which it begins")
    end: str = Field("", description="Cron expression at which it ends")
    min_replicas: int | None = Field(None, ge=0)
    max_replicas: int | None = Field(None, ge=1, le=MOST_REPLICAS)
    freeze: Literal["ScaleDown", "Both"] | None = None


class WorkloadSpec(_Spec):
    """Everything the platform must know of a workload.

    Attributes:
        target: `Kind/name` of the scale target in the same namespace.
        mode: `Advisory` computes and shows, `Approval` asks, `Auto` acts.
        approval_valid_s: Age in seconds up to which a decision may be approved and applied, in mode
            `Approval`.
        demand: Name of the demand indicator; must be one of `indicators`.
        demand_counts: What the demand indicator counts: load as it `arrives`, or as it is `served`,
            which is less than what is asked for while replicas are short.
        paused: Nothing is applied while true; `scale_in_only`/`scale_out_only` are halves of it.
        paused_until: RFC 3339 time at which a pause ends by itself.
        variants: Kinds of replicas that serve it together; none: there is one kind. With variants
            `target`, `gpu_type`, `gpus_per_replica` and the price are those of the first one, and
            all counts are in reference replicas: in units of `capacity.per_replica`.
        pools: Parts that carry different loads and keep the promise together; none: there is one.
            `target`, `gpu_type`, `gpus_per_replica` and the price are then those of the first one.
            Bounds, schedules, behaviour and fallback hold for each of them.
    """

    target: str
    kind: str = "service"
    mode: Mode = "Advisory"
    approval_valid_s: float = Field(APPROVAL_VALID_S, gt=0, le=MOST_APPROVAL_VALID_S)
    gpu_type: GpuType = "H100"
    gpus_per_replica: int = Field(1, ge=1, le=64)
    min_replicas: int = Field(1, ge=0)
    max_replicas: int = Field(10, ge=1, le=MOST_REPLICAS)
    demand: str
    demand_counts: LoadCounts = "arrives"
    indicators: tuple[IndicatorSpec, ...] = Field(min_length=1)
    capacity: CapacitySpec
    lead_time: LeadTimeSpec = LeadTimeSpec()
    sla: SlaSpec = SlaSpec()
    behavior: Behavior = Behavior()
    schedules: tuple[ScheduleSpec, ...] = ()
    price_usd_per_gpu_hour: float = Field(2.5, ge=0)
    fallback_replicas: int | None = Field(None, ge=0)
    paused: bool = False
    paused_until: str | None = None
    scale_in_only: bool = False
    scale_out_only: bool = False
    labels: dict[str, str] = {}
    variants: tuple[VariantSpec, ...] = ()
    pools: tuple[PoolSpec, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> WorkloadSpec:
        if self.min_replicas > self.max_replicas:
            raise ValueError(
                f"min_replicas={self.min_replicas} must be <= max_replicas={self.max_replicas}"
            )
        names = [indicator.name for indicator in self.indicators]
        if len(set(names)) != len(names):
            raise ValueError(f"indicators: names must be unique, got {names}")
        taken = [name for name in names if name.startswith(SERIES_PREFIX)]
        if taken:
            raise ValueError(
                f"indicators: {taken[0]!r} must not begin with {SERIES_PREFIX!r}, as the counts of "
                "an objective do"
            )
        if self.demand not in names:
            raise ValueError(f"demand={self.demand!r} must be one of the indicators {names}")
        if self.indicators[names.index(self.demand)].is_known_ahead:
            raise ValueError(
                f"demand={self.demand!r} must not be known ahead: it is what is forecast"
            )
        check_variants(self.variants)
        if self.capacity.latency_indicator:
            _check_latency(self.capacity.latency_indicator, self)
        _check_further_loads(self)
        _check_pools(self)
        return self

    @property
    def is_external(self) -> bool:
        """Check whether somebody else scales it: nobody sees its replicas unless they are told."""
        return self.target.startswith(f"{EXTERNAL}/")

    @property
    def parts(self) -> tuple[PartSpec, ...]:
        """What it has instead of one target: its variants or its pools; none: it has one."""
        return self.variants or self.pools

    @property
    def loads(self) -> tuple[str, ...]:
        """Names of its loads: the demand, then the further ones."""
        return (self.demand, *self.further_loads)

    @property
    def needs_paths(self) -> bool:
        """Its decisions go by joint sample paths; of others the quantiles of each step say all."""
        return bool(self.further_loads or self.pools) or self.sla.objective is not None

    @property
    def promise_problem(self) -> str:
        """Why its promise could not be kept, with what to state instead; empty: it can be."""
        if self.sla.kind != "AnyInWindow" or not self.needs_paths:
            return ""
        field = "pools" if self.pools else "further loads" if self.further_loads else "an objective"
        return (
            f"kind='AnyInWindow' with {field}: a few hundred paths decide there, and cannot tell "
            f"what happens once in many windows of {self.sla.window_s:g} s; state kind "
            f"TimeFraction or DemandFraction, or leave out {field}"
        )

    @property
    def further_loads(self) -> tuple[str, ...]:
        """Names of the indicators of the further loads, in their order."""
        return tuple(load.indicator for load in self.capacity.also_bound_by)

    def pool_of(self, load: str) -> str:
        """Name of the pool that a load falls on; empty: there are no pools."""
        return next((pool.name for pool in self.pools if load in pool.loads), "")

    @property
    def served_loads(self) -> tuple[str, ...]:
        """Names of the loads, the demand first, that count what was served."""
        further = self.capacity.also_bound_by
        demand = (self.demand,) if self.demand_counts == "served" else ()
        return (*demand, *(load.indicator for load in further if load.counts == "served"))


def _check_latency(name: str, spec: WorkloadSpec) -> None:
    found = {indicator.name: indicator for indicator in spec.indicators}.get(name)
    field = f"capacity.latency_indicator={name!r}"
    if found is None:
        names = [indicator.name for indicator in spec.indicators]
        raise ValueError(f"{field} must be one of the indicators {names}")
    if name == spec.demand:
        raise ValueError(f"{field} must not be the demand: a latency does not add up to replicas")
    if found.kind != "gauge" or found.is_known_ahead:
        raise ValueError(f"{field} must be a gauge that is measured, not known ahead")
    if found.gap != "Unknown":
        raise ValueError(f"{field} must have gap='Unknown': a latency of nothing is not 0")
    if not (name.endswith("_ms") or found.unit == "ms"):
        raise ValueError(
            f"{field} has unit {found.unit!r}, which must be 'ms' (or the name must end in _ms): "
            "slo_latency_ms is compared with it"
        )


def _check_further_loads(spec: WorkloadSpec) -> None:
    loads = spec.further_loads
    if len(set(loads)) != len(loads):
        raise ValueError(
            f"capacity.also_bound_by: each indicator must be given once, got {list(loads)}"
        )
    found = {indicator.name: indicator for indicator in spec.indicators}
    for name in loads:
        field = f"capacity.also_bound_by: indicator={name!r}"
        if name not in found:
            raise ValueError(f"{field} must be one of the indicators {list(found)}")
        if name == spec.demand:
            raise ValueError(f"{field} must not be the demand: per_replica already bounds that")
        if name == spec.capacity.latency_indicator:
            raise ValueError(
                f"{field} must not be the latency indicator: a latency does not add up to replicas"
            )
        if found[name].is_known_ahead:
            raise ValueError(f"{field} must not be known ahead: a load is measured and forecast")


def _check_pools(spec: WorkloadSpec) -> None:
    if spec.pools and spec.variants:
        raise ValueError("pools: give either variants or pools, not both")
    if spec.pools and spec.capacity.latency_indicator:
        raise ValueError(
            f"capacity.latency_indicator={spec.capacity.latency_indicator!r} must be left out with "
            "pools: a latency is that of all of them; set sla.objective, of which each is learned"
        )
    check_pools(spec.pools, spec.loads)
    for pool in spec.pools:
        if pool.occupancy_indicator:
            _check_occupancy(pool, spec)


def _check_occupancy(pool: PoolSpec, spec: WorkloadSpec) -> None:
    name = pool.occupancy_indicator
    found = {indicator.name: indicator for indicator in spec.indicators}
    field = f"occupancy_indicator={name!r} of pool {pool.name!r}"
    if name not in found:
        raise ValueError(f"{field} must be one of the indicators {list(found)}")
    if found[name].kind != "gauge" or found[name].is_known_ahead:
        raise ValueError(f"{field} must be a gauge that is measured, not known ahead")
    if found[name].gap != "Unknown":
        raise ValueError(f"{field} must have gap='Unknown': what is not measured is not empty")
    if found[name].unit not in ("", "ratio"):
        raise ValueError(f"{field} has unit {found[name].unit!r}, must be 'ratio', from 0 to 1")
