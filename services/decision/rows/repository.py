"""SQL of a shard's run: what is known of its workloads, their decisions and outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from services.decision.rows.loads import Sampled
from services.kernel.db import schema, schema_running
from services.kernel.db.retention import IS_REPLAYABLE
from services.kernel.db.session import CopyTarget, copy_rows
from services.kernel.db.steps.blocks import SECOND_US
from services.kernel.db.steps.reading import SeriesName, Span, load_seen
from services.kernel.db.turns import IS_URGENT

DECISION_COLUMNS = (
    "id", "origin_at", "workload_id", "forecast_id", "policy_version", "decided_at",
    "valid_until", "current_replicas", "raw_replicas", "desired_replicas", "direction", "reason",
    "binding_constraint", "rung", "risk_target", "risk_estimated", "cost_delta_usd_per_h",
    "explanation", "variants",
)  # fmt: skip
OUTCOME_COLUMNS = (
    "workload_id", "step_at", "decision_id", "demand", "ready_mean", "needed_replicas",
    "violation_ratio", "shortage", "gpu_hours", "cost_usd", "ready_by_pool", "computed_at",
    "sli_requests", "sli_miss_low", "sli_miss_high", "measured_violation_ratio", "is_final",
)  # fmt: skip
MEASURED_COLUMNS = OUTCOME_COLUMNS[OUTCOME_COLUMNS.index("computed_at") :]
"""Those that are computed again until the row is final."""
STARTS_FOR, N_STARTS = timedelta(days=1), 50
"""How long starts are learned from, and how many of a workload at most."""
JOIN_SUPPLY = (
    "LEFT JOIN workloads w ON w.id = p.workload_id "
    "LEFT JOIN gpu_supply s ON s.cluster_id = w.cluster_id AND s.gpu_type = p.gpu_type"
)
"""Joins the supply of a pod start's GPU type in its cluster; a type without a ceiling is fixed."""
_FORECAST = (
    "f.id, f.workload_id, f.origin_at, f.model_version, f.rung, f.reason, f.step_s, f.n_horizon, "
    "f.n_paths, f.paths, f.path_scale, f.quantile_levels, f.quantiles, f.further_names, "
    "f.further_paths, f.further_scales, f.packed_paths, f.measured_by"
)


_AHEAD_STEPS = 14
"""How far on a newer forecast is looked for; what is older was asked for by hand."""


def load_workloads(connection: Connection, shard: int) -> Sequence[RowMapping]:
    """Active workloads of a shard, specs as text, and whether each is one that comes first."""
    statement = text(
        "SELECT w.id, w.namespace, w.name, w.step_s, w.spec::text AS spec, w.cluster_id, "  # noqa: S608 - our columns
        f"w.managed_by, k.name AS cluster, {IS_URGENT} AS is_urgent, "
        "greatest(w.goals_since, w.gpus_since) AS changed_at "
        "FROM workloads w JOIN clusters k ON k.id = w.cluster_id "
        "WHERE w.shard = :shard AND w.is_active ORDER BY w.id"
    )
    return connection.execute(statement, {"shard": shard}).mappings().all()


def load_undecided(
    connection: Connection, ids: Sequence[int], origin_at: datetime, policy_version: str
) -> Sequence[RowMapping]:
    """Forecasts of workloads at an origin that have no decision: the newest of each workload.

    A shadow model's forecasts are scored, never decided on.
    """
    statement = text(
        f"SELECT DISTINCT ON (f.workload_id) {_FORECAST} "  # noqa: S608 - our columns
        "FROM forecasts f LEFT JOIN models m ON m.version = f.model_version "
        "WHERE f.workload_id = ANY(:ids) AND f.origin_at = :origin_at "
        "AND m.status IS DISTINCT FROM 'shadow' AND NOT EXISTS ("
        "  SELECT FROM decisions d WHERE d.forecast_id = f.id AND d.origin_at = f.origin_at "
        "  AND d.policy_version = :policy_version) "
        "ORDER BY f.workload_id, f.id DESC"
    )
    given = {"ids": list(ids), "origin_at": origin_at, "policy_version": policy_version}
    return connection.execute(statement, given).mappings().all()


