"""Long work and frontiers, as the API takes and returns them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from services.admin.rest.schemas import In, ObjectName, Out
from services.kernel.domain.shares import Share

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Kind = Literal["backtest", "advise", "train_model", "replay_decision"]
Policy = Literal[
    "static_peak",
    "trailing_percentile",
    "hpa",
    "hpa_clipped",
    "kpa",
    "apa",
    "ray_serve",
    "saturation",
    "phpa_linear",
    "phpa_holt_winters",
    "autopilot_mw",
    "autopilot_h",
    "autopilot_ml",
    "aws_predictive",
    "dynamo_constant",
    "dynamo_kalman",
    "dynamo_arima",
]
NamespacedName = Annotated[str, Field(max_length=317, pattern=r"^[a-z0-9.-]+/[a-z0-9.-]+$")]


class OperationView(Out):
    """Long work that was asked for: how far it is, and what came of it."""

    id: int = Field(examples=[42])
    kind: Kind = Field(examples=["backtest"])
    cluster: str = Field(description="In which it was asked for", examples=["default"])
    status: Status = Field(examples=["running"])
    progress: float = Field(description="Share done, 0 to 1", examples=[0.35])
    message: str = Field(
        description="What is being done, or why it failed", examples=["frontier of hpa"]
    )
    params: dict[str, Any] = Field(examples=[{"workloads": ["prod/llama-70b"]}])
    is_cancel_requested: bool
    n_attempts: int = Field(description="Workers that began it", examples=[1])
    created_by: str = Field(examples=["ops (0123456789)"])
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None


class OperationDetail(OperationView):
    """Long work with its result."""

    result: dict[str, Any] | None = Field(
        None, description="Null until it has succeeded", examples=[{"version": "flow-20260105"}]
    )


class BacktestRequest(In):
    """Which workloads to replay, how long, at which promises, against whom."""

    workloads: list[NamespacedName] = Field(
        min_length=1,
        max_length=50,
        examples=[["prod/llama-70b"]],
        description="namespace/name; all of them on steps of one length",
    )
    replay_hours: float = Field(24.0, ge=1, le=168, examples=[24])
    epsilons: list[Share] = Field(
        [0.01], min_length=1, max_length=5, description="Promises", examples=[[0.01, 0.05]]
    )
    policies: list[Policy] = Field(
        ["hpa", "trailing_percentile", "static_peak"],
        min_length=1,
        max_length=8,
        description="Rivals whose frontiers are drawn",
        examples=[["hpa", "static_peak"]],
    )
    forecaster: Literal["simple", "model"] = Field(
        "simple",
        description="`simple`: the prior or the best simple forecaster, chosen on the history; "
        "`model` trains one on the history first, which takes minutes",
    )
    shortage_usd_per_h: float | None = Field(
        None,
        gt=0,
        le=1e9,
        examples=[200.0],
        description="Price of a workload's hour out of SLA, for the recommended promise",
    )
    seed: int = Field(7, ge=0, lt=2**31, examples=[7])

    @field_validator("workloads", "epsilons", "policies")
    @classmethod
    def _each_once(cls, values: list[Any]) -> list[Any]:
        twice = [value for i, value in enumerate(values) if value in values[:i]]
        if twice:
            raise ValueError(f"{twice[0]!r} is given twice")
        return values


class AdviceRequest(In):
    """Of which time, and of which services, to say what Harmony would have cost and broken."""

    since_hours: float = Field(
        gt=0, le=2232, examples=[168], description="Length of the time up to now"
    )
    namespace: ObjectName | None = Field(
        None, max_length=63, examples=["prod"], description="Only this one; null: all"
    )


class FrontierPoint(Out):
    """One setting of a policy on the replay."""

    setting: str = Field(examples=["target 60 %"])
    violation_rate: float | None = Field(
        description="Share of known time out of SLA", examples=[0.0042]
    )
    cost_usd: float | None = Field(description="Of the whole replay", examples=[812.5])
    hours_out_of_sla: float | None = Field(description="Workload-hours", examples=[0.1])


class FrontierCurve(Out):
    """What each share of time out of SLA costs under one policy."""

    policy: str = Field(examples=["harmony"])
    points: list[FrontierPoint]


class RecommendedPromise(Out):
    """The promise to ask for."""

    epsilon: float = Field(examples=[0.01])
    cost_usd: float | None = Field(None, examples=[812.5])
    rule: str = Field("", examples=["knee of the frontier"])


class FrontierView(Out):
    """Risk against cost, of the newest backtest that answers."""

    backtest_id: int = Field(examples=[42])
    workloads: list[str] = Field(examples=[["prod/llama-70b"]])
    replay_hours: float = Field(examples=[24.0])
    finished_at: datetime
    curves: list[FrontierCurve]
    recommended: RecommendedPromise | None = Field(
        None, description="Null: too few settings are useful"
    )
    advice: str = Field(examples=["Recommended promise: 1.00% of time out of SLA (knee): …"])


class TrainRequest(In):
    """A fit to make now."""

    is_fresh: bool = Field(
        False, description="Begin anew even where an interrupted fit could be gone on with"
    )
