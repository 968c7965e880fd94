"""The `status` of a `GPUAutoscaler`, a `SLAClass` and a `GPUBudget`, as Pydantic models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from services.operator.resource.fields import ResourceModel
from services.operator.resource.supply import SupplyStatus

CONDITION_TYPES = (
    "Ready",
    "TargetResolved",
    "MetricsFresh",
    "ForecastReady",
    "DecisionActive",
    "ScalingLimited",
    "Fallback",
    "Paused",
    "BudgetExhausted",
    "SLIMeasured",
    "DemandCensored",
    "GoalUnreachable",
    "NotCapacity",
    "LeadTimeBeyondHorizon",
    "GraceTooShort",
    "RoomUnknown",
    "SetApart",
    "OverrideLeftOut",
    "Conflict",
)
N_HISTORY = 10


class StatusCondition(ResourceModel):
    """A condition as all of Kubernetes writes it."""

    type: Annotated[str, Field(max_length=316)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Field(max_length=1024)]
    message: Annotated[str, Field(max_length=32768)] = ""
    last_transition_time: datetime
    observed_generation: int | None = None


class ForecastStatus(ResourceModel):
    """The newest forecast: quantiles of the demand in the step after its origin."""

    model_version: str | None = None
    rung: str | None = None
    issued_at: datetime | None = None
    horizon: str | None = None
    p10: float | None = None
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    coverage7d: float | None = Field(
        None, alias="coverage7d", description="Measured share of outcomes under p90"
    )


class RiskStatus(ResourceModel):
    """The promise beside what is estimated, measured and believed."""

    target: float | None = None
    estimated: float | None = None
    measured_low: float | None = Field(
        None, description="The least that measured can be; absent: it is no less"
    )
    measured: float | None = Field(
        None, description="Share out of SLA as requests felt it; absent: it is not measured"
    )
    measured_high: float | None = Field(
        None, description="The most that measured can be; absent: it is no more"
    )
    believed: float | None = Field(
        None,
        description="Share of the time in which the demand was beyond the believed capacity, "
        "whatever the promise's kind",
    )
    source: Literal["measured", "believed"] | None = Field(
        None, description="Which of the two the budget is of"
    )
    budget_remaining_low: float | None = Field(
        None, description="The same by measuredHigh; absent where that is"
    )
    budget_remaining: float | None = None
    budget_remaining_high: float | None = Field(
        None, description="The same by measuredLow; absent where that is"
    )


class LeadTimeStatus(ResourceModel):
    """Measured time from a pod's creation to Ready."""

    measured_p50: str | None = Field(None, alias="measuredP50")
    measured_p90: str | None = Field(None, alias="measuredP90")
    samples: int | None = None


class DecisionStatus(ResourceModel):
    """One decision and what became of it."""

    id: int
    time: datetime
    raw: int
    final: int
    current: int | None = None
    direction: str | None = None
    reason: str | None = None
    binding_constraint: str | None = None
    constraints_applied: tuple[str, ...] | None = None
    cost_delta_per_hour: float | None = None
    result: str | None = None
    result_reason: str | None = None
    approved_by: str | None = None
    rejected_by: str | None = None


class PartStatus(ResourceModel):
    """Replicas of one variant or pool."""

    name: Annotated[str, Field(max_length=63)]
    current_replicas: int | None = Field(None, description="In the target's spec")
    desired_replicas: int | None = Field(None, description="By the newest decision")


class GPUAutoscalerStatus(ResourceModel):
    """State of one autoscaler as the operator last saw it."""

    observed_generation: int | None = None
    target: str | None = Field(
        None,
        description="What is scaled; of variants or pools each with the replicas in its target's "
        "spec",
    )
    current_replicas: int | None = None
    ready_replicas: int | None = None
    desired_replicas: int | None = None
    recommended_replicas: int | None = None
    last_scale_time: datetime | None = None
    variants: Annotated[tuple[PartStatus, ...], Field(max_length=8)] | None = None
    forecast: ForecastStatus | None = None
    risk: RiskStatus | None = None
    lead_time: LeadTimeStatus | None = None
    last_decision: DecisionStatus | None = None
    decision_history: Annotated[tuple[DecisionStatus, ...], Field(max_length=N_HISTORY)] | None = (
        None
    )
    conditions: Annotated[tuple[StatusCondition, ...], Field(max_length=32)] | None = None


class SLAClassStatus(ResourceModel):
    """State of an SLA class."""

    conditions: Annotated[tuple[StatusCondition, ...], Field(max_length=32)] | None = None


class GPUBudgetStatus(ResourceModel):
    """State of a GPU budget."""

    used_gpus: int | None = None
    supply: SupplyStatus | None = None
    conditions: Annotated[tuple[StatusCondition, ...], Field(max_length=32)] | None = None
