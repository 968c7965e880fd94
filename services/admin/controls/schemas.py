"""Policies, pauses and schedules, as the API takes and returns them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, Field, model_validator

from services.admin.rest.schemas import FreezeDirection, Out, Reason
from services.admin.rest.sent_back import SentBack
from services.admin.rest.times import Instant
from services.kernel.domain.cron import check_cron, check_window
from services.kernel.domain.parts import MOST_USD_PER_GPU_HOUR
from services.kernel.domain.shares import Share
from services.kernel.domain.workload import Mode
from services.kernel.security.printable import ONE_LINE

ScheduleName = Annotated[str, Field(min_length=1, max_length=63, pattern=f"^{ONE_LINE}+$")]
"""As a GPUAutoscaler may have it: what was read there may be sent back here."""
Direction = Literal["Both", "ScaleIn", "ScaleOut"]
HeldBy = Literal["pause", "annotation", "schedule", "freeze"]
_TIME = r"^(([01]\d|2[0-3]):[0-5]\d)?$"


_OF_THE_HOST = {"localtime", "posixrules"}
"""Names that a machine's files have, and that mean another zone on another machine."""


def _zone(name: str) -> str:
    try:
        if name in _OF_THE_HOST:
            raise ValueError(name)
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be an IANA name, e.g. Europe/Berlin") from None
    return name


class PolicyValues(Out):
    """A policy as the operator and the decider follow it."""

    mode: Mode = Field(examples=["Auto"])
    min_replicas: int = Field(examples=[2])
    max_replicas: int = Field(examples=[24])
    epsilon: float = Field(
        description="Promised largest share out of SLA, of what `risk_kind` says", examples=[0.01]
    )
    price_usd_per_gpu_hour: float = Field(examples=[2.5])
    fallback_replicas: int | None = Field(examples=[None])


class PolicyView(Out):
    """What holds, what was set here, and whether the operator has taken it over yet."""

    namespace: str = Field(examples=["prod"])
    cluster: str = Field(examples=["default"])
    workload: str = Field(examples=["llama-70b"])
    in_force: PolicyValues
    overrides: dict[str, Any] = Field(
        description="Fields set through the API, over the GPUAutoscaler's own",
        examples=[{"max_replicas": 24}],
    )
    left_out: dict[str, str] = Field(
        {},
        description="Fields of `overrides` that do not fit the GPUAutoscaler, with why: its own "
        "values hold there",
    )
    is_in_force: bool = Field(
        description="All that was set holds, and nothing that was taken back; false, where nothing "
        "is left out: the operator's next pass, within seconds, takes it over"
    )
    sla_class: str = Field(examples=["gold"])
    risk_kind: str = Field(examples=["TimeFraction"])
    risk_window_s: float = Field(examples=[2419200])
    behavior: dict[str, Any] = Field(description="HPA's `behavior`", examples=[{}])
    spec_version: int = Field(examples=[3])
    version: int = Field(description="Of what was set here; 0: nothing was", examples=[1])
    updated_by: str | None = Field(None, examples=["grafana (0123456789)"])
    updated_at: datetime | None = None


class PolicyPatch(SentBack):
    """Fields to set; null takes a field back to what the GPUAutoscaler says (RFC 7396)."""

    READ: ClassVar[type[BaseModel]] = PolicyView
    INSTEAD: ClassVar[Mapping[str, str]] = {
        "in_force": "set its fields by themselves, as max_replicas",
        "overrides": "set its fields by themselves, as max_replicas; null takes one back",
    }
    OTHERWISE: ClassVar[str] = "leave it out; the GPUAutoscaler sets the rest of a policy"

    mode: Mode | None = Field(None, examples=["Approval"])
    min_replicas: int | None = Field(None, ge=0, le=100_000, examples=[2])
    max_replicas: int | None = Field(None, ge=1, le=100_000, examples=[24])
    epsilon: Share | None = Field(
        None,
        description="Promised largest share out of SLA, of what `risk_kind` says",
        examples=[0.01],
    )
    price_usd_per_gpu_hour: float | None = Field(
        None, ge=0, le=MOST_USD_PER_GPU_HOUR, allow_inf_nan=False, examples=[2.5]
    )
    fallback_replicas: int | None = Field(None, ge=0, le=100_000, examples=[4])


class HeldView(Out):
    """One direction of scaling, and what holds it for longest."""

    direction: Literal["ScaleIn", "ScaleOut"] = Field(examples=["ScaleIn"])
    until_at: datetime | None = Field(
        None,
        description="Scaling in this direction goes on then; null: when whoever holds it ends that",
        examples=["2026-01-05T20:00:00Z"],
    )
    source: HeldBy = Field(
        description="`pause`: made through the API. `annotation`: of the GPUAutoscaler; so is what "
        "is over, or was taken back here, until the operator's next pass lets it go",
        examples=["freeze"],
    )
    reason: str = Field("", description="Of the pause or the freeze", examples=["end of quarter"])
    schedule: str | None = Field(None, description="Name of the schedule", examples=[None])
    freeze_id: int | None = Field(
        None, description="What `DELETE /v1/freezes/{freeze_id}` ends", examples=[7]
    )


