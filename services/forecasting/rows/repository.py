"""All SQL of the forecasting service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, Row, text

from services.forecasting.rows.translate import (
    ForecastRow,
    IndicatorKey,
    Samples,
    WorkloadRow,
    pack_samples,
    to_workload,
)
from services.kernel.db.schema import calibration_states, forecast_scores, forecasts
from services.kernel.db.session import CopyTarget, copy_rows, next_ids
from services.kernel.db.steps.reading import SeriesName, Span, load_seen
from services.kernel.db.turns import IS_URGENT
from services.kernel.domain import WorkloadSpec
from services.kernel.domain.measured_by import DEMAND_MEASURED_BY, MEASURED_BY, measured_by

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
    "packed_paths",
    "path_scale",
    "further_names",
    "further_paths",
    "further_scales",
    "measured_by",
    "created_at",
)
LOOKBACK_STEPS = 14
"""How far back what was lost or is due is looked for: a dozen steps, and what is on its way."""
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


@dataclass(frozen=True, slots=True)
class ShardWorkload:
    """An active workload of a shard without its spec.

    Attributes:
        is_urgent: Its priority is that of gold, or more.
        is_done: It has a forecast at the origin, of whichever model: one that is promoted meanwhile
            forecasts the next origin, since this one may be decided.
    """

    id: int
    step_s: int
    is_urgent: bool
    is_done: bool


@dataclass(frozen=True, slots=True)
class DueShard:
    """A shard at one origin.

    Attributes:
        workloads: Active ones whose newest complete step begins there.
        is_some: The shard has others, on steps of another length.
    """

    workloads: list[ShardWorkload]
    is_some: bool

    @property
    def step_s(self) -> int:
        """Longest step of those that are due; there must be some."""
        return max(one.step_s for one in self.workloads)


def load_shard(connection: Connection, shard: int, origin_at: datetime, now: datetime) -> DueShard:
    """Active workloads of a shard that are due at an origin; specs are not read whole.

    An origin is a step of their own grid. Where a shard has steps of several lengths it is asked
    for at the origins of each: there it must be stored, too, and no newer one that is complete.
    """
    statement = text(
        f"SELECT w.id, w.step_s, {IS_URGENT} AS is_urgent, EXISTS (SELECT FROM forecasts f "  # noqa: S608 - our columns
        "  WHERE f.workload_id = w.id AND f.origin_at = :at) "
        "  AS is_done FROM workloads w WHERE w.is_active AND w.shard = :shard ORDER BY w.id"
    )
    given = {"shard": shard, "at": origin_at}
    found = [ShardWorkload(*row) for row in connection.execute(statement, given)]
    lengths = {one.step_s for one in found}
    due = {length for length in lengths if int(origin_at.timestamp()) % length == 0}
    if len(lengths) > 1:
        due &= _newest_there(connection, shard, origin_at, now)
    return DueShard([one for one in found if one.step_s in due], len(lengths) > 1)


_DEMAND_IS_STORED = (
    # by the demand: a schedule has rows of steps that are not complete
    "get_byte(s.states, array_position((SELECT names FROM indicator_layouts "
    "  WHERE id = s.layout_id), w.spec->>'demand') - 1) > 0"
)
"""Condition on the rows `s` of `indicator_steps` and `w` of `workloads`."""


def _newest_there(
    connection: Connection, shard: int, origin_at: datetime, now: datetime
) -> set[int]:
    """Lengths of a shard's steps whose newest stored one, of a dozen from there on, is there."""
    statement = text(
        "SELECT w.step_s FROM workloads w CROSS JOIN LATERAL (SELECT s.step_at "  # noqa: S608 - our condition
        "  FROM indicator_steps s WHERE s.workload_id = w.id AND s.step_at >= :at "
        "  AND s.step_at <= CAST(:at AS timestamptz) + make_interval(secs => :back * w.step_s) "
        "  AND (s.step_at = :at OR s.step_at <= :now - make_interval(secs => w.step_s)) "
        "  AND extract(epoch FROM s.step_at)::bigint % w.step_s = 0 "
        f"  AND {_DEMAND_IS_STORED} "
        "  ORDER BY s.step_at DESC LIMIT 1) n "
        "WHERE w.is_active AND w.shard = :shard GROUP BY w.step_s HAVING max(n.step_at) = :at"
    )
    given = {"shard": shard, "at": origin_at, "now": now, "back": LOOKBACK_STEPS}
    return set(connection.scalars(statement, given))


def load_workloads(connection: Connection, ids: Sequence[int] | None = None) -> list[WorkloadRow]:
    """Active workloads, some or all.

    Raises:
        ValidationError: The stored spec of one of them cannot be read.
    """
    return [to_workload(row) for row in load_stored_workloads(connection, ids)]


def load_stored_workloads(
    connection: Connection, ids: Sequence[int] | None = None
) -> Sequence[Row[Any]]:
    """Active workloads as they are stored, some or all."""
    statement = text(
        "SELECT id, namespace, name, step_s, shard, spec::text AS spec FROM workloads "
        "WHERE is_active AND (CAST(:ids AS integer[]) IS NULL OR id = ANY(:ids)) ORDER BY id"
    )
    return connection.execute(statement, {"ids": None if ids is None else list(ids)}).all()