def load_newest(
    connection: Connection,
    ids: Sequence[int],
    first: datetime,
    last: datetime,
    policy_version: str,
) -> Sequence[RowMapping]:
    """Origin of each workload's newest forecast in [first, last], and whether it is decided on."""
    statement = text(
        "SELECT w.id AS workload_id, f.origin_at, EXISTS (SELECT FROM decisions d "
        "  WHERE d.forecast_id = f.id AND d.origin_at = f.origin_at "
        "  AND d.policy_version = :policy_version) AS is_decided "
        "FROM unnest(CAST(:ids AS int[])) AS w(id) CROSS JOIN LATERAL ("
        "  SELECT f.id, f.origin_at FROM forecasts f "
        "  LEFT JOIN models m ON m.version = f.model_version "
        "  WHERE f.workload_id = w.id AND f.origin_at >= :first AND f.origin_at <= :last "
        "  AND m.status IS DISTINCT FROM 'shadow' ORDER BY f.origin_at DESC, f.id DESC LIMIT 1) f"
    )
    given = {"ids": list(ids), "first": first, "last": last, "policy_version": policy_version}
    return connection.execute(statement, given).mappings().all()


def load_due_steps(connection: Connection, shard: int, origin_at: datetime) -> set[int]:
    """Lengths of a shard's steps whose newest forecast, of a dozen from there on, is of an origin.

    Where lengths differ a shard is decided on at the origins of each.
    """
    statement = text(
        "SELECT w.step_s FROM workloads w CROSS JOIN LATERAL (SELECT f.origin_at FROM forecasts f "
        "  WHERE f.workload_id = w.id AND f.origin_at >= :at AND f.origin_at "
        "  <= CAST(:at AS timestamptz) + make_interval(secs => :ahead * w.step_s) "
        "  ORDER BY f.origin_at DESC LIMIT 1) n "
        "WHERE w.is_active AND w.shard = :shard GROUP BY w.step_s HAVING max(n.origin_at) = :at"
    )
    return set(
        connection.scalars(statement, {"shard": shard, "at": origin_at, "ahead": _AHEAD_STEPS})
    )


def is_past(
    connection: Connection, ids: Sequence[int], origin_at: datetime, policy_version: str
) -> bool:
    """Check whether each forecast of an origin has its decision, and a newer origin has some."""
    statement = text(
        "SELECT bool_and(EXISTS (SELECT FROM decisions d WHERE d.forecast_id = f.id "
        "  AND d.origin_at = f.origin_at AND d.policy_version = :policy_version)) "
        "AND EXISTS (SELECT FROM decisions n WHERE n.workload_id = ANY(:ids) "
        "  AND n.origin_at > :origin_at AND n.policy_version = :policy_version) "
        "FROM forecasts f LEFT JOIN models m ON m.version = f.model_version "
        "WHERE f.workload_id = ANY(:ids) AND f.origin_at = :origin_at "
        "AND m.status IS DISTINCT FROM 'shadow'"
    )
    given = {"ids": list(ids), "origin_at": origin_at, "policy_version": policy_version}
    return bool(connection.execute(statement, given).scalar())  # without forecasts: NULL


def load_series(
    connection: Connection, names: Mapping[int, Sequence[str]], first: datetime, last: datetime
) -> dict[int, dict[str, Sampled]]:
    """Observed values of some indicators by workload and name; those that have any.

    Args:
        connection: An open transaction.
        names: Names of the indicators by workload.
        first: First step start, inclusive.
        last: Last step start, inclusive.
    """
    wanted = [SeriesName(key, name) for key, of_one in names.items() for name in of_one]
    found: dict[int, dict[str, Sampled]] = {}
    for key, steps in load_seen(connection, wanted, [Span(first, last)]).items():
        sampled = (steps.at_us / SECOND_US, steps.values.astype(float))
        found.setdefault(key.workload_id, {})[key.indicator] = sampled
    return found


