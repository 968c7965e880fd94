"""Counts of what a process has forecast; the figures of a workload are exported from its rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from services.forecasting.rows.translate import ForecastRow
from services.kernel import telemetry


def measure(rows: Sequence[ForecastRow], stored_at: datetime) -> None:
    """Count forecasts that were stored at `stored_at`, and the time since the end of their step."""
    for row in rows:
        telemetry.forecasts_total.labels(row.rung).inc()
        ended_at = row.origin_at + timedelta(seconds=row.step_s)
        latency_s = (stored_at - ended_at).total_seconds()
        telemetry.forecast_latency_seconds.observe(max(0.0, latency_s))
