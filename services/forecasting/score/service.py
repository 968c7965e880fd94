"""Score forecasts whose horizon has passed; hedge and calibration learn, drift is watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from sqlalchemy import Connection

from forecaster import (
    SHORT_HISTORY_RUNG,
    Calibration,
    Forecast,
    Outcome,
    below_shares,
    crps_of_quantiles,
    pinball,
)
from services.forecasting.forecast.service import Forecasting
from services.forecasting.online.further import further_keys, learned_further, with_further
from services.forecasting.online.learn import Issued, learned_hedges, with_hedges
from services.forecasting.rows import repository
from services.forecasting.rows.repository import DueForecast
from services.forecasting.rows.translate import IndicatorKey, WorkloadRow, level_key
from services.forecasting.score.drift import DriftWatch, request_refit
from services.forecasting.score.outcomes import load_outcomes
from services.kernel.db.session import UnitOfWork, unit_of_work
from services.kernel.db.steps.reading import Span
from services.kernel.db.turns import (
    DECIDE as DECIDE_STAGE,
    FORECAST as FORECAST_STAGE,
    load_waiting,
)
from services.kernel.db.workload_errors import SCORE, in_bulkheads
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.measured_by import measured_by
from services.kernel.jobs import FORECAST_SCORE, Job

MAX_DUE = 4096
"""Forecasts that one job scores: what it holds in memory and in one transaction is bounded."""
MAX_DUE_SHED = 256
"""The same while the others of a shard wait: a job holds its worker for less than a step, so that
gold that comes meanwhile is not passed over."""
SHOWN_LEVELS = (0.5, 0.9, 0.95, 0.99)


def score_forecasts(app: Forecasting) -> int:
    """Score what is due, oldest first; returns how many forecasts were scored.

    Only one scorer runs at a time; another returns 0 at once. Where more is due than one job
    takes, another job follows at once, behind the jobs of shards: a fleet whose cycle has more
    forecasts than that would never be scored to the end. A job takes less while shards shed.
    """
    with unit_of_work(app.engine, app.sender) as work:
        if not repository.try_lock_scoring(work.connection):
            return 0
        now = app.now(work.connection)
        n_most = _n_most(work.connection)
        # a horizon until a forecast is due, and another until its shard asks for scores again
        reach, step_s = 2 * (app.settings.horizon_steps + 1), app.settings.step_s
        due = repository.load_due(work.connection, now, n_most, reach, step_s)
        if not due:
            return 0
        judged = [row for row in due if not row.is_of_another_demand]
        ids = sorted({row.workload_id for row in judged})

        def score_some(some: Sequence[int]) -> int:
            chosen = frozenset(some)
            return _score_some(app, work, [row for row in judged if row.workload_id in chosen], now)

        parts = in_bulkheads(work, SCORE, ids, score_some, now)
        failed = {one.item for one in parts.apart}
        unscored = [
            _unscored_row(row, now)
            for row in due
            if row.is_of_another_demand or row.workload_id in failed
        ]
        repository.insert_scores(work.connection, unscored)
        request_refit(app, work, now)
        if len(due) == n_most:
            work.send_after_commit(Job(FORECAST_SCORE, is_deferred=True))
    return sum(parts.results)


def _n_most(connection: Connection) -> int:
    """Forecasts that a job scores now."""
    is_shed = any(load_waiting(connection, stage) for stage in (FORECAST_STAGE, DECIDE_STAGE))
    return MAX_DUE_SHED if is_shed else MAX_DUE


def _score_some(
    app: Forecasting, work: UnitOfWork, due: Sequence[DueForecast], now: datetime
) -> int:
    """Score the due forecasts of some workloads; returns how many were scored."""
    ids = sorted({row.workload_id for row in due})
    workloads = {w.id: w for w in repository.load_workloads(work.connection, ids)}
    due = [row for row in due if row.workload_id in workloads]
    others = {r.id for r in due if _is_of_other_loads(r, workloads[r.workload_id].spec)}
    unscored = [_unscored_row(row, now) for row in due if row.id in others]
    repository.insert_scores(work.connection, unscored)
    due = [row for row in due if row.id not in others]
    due.sort(key=lambda row: (row.origin_at, row.model_version, row.step_s, row.workload_id))
    states: dict[str, dict[int, dict[str, Any]]] = {}
    watches: dict[str, DriftWatch] = {}
    for (_, version, _), rows in groupby(
        due, key=lambda row: (row.origin_at, row.model_version, row.step_s)
    ):
        group = _load_group(work.connection, workloads, list(rows))
        if version not in states:
            states[version] = repository.load_calibration(work.connection, ids, version)
            watches[version] = DriftWatch(app, work.connection, version, workloads)
        before = states[version]
        after = _score_group(work.connection, workloads, group, before, now)
        weights = _hedges(app, work.connection, workloads, group, before)
        after = with_hedges(after, before, weights)
        loads = learned_further(before, group.rows, group.forecast, _lessons_of_further(group))
        states[version] = before | with_further(after, before, loads, workloads)
        watches[version].observe(
            [row.workload_id for row in group.rows], group.forecast, _lessons(group)
        )
    for version, by_id in states.items():
        specs = {i: workloads[i].spec for i in by_id if i in workloads}
        repository.save_calibration(work.connection, version, by_id, specs, now)
    _save_drift(app, work, watches, now)
    return len(due)


def _is_of_other_loads(row: DueForecast, spec: WorkloadSpec) -> bool:
    """What was forecast is measured by something else now, so nothing is known of what came of it.

    Before a workload has a calibration its forecasts alone say so.
    """
    return row.measured_by is not None and row.measured_by != measured_by(spec, spec.loads)


def _save_drift(
    app: Forecasting, work: UnitOfWork, watches: Mapping[str, DriftWatch], now: datetime
) -> None:
    """Store drift; inputs are compared for the model that serves only."""
    serving = app.store.current(work.connection).version
    for version, watch in watches.items():
        if version == serving:
            watch.compare_inputs(now)
        watch.save(now)


@dataclass(frozen=True, slots=True)
class _Group:
    """Forecasts of one origin, model and step with their outcomes.

    Attributes:
        rows: B forecasts as they are stored.
        forecast: The same as values.
        outcome: Demand, zero where unobserved.
        last: `(B,)` demand last observed in the dozen steps before the origin; NaN: none.
        further: What came of the further loads, of `further_keys`.
    """

    rows: list[DueForecast]
    forecast: Forecast
    outcome: Outcome
    last: npt.NDArray[np.float32]
    further: Outcome


def _load_group(
    connection: Connection, workloads: Mapping[int, WorkloadRow], rows: list[DueForecast]
) -> _Group:
    """Read what happened after the origin of `rows`."""
    origin_at, step_s = rows[0].origin_at, rows[0].step_s
    horizon = max(len(row.quantiles[0]) for row in rows)
    step = timedelta(seconds=step_s)
    span = Span(origin_at - 11 * step, origin_at + horizon * step)
    demands = [
        IndicatorKey(row.workload_id, workloads[row.workload_id].spec.demand) for row in rows
    ]
    loads = further_keys(rows)
    keys = list(dict.fromkeys([*demands, *loads]))
    samples = repository.load_samples(connection, keys, origin_at, step_s, [span])
    found = load_outcomes(samples, demands, horizon)
    further = load_outcomes(samples, loads, horizon).outcome
    return _Group(rows, _as_forecast(workloads, rows), found.outcome, found.last, further)


def _score_group(
    connection: Connection,
    workloads: Mapping[int, WorkloadRow],
    group: _Group,
    stored: dict[int, dict[str, Any]],
    now: datetime,
) -> dict[int, dict[str, Any]]:
    """Score a group; returns the calibration states after it."""
    rows, forecast = group.rows, group.forecast
    levels = forecast.quantile_levels
    repository.insert_scores(connection, _score_rows(group, now))
    calibration = Calibration(levels)
    state = calibration.from_dicts(
        forecast.workloads,
        {workloads[i].key: value for i, value in stored.items() if i in workloads},
    )
    state = calibration.observe(state, forecast, _lessons(group))
    return {row.workload_id: one for row, one in zip(rows, state.to_dicts(), strict=True)}


def _score_rows(group: _Group, now: datetime) -> list[tuple[object, ...]]:
    """Rows of the scores of a group, each over the steps that were observed.

    Where nothing was observed over the whole horizon, it is recorded as such: it teaches nothing.
    """
    forecast, outcome = group.forecast, group.outcome
    actual, seen, levels = outcome.actual, outcome.observed, forecast.quantile_levels
    n_seen = seen.sum(axis=1)
    keys = [level_key(level) for level in levels]
    crps = _mean_seen(crps_of_quantiles(forecast.quantiles, levels, actual), seen)
    naive = _mean_seen(np.abs(actual - np.nan_to_num(group.last)[:, None]), seen)
    is_known = np.isfinite(group.last)
    by_level = _mean_seen(pinball(forecast.quantiles, levels, actual), seen[:, None])
    covered = _mean_seen(below_shares(forecast.quantiles, levels, actual), seen[:, None])
    losses, shares = by_level.round(6).tolist(), covered.round(6).tolist()
    return [
        _score_row(
            row,
            int(n_seen[i]),
            float(crps[i]),
            dict(zip(keys, losses[i], strict=True)),
            dict(zip(keys, shares[i], strict=True)),
            float(naive[i]) if is_known[i] else None,
            now,
        )
        if n_seen[i]
        else _unscored_row(row, now)
        for i, row in enumerate(group.rows)
    ]


def _mean_seen(values: npt.NDArray[Any], seen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Mean over the last axis of what was observed; 0 where nothing was."""
    total = np.where(seen, values, 0).sum(axis=-1, dtype=np.float64)
    return np.asarray(total / np.maximum(seen.sum(axis=-1), 1))


