"""What the REST API takes and returns about policies, pauses, schedules, freezes, approvals."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from services.admin.decisions.schemas import DecisionSummary, Out
from services.admin.rest.times import Instant
from services.kernel.domain.workload import Mode

Reason = Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]
Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9._-]+$")]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]
Direction = Literal["Both", "ScaleIn", "ScaleOut"]
FreezeDirection = Literal["ScaleDown", "Both"]
_TIME = r"^([01]\d|2[0-3]):[0-5]\d$"


class In(BaseModel):
    """What the API takes; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be an IANA name, e.g. Europe/Berlin") from None
    return name


class PolicyPatch(In):
    """Fields to set; null takes a field back to what the GPUAutoscaler says (RFC 7396)."""

    mode: Mode | None = Field(None, examples=["Approval"])
    min_replicas: int | None = Field(None, ge=0, le=100_000, examples=[2])
    max_replicas: int | None = Field(None, ge=1, le=100_000, examples=[24])
    epsilon: float | None = Field(
        None, gt=0, lt=1, description="Promised largest share of time out of SLA", examples=[0.01]
    )
    price_usd_per_gpu_hour: float | None = Field(None, ge=0, allow_inf_nan=False, examples=[2.5])
    fallback_replicas: int | None = Field(None, ge=0, le=100_000, examples=[4])


class PolicyValues(Out):
    """A policy as the operator and the decider follow it."""

    mode: Mode = Field(examples=["Auto"])
    min_replicas: int = Field(examples=[2])
    max_replicas: int = Field(examples=[24])
    epsilon: float = Field(examples=[0.01])
    price_usd_per_gpu_hour: float = Field(examples=[2.5])
    fallback_replicas: int | None = Field(examples=[None])


class PolicyView(Out):
    """What holds, what was set here, and whether the operator has taken it over yet."""

    namespace: str = Field(examples=["prod"])
    workload: str = Field(examples=["llama-70b"])
    in_force: PolicyValues
    overrides: dict[str, Any] = Field(
        description="Fields set through the API, over the GPUAutoscaler's own",
        examples=[{"max_replicas": 24}],
    )
    is_in_force: bool = Field(
        description="False: the operator's next pass, within seconds, takes it over"
    )
    sla_class: str = Field(examples=["gold"])
    risk_kind: str = Field(examples=["TimeFraction"])
    risk_window_s: float = Field(examples=[2419200])
    behavior: dict[str, Any] = Field(description="HPA's `behavior`", examples=[{}])
    spec_version: int = Field(examples=[3])
    version: int = Field(description="Of what was set here; 0: nothing was", examples=[1])
    updated_by: str | None = Field(None, examples=["grafana (0123456789)"])
    updated_at: datetime | None = None


class PauseRequest(In):
    """A pause to make, in place of one that was made here before."""

    direction: Direction = Field("Both", examples=["Both"])
    until_at: Instant | None = Field(
        None,
        description="Ends by itself then; null: until resumed",
        examples=["2026-01-05T18:00:00Z"],
    )
    reason: Reason = Field("", examples=["load test"])


class PauseView(Out):
    """What is held of a workload."""

    namespace: str = Field(examples=["prod"])
    workload: str = Field(examples=["llama-70b"])
    is_paused: bool = Field(description="Anything is held, by whomever")
    direction: Direction | None = Field(None, description="Null: nothing is", examples=["Both"])
    until_at: datetime | None = Field(None, description="Null: until resumed")
    source: Literal["api", "kubernetes"] | None = Field(
        None, description="`kubernetes`: an annotation or a freeze in force", examples=["api"]
    )
    reason: str = Field("", examples=["load test"])
    is_in_force: bool = Field(description="False: the operator's next pass takes it over")
    version: int = Field(description="Of what was set here; 0: nothing was", examples=[1])
    updated_by: str | None = None
    updated_at: datetime | None = None


class ScheduleBody(In):
    """A recurring window that changes the bounds or freezes scaling."""

    name: Name = Field(examples=["business-hours"])
    timezone: Annotated[str, AfterValidator(_zone)] = Field("UTC", examples=["Europe/Berlin"])
    days_of_week: tuple[Annotated[int, Field(ge=0, le=6)], ...] = Field(
        (0, 1, 2, 3, 4, 5, 6),
        min_length=1,
        max_length=7,
        description="0 is Monday",
        examples=[[0, 1, 2, 3, 4]],
    )
    start_time: Annotated[str, Field(pattern=_TIME)] = Field(examples=["08:00"])
    end_time: Annotated[str, Field(pattern=_TIME)] = Field(
        description="One before `start_time` runs past midnight", examples=["18:00"]
    )
    min_replicas: int | None = Field(None, ge=0, le=100_000, examples=[4])
    max_replicas: int | None = Field(None, ge=1, le=100_000, examples=[40])
    freeze: FreezeDirection | None = Field(None, examples=["ScaleDown"])

    @model_validator(mode="after")
    def _consistent(self) -> ScheduleBody:
        low, high = self.min_replicas, self.max_replicas
        if low is not None and high is not None and low > high:
            raise ValueError(f"min_replicas={low} must be <= max_replicas={high}")
        if low is None and high is None and self.freeze is None:
            raise ValueError("one of min_replicas, max_replicas, freeze must be given")
        if self.start_time == self.end_time:
            raise ValueError(f"end_time={self.end_time} must differ from start_time")
        return self


