"""What the REST API takes and returns. Times are RFC 3339 in UTC; names carry their units."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")
Direction = Literal["up", "down", "hold"]

_AT = "2026-01-05T12:00:00Z"


class Out(BaseModel):
    """What the API returns."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class Problem(Out):
    """An error (RFC 9457). `code` is stable; the codes are listed in docs/errors.md."""

    type: str = Field(examples=["https://harmony.dev/problems/not_found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    code: str = Field(examples=["not_found"])
    detail: str = Field(examples=["workload prod/llama does not exist"])
    errors: list[dict[str, str]] | None = None


class Page(Out, Generic[Item]):
    """One page of a list; `next_cursor` is null on the last one."""

    items: list[Item]
    next_cursor: str | None = Field(None, description="Give it back as `cursor` for the next page")


class ReplicaView(Out):
    """Replicas at the newest snapshot of the cluster."""

    observed_at: datetime
    spec: int = Field(description="Count in the target's spec", examples=[8])
    ready: int = Field(examples=[7])
    starting: int = Field(description="On a node, not ready yet", examples=[1])
    pending: int = Field(description="Without a node", examples=[0])
    schedulable_gpus: int | None = None


class RiskView(Out):
    """The promise beside what was estimated and measured. Shares of time, 0 to 1."""

    kind: str = Field(examples=["TimeFraction"])
    target: float = Field(description="At most this share out of SLA", examples=[0.01])
    estimated: float | None = Field(None, description="By the newest decision", examples=[0.004])
    measured: float | None = Field(None, description="Over `measured_window_s`; null: not measured")
    measured_window_s: float = Field(examples=[86400])
    n_measured_steps: int = Field(examples=[288])
    budget_remaining: float | None = Field(
        None, description="Share of the SLA window's error budget that is left; below 0: overspent"
    )


class DecisionSummary(Out):
    """A decision: intent, with its reason and what became of it."""

    id: int
    namespace: str
    workload: str
    origin_at: datetime
    decided_at: datetime
    current_replicas: int
    raw_replicas: int = Field(description="Wanted before the guards")
    desired_replicas: int = Field(description="Decided")
    direction: Direction
    reason: str = Field(examples=["scale_up_risk"])
    binding_constraint: str | None = None
    rung: str = Field(description="Rung of the ladder that answered", examples=["model"])
    risk_target: float
    risk_estimated: float | None
    cost_delta_usd_per_h: float
    action_result: str | None = Field(None, examples=["applied"])
    action_reason: str | None = None
    applied_at: datetime | None = None


class LastDecision(Out):
    """The newest decision of a workload, in short."""

    id: int
    origin_at: datetime
    decided_at: datetime
    valid_until: datetime
    desired_replicas: int
    direction: Direction
    reason: str
    binding_constraint: str | None
    rung: str = Field(description="Rung of the decision's ladder", examples=["forecast"])
    forecast_rung: str | None = Field(description="Rung of the forecast's", examples=["model"])
    forecast_reason: str | None
    model_version: str | None
    action_result: str | None
    action_reason: str | None


class TrustView(Out):
    """Whether the workload's model has earned its place, by the newest look."""

    is_trusted: bool = Field(description="False: a trailing percentile answers instead")
    reason: str = Field(description="Both costs and both rates, in words")
    n_looks: int = Field(examples=[12])
    decided_at: datetime


class WorkloadView(Out):
    """A workload with its live state."""

    namespace: str = Field(examples=["prod"])
    name: str = Field(examples=["llama-70b"])
    mode: str = Field(examples=["Auto"])
    is_active: bool
    is_paused: bool
    gpu_type: str = Field(examples=["H100"])
    gpus_per_replica: int
    min_replicas: int
    max_replicas: int
    price_usd_per_gpu_hour: float
    step_s: int
    demand_indicator: str = Field(examples=["output_tokens_per_s"])
    demand_unit: str
    demand: float | None = Field(None, description="Newest observed; null: none within a day")
    demand_at: datetime | None = None
    capacity_per_replica: float
    replicas: ReplicaView | None = Field(None, description="Null: no snapshot yet")
    risk: RiskView
    last_decision: LastDecision | None = None
    trust: TrustView | None = Field(None, description="Null: no look at the model yet")
    gpu_hours: float | None = Field(None, description="Over `risk.measured_window_s`")
    cost_usd: float | None = Field(None, description="Over `risk.measured_window_s`")
    spec_version: int
    managed_by: Literal["kubernetes", "api"] = Field(
        description="`kubernetes`: it follows its GPUAutoscaler; `api`: it was made over REST"
    )


class ObservedSeries(Out):
    """Demand by step; null where it was not observed."""

    step_at: list[datetime]
    demand: list[float | None]


class ForecastView(Out):
    """A fan chart: the forecast made at one origin, and the demand around it."""

    id: int
    origin_at: datetime = Field(description="Start of the last step known", examples=[_AT])
    created_at: datetime
    model_version: str
    rung: str
    reason: str
    step_s: int
    unit: str
    capacity_per_replica: float
    quantile_levels: list[float] = Field(examples=[[0.1, 0.5, 0.9]])
    step_at: list[datetime] = Field(description="(H,) steps that the forecast covers")
    quantiles: list[list[float | None]] = Field(description="(Q, H) demand, one row per level")
    observed: ObservedSeries
    previous_origin_at: datetime | None
    next_origin_at: datetime | None


class ForecastAheadView(Out):
    """For each step, what had been forecast `n_ahead` steps before it, beside what came."""

    n_ahead: int
    step_s: int
    unit: str
    capacity_per_replica: float
    quantile_levels: list[float]
    step_at: list[datetime] = Field(description="(T,) steps of the window")
    quantiles: list[list[float | None]] = Field(description="(Q, T); null: no forecast")
    demand: list[float | None] = Field(description="(T,) observed; null: not observed")
    rung: list[str | None] = Field(description="(T,) rung that answered")


class IndicatorSeries(Out):
    """One indicator on the step grid."""

    name: str
    level: int
    unit: str
    step_at: list[datetime]
    values: list[float | None] = Field(description="Null: not observed")


class AllocationView(Out):
    """Replicas over time: needed, decided, present."""

    step_s: int
    gpus_per_replica: int
    step_at: list[datetime] = Field(description="Steps with an outcome")
    needed: list[int | None] = Field(description="Replicas that the demand needed")
    violation_ratio: list[float | None] = Field(description="Share of the step out of SLA")
    origin_at: list[datetime] = Field(description="Origins with a decision")
    desired: list[int]
    observed_at: list[datetime] = Field(description="Snapshots of the cluster")
    spec: list[int]
    ready: list[int]
    starting: list[int]
    pending: list[int]


class VariantView(Out):
    """A decision about one variant: one of several kinds of replicas behind one router."""

    name: str = Field(examples=["l4"])
    gpu_type: str = Field(examples=["L4"])
    current: int = Field(description="Replicas before", examples=[0])
    desired: int = Field(description="Replicas decided", examples=[6])


class DecisionDetail(DecisionSummary):
    """A decision with everything that led to it and came of it."""

    forecast_id: int
    policy_version: str
    valid_until: datetime
    model_version: str | None
    forecast_rung: str | None
    forecast_reason: str | None
    explanation: dict[str, Any] = Field(
        description="Guard trace, quantiles used, counterfactuals, risk before and after; under a "
        "GPU budget `gpu_budget`: who gave up what"
    )
    variants: list[VariantView] | None = Field(
        None,
        description="Counts by variant; null for a workload of one kind. With variants all other "
        "counts are reference replicas: in units of the workload's stated capacity",
    )
    actions: list[ActionView]
    outcomes: list[OutcomeView] = Field(description="Steps that were measured under it")


class ActionView(Out):
    """An attempt to apply a decision."""

    id: int
    decision_id: int
    namespace: str
    workload: str
    origin_at: datetime
    attempt: int
    from_replicas: int | None
    to_replicas: int | None
    result: str = Field(examples=["applied"])
    reason: str
    applied_at: datetime


class OutcomeView(Out):
    """What happened in one step. Null: not measured."""

    namespace: str
    workload: str
    step_at: datetime
    decision_id: int | None
    demand: float | None
    ready_mean: float | None
    needed_replicas: int | None
    violation_ratio: float | None
    shortage: float | None
    gpu_hours: float | None
    cost_usd: float | None


class QualityView(Out):
    """Scores of one model's forecasts of a workload, averaged."""

    model_version: str
    n_forecasts: int
    crps: float
    crps_last_value: float
    skill_vs_last_value: float | None = Field(description="1 - CRPS / CRPS of the last value")
    coverage: dict[str, float] = Field(description="Quantile level -> share of outcomes below it")
    pinball: dict[str, float | None]
    hedge_weight_body: float | None = Field(
        None,
        description="Weight of the last value in the forecast's quantiles below 0.95, 0 to 1; "
        "null: nothing learned yet",
        examples=[0.06],
    )
    hedge_weight_tail: float | None = Field(
        None,
        description="The same in its upper tail, which decides; high after a change of level",
        examples=[0.11],
    )


class LeadTimeView(Out):
    """Measured lead times (scaling to Ready), in seconds, and the starts under way."""

    window_s: float
    n_measured: int
    n_on_the_way: int
    n_abandoned: int
    p50_s: float | None
    p90_s: float | None
    p99_s: float | None
    max_s: float | None
    prior_median_s: float
    prior_sigma: float


class ModelView(Out):
    """A forecasting model of the registry."""

    id: int
    version: str
    kind: str
    status: str = Field(examples=["promoted"])
    reason: str
    config: dict[str, Any]
    metrics: dict[str, Any]
    n_bytes: int | None
    created_at: datetime
    promoted_at: datetime | None
    retired_at: datetime | None


class Health(Out):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Out):
    """What the service needs is there."""

    status: Literal["ready"] = "ready"
    checks: dict[str, str] = Field(examples=[{"database": "ok", "redis": "ok", "schema": "0001"}])


DecisionDetail.model_rebuild()
