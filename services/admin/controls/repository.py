"""SQL of what is set of a workload: controls, freezes, approvals; and of the approvals inbox."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from services.admin.rest.lists_repository import Conditions, page

_CONTROLLED = (
    "SELECT w.id, w.namespace, w.name, w.step_s, w.spec::text AS spec_text, w.spec_version, "
    "w.is_active, w.managed_by, "
    "COALESCE(c.body, '{}'::jsonb) AS body, COALESCE(c.version, 0) AS version, c.updated_by, "
    "c.updated_at FROM workloads w LEFT JOIN workload_controls c ON c.workload_id = w.id "
)
_FREEZE = (
    "id, namespace, name, direction, from_at, until_at, reason, created_by, created_at, lifted_at"
)
_INBOX = """
SELECT d.id, d.origin_at, d.workload_id, w.namespace, w.name, d.forecast_id, d.policy_version,
       d.decided_at, d.valid_until, d.current_replicas, d.raw_replicas, d.desired_replicas,
       d.direction, d.reason, d.binding_constraint, d.rung, d.risk_target, d.risk_estimated,
       d.cost_delta_usd_per_h, a.result AS action_result, a.reason AS action_reason, a.applied_at,
       d.explanation ->> 'summary' AS summary
FROM workloads w
CROSS JOIN LATERAL (
    SELECT * FROM decisions WHERE workload_id = w.id ORDER BY origin_at DESC, id DESC LIMIT 1
) d
JOIN LATERAL (
    SELECT result, reason, applied_at FROM actions
    WHERE workload_id = w.id AND decision_id = d.id AND origin_at = d.origin_at
    ORDER BY attempt DESC LIMIT 1
) a ON a.result = 'awaiting_approval'
WHERE w.is_active AND w.spec ->> 'mode' = 'Approval'
  AND NOT EXISTS (SELECT 1 FROM approvals p WHERE p.decision_id = d.id)