def load_states(
    connection: Connection, ids: Sequence[int], first: datetime, last: datetime
) -> Sequence[RowMapping]:
    """Replica states of [first, last] and the newest before, since the workload came back last."""
    statement = text(
        "SELECT r.* FROM unnest(CAST(:ids AS int[])) AS w(id) CROSS JOIN LATERAL ("
        "  SELECT coalesce(max(back_at), '-infinity') AS back_at FROM workload_absences "
        "  WHERE workload_id = w.id) a CROSS JOIN LATERAL ("
        "  SELECT * FROM replica_states s WHERE s.workload_id = w.id "
        "  AND s.observed_at >= :first AND s.observed_at >= a.back_at AND s.observed_at <= :last "
        "  UNION ALL (SELECT * FROM replica_states s WHERE s.workload_id = w.id "
        "  AND s.observed_at < :first AND s.observed_at >= a.back_at "
        "  ORDER BY s.observed_at DESC LIMIT 1)) r ORDER BY r.workload_id, r.observed_at"
    )
    given = {"ids": list(ids), "first": first, "last": last}
    return connection.execute(statement, given).mappings().all()


def load_changes(
    connection: Connection, ids: Sequence[int], first: datetime, last: datetime
) -> Sequence[RowMapping]:
    """Scalings that were applied in [first, last], in time order.

    One whose outcome is not known may have been, and one of which there is an intent only may be
    applied at any moment: it counts as of `last`.
    """
    statement = text(
        "SELECT workload_id, decision_id, applied_at, from_replicas, to_replicas, parts FROM ("
        "  SELECT id, workload_id, decision_id, applied_at, from_replicas, to_replicas, parts "
        "  FROM actions WHERE workload_id = ANY(:ids) "
        "  AND origin_at >= CAST(:first AS timestamptz) - interval '1 day' "
        "  AND result IN ('applied', 'unknown') AND to_replicas IS NOT NULL "
        "  AND applied_at >= :first AND applied_at <= :last "
        "  UNION ALL SELECT NULL, workload_id, decision_id, CAST(:last AS timestamptz), "
        "  from_replicas, to_replicas, targets FROM intents WHERE workload_id = ANY(:ids)"
        ") changes ORDER BY workload_id, applied_at, id"
    )
    given = {"ids": list(ids), "first": first, "last": last}
    return connection.execute(statement, given).mappings().all()


def load_pod_starts(
    connection: Connection, ids: Sequence[int], since: datetime
) -> Sequence[RowMapping]:
    """Starts of pods requested, ready or gone since a time, and the newest before, oldest first.

    `is_provisioned` tells whether nodes are added for pods of the type in the workload's cluster.
    Of a day the newest of each GPU type are read with them: what a start takes is learned from few,
    and of a workload on two types a busy one must not hide those of the other.
    """
    columns = (
        "pod_uid, workload_id, gpu_type, requested_at, ready_at, gone_at, observed_at, bound_at, "
        "is_new_node, cause"
    )
    statement = text(
        "SELECT p.*, s.ceiling IS NOT NULL AS is_provisioned "  # noqa: S608
        f"FROM (SELECT {columns} FROM pod_starts WHERE workload_id = ANY(:ids) "
        "AND (requested_at >= :since OR ready_at >= :since) "
        f"UNION SELECT {columns} FROM (SELECT {columns}, row_number() OVER ("
        "    PARTITION BY workload_id, gpu_type ORDER BY requested_at DESC) AS place "
        "  FROM pod_starts WHERE workload_id = ANY(:ids) AND requested_at >= :oldest) n "
        f"  WHERE place <= :n) p {JOIN_SUPPLY} "
        "ORDER BY p.workload_id, p.requested_at, p.pod_uid"
    )
    given = {"ids": list(ids), "since": since, "oldest": since - STARTS_FOR, "n": N_STARTS}
    return connection.execute(statement, given).mappings().all()


