"""The specs that a user writes: `GPUAutoscaler`, `SLAClass` and `GPUBudget`, as Pydantic models.

`definitions.py` makes the API server's schemas from them, so that a field is described once; their
docstrings are the descriptions that `kubectl explain` shows.
Python names carry units; the aliases are the names in YAML.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from services.kernel.domain.objective import GoalMetric
from services.kernel.domain.parts import MOST_REPLICAS, MOST_USD_PER_GPU_HOUR
from services.kernel.domain.presets import REPLICA_PRESETS
from services.kernel.domain.shares import ShareCheck
from services.operator.resource.fields import BudgetedType, Decimal, Duration, Name, ResourceModel
from services.operator.resource.supply import Supply


def _known_preset(name: str) -> str:
    """A preset that is measured at the replicas; a router's pods are not a target's."""
    if name not in REPLICA_PRESETS:
        raise ValueError(f"preset={name!r} must be one of {sorted(REPLICA_PRESETS)}")
    return name


PresetName = Annotated[
    str,
    AfterValidator(_known_preset),
    Field(max_length=63, json_schema_extra={"enum": sorted(REPLICA_PRESETS)}),
]
_PRESETS = (
    "Presets whose indicators are measured too, at the targets' pods, e.g. [vllm, dcgm]. One of "
    "`indicators` takes the place of a preset's of the same name; of two presets the first counts. "
    "`harmony presets show` prints them"
)
_SHARE = (
    "Share of a minute's requests that must meet the goals for the minute to be a good one; a "
    'promise of kind DemandFraction does not read it. Default: "0.95"'
)
ClockTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5)]
CronExpression = Annotated[str, Field(pattern=r"^\S+( \S+){4}$", max_length=120)]
ShortName = Annotated[str, Field(min_length=1, max_length=63)]
DayName = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
DAYS: tuple[DayName, ...] = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class ScaleTargetRef(ResourceModel):
    """The object whose `/scale` is patched, in the same namespace."""

    api_version: Annotated[
        str, Field(max_length=253, pattern=r"^([a-z0-9][-a-z0-9.]*/)?v[0-9][a-z0-9]*$")
    ] = "apps/v1"
    kind: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Z][A-Za-z0-9]*$")]
    name: Name


class Risk(ResourceModel):
    """The promise: at most `epsilon` out of SLA over the window."""

    epsilon: Annotated[Decimal, ShareCheck]
    kind: Literal["TimeFraction", "DemandFraction", "AnyInWindow"] = Field(
        "TimeFraction",
        description="What epsilon is: the share of time, or of requests, out of SLA; AnyInWindow: "
        "the share of windows with any moment out of it, of a service with one demand, without "
        "objective and pools",
    )
    window_s: Duration = Field(28 * 86400.0, alias="window", json_schema_extra={"default": "28d"})


class ObjectiveGoal(ResourceModel):
    """A threshold that a request is to keep; one that misses any of the goals is a miss."""

    metric: GoalMetric = Field(
        description="ttft time to first token, tpot per output token of a request, itl between two "
        "tokens (counts tokens), e2e the whole request, queue the wait before it runs, errors "
        "requests without an answer"
    )
    threshold_s: Duration | None = Field(
        None,
        alias="threshold",
        description="Of a latency, e.g. 500ms, at most 24h; errors have none",
    )


class CountedGoal(ObjectiveGoal):
    """A goal, and the PromQL that counts it where no preset does."""

    good_query: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        None,
        description="PromQL of the requests per second that met it, over one step, e.g. "
        'sum(rate(ttft_bucket{le="0.5"}[$step]))',
    )
    total_query: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        None, description="PromQL of all requests per second that it was observed of"
    )


class ClassObjective(ResourceModel):
    """What requests are to feel, for the services of a class that say nothing of their own."""

    goals: Annotated[tuple[ObjectiveGoal, ...], Field(min_length=1, max_length=6)]
    share: Annotated[Decimal, ShareCheck] | None = Field(None, description=_SHARE)


class Objective(ResourceModel):
    """What requests are to feel: goals, or in the older form one metric with its threshold."""

    goals: Annotated[tuple[CountedGoal, ...], Field(min_length=1, max_length=6)] | None = None
    share: Annotated[Decimal, ShareCheck] | None = Field(None, description=_SHARE)
    lost_query: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        None,
        description="PromQL of the requests per second that got no answer: each is a miss. "
        "Default: the loss counters of the presets",
    )
    waiting_query: Annotated[str, Field(min_length=1, max_length=4096)] | None = Field(
        None,
        description="PromQL of the requests in the queue. Default: queue_requests of the presets",
    )
    metric: ShortName | None = Field(
        None,
        description="Instead of goals: one of their latencies, its percentile is the share, e.g. "
        "ttft_p95. Another name states nothing that is measured",
    )
    threshold: Annotated[str, Field(min_length=1, max_length=32)] | None = Field(
        None, description="Of metric, e.g. 500ms"
    )


class ServiceLevel(ResourceModel):
    """Service level: a class, its own risk, or both (its own risk wins)."""

    sla_class: ShortName | None = Field(None, alias="class", description="Name of an SLAClass")
    objective: Objective | None = Field(None, description="Default: that of the class")
    risk: Risk | None = None


class Indicator(ResourceModel):
    """One measured indicator of the service."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$", max_length=63)]
    level: Literal[1, 2, 3] = Field(description="1 service, 2 container, 3 hardware")
    unit: Annotated[str, Field(max_length=63)] = ""
    query: Annotated[str, Field(max_length=4096)] = Field(
        "", description="PromQL giving one series; empty when the indicator is pushed"
    )
    kind: Literal["gauge", "counter"] = "gauge"
    is_known_ahead: bool = Field(
        False,
        alias="knownAhead",
        description="Pushed before its time, e.g. a campaign calendar; forecasts read the steps to "
        "come. Never the demand",
    )
    gap: Literal["Unknown", "Zero"] = Field(
        "Unknown",
        description="What an empty answer to the query means. Unknown: nobody knows, the step "
        "stays unobserved. Zero: nothing happened, for events whose series ends when they do. A "
        "query that fails is unknown always",
    )


