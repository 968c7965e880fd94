"""Workloads that are made over REST, as the API takes and returns them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from services.admin.controls.schemas import ScheduleBodies
from services.admin.rest.schemas import In, ObjectName, Out
from services.admin.rest.sent_back import SentBack
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.objective import GoalMetric
from services.kernel.domain.parts import MOST_USD_PER_GPU_HOUR
from services.kernel.domain.shares import Share
from services.kernel.domain.workload import MAX_FURTHER_LOADS, LoadCounts, Mode, RiskKind
from services.kernel.security.printable import ONE_LINE

Word = Annotated[str, Field(max_length=63, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
Unit = Annotated[str, Field(max_length=63, pattern=f"^{ONE_LINE}*$")]
PromQL = Annotated[str, Field(max_length=4096, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]
IndicatorName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
SeriesName = Annotated[str, Field(pattern=r"^sli_[a-z0-9_]{1,58}$")]
_LabelKey = Annotated[str, Field(min_length=1, max_length=317, pattern=r"^[A-Za-z0-9./_-]+$")]
_LabelValue = Annotated[str, Field(max_length=63, pattern=r"^[A-Za-z0-9._-]*$")]
_MOST = 100_000
_MOST_STARTING = 1000
_LARGEST = 1e15
_AgeS = Annotated[float, Field(ge=0, le=86_400)]


class IndicatorBody(In):
    """One indicator."""

    name: IndicatorName = Field(description="Carries its unit", examples=["output_tokens_per_s"])
    level: Literal[1, 2, 3] = Field(description="1 service, 2 container, 3 hardware", examples=[1])
    unit: Unit = Field("", examples=["tokens/s"])
    query: PromQL = Field("", description="PromQL to pull it; empty: it is pushed", examples=[""])
    kind: Literal["gauge", "counter"] = Field("gauge", examples=["gauge"])
    is_known_ahead: bool = Field(False, description="Pushed for steps to come; never the demand")
    gap: Literal["Unknown", "Zero"] = Field(
        "Unknown", description="What a step is of which the source has nothing"
    )


class FurtherLoadBody(In):
    """A load besides the demand that binds a replica."""

    indicator: IndicatorName = Field(
        description="One of the workload's; not the demand", examples=["output_tokens_per_s"]
    )
    per_replica: float = Field(
        gt=0,
        le=_LARGEST,
        description="Most of it that one ready replica carries within its SLO while nothing else "
        "binds, in the indicator's unit",
        examples=[2400.0],
    )
    counts: LoadCounts = Field(
        "arrives", description="What it counts, as `demand_counts` says of the demand"
    )


class CapacityBody(In):
    """Load that one ready replica serves within its SLO."""

    # made from its fields it would have a limit of latency without the indicator that it is for
    model_config = ConfigDict(json_schema_extra={"examples": [{"per_replica": 900.0, "cv": 0.1}]})

    per_replica: float = Field(
        gt=0, le=_LARGEST, description="Mean, in the demand's unit", examples=[900.0]
    )
    cv: float = Field(0.0, ge=0, le=1, description="Coefficient of variation")
    latency_indicator: IndicatorName | Literal[""] = Field(
        "", description="Indicator, in ms, from which the capacity is learned; empty: it is not"
    )
    slo_latency_ms: float | None = Field(None, gt=0, le=_LARGEST)
    also_bound_by: list[FurtherLoadBody] = Field(
        [], max_length=MAX_FURTHER_LOADS, description="Further loads, each once"
    )


class LeadTimeBody(In):
    """Prior of the lead time until starts were measured."""

    median_s: float = Field(90.0, gt=0, le=7200)
    sigma: float = Field(0.5, ge=0, le=3, description="Standard deviation of its logarithm")


class GoalBody(In):
    """A threshold that a request is to keep."""

    metric: GoalMetric = Field(description="What is measured of a request", examples=["ttft"])
    threshold_s: float | None = Field(
        None, gt=0, le=86400, description="Of a latency; errors have none", examples=[0.5]
    )


class SeriesBody(In):
    """One series that the objective is counted with."""

    name: SeriesName = Field(
        description="`sli_METRIC_total`, `sli_METRIC_good`, `sli_METRIC_upto`, `sli_lost`, "
        "`sli_waiting` or `sli_ready`",
        examples=["sli_ttft_total"],
    )
    query: PromQL = Field(
        "",
        description="PromQL of requests per second over `$step`; empty: a cumulative counter that "
        "is pushed. Of `sli_waiting` a number of requests, of `sli_ready` one of replicas, which "
        "is asked for with the history alone",
        examples=[""],
    )


class ObjectiveBody(In):
    """What requests are to feel."""

    goals: list[GoalBody] = Field(min_length=1, max_length=6, description="Each metric once")
    share: Share = Field(0.95, description="Share of a minute's requests that must meet them")
    series: list[SeriesBody] = Field(
        [], max_length=20, description="Its counts; one that is missing is not measured"
    )


class SlaBody(In):
    """The promise."""

    epsilon: Share = Field(0.01, description="Largest share out of SLA")
    kind: RiskKind = Field(
        "TimeFraction",
        description="What it is a share of: time, requests, or windows with any moment out of SLA "
        "(without objective and further loads only)",
        examples=["TimeFraction"],
    )
    window_s: float = Field(28 * 86400.0, ge=60, le=366 * 86400)
    sla_class: Word = Field("silver", examples=["gold"])
    priority: int | None = Field(None, ge=1, le=1000, description="Null: that of the class's name")
    objective: ObjectiveBody | None = Field(
        None, description="Null: being out of SLA is only believed, from the capacity"
    )


class WorkloadBody(SentBack):
    """A workload whose decisions somebody else applies: its mode is `Advisory`."""

    READ: ClassVar[type[BaseModel]] = WorkloadSpec
    OTHERWISE: ClassVar[str] = "leave it out, or let a GPUAutoscaler of this name set it"

    gpu_type: Word = Field("H100", examples=["H100"])
    gpus_per_replica: int = Field(1, ge=1, le=64)
    min_replicas: int = Field(1, ge=0, le=_MOST)
    max_replicas: int = Field(10, ge=1, le=_MOST, examples=[24])
    demand: IndicatorName = Field(
        description="Name of the indicator that is forecast", examples=["output_tokens_per_s"]
    )
    demand_counts: LoadCounts = Field(
        "arrives",
        description="What it counts: load as it arrives, or as it was served, which is less while "
        "replicas are short",
    )
    indicators: list[IndicatorBody] = Field(min_length=1, max_length=64)
    capacity: CapacityBody
    lead_time: LeadTimeBody = LeadTimeBody()
    sla: SlaBody = SlaBody()
    schedules: ScheduleBodies = Field([])
    price_usd_per_gpu_hour: float = Field(2.5, ge=0, le=MOST_USD_PER_GPU_HOUR)
    labels: dict[_LabelKey, _LabelValue] = Field({}, max_length=64, examples=[{"team": "chat"}])


class WorkloadSpecView(Out):
    """A workload's spec, and who sets it."""

    namespace: str = Field(examples=["prod"])
    name: str = Field(examples=["llama-70b"])
    managed_by: Literal["kubernetes", "api"] = Field(
        description="`kubernetes`: its GPUAutoscaler; change it there", examples=["api"]
    )
    is_active: bool = Field(examples=[True])
    mode: Mode = Field(examples=["Advisory"])
    step_s: int = Field(examples=[60])
    spec_version: int = Field(description="The ETag, without its quotes", examples=[1])
    spec: dict[str, Any] = Field(examples=[{"demand": "output_tokens_per_s"}])


