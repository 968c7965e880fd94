"""Forecast a shard at an origin; find what was lost and send it again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from sqlalchemy import Connection, Engine

from forecaster.calibration import calibrate, from_dicts
from forecaster.config import WindowConfig
from forecaster.ladder import LadderForecast
from services.forecasting import repository
from services.forecasting.measures import measure, measure_latency
from services.forecasting.model_store import ModelStore, Serving
from services.forecasting.repository import Span
from services.forecasting.translate import (
    ForecastRow,
    Samples,
    WorkloadRow,
    join_samples,
    known_ahead_pairs,
    to_rows,
    to_windows,
)
from services.kernel import telemetry
from services.kernel.clock import Clock, make_rng
from services.kernel.db.session import unit_of_work
from services.kernel.jobs import (
    DECIDE_SHARD,
    FORECAST_SCORE,
    FORECAST_SHARD,
    Job,
    JobSender,
    shard_job,
)
from services.kernel.settings import Settings
from services.kernel.telemetry import get_logger


@dataclass(frozen=True, slots=True)
class Forecasting:
    """What the use cases of this service need."""

    engine: Engine
    settings: Settings
    clock: Clock
    sender: JobSender
    store: ModelStore


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


def forecast_shard(app: Forecasting, shard: int, origin_at: datetime) -> int:
    """Forecast every active workload of a shard at one origin and pass it on to the decision.

    Safe to run twice: forecasts that are there already stay, and the decision job is sent again.

    Returns:
        New forecasts.
    """
    rows: list[ForecastRow] = []
    with unit_of_work(app.engine, app.sender) as work:
        workloads = repository.load_workloads(work.connection, shard)
        if not workloads:
            return 0
        serving = app.store.current(work.connection)
        rng = make_rng(app.settings.seed, "forecast", shard, origin_at.isoformat())
        groups: dict[int, list[WorkloadRow]] = defaultdict(list)
        for workload in workloads:
            groups[workload.step_s].append(workload)
        for group in groups.values():
            rows += _forecast_group(app, work.connection, serving, group, origin_at, rng)
        n_new, ids = repository.insert_forecasts(work.connection, rows, app.clock.now())
        work.send_after_commit(shard_job(DECIDE_SHARD, shard, origin_at))
        if _is_scoring_due(shard, origin_at, workloads[0].step_s, serving.config.window.horizon):
            work.send_after_commit(Job(FORECAST_SCORE))
    measure(workloads, rows, n_new)
    if n_new:
        measure_latency(rows, app.clock.now())
        _say(rows, ids)
    return n_new


def _say(rows: Sequence[ForecastRow], ids: Sequence[int]) -> None:
    """A line for each forecast, by which its decision is found."""
    log = get_logger("forecasting")
    for row, forecast_id in zip(rows, ids, strict=True):
        log.debug(
            "forecast",
            workload_id=row.workload_id,
            forecast_id=forecast_id,
            origin_at=row.origin_at.isoformat(),
            rung=row.rung,
            reason=row.reason,
        )


def _is_scoring_due(shard: int, origin_at: datetime, step_s: int, horizon: int) -> bool:
    """Once per horizon and shard, so that calibration keeps pace with a replay at any speed."""
    return (int(origin_at.timestamp()) // step_s - shard) % horizon == 0


def _forecast_group(
    app: Forecasting,
    connection: Connection,
    serving: Serving,
    workloads: Sequence[WorkloadRow],
    origin_at: datetime,
    rng: np.random.Generator,
) -> list[ForecastRow]:
    """Forecast workloads on one step length."""
    window = serving.config.window
    samples = _load_samples(connection, workloads, origin_at, window)
    windows = to_windows(workloads, samples, int(origin_at.timestamp()), window)
    horizon = min(app.settings.horizon_steps, window.horizon)
    result = serving.ladder.predict(windows, horizon, app.settings.n_paths, rng)
    result = _calibrated(connection, serving, workloads, result)
    return to_rows(workloads, result, origin_at, serving.version, horizon)


def _load_samples(
    connection: Connection,
    workloads: Sequence[WorkloadRow],
    origin_at: datetime,
    window: WindowConfig,
) -> Samples:
    """All that the windows of workloads on one step length read."""
    step_s = workloads[0].step_s
    pairs, spans = repository.indicator_pairs(workloads), context_spans(origin_at, step_s, window)
    samples = repository.load_samples(connection, pairs, origin_at, step_s, spans)
    schedules = known_ahead_pairs(workloads)
    if not schedules:
        return samples
    spans = [horizon_span(origin_at, step_s, window)]
    ahead = repository.load_samples(connection, schedules, origin_at, step_s, spans)
    return join_samples(samples, ahead)


def _calibrated(
    connection: Connection,
    serving: Serving,
    workloads: Sequence[WorkloadRow],
    result: LadderForecast,
) -> LadderForecast:
    if result.forecast is None:
        return result
    by_key = {w.key: w.id for w in workloads}
    stored = repository.load_calibration(connection, list(by_key.values()), serving.version)
    forecast = result.forecast
    state = from_dicts(
        forecast.workloads,
        forecast.quantile_levels,
        {key: stored[i] for key, i in by_key.items() if i in stored},
    )
    return replace(result, forecast=calibrate(forecast, state))


def sweep(app: Forecasting) -> int:
    """Send again what a lost job left behind; returns how many jobs were sent.

    Origins that have indicators but no forecast are forecast; forecasts without a decision are
    passed on.
    """
    now = app.clock.now()
    with unit_of_work(app.engine, app.sender) as work:
        missing = repository.load_missing_forecasts(work.connection, now)
        undecided = repository.load_undecided(work.connection, now)
        for shard, origin_at in missing:
            work.send_after_commit(shard_job(FORECAST_SHARD, shard, origin_at))
        for shard, origin_at in undecided:
            work.send_after_commit(shard_job(DECIDE_SHARD, shard, origin_at))
    telemetry.jobs_resent_total.labels(FORECAST_SHARD).inc(len(missing))
    telemetry.jobs_resent_total.labels(DECIDE_SHARD).inc(len(undecided))
    return len(missing) + len(undecided)