class PauseView(Out):
    """What is held of a workload."""

    namespace: str = Field(examples=["prod"])
    cluster: str = Field(examples=["default"])
    workload: str = Field(examples=["llama-70b"])
    is_paused: bool = Field(
        description="Anything is held by a pause, an annotation or a freeze; what a schedule holds "
        "is in `held` alone"
    )
    direction: Direction | None = Field(None, description="Null: nothing is", examples=["Both"])
    until_at: datetime | None = Field(
        None,
        description="End of the pause that was made here, where there is one; null: until resumed. "
        "Something else may hold on: `held` says when scaling goes on",
    )
    source: Literal["api", "kubernetes"] | None = Field(
        None, description="`kubernetes`: an annotation or a freeze in force", examples=["api"]
    )
    is_both_held: bool = Field(
        False,
        description="An annotation or a freeze holds the other direction too; it ends there",
    )
    held: list[HeldView] = Field(
        [],
        description="By direction what holds it for longest, and until when; a freeze that begins "
        "before that is over counts. A direction that nothing holds is left out",
    )
    reason: str = Field("", examples=["load test"])
    is_in_force: bool = Field(description="False: the operator's next pass takes it over")
    version: int = Field(description="Of what was set here; 0: nothing was", examples=[1])
    updated_by: str | None = None
    updated_at: datetime | None = None


class PauseRequest(SentBack):
    """A pause to make, in place of one that was made here before."""

    READ: ClassVar[type[BaseModel]] = PauseView
    INSTEAD: ClassVar[Mapping[str, str]] = {
        "is_paused": "resume with DELETE",
        "held": "leave it out: it follows from all that holds; DELETE /v1/freezes/{freeze_id} ends "
        "a freeze",
    }

    direction: Direction | None = Field(
        "Both",
        description="Null: nothing is held, as a read says; it makes no pause and ends none",
        examples=["Both"],
    )
    until_at: Instant | None = Field(
        None,
        description="Ends by itself then; null: until resumed",
        examples=["2026-01-05T18:00:00Z"],
    )
    reason: Reason = Field("", examples=["load test"])


def _cron(text: str) -> str:
    if text:
        check_cron(text)
    return text


Cron = Annotated[str, Field(max_length=120), AfterValidator(_cron)]


class ScheduleView(Out):
    """A schedule as it stands."""

    name: str = Field(examples=["business-hours"])
    timezone: str = Field(examples=["Europe/Berlin"])
    days_of_week: list[int] = Field(examples=[[0, 1, 2, 3, 4]])
    start_time: str = Field(examples=["08:00"])
    end_time: str = Field(examples=["18:00"])
    start: str = Field("", description="Cron expression, in place of `start_time`")
    end: str = Field("", description="Cron expression, in place of `end_time`")
    min_replicas: int | None = Field(None, examples=[4])
    max_replicas: int | None = Field(None, examples=[40])
    freeze: FreezeDirection | None = None
    is_in_force: bool = Field(description="Holds now")


class ScheduleBody(SentBack):
    """A recurring window that changes the bounds or freezes scaling.

    It has `start_time` and `end_time` on days of the week, or two cron expressions, `start` and
    `end`, which have days of their own.
    """

    READ: ClassVar[type[BaseModel]] = ScheduleView

    name: ScheduleName = Field(examples=["business-hours"])
    timezone: Annotated[str, AfterValidator(_zone)] = Field("UTC", examples=["Europe/Berlin"])
    days_of_week: tuple[Annotated[int, Field(ge=0, le=6)], ...] = Field(
        (0, 1, 2, 3, 4, 5, 6),
        min_length=1,
        max_length=7,
        description="0 is Monday",
        examples=[[0, 1, 2, 3, 4]],
    )
    start_time: Annotated[str, Field(pattern=_TIME)] = Field("", examples=["08:00"])
    end_time: Annotated[str, Field(pattern=_TIME)] = Field(
        "", description="One before `start_time` runs past midnight", examples=["18:00"]
    )
    start: Cron = Field("", description="Cron expression, in place of `start_time`")
    end: Cron = Field("", description="Cron expression, in place of `end_time`")
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
        given = [name for name in ("start_time", "end_time", "start", "end") if getattr(self, name)]
        if given not in (["start_time", "end_time"], ["start", "end"]):
            raise ValueError(
                "give either start_time and end_time, or the cron expressions start and end"
            )
        if self.start_time and self.start_time == self.end_time:
            raise ValueError(f"end_time={self.end_time} must differ from start_time")
        if self.start:
            check_window(self.start, self.end)
        return self


def _named_once(schedules: list[ScheduleBody]) -> list[ScheduleBody]:
    names = [schedule.name for schedule in schedules]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"schedules: name {twice[0]!r} is given twice")
    return schedules


ScheduleBodies = Annotated[list[ScheduleBody], Field(max_length=50), AfterValidator(_named_once)]


class SchedulesView(Out):
    """The schedules of a workload."""

    namespace: str = Field(examples=["prod"])
    cluster: str = Field(examples=["default"])
    workload: str = Field(examples=["llama-70b"])
    source: Literal["api", "kubernetes"] = Field(examples=["api"])
    schedules: list[ScheduleView]
    is_in_force: bool = Field(description="False: the operator's next pass takes them over")
    version: int = Field(description="Of what was set here; 0: nothing was", examples=[1])


class SchedulesRequest(SentBack):
    """All schedules of a workload, in place of those there are; none: an empty list."""

    READ: ClassVar[type[BaseModel]] = SchedulesView
    INSTEAD: ClassVar[Mapping[str, str]] = {
        "source": "DELETE brings the schedules of the GPUAutoscaler back"
    }

    schedules: ScheduleBodies