class WorkloadRequest(In):
    """A workload to make."""

    namespace: ObjectName = Field(max_length=63, examples=["prod"])
    name: ObjectName = Field(max_length=253, examples=["llama-70b"])
    spec: WorkloadBody


class WorkloadUpdate(SentBack):
    """A workload's spec, in place of the one that stands."""

    READ: ClassVar[type[BaseModel]] = WorkloadSpecView
    INSTEAD: ClassVar[Mapping[str, str]] = {
        "namespace": "make another workload with POST",
        "name": "make another workload with POST",
        "is_active": "remove it with DELETE",
        "mode": "the decisions of a workload made here are advice; a GPUAutoscaler has modes",
    }

    spec: WorkloadBody


class ReplicasReport(In):
    """Replicas of a workload that somebody else scales."""

    replicas: int = Field(ge=0, le=_MOST, description="As asked for", examples=[12])
    ready: int = Field(ge=0, le=_MOST, description="That serve", examples=[11])
    starting_ages_s: list[_AgeS] = Field(
        [],
        max_length=_MOST_STARTING,
        description="Seconds since each replica was asked for that does not serve yet",
        examples=[[35.0]],
    )
    observed_at: AwareDatetime | None = Field(
        None, description="Default: now", examples=["2026-06-01T12:00:00Z"]
    )


class ReplicasView(Out):
    """Replicas as they were reported."""

    replicas: int = Field(examples=[12])
    ready: int = Field(examples=[11])
    starting_ages_s: list[float] = Field(examples=[[35.0]])
    observed_at: AwareDatetime = Field(examples=["2026-06-01T12:00:00Z"])
