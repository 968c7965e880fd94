"""Gauges of the newest forecasts of a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from forecaster import MODEL_RUNG
from services.forecasting.rows.translate import ForecastRow, WorkloadRow, level_key
from services.kernel import telemetry

SHOWN_LEVELS = (0.5, 0.9, 0.99)
_KEPT_STEPS = 3


class WorkloadLabels(NamedTuple):
    """Labels of a workload's metrics."""

    namespace: str
    name: str


class _Shown(NamedTuple):
    """The rung shown, and the origin that it answered for."""

    rung: str
    origin_at: datetime


@dataclass(slots=True)
class Rungs:
    """The rung that `harmony_fallback_active` shows of each workload: one, the newest.

    Several workers share the shards, so one that has not seen a workload for some steps knows
    nothing of it any longer, and shows nothing.
    """

    _shown: dict[WorkloadLabels, _Shown] = field(default_factory=dict)

    def show(self, key: WorkloadLabels, row: ForecastRow) -> None:
        """Show the rung that answered, and no longer the one before; an older answer is no news."""
        rung, origin_at = self._shown.get(key, _Shown(row.rung, row.origin_at))
        if row.origin_at < origin_at:
            return
        if rung != row.rung:
            telemetry.fallback_active.remove(*key, rung)
        self._shown[key] = _Shown(row.rung, row.origin_at)
        # the model's own answer may have a reason too: what it says of further loads
        is_fallback = row.rung != MODEL_RUNG
        telemetry.fallback_active.labels(*key, row.rung).set(is_fallback)

    def forget(self, before: datetime) -> None:
        """Show nothing of workloads whose newest forecast here is of before `before`."""
        old = {key: rung for key, (rung, at) in self._shown.items() if at < before}
        for key, rung in old.items():
            del self._shown[key]
            telemetry.fallback_active.remove(*key, rung)


RUNGS = Rungs()
"""Of this process, as the gauges are."""


def measure(
    workloads: Sequence[WorkloadRow], rows: Sequence[ForecastRow], n_new: int, rungs: Rungs = RUNGS
) -> None:
    """Count the forecasts of a shard and show the newest.

    Args:
        workloads: Of the shard.
        rows: Their forecasts.
        n_new: How many of them were stored now.
        rungs: What is shown of the rungs.
    """
    by_id = {w.id: w for w in workloads}
    for row in rows:
        workload = by_id[row.workload_id]
        labels = WorkloadLabels(workload.namespace, workload.name)
        if n_new:
            telemetry.forecasts_total.labels(row.rung).inc()
        rungs.show(labels, row)
        for level, quantile in zip(row.quantile_levels, row.quantiles, strict=True):
            if any(abs(level - shown) < 1e-6 for shown in SHOWN_LEVELS):
                key = level_key(level)
                telemetry.forecast_quantile.labels(*labels, key).set(quantile[0])
    if rows:
        newest = max(rows, key=lambda row: row.origin_at)
        longest_s = max(row.step_s for row in rows)
        rungs.forget(newest.origin_at - timedelta(seconds=_KEPT_STEPS * longest_s))


def measure_latency(rows: Sequence[ForecastRow], stored_at: datetime) -> None:
    """Time from the end of their step until forecasts were stored at `stored_at`."""
    for row in rows:
        ended_at = row.origin_at + timedelta(seconds=row.step_s)
        latency_s = (stored_at - ended_at).total_seconds()
        telemetry.forecast_latency_seconds.observe(max(0.0, latency_s))
