"""Forecast a shard at an origin; find what was lost and send it again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, Engine

from services.forecasting.forecast.joint import Answered, with_further_loads
from services.forecasting.forecast.measures import measure, measure_latency
from services.forecasting.online.learn import corrected, stored_states
from services.forecasting.registry.store import ModelStore, Serving
from services.forecasting.rows import repository
from services.forecasting.rows.translate import (
    ForecastRow,
    Refused,
    WorkloadRow,
    to_refused_row,
    to_rows,
)
from services.forecasting.rows.windows import windows_at
from services.kernel import telemetry
from services.kernel.clock import Clock, make_rng
from services.kernel.db.session import unit_of_work
from services.kernel.db.workload_errors import FORECAST, error_message, in_bulkheads
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
    """Dependencies of the use cases of this service."""

    engine: Engine
    settings: Settings
    clock: Clock
    sender: JobSender
    store: ModelStore


def forecast_shard(app: Forecasting, shard: int, origin_at: datetime) -> int:
    """Forecast every active workload of a shard at one origin and pass it on to the decision.

    Safe to run twice: what is forecast is not computed again, and the decision job is sent again.

    Returns:
        New forecasts.
    """
    now = app.clock.now()
    with unit_of_work(app.engine, app.sender) as work:
        steps_s = repository.load_steps_s(work.connection, shard)
        if not steps_s:
            return 0
        serving = app.store.current(work.connection)

        def forecast_some(ids: Sequence[int]) -> _Forecasted:
            rng = make_rng(app.settings.seed, "forecast", shard, origin_at.isoformat())
            return _forecast_some(app, work.connection, _ShardSource(serving, origin_at, rng), ids)

        missing = repository.load_unforecast(work.connection, list(steps_s), origin_at)
        parts = in_bulkheads(work, FORECAST, missing, forecast_some, now)
        horizon = min(app.settings.horizon_steps, serving.config.window.horizon)
        refused = [
            Refused(one.item, steps_s[one.item], error_message(one.error)) for one in parts.apart
        ]
        rows = [to_refused_row(one, origin_at, serving.version, horizon) for one in refused]
        repository.insert_forecasts(work.connection, rows, now)
        work.send_after_commit(shard_job(DECIDE_SHARD, shard, origin_at))
        step_s = next(iter(steps_s.values()))
        if missing and _is_scoring_due(shard, origin_at, step_s, serving.config.window.horizon):
            work.send_after_commit(Job(FORECAST_SCORE))
    for part in parts.results:
        measure(part.workloads, part.rows, part.n_new)
        if part.n_new:
            measure_latency(part.rows, app.clock.now())
            _say(part.rows, part.ids)
    return sum(part.n_new for part in parts.results)


class _ShardSource(NamedTuple):
    """What a shard's forecasts come from."""

    serving: Serving
    origin_at: datetime
    rng: np.random.Generator


class _Forecasted(NamedTuple):
    """Forecasts of some workloads, the ids of their rows, and how many of them are new."""

    workloads: Sequence[WorkloadRow]
    rows: Sequence[ForecastRow]
    n_new: int
    ids: Sequence[int]


def _forecast_some(
    app: Forecasting, connection: Connection, source: _ShardSource, ids: Sequence[int]
) -> _Forecasted:
    """Forecast and store some workloads of a shard."""
    workloads = repository.load_workloads(connection, ids)
    groups: dict[int, list[WorkloadRow]] = defaultdict(list)
    for workload in workloads:
        groups[workload.step_s].append(workload)
    rows = [
        row for group in groups.values() for row in _forecast_group(app, connection, source, group)
    ]
    n_new, row_ids = repository.insert_forecasts(connection, rows, app.clock.now())
    return _Forecasted(workloads, rows, n_new, row_ids)


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
    app: Forecasting, connection: Connection, source: _ShardSource, workloads: Sequence[WorkloadRow]
) -> list[ForecastRow]:
    """Forecast workloads on one step length."""
    serving, origin_at, rng = source
    window = serving.config.window
    windows = windows_at(connection, window, workloads, origin_at)
    horizon = min(app.settings.horizon_steps, window.horizon)
    result = serving.ladder.predict(windows, horizon, app.settings.n_paths, rng)
    has_numbers = result.forecast is not None
    stored = stored_states(connection, serving, workloads) if has_numbers else {}
    result = corrected(stored, serving, workloads, windows, result)
    rows = to_rows(workloads, result, origin_at, serving.version, horizon)
    answered = Answered(serving, workloads, windows, result)
    return with_further_loads(rows, answered, stored, app.settings.seed)


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
