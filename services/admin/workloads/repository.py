"""SQL of workloads with their live state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER

from services.admin.rest.lists_repository import Conditions, page
from services.admin.rest.times import AHEAD

_FLEET = """
SELECT w.id, w.namespace, w.name,
       (SELECT c.name FROM clusters c WHERE c.id = w.cluster_id) AS cluster,
       w.step_s, w.spec::text AS spec_text, w.spec_version, w.is_active,
       w.managed_by, w.object_uid, w.updated_at,
       s.observed_at AS state_at, s.spec_replicas, s.ready_replicas, s.starting_replicas,
       s.pending_replicas, s.schedulable_gpus, s.variants AS seen_parts,
       d.id AS decision_id, d.origin_at, d.decided_at, d.valid_until, d.desired_replicas,
       d.raw_replicas, d.current_replicas AS decided_from_replicas, d.direction, d.reason,
       d.binding_constraint, d.rung, d.risk_target, d.risk_estimated,
       d.variants AS decided_parts,
       a.result AS action_result, a.reason AS action_reason, a.applied_at,
       f.rung AS forecast_rung, f.reason AS forecast_reason, f.model_version,
       i.value AS demand, i.step_at AS demand_at, r.state AS risk_state,
       t.is_trusted, t.reason AS trust_reason, t.n_looks AS n_trust_looks,
       t.decided_at AS trust_decided_at
FROM workloads w
LEFT JOIN LATERAL (
    SELECT * FROM replica_states WHERE workload_id = w.id AND observed_at <= :until
    ORDER BY observed_at DESC LIMIT 1
) s ON true
LEFT JOIN LATERAL (
    SELECT * FROM decisions WHERE workload_id = w.id AND origin_at <= :until
    ORDER BY origin_at DESC, id DESC LIMIT 1
) d ON true
LEFT JOIN forecasts f ON f.id = d.forecast_id AND f.origin_at = d.origin_at
LEFT JOIN LATERAL (
    SELECT * FROM actions
    WHERE workload_id = w.id AND decision_id = d.id AND origin_at = d.origin_at
    ORDER BY attempt DESC LIMIT 1
) a ON true
LEFT JOIN LATERAL (
    SELECT s.values[p.place] AS value, s.step_at FROM indicator_steps s CROSS JOIN LATERAL (
        SELECT array_position(names, w.spec->>'demand') AS place
        FROM indicator_layouts WHERE id = s.layout_id OFFSET 0
    ) p
    WHERE s.workload_id = w.id AND get_byte(s.states, p.place - 1) & 6 = 6
      AND s.step_at >= CAST(:now AS timestamptz) - interval '1 day'
    ORDER BY s.step_at DESC LIMIT 1
) i ON true
LEFT JOIN risk_states r ON r.workload_id = w.id
LEFT JOIN trust_verdicts t ON t.workload_id = w.id
"""
_STANDINGS = """
SELECT w.is_active, w.step_s, w.spec::text AS spec_text, s.observed_at AS state_at,
       s.ready_replicas, s.starting_replicas, s.variants AS seen_parts, d.rung, d.risk_target,
       d.risk_estimated, f.rung AS forecast_rung, r.state AS risk_state, o.cost_usd