def load_supplies(
    connection: Connection, cluster_id: int, oldest: datetime
) -> Mapping[str, RowMapping]:
    """Start-up of new nodes of each GPU type of a cluster that is provisioned.

    With the headroom that was advised since `oldest` as JSON; NULL: none was.
    """
    statement = text(
        "SELECT s.gpu_type, s.startup_median_s, s.startup_sigma, s.n_startups, "
        "CASE WHEN h.gpu_type IS NOT NULL THEN jsonb_build_object('gpu_type', h.gpu_type, "
        "  'gpus', h.gpus, 'free_gpus', h.free_gpus, 'usd_per_hour', h.usd_per_hour, "
        "  'risk_before', h.risk_before, 'risk_after', h.risk_after) END AS headroom "
        "FROM gpu_supply s LEFT JOIN gpu_headroom h ON h.cluster_id = s.cluster_id "
        "  AND h.gpu_type = s.gpu_type AND h.advised_at >= :oldest "
        "WHERE s.cluster_id = :cluster_id AND s.ceiling IS NOT NULL"
    )
    given = {"cluster_id": cluster_id, "oldest": oldest}
    rows = connection.execute(statement, given).mappings()
    return {row["gpu_type"]: row for row in rows}


def load_interruptions(connection: Connection, cluster_id: int) -> Sequence[RowMapping]:
    """What was counted of the spot nodes of each GPU type of a cluster."""
    statement = text(
        "SELECT gpu_type, interruptions, node_hours FROM gpu_interruptions "
        "WHERE cluster_id = :cluster_id"
    )
    return connection.execute(statement, {"cluster_id": cluster_id}).mappings().all()


def load_risk_states(connection: Connection, ids: Sequence[int]) -> Sequence[RowMapping]:
    """Memory of the risk control."""
    statement = text("SELECT workload_id, state FROM risk_states WHERE workload_id = ANY(:ids)")
    return connection.execute(statement, {"ids": list(ids)}).mappings().all()


def load_recommendations(
    connection: Connection, ids: Sequence[int], first: datetime
) -> Sequence[RowMapping]:
    """Earlier decisions since a time, in time order."""
    statement = text(
        "SELECT id, workload_id, origin_at, decided_at, raw_replicas, desired_replicas, variants "
        "FROM decisions WHERE workload_id = ANY(:ids) AND origin_at >= :first "
        "ORDER BY workload_id, origin_at, id"
    )
    return connection.execute(statement, {"ids": list(ids), "first": first}).mappings().all()


def load_outcome_steps(
    connection: Connection, ids: Sequence[int], first: datetime, lookback: datetime
) -> Sequence[RowMapping]:
    """Steps that have an outcome already: those that are not final, and those of the lookback.

    Args:
        connection: An open transaction.
        ids: The workloads.
        first: First step that may still change.
        lookback: First step that may have no outcome yet; final ones before it are left out, of
            which there are as many as samples may be late.
    """
    statement = text(
        "SELECT workload_id, step_at, is_final, violation_ratio FROM outcomes "
        "WHERE workload_id = ANY(:ids) AND step_at >= :first "
        "AND (step_at >= :lookback OR NOT is_final)"
    )
    given = {"ids": list(ids), "first": first, "lookback": lookback}
    return connection.execute(statement, given).mappings().all()


def store_decisions(connection: Connection, rows: Iterable[Sequence[Any]]) -> int:
    """Store decisions; one that is there already stays as it is. Returns the new ones."""
    key = ("forecast_id", "policy_version", "origin_at")
    target = CopyTarget(schema.decisions, DECISION_COLUMNS, "nothing", key, is_binary=True)
    return copy_rows(connection, target, rows)


def store_inputs(connection: Connection, rows: Iterable[Sequence[Any]]) -> int:
    """Store what decisions are made again from, by the ids of the decisions."""
    columns = ("decision_id", "origin_at", "inputs")
    target = CopyTarget(schema_running.decision_inputs, columns, "error", is_binary=True)
    return copy_rows(connection, target, rows)


def store_outcomes(connection: Connection, rows: Iterable[Sequence[Any]]) -> int:
    """Store outcomes; of one that is there, what was measured, until it is final."""
    target = CopyTarget(
        schema.outcomes,
        OUTCOME_COLUMNS,
        "update",
        ("workload_id", "step_at"),
        MEASURED_COLUMNS,
        "is_final",
    )
    return copy_rows(connection, target, rows)