def load_samples(
    connection: Connection,
    series: Sequence[IndicatorKey],
    origin_at: datetime,
    step_s: int,
    spans: Sequence[Span],
) -> Samples:
    """Observed steps of some series within `spans`, in one query; spans must not overlap."""
    found = load_seen(connection, [SeriesName(*key) for key in series], spans)
    return {
        IndicatorKey(*key): pack_samples(steps, origin_at, step_s) for key, steps in found.items()
    }


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
    key = ("workload_id", "origin_at", "model_version")
    target = CopyTarget(forecasts, FORECAST_COLUMNS, "nothing", key, is_binary=True)
    values = [(i, *_values(row), created_at) for i, row in zip(ids, rows, strict=True)]
    return copy_rows(connection, target, values), ids


def _values(row: ForecastRow) -> tuple[Any, ...]:
    return tuple(getattr(row, column) for column in FORECAST_COLUMNS[1:-1])


_CALIBRATION = CopyTarget(
    calibration_states,
    ("workload_id", "model_version", "state", "updated_at"),
    "update",
    ("workload_id", "model_version"),
)


DEMAND = "demand"
"""Where a calibration state has the indicator that it is of; those of before there was any."""
_IS_OF_ANOTHER_DEMAND = (
    f"(COALESCE(c.state->>'{DEMAND}', w.spec->>'demand') <> w.spec->>'demand' OR "
    f"COALESCE(c.state->>'{MEASURED_BY}', {DEMAND_MEASURED_BY}) <> {DEMAND_MEASURED_BY})"
)
"""Condition on the rows `c` of `calibration_states` and `w` of `workloads`: it is another
indicator, or the same is measured by another query or in another unit."""


def load_calibration(
    connection: Connection, workload_ids: Sequence[int], model_version: str
) -> dict[int, dict[str, Any]]:
    """Calibration state per workload id; what is no state is learned anew.

    So is one of another demand than the workload has now, or of the same by another query: its
    errors are in another unit.
    """
    statement = text(
        "SELECT c.workload_id, c.state FROM calibration_states c JOIN workloads w "  # noqa: S608 - our condition
        "ON w.id = c.workload_id WHERE c.workload_id = ANY(:ids) "
        f"AND c.model_version = :version AND NOT {_IS_OF_ANOTHER_DEMAND}"
    )
    rows = connection.execute(statement, {"ids": list(workload_ids), "version": model_version})
    return {r.workload_id: r.state for r in rows if isinstance(r.state, dict)}


def save_calibration(
    connection: Connection,
    model_version: str,
    states: Mapping[int, Mapping[str, Any]],
    specs: Mapping[int, WorkloadSpec],
    at: datetime,
) -> None:
    """Overwrite calibration states.

    Args:
        connection: An open transaction.
        model_version: The model that made the forecasts.
        states: By workload; one without a spec is not stored.
        specs: What each was learned for.
        at: Now.
    """
    found = {
        i: {
            **state,
            DEMAND: specs[i].demand,
            MEASURED_BY: measured_by(specs[i], [specs[i].demand]),
        }
        for i, state in states.items()
        if i in specs
    }
    rows = [(i, model_version, orjson.dumps(state).decode(), at) for i, state in found.items()]
    copy_rows(connection, _CALIBRATION, rows)


@dataclass(frozen=True, slots=True)
class DueForecast:
    """A stored forecast whose horizon has passed.

    Attributes:
        is_of_another_demand: It was made before its workload was given another demand, or another
            query of it.
        measured_by: Of its loads, when it was made; None: it is of before that was stored.
    """

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
    measured_by: str | None = None
    is_of_another_demand: bool = False


_SCORING = "hashtext('harmony.forecast.score')"


def try_lock_scoring(connection: Connection) -> bool:
    """Become the only one that scores until this transaction ends; false when another does.

    Two scorers at once would let calibration learn the same outcome twice.
    """
    return bool(connection.execute(text(f"SELECT pg_try_advisory_xact_lock({_SCORING})")).scalar())


def lock_scoring(connection: Connection) -> None:
    """The same, but wait for whoever scores now."""
    connection.execute(text(f"SELECT pg_advisory_xact_lock({_SCORING})"))