FROM workloads w
LEFT JOIN LATERAL (
    SELECT observed_at, ready_replicas, starting_replicas, variants FROM replica_states
    WHERE workload_id = w.id AND observed_at <= :until ORDER BY observed_at DESC LIMIT 1
) s ON true
LEFT JOIN LATERAL (
    SELECT rung, risk_target, risk_estimated, forecast_id, origin_at FROM decisions
    WHERE workload_id = w.id AND origin_at <= :until ORDER BY origin_at DESC, id DESC LIMIT 1
) d ON true
LEFT JOIN forecasts f ON f.id = d.forecast_id AND f.origin_at = d.origin_at
LEFT JOIN risk_states r ON r.workload_id = w.id
LEFT JOIN LATERAL (
    SELECT sum(cost_usd) AS cost_usd FROM outcomes WHERE workload_id = w.id AND step_at >= :since
) o ON true
"""
_BY_NAME = "w.namespace, w.name, w.id"
_NAMESPACES = "SELECT DISTINCT w.namespace FROM workloads w"
_SPENT = """
SELECT workload_id, sum(gpu_hours) AS gpu_hours, sum(cost_usd) AS cost_usd
FROM outcomes
WHERE workload_id = ANY(:ids) AND step_at >= :since
GROUP BY workload_id
"""


def load_fleet(
    connection: Connection, filters: Mapping[str, Any], limit: int, now: datetime
) -> list[RowMapping]:
    """Workloads in order of namespace and name, each with its newest state, decision and action.

    Args:
        connection: An open transaction.
        filters: Any of `namespace`, `name`, `search` (part of `namespace/name`), `after`
            (namespace, name), `namespaces` (those that may be seen), `label`; only active
            workloads unless `name` is given.
        limit: At most this many.
        now: Demand older than a day before this is not shown as current, nor what is of a time to
            come.
    """
    where = _chosen(filters)
    where.after("(w.namespace, w.name, w.id) > (:a0, :a1, :a2)", filters.get("after"))
    statement = f"{_FLEET} WHERE {where.sql} ORDER BY {_BY_NAME} LIMIT :limit"
    values = where.values | {"limit": limit, "now": now, "until": now + AHEAD}
    return list(connection.execute(text(statement), values).mappings().all())


def _chosen(filters: Mapping[str, Any], left_since: datetime | None = None) -> Conditions:
    """Those asked for; with `left_since` also those that left from then on: they had costs."""
    where = Conditions()
    where.of_workloads(filters)
    if filters.get("name") is not None:
        where.add("w.name = :name", name=filters["name"])
    elif left_since is not None:
        where.add("(w.is_active OR w.updated_at >= :left_since)", left_since=left_since)
    else:
        where.add("w.is_active")
    if filters.get("search"):
        where.add(
            "position(lower(:search) IN lower(w.namespace || '/' || w.name)) > 0",
            search=filters["search"],
        )
    return where


def load_standings(
    connection: Connection, filters: Mapping[str, Any], now: datetime, since: datetime
) -> list[RowMapping]:
    """What totals are of, of every workload that `load_fleet` would find page by page.

    Those that left from `since` on are among them: what they cost until then was spent.

    Args:
        connection: An open transaction.
        filters: As in `load_fleet`, but for `after`.
        now: What is of a time to come is left out.
        since: Costs are summed from then on.
    """
    where = _chosen(filters, since)
    values = where.values | {"until": now + AHEAD, "since": since}
    rows = connection.execute(text(f"{_STANDINGS} WHERE {where.sql}"), values)
    return list(rows.mappings().all())


def load_ids(
    connection: Connection, filters: Mapping[str, Any], limit: int, since: datetime
) -> list[int]:
    """Ids of workloads in the order of `load_fleet`, with those that left from `since` on."""
    where = _chosen(filters, since)
    found = page(connection, "SELECT w.id FROM workloads w", where, _BY_NAME, limit)
    return [int(row["id"]) for row in found]


def load_names(connection: Connection, filters: Mapping[str, Any], limit: int) -> list[str]:
    """`namespace/name` of workloads as `load_fleet` finds them, in its order."""
    select = "SELECT w.namespace || '/' || w.name AS key FROM workloads w"
    return [row["key"] for row in page(connection, select, _chosen(filters), _BY_NAME, limit)]


def load_namespaces(connection: Connection, filters: Mapping[str, Any]) -> list[str]:
    """Every namespace of workloads as `load_fleet` finds them, in order."""
    where = _chosen(filters)
    statement = f"{_NAMESPACES} WHERE {where.sql} ORDER BY w.namespace"
    return list(connection.execute(text(statement), where.values).scalars())


def load_spent(
    connection: Connection, workload_ids: Sequence[int], since: datetime
) -> dict[int, RowMapping]:
    """GPU-hours and cost since `since`, by workload."""
    statement = text(_SPENT).bindparams(bindparam("ids", type_=ARRAY(INTEGER)))
    rows = connection.execute(statement, {"ids": list(workload_ids), "since": since})
    return {row["workload_id"]: row for row in rows.mappings()}