class FurtherLoad(ResourceModel):
    """A load besides the demand that binds a replica."""

    indicator: ShortName = Field(
        description="Name of its indicator, e.g. offered_output_tokens_per_s of a preset"
    )
    per_replica: Decimal = Field(
        description="Most of it that one ready replica carries while nothing else binds"
    )
    counts: Literal["Arrivals", "Served"] | None = Field(
        None, description="What the indicator counts, as demandCounts says of the demand"
    )


class Capacity(ResourceModel):
    """Load that one ready replica serves within the objective, in the demand's unit."""

    per_replica: Decimal
    cv: Decimal | None = Field(None, description="Coefficient of variation of what is known of it")
    latency_indicator: ShortName | None = Field(
        None,
        description="Name of the indicator, in ms, that the SLO is about; with sloLatency the "
        "capacity is learned from it",
    )
    slo_latency_s: Duration | None = Field(
        None, alias="sloLatency", description="Latency that the SLO allows, e.g. 500ms"
    )
    also_bound_by: Annotated[tuple[FurtherLoad, ...], Field(min_length=1, max_length=3)] | None = (
        Field(None, description="Further loads, of each of which a replica carries only so much")
    )


class LeadTime(ResourceModel):
    """Expected time from scaling to Ready, until enough starts have been measured."""

    median_s: Duration | None = Field(None, alias="median", description="At most 2h")
    sigma: Decimal | None = Field(None, description="Standard deviation of its logarithm")


