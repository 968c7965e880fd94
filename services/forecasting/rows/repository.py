"""All SQL of the forecasting service."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert

from services.forecasting.rows.translate import ForecastRow, IndicatorKey, Samples, WorkloadRow
from services.kernel.db.schema import calibration_states, forecast_scores, forecasts
from services.kernel.db.session import CopyTarget, copy_rows, next_ids
from services.kernel.domain.workload import WorkloadSpec

FORECAST_COLUMNS = (
    "id",
    "workload_id",
    "origin_at",
    "model_version",
    "rung",
    "reason",
    "step_s",
    "n_horizon",
    "quantile_levels",
    "quantiles",
    "n_paths",
    "paths",
    "path_scale",
    "further_names",
    "further_paths",
    "further_scales",
    "created_at",
)
SCORE_COLUMNS = (
    "forecast_id",
    "origin_at",
    "workload_id",
    "model_version",
    "n_steps",
    "crps",
    "pinball",
    "coverage",
    "crps_last_value",
    "skill_vs_last_value",
    "scored_at",
)


def load_steps_s(connection: Connection, shard: int) -> dict[int, int]:
    """Step length of each active workload of a shard, by id; specs are not read."""
    statement = text(
        "SELECT id, step_s FROM workloads WHERE is_active AND shard = :shard ORDER BY id"
    )
    return {r.id: r.step_s for r in connection.execute(statement, {"shard": shard})}


def load_unforecast(connection: Connection, ids: Sequence[int], origin_at: datetime) -> list[int]:
    """Those of some workloads that have no forecast at an origin, of whichever model.

    A model that is promoted meanwhile forecasts the next origin: this one may be decided.
    """
    statement = text(
        "SELECT id FROM unnest(CAST(:ids AS integer[])) AS w(id) WHERE NOT EXISTS ("
        "SELECT FROM forecasts f WHERE f.workload_id = w.id AND f.origin_at = :origin_at) "
        "ORDER BY id"
    )
    return list(connection.scalars(statement, {"ids": list(ids), "origin_at": origin_at}))


def load_workloads(connection: Connection, ids: Sequence[int] | None = None) -> list[WorkloadRow]:
    """Active workloads, some or all."""
    statement = text(
        "SELECT id, namespace, name, step_s, spec FROM workloads "
        "WHERE is_active AND (CAST(:ids AS integer[]) IS NULL OR id = ANY(:ids)) ORDER BY id"
    )
    return [
        WorkloadRow(r.id, r.namespace, r.name, r.step_s, WorkloadSpec.model_validate(r.spec))
        for r in connection.execute(statement, {"ids": None if ids is None else list(ids)})
    ]


@dataclass(frozen=True, slots=True)
class Span:
    """A closed stretch of steps, by their start."""

    first_at: datetime
    last_at: datetime


def load_samples(
    connection: Connection,
    series: Sequence[IndicatorKey],
    origin_at: datetime,
    step_s: int,
    spans: Sequence[Span],
) -> Samples:
    """Observed steps of some series within `spans`, in one query.

    Each series comes back as one packed array of (steps from the origin, value): an order of
    magnitude less to send and parse than rows. The aggregate inside the lateral join makes
    Postgres walk the key once per series and span, so the cost does not grow with the history
    kept. Spans must not overlap.
    """
    statement = text(
        "SELECT k.workload_id, k.indicator, "
        "string_agg(i.packed, ''::bytea ORDER BY s.first_at) AS packed "
        "FROM unnest(CAST(:ids AS integer[]), CAST(:names AS text[])) AS k(workload_id, indicator) "
        "CROSS JOIN unnest(CAST(:firsts AS timestamptz[]), CAST(:lasts AS timestamptz[])) "
        "  AS s(first_at, last_at) "
        "CROSS JOIN LATERAL (SELECT string_agg("
        "    int4send((extract(epoch FROM step_at - :origin_at) / :step_s)::int)"
        "    || float4send(value), ''::bytea ORDER BY step_at) AS packed "
        "  FROM indicators WHERE workload_id = k.workload_id AND indicator = k.indicator "
        "  AND step_at BETWEEN s.first_at AND s.last_at "
        "  AND is_observed AND value IS NOT NULL) AS i "
        "WHERE i.packed IS NOT NULL GROUP BY k.workload_id, k.indicator"
    )
    parameters = {
        "ids": [key.workload_id for key in series],
        "names": [key.indicator for key in series],
        "origin_at": origin_at,
        "step_s": step_s,
        "firsts": [span.first_at for span in spans],
        "lasts": [span.last_at for span in spans],
    }
    rows = connection.execute(statement, parameters)
    return {IndicatorKey(r.workload_id, r.indicator): bytes(r.packed) for r in rows}


def indicator_keys(workloads: Iterable[WorkloadRow]) -> list[IndicatorKey]:
    """Keys of all indicators of some workloads."""
    return [
        IndicatorKey(w.id, indicator.name) for w in workloads for indicator in w.spec.indicators
    ]


def insert_forecasts(
    connection: Connection, rows: Sequence[ForecastRow], created_at: datetime
) -> tuple[int, list[int]]:
    """Store forecasts by COPY; those already there stay. Returns how many were new, and the ids."""
    ids = next_ids(connection, "forecasts_id_seq", len(rows))
    target = CopyTarget(
        forecasts, FORECAST_COLUMNS, "nothing", ("workload_id", "origin_at", "model_version")
    )
    values = [(i, *_values(row), created_at) for i, row in zip(ids, rows, strict=True)]
    return copy_rows(connection, target, values), ids


def _values(row: ForecastRow) -> tuple[Any, ...]:
    return tuple(getattr(row, column) for column in FORECAST_COLUMNS[1:-1])


def load_calibration(
    connection: Connection, workload_ids: Sequence[int], model_version: str
) -> dict[int, dict[str, Any]]:
    """Calibration state per workload id."""
    statement = text(
        "SELECT workload_id, state FROM calibration_states "
        "WHERE workload_id = ANY(:ids) AND model_version = :version"
    )
    rows = connection.execute(statement, {"ids": list(workload_ids), "version": model_version})
    return {r.workload_id: r.state for r in rows}


def save_calibration(
    connection: Connection, model_version: str, states: dict[int, dict[str, Any]], at: datetime
) -> None:
    """Overwrite calibration states."""
    if not states:
        return
    statement = insert(calibration_states)
    statement = statement.on_conflict_do_update(
        index_elements=["workload_id", "model_version"],
        set_={"state": statement.excluded.state, "updated_at": statement.excluded.updated_at},
    )
    rows = [
        {"workload_id": i, "model_version": model_version, "state": state, "updated_at": at}
        for i, state in states.items()
    ]
    connection.execute(statement, rows)


@dataclass(frozen=True, slots=True)
class DueForecast:
    """A stored forecast whose horizon has passed."""

    id: int
    workload_id: int
    origin_at: datetime
    model_version: str
    step_s: int
    quantile_levels: list[float]
    quantiles: list[list[float]]
    n_paths: int
    further_names: list[str] | None = None
    further_paths: bytes | None = None
    further_scales: list[float] | None = None
    rung: str = ""


def try_lock_scoring(connection: Connection) -> bool:
    """Become the only one that scores until this transaction ends; false when another does.

    Two scorers at once would let calibration learn the same outcome twice.
    """
    statement = text("SELECT pg_try_advisory_xact_lock(hashtext('harmony.forecast.score'))")
    return bool(connection.execute(statement).scalar_one())


def load_due(connection: Connection, now: datetime, n_most: int) -> list[DueForecast]:
    """Forecasts with numbers, all steps complete, not yet scored; oldest first."""
    statement = text(
        "SELECT f.id, f.workload_id, f.origin_at, f.model_version, f.step_s, f.quantile_levels, "
        "f.quantiles, f.n_paths, f.further_names, f.further_paths, f.further_scales, f.rung "
        "FROM forecasts f "
        "LEFT JOIN forecast_scores s ON s.forecast_id = f.id AND s.origin_at = f.origin_at "
        "WHERE s.forecast_id IS NULL AND f.n_paths > 0 "
        "AND f.origin_at > :oldest AND f.origin_at <= :now "
        "AND f.origin_at + make_interval(secs => (f.n_horizon + 1) * f.step_s) <= :now "
        "ORDER BY f.origin_at, f.id LIMIT :n"
    )
    oldest = now - timedelta(days=3)
    rows = connection.execute(statement, {"now": now, "oldest": oldest, "n": n_most})
    return [DueForecast(*r) for r in rows]


def insert_scores(connection: Connection, rows: Iterable[Sequence[Any]]) -> int:
    """Store scores by COPY; those already there stay."""
    target = CopyTarget(forecast_scores, SCORE_COLUMNS, "nothing", ("forecast_id", "origin_at"))
    return copy_rows(connection, target, rows)


def load_missing_forecasts(connection: Connection, now: datetime) -> list[tuple[int, datetime]]:
    """(shard, origin) pairs that have indicators but lack a forecast of some active workload.

    Looks back twelve steps, and never further than a shard's first forecast: history that was
    loaded at registration is not forecast after the fact.
    """
    statement = text(
        "WITH active AS (SELECT id, shard, step_s, spec->>'demand' AS demand FROM workloads "
        "  WHERE is_active), "
        "started AS (SELECT a.shard, min(f.origin_at) AS origin_at FROM active a "
        "  JOIN forecasts f ON f.workload_id = a.id AND f.origin_at > :now - interval '14 days' "
        "  GROUP BY a.shard), "
        "origins AS (SELECT DISTINCT a.shard, i.step_at FROM active a JOIN indicators i "
        # by the demand: a schedule has rows of steps that are not complete
        "  ON i.workload_id = a.id AND i.indicator = a.demand "
        "  AND i.step_at <= :now - make_interval(secs => a.step_s) "
        "  AND i.step_at > :now - make_interval(secs => 14 * a.step_s) "
        "  AND i.step_at > :now - interval '1 day'), "
        "newest AS (SELECT shard, max(step_at) AS step_at FROM origins GROUP BY shard) "
        "SELECT o.shard, o.step_at FROM origins o JOIN newest n USING (shard) "
        "LEFT JOIN started s USING (shard) "
        "WHERE o.step_at >= coalesce(s.origin_at, n.step_at) AND EXISTS ("
        "  SELECT 1 FROM active a WHERE a.shard = o.shard AND NOT EXISTS ("
        "    SELECT 1 FROM forecasts f WHERE f.workload_id = a.id AND f.origin_at = o.step_at)) "
        "ORDER BY o.step_at, o.shard"
    )
    return [(r.shard, r.step_at) for r in connection.execute(statement, {"now": now})]


def load_undecided(connection: Connection, now: datetime) -> list[tuple[int, datetime]]:
    """(shard, origin) pairs of the last twelve steps with a forecast but no decision."""
    statement = text(
        "SELECT DISTINCT w.shard, f.origin_at FROM forecasts f "
        "JOIN workloads w ON w.id = f.workload_id AND w.is_active "
        "WHERE f.origin_at > :now - make_interval(secs => 14 * f.step_s) "
        "AND f.origin_at > :now - interval '1 day' AND f.origin_at <= :now "
        "AND NOT EXISTS (SELECT 1 FROM decisions d "
        "  WHERE d.workload_id = f.workload_id AND d.origin_at = f.origin_at) "
        "ORDER BY f.origin_at, w.shard"
    )
    return [(r.shard, r.origin_at) for r in connection.execute(statement, {"now": now})]