def load_due(
    connection: Connection, now: datetime, n_most: int, reach_steps: int, step_s: int
) -> list[DueForecast]:
    """Forecasts with numbers, all steps complete, not yet scored; oldest first.

    Of each active workload those made since a little before its newest score are looked at, by
    their ids, so the cost does not grow with what has been scored.

    Args:
        connection: An open transaction.
        now: Now.
        n_most: Most forecasts.
        reach_steps: Steps from an origin until its forecast is looked at, as a rule; what is older
            than that by three days is left as it is.
        step_s: Least length of these steps; a workload whose own are longer counts in its own.
    """
    statement = text(
        "SELECT f.* FROM workloads w "  # noqa: S608 - our condition
        "LEFT JOIN LATERAL (SELECT origin_at FROM forecast_scores WHERE workload_id = w.id "
        "  ORDER BY origin_at DESC LIMIT 1) s ON true "
        # by the workload's key, not by all ids in order: OFFSET 0 keeps the planner from that
        "LEFT JOIN LATERAL (SELECT min(id) AS id FROM (SELECT id FROM forecasts "
        "  WHERE workload_id = w.id "
        "  AND origin_at >= s.origin_at - make_interval(secs => :back * w.step_s) OFFSET 0) n) m "
        "  ON true "
        "CROSS JOIN LATERAL (SELECT f.id, f.workload_id, f.origin_at, f.model_version, f.step_s, "
        "  f.quantile_levels, f.quantiles, f.n_paths, f.further_names, f.further_paths, "
        # the first lesson of the new demand makes the state one of it; forecasts come oldest first
        "  f.further_scales, f.rung, f.measured_by, f.created_at < w.updated_at AND EXISTS ("
        "    SELECT FROM calibration_states c WHERE c.workload_id = w.id AND c.model_version = "
        f"    f.model_version AND {_IS_OF_ANOTHER_DEMAND}) "
        "  FROM forecasts f WHERE f.workload_id = w.id AND f.n_paths > 0 "
        "  AND f.id >= COALESCE(m.id, 0) AND f.origin_at <= :now AND f.origin_at > "
        "    :oldest - make_interval(secs => :reach * GREATEST(w.step_s, :step_s)) "
        "  AND f.origin_at + make_interval(secs => (f.n_horizon + 1) * f.step_s) <= :now "
        "  AND NOT EXISTS (SELECT FROM forecast_scores done "
        "    WHERE done.forecast_id = f.id AND done.origin_at = f.origin_at)) f "
        "WHERE w.is_active ORDER BY f.origin_at, f.id LIMIT :n"
    )
    given = {"now": now, "oldest": now - timedelta(days=3), "back": LOOKBACK_STEPS, "n": n_most}
    given |= {"reach": reach_steps, "step_s": step_s}
    return [DueForecast(*r) for r in connection.execute(statement, given)]


def insert_scores(connection: Connection, rows: Iterable[Sequence[Any]]) -> int:
    """Store scores by COPY; those already there stay."""
    target = CopyTarget(forecast_scores, SCORE_COLUMNS, "nothing", ("forecast_id", "origin_at"))
    return copy_rows(connection, target, rows)


def load_missing_forecasts(connection: Connection, now: datetime) -> list[tuple[int, datetime]]:
    """Shards whose newest origin lacks a forecast of some active workload, with that origin.

    Each length of steps has its own. Looks back a dozen steps, for the newest only: history that
    was loaded at registration is not forecast after the fact, and an origin that a newer one has
    passed is superseded.
    """
    statement = text(
        "WITH origins AS (SELECT w.shard, w.step_s, max(i.step_at) AS step_at FROM workloads w "  # noqa: S608 - our condition
        "  CROSS JOIN LATERAL (SELECT step_at FROM indicator_steps s "
        f"    WHERE workload_id = w.id AND {_DEMAND_IS_STORED} "
        "    AND extract(epoch FROM step_at)::bigint % w.step_s = 0 "
        "    AND step_at <= :now - make_interval(secs => w.step_s) "
        "    AND step_at > :now - make_interval(secs => :back * w.step_s) "
        "    AND step_at > :now - interval '1 day' ORDER BY step_at DESC LIMIT 1) i "
        "  WHERE w.is_active GROUP BY w.shard, w.step_s) "
        "SELECT DISTINCT o.shard, o.step_at FROM origins o WHERE EXISTS ("
        "  SELECT FROM workloads w WHERE w.is_active AND w.shard = o.shard "
        "  AND w.step_s = o.step_s AND NOT EXISTS (SELECT FROM forecasts f "
        "    WHERE f.workload_id = w.id AND f.origin_at = o.step_at)) "
        "ORDER BY o.step_at, o.shard"
    )
    rows = connection.execute(statement, {"now": now, "back": LOOKBACK_STEPS})
    return [(r.shard, r.step_at) for r in rows]


def load_undecided(connection: Connection, now: datetime) -> list[tuple[int, datetime]]:
    """Shards and origins of workloads whose newest forecast has no decision."""
    statement = text(
        "SELECT DISTINCT w.shard, f.origin_at FROM workloads w "
        "CROSS JOIN LATERAL (SELECT origin_at FROM forecasts WHERE workload_id = w.id "
        "  AND origin_at > :now - make_interval(secs => :back * w.step_s) "
        "  AND origin_at > :now - interval '1 day' AND origin_at <= :now "
        "  ORDER BY origin_at DESC LIMIT 1) f "
        "WHERE w.is_active AND NOT EXISTS (SELECT FROM decisions d "
        "  WHERE d.workload_id = w.id AND d.origin_at = f.origin_at) "
        "ORDER BY f.origin_at, w.shard"
    )
    rows = connection.execute(statement, {"now": now, "back": LOOKBACK_STEPS})
    return [(r.shard, r.origin_at) for r in rows]
