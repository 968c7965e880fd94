"""Forecasts at several origins, as the API returns them."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from services.admin.rest.schemas import Out
from services.admin.series.schemas import ObservedSeries


class OriginView(Out):
    """A forecast without its quantiles."""

    id: int = Field(examples=[100000])
    origin_at: datetime = Field(examples=["2026-01-05T12:00:00Z"])
    model_version: str = Field(examples=["harmony-flow-3"])
    rung: str = Field(examples=["model"])
    reason: str = Field(examples=[""])
    step_s: int = Field(examples=[60])
    n_horizon: int = Field(examples=[12])
    created_at: datetime


class FanView(Out):
    """The fan that was forecast at one origin."""

    id: int = Field(examples=[100000])
    origin_at: datetime = Field(examples=["2026-01-05T12:00:00Z"])
    model_version: str = Field(examples=["harmony-flow-3"])
    rung: str = Field(examples=["model"])
    reason: str = Field(examples=[""])
    quantile_levels: list[float] = Field(examples=[[0.1, 0.5, 0.9]])
    step_at: list[datetime] = Field(description="(H,) steps that the forecast covers")
    quantiles: list[list[float | None]] = Field(description="(Q, H) demand, one row per level")


class FansView(Out):
    """Fan charts at several origins over one course of demand."""

    step_s: int = Field(examples=[60])
    unit: str = Field(examples=["tokens/s"])
    capacity_per_replica: float = Field(examples=[1800.0])
    fans: list[FanView] = Field(description="Oldest origin first")
    observed: ObservedSeries = Field(description="From before the first to after the last fan")
