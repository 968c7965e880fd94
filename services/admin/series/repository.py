"""SQL of one workload's time series: demand, forecasts, allocation, scores, lead times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, TIMESTAMP

from services.admin.rest.lists_repository import Conditions, page
from services.admin.rest.times import Window
from services.kernel.clock import floor_step

Columns = dict[str, list[Any]]

# Of several models' forecasts at one origin, the one that a decision was made from is shown.
_LIVE_FIRST = (
    "(EXISTS (SELECT 1 FROM decisions d WHERE d.forecast_id = f.id AND d.origin_at = f.origin_at))"
    " DESC, f.id DESC"
)


def load_indicators(
    connection: Connection,
    workload_id: int,
    names: Sequence[str],
    window: Window,
) -> list[RowMapping]:
    """Indicator values with `step_at` in the window, by name and time."""
    statement = text(
        "SELECT indicator, step_at, value, is_observed FROM indicators "
        "WHERE workload_id = :workload_id AND indicator = ANY(:names) "
        "AND step_at BETWEEN :from_at AND :to_at ORDER BY indicator, step_at"
    ).bindparams(bindparam("names", type_=ARRAY(TEXT)))
    values = {"names": list(names), **_values(workload_id, window)}
    return list(connection.execute(statement, values).mappings().all())


def load_forecast(
    connection: Connection, workload_id: int, origin_at: datetime | None, until: datetime
) -> RowMapping | None:
    """The forecast at an origin, or at the newest one up to `until`."""
    statement = text(
        "SELECT f.id, f.origin_at, f.model_version, f.rung, f.reason, f.step_s, f.n_horizon, "  # noqa: S608
        "f.quantile_levels, f.quantiles, f.created_at FROM forecasts f "
        "WHERE f.workload_id = :workload_id AND f.origin_at = COALESCE(:origin_at, "
        "(SELECT max(origin_at) FROM forecasts WHERE workload_id = :workload_id "
        "AND origin_at <= :until)) "
        f"ORDER BY {_LIVE_FIRST} LIMIT 1"
    )
    values = {"workload_id": workload_id, "origin_at": origin_at, "until": until}
    return connection.execute(statement, values).mappings().first()


def load_further(connection: Connection, forecast: RowMapping) -> RowMapping:
    """The paths of the further loads of a forecast, as they are stored."""
    statement = text(
        "SELECT n_paths, n_horizon, quantile_levels, further_names, further_paths, further_scales "
        "FROM forecasts WHERE id = :id AND origin_at = :origin_at"
    )
    values = {"id": forecast["id"], "origin_at": forecast["origin_at"]}
    return connection.execute(statement, values).mappings().one()


def load_forecasts_at(
    connection: Connection, workload_id: int, origins: Sequence[datetime]
) -> list[RowMapping]:
    """The forecast at each of some origins, oldest first; an origin may have none."""
    statement = text(
        "SELECT DISTINCT ON (f.origin_at) f.id, f.origin_at, f.model_version, f.rung, f.reason, "  # noqa: S608
        "f.step_s, f.n_horizon, f.quantile_levels, f.quantiles, f.created_at FROM forecasts f "
        "WHERE f.workload_id = :workload_id AND f.origin_at = ANY(:origins) "
        f"ORDER BY f.origin_at, {_LIVE_FIRST}"
    ).bindparams(bindparam("origins", type_=ARRAY(TIMESTAMP(timezone=True))))
    values = {"workload_id": workload_id, "origins": list(origins)}
    return list(connection.execute(statement, values).mappings().all())


def load_newest_origin(
    connection: Connection, workload_id: int, until: datetime
) -> datetime | None:
    """The newest origin with a forecast, up to `until`."""
    statement = text(
        "SELECT max(origin_at) FROM forecasts WHERE workload_id = :workload_id "
        "AND origin_at <= :until"
    )
    values = {"workload_id": workload_id, "until": until}
    return connection.execute(statement, values).scalar()


def load_origins(
    connection: Connection, workload_id: int, filters: Mapping[str, Any], limit: int
) -> list[RowMapping]:
    """Forecasts without their quantiles, newest first; filters `from_at`, `to_at`, `after`."""
    where = Conditions()
    where.add("workload_id = :workload_id", workload_id=workload_id)
    where.between("origin_at", filters)
    where.after("(origin_at, id) < (:a0, :a1)", filters.get("after"))
    select = (
        "SELECT id, origin_at, model_version, rung, reason, step_s, n_horizon, created_at "
        "FROM forecasts"
    )
    return page(connection, select, where, "origin_at DESC, id DESC", limit)


def load_neighbour_origins(
    connection: Connection, workload_id: int, origin_at: datetime
) -> tuple[datetime | None, datetime | None]:
    """The origins before and after `origin_at` that have a forecast."""
    statement = text(
        "SELECT (SELECT max(origin_at) FROM forecasts "
        "WHERE workload_id = :workload_id AND origin_at < :origin_at), "
        "(SELECT min(origin_at) FROM forecasts "
        "WHERE workload_id = :workload_id AND origin_at > :origin_at)"
    )
    values = {"workload_id": workload_id, "origin_at": origin_at}
    row = connection.execute(statement, values).one()
    return row[0], row[1]


def load_forecasts_ahead(
    connection: Connection, workload_id: int, n_ahead: int, window: Window
) -> list[RowMapping]:
    """For each step of the window, the quantiles forecast `n_ahead` steps before it.

    Of several models' forecasts at one origin the one that a decision was made from is shown; where
    there is one only, as nearly always, no decision is looked for.
    """
    statement = text(
        "WITH f AS MATERIALIZED (SELECT id, origin_at, rung, quantile_levels, "
        "origin_at + make_interval(secs => step_s * :n_ahead) AS step_at, "
        "quantiles[:][CAST(:n_ahead AS int) : CAST(:n_ahead AS int)] AS quantiles, "
        "count(*) OVER (PARTITION BY origin_at) > 1 AS is_doubtful "
        "FROM forecasts WHERE workload_id = :workload_id AND n_horizon >= :n_ahead "
        "AND origin_at BETWEEN CAST(:from_at AS timestamptz) - make_interval(hours => :n_ahead) "
        "AND :to_at) "
        "SELECT DISTINCT ON (f.origin_at) f.step_at, f.rung, f.quantile_levels, f.quantiles "
        "FROM f WHERE f.step_at BETWEEN :from_at AND :to_at "
        "ORDER BY f.origin_at, (f.is_doubtful AND EXISTS (SELECT 1 FROM decisions d "
        "WHERE d.forecast_id = f.id AND d.origin_at = f.origin_at)) DESC, f.id DESC"
    )
    values = {"n_ahead": n_ahead, **_values(workload_id, window)}
    return list(connection.execute(statement, values).mappings().all())


def load_outcome_series(connection: Connection, workload_id: int, window: Window) -> Columns:
    """Needed replicas per step, and what is measured and believed of its violation."""
    statement = text(
        "SELECT step_at, needed_replicas AS needed, measured_violation_ratio AS measured_ratio, "
        "violation_ratio AS believed_ratio FROM outcomes "
        "WHERE workload_id = :workload_id AND step_at BETWEEN :from_at AND :to_at ORDER BY step_at"
    )
    return _columns(connection, statement, _values(workload_id, window))


def load_decided_series(connection: Connection, workload_id: int, window: Window) -> Columns:
    """Desired replicas per origin."""
    statement = text(
        "SELECT origin_at, desired_replicas AS desired FROM decisions "
        "WHERE workload_id = :workload_id AND origin_at BETWEEN :from_at AND :to_at "
        "ORDER BY origin_at, id"
    )
    return _columns(connection, statement, _values(workload_id, window))


def load_state_series(connection: Connection, workload_id: int, window: Window) -> Columns:
    """Replica states per snapshot."""
    statement = text(
        "SELECT observed_at, spec_replicas AS spec, ready_replicas AS ready, "
        "starting_replicas AS starting, pending_replicas AS pending "
        "FROM replica_states WHERE workload_id = :workload_id "
        "AND observed_at BETWEEN :from_at AND :to_at ORDER BY observed_at"
    )
    return _columns(connection, statement, _values(workload_id, window))


def _columns(connection: Connection, statement: TextClause, values: Mapping[str, Any]) -> Columns:
    """The result column by column: of long series that is all that is asked for."""
    result = connection.execute(statement, values)
    names, rows = list(result.keys()), result.all()
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def load_quality(
    connection: Connection, workload_id: int, since: datetime, step_s: int, n_most: int
) -> list[RowMapping]:
    """Scores of scored forecasts since `since`, averaged per model version and key by key.

    One of which no outcome was observed has no score: zeros stand for that in its row.

    Where there are many, of every n-th step: neighbouring forecasts share most of their horizon,
    so a week's thousands say hardly more than some hundreds, evenly spaced, of them. A workload's
    rows lie far apart (they were written with those of all others), so it is the rows read that
    cost.

    Args:
        connection: An open transaction.
        workload_id: The workload.
        since: First origin.
        step_s: Length of a step in seconds.
        n_most: About as many forecasts are read at most.
    """
    span = connection.execute(
        text(
            "SELECT min(origin_at), max(origin_at) FROM forecast_scores "
            "WHERE workload_id = :workload_id AND origin_at >= :since AND n_steps > 0"
        ),
        {"workload_id": workload_id, "since": since},
    ).one()
    if span[0] is None:
        return []
    # an origin of when steps were shorter may lie between those of now
    first_at = floor_step(span[0] + timedelta(seconds=step_s, microseconds=-1), step_s)
    n_steps = int((span[1] - first_at).total_seconds()) // step_s + 1
    every_s = step_s * max(1, math.ceil(n_steps / n_most))
    statement = text(
        "WITH scored AS MATERIALIZED (SELECT s.model_version, s.crps, s.crps_last_value, "
        "s.origin_at, s.coverage, s.pinball FROM generate_series(CAST(:first AS timestamptz), "
        "CAST(:last AS timestamptz), make_interval(secs => :every_s)) AS o(at) "
        "JOIN forecast_scores s ON s.workload_id = :workload_id AND s.origin_at = o.at "
        "AND s.n_steps > 0), keys AS ("
        "SELECT s.model_version, e.key, avg(e.value::float8) AS coverage, "
        "avg((s.pinball ->> e.key)::float8) AS pinball FROM scored s, "
        "jsonb_each_text(s.coverage) e GROUP BY 1, 2), by_model AS ("
        "SELECT model_version, jsonb_object_agg(key, coverage) AS coverage, "
        "jsonb_object_agg(key, pinball) AS pinball FROM keys GROUP BY 1) "
        "SELECT s.model_version, count(*) AS n_forecasts, avg(s.crps) AS crps, "
        "avg(s.crps) FILTER (WHERE s.crps_last_value IS NOT NULL) AS crps_compared, "
        "avg(s.crps_last_value) AS crps_last_value, max(s.origin_at) AS newest_origin_at, "
        "b.coverage, b.pinball, c.state #> '{hedge,weight}' AS hedge_weight "
        "FROM scored s LEFT JOIN by_model b USING (model_version) "
        "LEFT JOIN calibration_states c ON c.workload_id = :workload_id "
        "AND c.model_version = s.model_version "
        "GROUP BY s.model_version, b.coverage, b.pinball, c.workload_id, c.model_version "
        "ORDER BY newest_origin_at DESC"
    )
    values = {"workload_id": workload_id, "first": first_at, "last": span[1], "every_s": every_s}
    return list(connection.execute(statement, values).mappings().all())


def load_lead_times(connection: Connection, workload_id: int, since: datetime) -> RowMapping:
    """Quantiles of the measured lead times since `since`, and the starts still on their way."""
    statement = text(
        "WITH s AS (SELECT ready_at, gone_at, "
        "extract(epoch FROM ready_at - requested_at)::float8 AS lead_s FROM pod_starts "
        "WHERE workload_id = :workload_id AND requested_at >= :since) "
        "SELECT count(lead_s) AS n_measured, "
        "count(*) FILTER (WHERE ready_at IS NULL AND gone_at IS NULL) AS n_on_the_way, "
        "count(*) FILTER (WHERE ready_at IS NULL AND gone_at IS NOT NULL) AS n_abandoned, "
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY lead_s) AS p50_s, "
        "percentile_cont(0.9) WITHIN GROUP (ORDER BY lead_s) AS p90_s, "
        "percentile_cont(0.99) WITHIN GROUP (ORDER BY lead_s) AS p99_s, "
        "max(lead_s) AS max_s FROM s"
    )
    return (
        connection.execute(statement, {"workload_id": workload_id, "since": since}).mappings().one()
    )


def _values(workload_id: int, window: Window) -> dict[str, Any]:
    return {"workload_id": workload_id, "from_at": window.from_at, "to_at": window.to_at}