"""


def load_controlled(
    connection: Connection, namespace: str, name: str, *, is_locked: bool = False
) -> RowMapping | None:
    """A workload with its controls; locked against other writers of them when asked."""
    statement = f"{_CONTROLLED} WHERE w.namespace = :namespace AND w.name = :name"
    if is_locked:
        statement += " FOR UPDATE OF w"
    values = {"namespace": namespace, "name": name}
    return connection.execute(text(statement), values).mappings().first()


def load_page_controlled(
    connection: Connection, filters: Mapping[str, Any], limit: int
) -> list[RowMapping]:
    """Workloads with something set or scheduled, in order of namespace and name.

    Args:
        connection: An open transaction.
        filters: `what` (`pause`, `schedules`, `policy`: all), `namespaces`, `namespace`, `label`,
            `after`.
        limit: At most this many.
    """
    where = Conditions()
    if filters["what"] == "pause":
        where.add(
            "(c.body -> 'pause' <> 'null'::jsonb OR (w.spec ->> 'paused')::bool "
            "OR (w.spec ->> 'scale_in_only')::bool OR (w.spec ->> 'scale_out_only')::bool)"
        )
    elif filters["what"] == "schedules":
        where.add("jsonb_array_length(COALESCE(w.spec -> 'schedules', '[]'::jsonb)) > 0")
    where.add("w.is_active")
    where.of_workloads(filters)
    where.after("(w.namespace, w.name) > (:a0, :a1)", filters.get("after"))
    return page(connection, _CONTROLLED, where, "w.namespace, w.name", limit)


def save_controls(connection: Connection, workload_id: int, values: Mapping[str, Any]) -> int:
    """Store controls (`body`, `updated_by`, `updated_at`); returns their new version."""
    statement = text(
        "INSERT INTO workload_controls (workload_id, body, version, updated_by, updated_at) "
        "VALUES (:workload_id, :body, 1, :updated_by, :updated_at) "
        "ON CONFLICT (workload_id) DO UPDATE SET body = EXCLUDED.body, "
        "version = workload_controls.version + 1, updated_by = EXCLUDED.updated_by, "
        "updated_at = EXCLUDED.updated_at RETURNING version"
    ).bindparams(bindparam("body", type_=JSONB))
    return int(connection.execute(statement, {"workload_id": workload_id, **values}).scalar_one())


def insert_freeze(connection: Connection, values: Mapping[str, Any]) -> RowMapping:
    """Store a freeze and return it."""
    statement = text(
        "INSERT INTO freezes (namespace, name, direction, from_at, until_at, reason, created_by, "  # noqa: S608
        "created_at) VALUES (:namespace, :name, :direction, :from_at, :until_at, :reason, "
        f":created_by, :created_at) RETURNING {_FREEZE}"
    )
    return connection.execute(statement, dict(values)).mappings().one()


def load_freeze(connection: Connection, freeze_id: int) -> RowMapping | None:
    """One freeze, locked."""
    statement = text(f"SELECT {_FREEZE} FROM freezes WHERE id = :id FOR UPDATE")  # noqa: S608
    return connection.execute(statement, {"id": freeze_id}).mappings().first()


def lift_freeze(connection: Connection, freeze_id: int, at: datetime) -> None:
    """End a freeze."""
    statement = text("UPDATE freezes SET lifted_at = :at WHERE id = :id AND lifted_at IS NULL")
    connection.execute(statement, {"id": freeze_id, "at": at})


def load_freezes(
    connection: Connection, filters: Mapping[str, Any], limit: int
) -> list[RowMapping]:
    """Freezes, newest first.

    Filters: `now` (only what is in force or to come), `namespace`, `namespaces`, `from_at`,
    `to_at` (of the time it holds), `after`.
    """
    where = Conditions()
    if filters.get("now") is not None:
        where.add("lifted_at IS NULL AND until_at > :now", now=filters["now"])
    if filters.get("namespace") is not None:
        where.add("(namespace IS NULL OR namespace = :ns)", ns=filters["namespace"])
    if filters.get("namespaces") is not None:
        where.add(
            "(namespace IS NULL OR namespace = ANY(:visible))", visible=list(filters["namespaces"])
        )
    if filters.get("from_at") is not None:
        where.add("until_at >= :from_at", from_at=filters["from_at"])
    if filters.get("to_at") is not None:
        where.add("from_at <= :to_at", to_at=filters["to_at"])
    where.after("id < :a0", filters.get("after"))
    return page(connection, f"SELECT {_FREEZE} FROM freezes", where, "id DESC", limit)  # noqa: S608


def load_inbox(connection: Connection, filters: Mapping[str, Any], limit: int) -> list[RowMapping]:
    """Newest decisions that wait for a human, oldest origin last; nobody has answered them.

    Filters: `namespaces`, `namespace`, `label`, `after`.
    """
    where = Conditions()
    where.of_workloads(filters)
    where.after("(d.origin_at, d.id) < (:a0, :a1)", filters.get("after"))
    statement = f"{_INBOX} AND {where.sql} ORDER BY d.origin_at DESC, d.id DESC LIMIT :limit"
    values = where.values | {"limit": limit}
    return list(connection.execute(text(statement), values).mappings().all())


def load_verdict(connection: Connection, decision_id: int) -> RowMapping | None:
    """What a human said of a decision."""
    statement = text(
        "SELECT decision_id, verdict, reason, actor, decided_at FROM approvals "
        "WHERE decision_id = :id"
    )
    return connection.execute(statement, {"id": decision_id}).mappings().first()


def save_verdict(connection: Connection, values: Mapping[str, Any]) -> None:
    """Store a verdict; a later one replaces it."""
    statement = text(
        "INSERT INTO approvals (decision_id, origin_at, workload_id, verdict, reason, actor, "
        "decided_at) VALUES (:decision_id, :origin_at, :workload_id, :verdict, :reason, :actor, "
        ":decided_at) ON CONFLICT (decision_id) DO UPDATE SET verdict = EXCLUDED.verdict, "
        "reason = EXCLUDED.reason, actor = EXCLUDED.actor, decided_at = EXCLUDED.decided_at"
    )
    connection.execute(statement, dict(values))


def lock_workload(connection: Connection, workload_id: int) -> None:
    """No other transaction judges decisions of this workload until this one ends."""
    statement = text("SELECT id FROM workloads WHERE id = :id FOR UPDATE")
    connection.execute(statement, {"id": workload_id})
