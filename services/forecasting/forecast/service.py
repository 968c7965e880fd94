"""Forecast a shard at an origin; find what was lost and send it again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, Engine

from services.forecasting.forecast.joint import Answered, with_further_loads
from services.forecasting.forecast.measures import measure
from services.forecasting.online.learn import corrected, stored_states
from services.forecasting.registry.store import ModelStore, Serving
from services.forecasting.rows import repository
from services.forecasting.rows.repository import ShardWorkload
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
from services.kernel.db.session import UnitOfWork, unit_of_work
from services.kernel.db.steps.kept import KeptSteps
from services.kernel.db.turns import (
    DECIDE as DECIDE_STAGE,
    FORECAST as FORECAST_STAGE,
    Asked,
    Turn,
    load_waiting,
    note_asked,
    note_done,
    take_turn,
)
from services.kernel.db.workload_errors import FORECAST, error_message, in_bulkheads
from services.kernel.jobs import (
    DECIDE_SHARD,
    FORECAST_SCORE,
    FORECAST_SHARD,
    Job,
    JobSender,
    shard_job,
)
from services.kernel.server_clock import shared_now
from services.kernel.settings import Settings
from services.kernel.telemetry import get_logger


@dataclass(frozen=True, slots=True)
class Forecasting:
    """Dependencies of the use cases of this service.

    Attributes:
        kept: What contexts were read last, by this process.
    """

    engine: Engine
    settings: Settings
    clock: Clock
    sender: JobSender
    store: ModelStore
    kept: KeptSteps = field(default_factory=KeptSteps)

    def now(self, connection: Connection) -> datetime:
        """The time that is stored, and compared with what others stored."""
        return shared_now(connection, self.clock)


def forecast_shard(
    app: Forecasting, shard: int, origin_at: datetime, *, is_rest: bool = False
) -> int:
    """Forecast the workloads of a shard that are due at an origin, and pass it on to the decision.

    Safe to run twice: what is forecast already is not forecast again, and the decision job is sent
    again. A run that comes late forecasts at the newest origin instead, and while shards are behind
    the urgent workloads only: see `services.kernel.db.turns`.

    Args:
        app: What the use case needs.
        shard: The shard.
        origin_at: The origin asked for.
        is_rest: It is the turn of those that waited.

    Returns:
        New forecasts.
    """
    now = app.clock.now()
    with unit_of_work(app.engine, app.sender) as work:
        serving = app.store.current(work.connection)
        due = repository.load_shard(work.connection, shard, origin_at, now)
        if not due.workloads:
            return 0
        step = timedelta(seconds=due.step_s)
        asked = Asked(FORECAST_STAGE, shard, origin_at, step, due.is_some)
        turn = take_turn(work.connection, asked, now)
        if turn.is_late:
            due = repository.load_shard(work.connection, shard, turn.origin_at, now)
            asked = replace(asked, origin_at=turn.origin_at)
        wanted = _ShardTurn(asked, turn, due.workloads, is_rest)
        parts = _forecast_missing(app, work, serving, wanted, now)
        is_scoring_due = _is_scoring_due(
            shard, origin_at, step // timedelta(seconds=1), serving.config.window.horizon
        )
        if is_scoring_due:
            work.send_after_commit(Job(FORECAST_SCORE, is_deferred=True))
    for part in parts:
        if part.n_new:
            late = timedelta(seconds=app.settings.source_late_s)  # it is not ours
            measure(part.rows, app.clock.now() - late)
            _say(part.rows, part.ids)
    return sum(part.n_new for part in parts)


class _ShardTurn(NamedTuple):
    """A shard's run: what is done, its turn, its workloads, and whether those had waited."""

    done: Asked
    turn: Turn
    found: Sequence[ShardWorkload]
    is_rest: bool


def _forecast_missing(
    app: Forecasting, work: UnitOfWork, serving: Serving, wanted: _ShardTurn, now: datetime
) -> Sequence[_Forecasted]:
    """Forecast what the turn is for and is not forecast yet, and ask for what follows."""
    done, turn, found, is_rest = wanted
    shard = done.shard
    origin_at, is_urgent_only = turn.origin_at, turn.is_urgent_only and not is_rest
    steps_s = {
        one.id: one.step_s
        for one in found
        if not one.is_done and (one.is_urgent or not is_urgent_only)
    }

    def forecast_some(ids: Sequence[int]) -> _Forecasted:
        rng = make_rng(app.settings.seed, "forecast", shard, origin_at.isoformat())
        return _forecast_some(app, work.connection, _ShardSource(serving, origin_at, rng), ids)

    parts = in_bulkheads(work, FORECAST, list(steps_s), forecast_some, now)
    horizon = min(app.settings.horizon_steps, serving.config.window.horizon)
    refused = [
        Refused(one.item, steps_s[one.item], error_message(one.error)) for one in parts.apart
    ]
    rows = [to_refused_row(one, origin_at, serving.version, horizon) for one in refused]
    repository.insert_forecasts(work.connection, rows, now)
    is_waiting = is_urgent_only and any(not (one.is_urgent or one.is_done) for one in found)
    note_done(work.connection, done, is_waiting=is_waiting, now=now)
    if is_waiting:
        work.send_after_commit(shard_job(FORECAST_SHARD, shard, origin_at, is_rest=True))
    if steps_s or (not turn.is_late and not is_waiting):
        note_asked(work.connection, DECIDE_STAGE, shard, origin_at)
        work.send_after_commit(shard_job(DECIDE_SHARD, shard, origin_at, is_rest=is_rest))
    return parts.results


class _ShardSource(NamedTuple):
    """What a shard's forecasts come from."""

    serving: Serving
    origin_at: datetime
    rng: np.random.Generator


class _Forecasted(NamedTuple):
    """Forecasts of some workloads, the ids of their rows, and how many of them are new."""

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
    return _Forecasted(rows, n_new, row_ids)


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
    windows = windows_at(connection, window, workloads, origin_at, app.kept)
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
        waiting = load_waiting(work.connection, FORECAST_STAGE)
        for shard, origin_at in missing:
            note_asked(work.connection, FORECAST_STAGE, shard, origin_at)
            is_rest = waiting.get(shard) == origin_at  # their job may wait still: it is one
            work.send_after_commit(shard_job(FORECAST_SHARD, shard, origin_at, is_rest=is_rest))
        waiting = load_waiting(work.connection, DECIDE_STAGE)
        for shard, origin_at in undecided:
            is_rest = waiting.get(shard) == origin_at
            work.send_after_commit(shard_job(DECIDE_SHARD, shard, origin_at, is_rest=is_rest))
    telemetry.jobs_resent_total.labels(FORECAST_SHARD).inc(len(missing))
    telemetry.jobs_resent_total.labels(DECIDE_SHARD).inc(len(undecided))
    return len(missing) + len(undecided)