def _lessons(group: _Group) -> Outcome:
    """Outcomes that calibration and the test for drift learn from.

    Those of a history of a few steps do not count: such a forecast has no spread to correct, and
    what it missed would widen those that have one, and speak against a model that did not answer.
    """
    return _without(group.outcome, [_is_short(row) for row in group.rows])


def _lessons_of_further(group: _Group) -> Outcome:
    """The same of the further loads, which are forecast as the demand is."""
    short = [_is_short(row) for row in group.rows for _ in row.further_names or ()]
    return _without(group.further, short)


def _is_short(row: DueForecast) -> bool:
    return row.rung == SHORT_HISTORY_RUNG


def _without(outcome: Outcome, is_left_out: Sequence[bool]) -> Outcome:
    """Outcomes of which some rows count as unobserved."""
    kept = ~np.array(is_left_out, dtype=bool)
    return replace(outcome, observed=outcome.observed & kept[:, None])


def _hedges(
    app: Forecasting,
    connection: Connection,
    workloads: Mapping[int, WorkloadRow],
    group: _Group,
    before: Mapping[int, Mapping[str, Any]],
) -> dict[int, dict[str, Any]]:
    """Hedge states of the model that serves; forecasts of others are not made again."""
    serving, first = app.store.current(connection), group.rows[0]
    if first.model_version != serving.version:
        return {}
    # one whose steps have another length by now is not read on the grid of the others
    at = [i for i, one in enumerate(group.rows) if workloads[one.workload_id].step_s == one.step_s]
    if not at:
        return {}
    rows = [workloads[group.rows[i].workload_id] for i in at]
    issued = Issued(rows, first.origin_at, group.outcome.rows(np.array(at, dtype=np.int64)))
    return learned_hedges(connection, serving, before, issued, app.settings.seed)