class HPAScalingPolicy(ResourceModel):
    """A rate limit, as in HPA's `behavior`."""

    type: Literal["Pods", "Percent"]
    value: Annotated[int, Field(ge=1, le=1_000_000)]
    period_seconds: Annotated[int, Field(ge=1, le=1800)]


class HPAScalingRules(ResourceModel):
    """Rules of one direction, as in HPA's `behavior`."""

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)] | None = None
    select_policy: Literal["Max", "Min", "Disabled"] | None = None
    policies: Annotated[tuple[HPAScalingPolicy, ...], Field(max_length=20)] | None = None
    tolerance: Decimal | None = None


class HPABehavior(ResourceModel):
    """HPA's `behavior`, so that it can be pasted."""

    scale_up: HPAScalingRules | None = None
    scale_down: HPAScalingRules | None = None


class Schedule(ResourceModel):
    """A recurring window that changes the bounds or freezes scaling.

    It has startTime and endTime on days of the week, or two cron expressions, start and end.
    """

    name: ShortName
    timezone: Annotated[str, Field(max_length=63)] = Field("UTC", description="IANA name")
    days_of_week: Annotated[tuple[DayName, ...], Field(min_length=1, max_length=7)] | None = None
    start_time: ClockTime | None = None
    end_time: ClockTime | None = None
    start: CronExpression | None = Field(None, description="Cron: when it begins, 0 7 * * 1-5")
    end: CronExpression | None = Field(None, description="Cron: when it ends, 0 19 * * 1-5")
    min_replicas: Annotated[int, Field(ge=0)] | None = None
    max_replicas: Annotated[int, Field(ge=1, le=MOST_REPLICAS)] | None = None
    freeze: Literal["ScaleDown", "Both"] | None = None


class Fallback(ResourceModel):
    """What is held when nothing can be known."""

    static_replicas: Annotated[int, Field(ge=0)]


class Cost(ResourceModel):
    """Price of the GPUs."""

    per_gpu_hour: Annotated[Decimal, Field(le=MOST_USD_PER_GPU_HOUR)]
    currency: Literal["USD"] = "USD"


class AutoApproval(ResourceModel):
    """Changes that need no human."""

    replicas: Annotated[int, Field(ge=0)] = Field(description="Largest change without asking")


class Approval(ResourceModel):
    """How mode `Approval` asks."""

    expire_after_s: Duration = Field(
        900.0, alias="expireAfter", json_schema_extra={"default": "15m"}
    )
    auto_approve_up_to: AutoApproval | None = None


class VariantCapacity(ResourceModel):
    """Load that one ready replica of a variant serves, in the demand's unit."""

    per_replica: Decimal


class GPUPart(ResourceModel):
    """One of several targets, with its hardware."""

    name: Annotated[
        str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    ]
    scale_target_ref: ScaleTargetRef
    gpu_type: ShortName
    gpus_per_replica: Annotated[int, Field(ge=1, le=64)] = 1
    cost: Cost | None = None


class GPUVariant(GPUPart):
    """One kind of replica among several that serve the same load behind one router."""

    capacity: VariantCapacity | None = Field(
        None, description="Default: the capacity of the spec, that of a reference replica"
    )
    min_replicas: Annotated[int, Field(ge=0)] = 0
    max_replicas: Annotated[int, Field(ge=1, le=MOST_REPLICAS)] | None = Field(
        None, description="Default: as many as the maxReplicas of the spec are worth"
    )