def store_risk_states(connection: Connection, rows: Iterable[Sequence[Any]]) -> int:
    """Store the risk control's memory."""
    columns = ("workload_id", "state", "updated_at")
    return copy_rows(
        connection, CopyTarget(schema.risk_states, columns, "update", ("workload_id",)), rows
    )


def notify_decisions(connection: Connection, shard: int) -> None:
    """Tell the operator, when the transaction commits."""
    connection.execute(text("SELECT pg_notify('harmony_decisions', :shard)"), {"shard": str(shard)})


def load_orphans(
    connection: Connection, newest: datetime, n_steps: int, policy_version: str
) -> Sequence[RowMapping]:
    """Shards and origins at which a workload's newest forecast is undecided.

    Args:
        connection: An open transaction.
        newest: Newest origin of any workload.
        n_steps: How far before that is looked, in each workload's own steps.
        policy_version: Of the decisions.
    """
    statement = text(
        "SELECT DISTINCT w.shard, f.origin_at FROM workloads w CROSS JOIN LATERAL ("
        "  SELECT f.id, f.origin_at FROM forecasts f "
        "  LEFT JOIN models m ON m.version = f.model_version "
        "  WHERE f.workload_id = w.id AND f.origin_at "
        "  >= CAST(:newest AS timestamptz) - make_interval(secs => :n_steps * w.step_s) "
        "  AND m.status IS DISTINCT FROM 'shadow' ORDER BY f.origin_at DESC, f.id DESC LIMIT 1) f "
        "WHERE w.is_active AND NOT EXISTS (SELECT FROM decisions d "
        "  JOIN forecasts g ON g.id = d.forecast_id AND g.origin_at = d.origin_at "
        "  WHERE d.workload_id = w.id AND d.origin_at = f.origin_at "
        "  AND g.id >= f.id AND d.policy_version = :policy_version) "
        "ORDER BY f.origin_at, w.shard"
    )
    given = {"newest": newest, "n_steps": n_steps, "policy_version": policy_version}
    return connection.execute(statement, given).mappings().all()


def load_newest_origin(connection: Connection) -> datetime | None:
    """Newest origin that has a forecast of an active workload."""
    statement = text(
        "SELECT max(f.origin_at) FROM workloads w CROSS JOIN LATERAL (SELECT origin_at "
        "  FROM forecasts WHERE workload_id = w.id ORDER BY origin_at DESC LIMIT 1) f "
        "WHERE w.is_active"
    )
    newest: datetime | None = connection.execute(statement).scalar()
    return newest


def load_decision(connection: Connection, decision_id: int) -> RowMapping | None:
    """One decision with its workload's name."""
    statement = text(
        f"SELECT d.*, {IS_REPLAYABLE}, w.namespace, w.name FROM decisions d "  # noqa: S608 - ours
        "JOIN workloads w ON w.id = d.workload_id WHERE d.id = :id"
    )
    return connection.execute(statement, {"id": decision_id}).mappings().first()


def load_inputs(connection: Connection, decision: RowMapping) -> bytes:
    """What a decision that is replayable is made again from."""
    if decision["inputs"] is not None:
        return bytes(decision["inputs"])
    statement = text(
        "SELECT inputs FROM decision_inputs WHERE decision_id = :id AND origin_at = :origin_at"
    )
    given = {"id": decision["id"], "origin_at": decision["origin_at"]}
    return bytes(connection.execute(statement, given).scalar_one())


def load_forecast(connection: Connection, decision: RowMapping) -> RowMapping:
    """The forecast that a decision that is replayable was made from."""
    statement = text(
        f"SELECT {_FORECAST} FROM forecasts f WHERE f.id = :id AND f.origin_at = :origin_at"  # noqa: S608 - our columns
    )
    given = {"id": decision["forecast_id"], "origin_at": decision["origin_at"]}
    return connection.execute(statement, given).mappings().one()
