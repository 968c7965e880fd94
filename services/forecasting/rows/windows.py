"""Windows of stored indicators at an origin, in one query per step length."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from forecaster import WindowConfig, Windows
from services.forecasting.rows import repository
from services.forecasting.rows.translate import (
    Samples,
    WorkloadRow,
    join_samples,
    known_ahead_keys,
    to_windows,
)
from services.kernel.db.steps.reading import Span


def windows_at(
    connection: Connection,
    window: WindowConfig,
    workloads: Sequence[WorkloadRow],
    origin_at: datetime,
) -> Windows:
    """Load windows up to `origin_at` of workloads on one step length, in their order."""
    samples = _load_samples(connection, workloads, origin_at, window)
    return to_windows(workloads, samples, int(origin_at.timestamp()), window)


def context_spans(origin_at: datetime, step_s: int, window: WindowConfig) -> list[Span]:
    """Stretches of steps that a window at `origin_at` reads; apart, oldest first."""
    step = timedelta(seconds=step_s)
    found = [Span(origin_at - (window.context - 1) * step, origin_at)]
    for lag_s in window.season_lags_s:
        lag = max(round(lag_s / step_s), 1) * step
        first = origin_at - lag - (window.season_past - 1) * step
        found.append(Span(first, min(origin_at - lag + window.horizon * step, origin_at)))
    found.sort(key=lambda span: span.first_at)
    merged = found[:1]
    for span in found[1:]:
        if span.first_at <= merged[-1].last_at:
            merged[-1] = Span(merged[-1].first_at, max(merged[-1].last_at, span.last_at))
        else:
            merged.append(span)
    return merged


def horizon_span(origin_at: datetime, step_s: int, window: WindowConfig) -> Span:
    """The steps that a forecast at `origin_at` covers; read of indicators known ahead only."""
    step = timedelta(seconds=step_s)
    return Span(origin_at + step, origin_at + window.horizon * step)


def _load_samples(
    connection: Connection,
    workloads: Sequence[WorkloadRow],
    origin_at: datetime,
    window: WindowConfig,
) -> Samples:
    """All that the windows of workloads on one step length read."""
    step_s = workloads[0].step_s
    keys, spans = repository.indicator_keys(workloads), context_spans(origin_at, step_s, window)
    samples = repository.load_samples(connection, keys, origin_at, step_s, spans)
    schedules = known_ahead_keys(workloads)
    if not schedules:
        return samples
    spans = [horizon_span(origin_at, step_s, window)]
    ahead = repository.load_samples(connection, schedules, origin_at, step_s, spans)
    return join_samples(samples, ahead)