def _as_forecast(workloads: Mapping[int, WorkloadRow], rows: Sequence[DueForecast]) -> Forecast:
    quantiles = np.array([row.quantiles for row in rows], dtype=np.float32)
    n_rows = len(rows)
    return Forecast(
        tuple(workloads[row.workload_id].key for row in rows),
        np.array([int(row.origin_at.timestamp()) for row in rows], dtype=np.int64),
        rows[0].step_s,
        np.array(rows[0].quantile_levels, dtype=np.float64),
        quantiles,
        np.zeros((n_rows, 0, quantiles.shape[2]), dtype=np.float32),
        rows[0].model_version,
        ("",) * n_rows,
        ("",) * n_rows,
    )


def _unscored_row(row: DueForecast, now: datetime) -> tuple[object, ...]:
    """The row of a forecast that nothing can be said of."""
    return _score_row(row, 0, 0.0, {}, {}, None, now)


def _score_row(  # noqa: PLR0913 - the columns of one row
    row: DueForecast,
    n_steps: int,
    crps: float,
    by_level: dict[str, float],
    covered: dict[str, float],
    naive: float | None,
    now: datetime,
) -> tuple[object, ...]:
    skill = 1 - crps / naive if naive else None
    return (
        row.id,
        row.origin_at,
        row.workload_id,
        row.model_version,
        n_steps,
        crps,
        orjson.dumps(by_level).decode(),
        orjson.dumps(covered).decode(),
        naive,
        skill,
        now,
    )
