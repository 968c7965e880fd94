"""Time series of one workload, as the API returns them."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from services.admin.rest.schemas import Out

_AT = "2026-01-05T12:00:00Z"


class ObservedSeries(Out):
    """Demand, or the further load that was asked for, by step; null where it was not observed."""

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
    violation_ratio: list[float | None] = Field(
        description="Share of the step out of SLA: as measured, or where it is not, as believed"
    )
    measured_ratio: list[float | None] = Field(description="Null: not measured")
    believed_ratio: list[float | None] = Field(description="By the capacity that is believed")
    origin_at: list[datetime] = Field(description="Origins with a decision")
    desired: list[int]
    observed_at: list[datetime] = Field(description="Snapshots of the cluster")
    spec: list[int]
    ready: list[int]
    starting: list[int]
    pending: list[int]


class QualityView(Out):
    """Scores of one model's forecasts of a workload, averaged."""

    model_version: str
    n_forecasts: int
    crps: float
    crps_last_value: float | None = Field(
        description="CRPS of the last value, over the forecasts that it was known at; "
        "null: at none of them"
    )
    skill_vs_last_value: float | None = Field(
        description="1 - CRPS / CRPS of the last value, over the same forecasts; null: that is "
        "not known, or 0"
    )
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
