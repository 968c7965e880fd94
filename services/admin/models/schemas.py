"""Models of the registry and beliefs of the decider, as the API takes and returns them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from services.admin.rest.schemas import In, Out, Reason


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


class ModelChange(In):
    """Why a model is promoted, taken out of service or rolled back."""

    reason: Reason = Field("", examples=["better on the new tenant"])


class PosteriorView(Out):
    """A belief that the decider holds: about lead times, capacities, latencies."""

    id: int = Field(examples=[9])
    kind: str = Field(examples=["lead_time"])
    scope: str = Field(examples=["workload:12"])
    namespace: str | None = Field(None, description="Null: of no single workload")
    workload: str | None = Field(None, examples=["llama-70b"])
    status: str = Field(description="`rejected`: the one before stays in use")
    reason: str = Field(examples=[""])
    n_observations: int = Field(examples=[37])
    summary: dict[str, Any] = Field(examples=[{"median_s": 74.2}])
    diagnostics: dict[str, Any] = Field(examples=[{"rhat": 1.002}])
    fitted_at: datetime


class PosteriorDetail(PosteriorView):
    """A belief with quantiles of its draws."""

    n_draws: int | None = Field(description="Null: no draws are kept", examples=[1000])
    quantiles: dict[str, list[float | None]] = Field(
        description="Quantile level to one value per quantity of `quantities`",
        examples=[{"0.5": [74.2], "0.9": [131.0]}],
    )
    quantities: list[str] = Field(
        description="What a draw holds, with its unit", examples=[["lead_time_s"]]
    )
