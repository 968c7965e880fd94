"""SQL of the API's controls, freezes, and verdicts on decisions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping, text


def load_controls(connection: Connection) -> list[RowMapping]:
    """Controls of every workload that has some, and the uid of the object that they are of.

    That is NULL where it is the one that is there now: none has been stored yet.
    """
    statement = text(
        "SELECT w.namespace, w.name, c.body, CASE WHEN w.is_active OR w.object_uid IS NOT NULL "
        "THEN w.object_uid ELSE '' END AS object_uid FROM workload_controls c "
        "JOIN workloads w ON w.id = c.workload_id "
        "WHERE w.managed_by = 'kubernetes' AND c.body <> '{}'"
    )
    return list(connection.execute(statement).mappings())


def clear_controls(
    connection: Connection, ids: Sequence[int], now: datetime
) -> Sequence[RowMapping]:
    """Take back all that was set of workloads; their versions go on.

    Returns:
        Of each that had some `workload_id` and `body`, the JSON that was stored, as text.
    """
    statement = text(
        "WITH old AS (SELECT workload_id, body FROM workload_controls "
        "  WHERE workload_id = ANY(:ids) AND body <> '{}' ORDER BY workload_id FOR UPDATE) "
        "UPDATE workload_controls c SET body = '{}', version = c.version + 1, "
        "updated_by = 'operator', updated_at = :now FROM old "
        "WHERE c.workload_id = old.workload_id RETURNING c.workload_id, old.body::text AS body"
    )
    return connection.execute(statement, {"ids": list(ids), "now": now}).mappings().all()


def load_freezes(connection: Connection, now: datetime) -> list[RowMapping]:
    """Freezes in force at `now`."""
    statement = text(
        "SELECT id, namespace, name, direction, from_at, until_at, reason FROM freezes "
        "WHERE lifted_at IS NULL AND from_at <= :now AND until_at > :now ORDER BY id"
    )
    return list(connection.execute(statement, {"now": now}).mappings())


def load_verdicts(connection: Connection) -> list[RowMapping]:
    """The verdict on the newest judged decision of each workload in mode Approval."""
    statement = text(
        "SELECT w.namespace, w.name, a.decision_id, a.verdict, a.actor FROM workloads w "
        "CROSS JOIN LATERAL (SELECT decision_id, verdict, actor FROM approvals "
        "WHERE workload_id = w.id ORDER BY decision_id DESC LIMIT 1) a "
        "WHERE w.is_active AND w.spec ->> 'mode' = 'Approval'"
    )
    return list(connection.execute(statement).mappings())