class SchedulesRequest(In):
    """All schedules of a workload, in place of those there are; none: an empty list."""

    schedules: list[ScheduleBody] = Field(max_length=50)

    @model_validator(mode="after")
    def _unique(self) -> SchedulesRequest:
        names = [schedule.name for schedule in self.schedules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"schedules: name {twice[0]!r} is given twice")
        return self


class ScheduleView(Out):
    """A schedule as it stands."""

    name: str = Field(examples=["business-hours"])
    timezone: str = Field(examples=["Europe/Berlin"])
    days_of_week: list[int] = Field(examples=[[0, 1, 2, 3, 4]])
    start_time: str = Field(examples=["08:00"])
    end_time: str = Field(examples=["18:00"])
    min_replicas: int | None = Field(None, examples=[4])
    max_replicas: int | None = Field(None, examples=[40])
    freeze: FreezeDirection | None = None
    is_in_force: bool = Field(description="Holds now")


class SchedulesView(Out):
    """The schedules of a workload."""

    namespace: str = Field(examples=["prod"])
    workload: str = Field(examples=["llama-70b"])
    source: Literal["api", "kubernetes"] = Field(examples=["api"])
    schedules: list[ScheduleView]
    is_in_force: bool = Field(description="False: the operator's next pass takes them over")
    version: int = Field(description="Of what was set here; 0: nothing was", examples=[1])


class FreezeRequest(In):
    """A change freeze for a workload, a namespace or, without either, the fleet."""

    namespace: ObjectName | None = Field(None, max_length=63, examples=["prod"])
    workload: ObjectName | None = Field(None, max_length=253, examples=["llama-70b"])
    direction: FreezeDirection = Field("Both", examples=["ScaleDown"])
    from_at: Instant | None = Field(
        None, description="Null: now", examples=["2026-11-27T00:00:00Z"]
    )
    until_at: Instant = Field(examples=["2026-11-30T00:00:00Z"])
    reason: Reason = Field("", examples=["Black Friday"])

    @model_validator(mode="after")
    def _consistent(self) -> FreezeRequest:
        if self.workload is not None and self.namespace is None:
            raise ValueError(f"workload={self.workload!r} needs its namespace")
        if self.from_at is not None and self.from_at >= self.until_at:
            raise ValueError(f"until_at={self.until_at.isoformat()} must be after from_at")
        return self


class FreezeView(Out):
    """A change freeze."""

    id: int = Field(examples=[7])
    namespace: str | None = Field(description="Null: every namespace", examples=["prod"])
    workload: str | None = Field(description="Null: every workload", examples=[None])
    direction: FreezeDirection = Field(examples=["ScaleDown"])
    from_at: datetime
    until_at: datetime
    reason: str = Field(examples=["Black Friday"])
    is_in_force: bool
    created_by: str = Field(examples=["ops (0123456789)"])
    created_at: datetime
    lifted_at: datetime | None = Field(None, description="Null: it was not lifted early")


class InboxItem(DecisionSummary):
    """A decision that waits for a human."""

    summary: str | None = Field(
        None,
        description="What, why and what it costs, in one line",
        examples=["prod/llama-70b: 8 -> 10 (scale_up_risk), +5.00 USD/h"],
    )


class VerdictRequest(In):
    """Why a decision is approved or rejected."""

    reason: Reason = Field("", examples=["expected campaign"])


class VerdictView(Out):
    """What a human said of a decision."""

    decision_id: int = Field(examples=[123])
    verdict: Literal["approved", "rejected"] = Field(examples=["approved"])
    reason: str = Field(examples=["expected campaign"])
    actor: str = Field(examples=["ops (0123456789)"])
    decided_at: datetime


class SlaClassView(Out):
    """An SLA class as the workloads carry it."""

    name: str = Field(examples=["gold"])
    priority: int = Field(description="How much a loss counts, in proportion", examples=[200])
    n_workloads: int = Field(examples=[12])
    epsilon_min: float = Field(description="Strictest promise among them", examples=[0.01])
    epsilon_max: float = Field(examples=[0.01])
    kinds: list[str] = Field(examples=[["TimeFraction"]])
    violation_ratio: float | None = Field(
        description="Measured over `measured_window_s`, mean over steps; null: not measured",
        examples=[0.004],
    )
    measured_window_s: float = Field(examples=[86400])
    n_measured_steps: int = Field(examples=[17280])
    n_over_promise: int = Field(
        description="Workloads out of SLA for more than they promise", examples=[0]
    )
    gpu_hours: float | None = Field(examples=[812.5])
    cost_usd: float | None = Field(examples=[2031.25])