class GPUPool(GPUPart):
    """One of several pools that a request passes through, e.g. prefill and decode."""

    bound_by: Annotated[tuple[ShortName, ...], Field(min_length=1, max_length=4)] = Field(
        description="Loads that fall on it: the demand, indicators of capacity.alsoBoundBy. Each "
        "of these falls on exactly one pool"
    )
    occupancy_indicator: ShortName | None = Field(
        None,
        description="Name of an indicator from 0 to 1: how full its ready replicas are, as their "
        "mean. With an sla.objective it tells which load fills one, before requests miss",
    )
    occupancy_of: Literal["Room", "Time"] | None = Field(
        None,
        description="Of what it is the share. Room (default): for requests in flight, as the KV "
        "cache of decode. Time: in which a replica computes, as gpu_duty_ratio of prefill",
    )
    lead_time: LeadTime | None = Field(None, description="Default: the leadTime of the spec")
    min_replicas: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Default: the minReplicas of the spec"
    )
    max_replicas: Annotated[int, Field(ge=1, le=MOST_REPLICAS)] | None = Field(
        None, description="Default: the maxReplicas of the spec"
    )


class GPUAutoscalerSpec(ResourceModel):
    """What is to be scaled, between which bounds, under which promise."""

    scale_target_ref: ScaleTargetRef | None = Field(
        None, description="What is scaled; with variants or pools each of these has its own"
    )
    mode: Literal["Advisory", "Approval", "Auto"] = Field(
        "Advisory", description="Advisory computes and shows, Approval asks, Auto acts"
    )
    min_replicas: Annotated[int, Field(ge=0)] = 1
    max_replicas: Annotated[int, Field(ge=1, le=MOST_REPLICAS)]
    gpu_type: ShortName | None = Field(
        None,
        description="Product name or a part of it, e.g. H100 for nodes labelled "
        "nvidia.com/gpu.product=NVIDIA-H100-80GB-HBM3, or MI300X; of a slice with the slice, e.g. "
        "A100-MIG-1g.5gb or A100-SHARED; where no label names a product the resource, e.g. gaudi",
    )
    gpus_per_replica: Annotated[int, Field(ge=1, le=64)] = 1
    sla: ServiceLevel | None = None
    demand: ShortName = Field(description="Name of the indicator that is the demand")
    demand_counts: Literal["Arrivals", "Served"] | None = Field(
        None,
        description="What the demand counts: load as it arrives, or as it was served, which is "
        "less while replicas are short. Default: Served where it reads a metric of a program that "
        "counts requests when they are done, else Arrivals",
    )
    indicators: Annotated[tuple[Indicator, ...], Field(min_length=1, max_length=32)] | None = None
    indicators_from: Annotated[tuple[PresetName, ...], Field(min_length=1, max_length=8)] | None = (
        Field(None, description=_PRESETS)
    )
    capacity: Capacity
    lead_time: LeadTime | None = None
    behavior: HPABehavior | None = None
    schedules: Annotated[tuple[Schedule, ...], Field(max_length=32)] | None = None
    fallback: Fallback | None = None
    cost: Cost | None = None
    approval: Approval | None = None
    variants: Annotated[tuple[GPUVariant, ...], Field(min_length=1, max_length=8)] | None = Field(
        None,
        description="Kinds of replicas that serve the load together, instead of scaleTargetRef, "
        "gpuType, gpusPerReplica and cost; all other counts are in replicas of the capacity "
        "that the spec states",
    )
    pools: Annotated[tuple[GPUPool, ...], Field(min_length=2, max_length=4)] | None = Field(
        None,
        description="Parts of the service that carry different loads and keep the promise "
        "together, instead of scaleTargetRef, gpuType, gpusPerReplica and cost. minReplicas, "
        "maxReplicas, behavior, schedules and fallback hold for each; status counts their sum",
    )


class SLAClassSpec(ResourceModel):
    """A named promise that many services share."""

    description: Annotated[str, Field(max_length=1024)] = ""
    risk: Risk
    objective: ClassObjective | None = None
    priority: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None,
        description="How much a loss of SLA counts under a GPU budget, in proportion: at 200 twice "
        "as much as at 100. Default: 200 for gold, 50 for bronze, 100 for every other name",
    )


class GPUBudgetSpec(ResourceModel):
    """A hard limit on the GPUs of one type."""

    gpu_type: BudgetedType
    gpus: Annotated[int, Field(ge=0)]
    supply: Supply | None = None
