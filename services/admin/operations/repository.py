"""SQL of operations and of the frontiers that backtests left."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from services.admin.rest.lists_repository import Conditions, page

_HEAD = (
    "id, kind, params, status, progress, message, is_cancel_requested, n_attempts, created_by, "
    "created_at, started_at, heartbeat_at, finished_at, "
    "(SELECT c.name FROM clusters c WHERE c.id = cluster_id) AS cluster"
)


_VISIBLE = (
    "params ? 'workloads' AND NOT EXISTS (SELECT 1 FROM "
    "jsonb_array_elements_text(params -> 'workloads') AS k(key) "
    "WHERE NOT split_part(k.key, '/', 1) = ANY(:visible))"
)


def load_operations(
    connection: Connection, filters: Mapping[str, Any], limit: int
) -> list[RowMapping]:
    """Operations without their results, newest first.

    Filters: `kind`, `status`, `from_at`, `to_at` (of creation), `after`, `namespaces` (only those
    of which every workload is in one of these; one that names none is of the fleet).
    """
    where = Conditions()
    if filters.get("namespaces") is not None:
        where.add(_VISIBLE, visible=list(filters["namespaces"]))
    where.equal("kind", filters.get("kind"))
    where.equal("status", filters.get("status"))
    where.between("created_at", filters)
    where.after("id < :a0", filters.get("after"))
    return page(connection, f"SELECT {_HEAD} FROM operations", where, "id DESC", limit)  # noqa: S608


def load_operation(
    connection: Connection, operation_id: int, kind: str | None = None
) -> RowMapping | None:
    """One operation with its result; of one kind only when given."""
    statement = text(
        f"SELECT {_HEAD}, result FROM operations WHERE id = :id "  # noqa: S608
        "AND (CAST(:kind AS text) IS NULL OR kind = :kind)"
    )
    return connection.execute(statement, {"id": operation_id, "kind": kind}).mappings().first()


def request_cancel(connection: Connection, operation_id: int, now: datetime) -> RowMapping | None:
    """Ask for an end: a queued one ends at once, a running one at its next report.

    None: it has ended already, or is not there.
    """
    statement = text(
        "UPDATE operations SET is_cancel_requested = true, "  # noqa: S608
        "status = CASE WHEN status = 'queued' THEN 'cancelled' ELSE status END, "
        "message = CASE WHEN status = 'queued' THEN 'cancelled before it began' ELSE message END, "
        "finished_at = CASE WHEN status = 'queued' THEN :now ELSE finished_at END "
        f"WHERE id = :id AND status IN ('queued', 'running') RETURNING {_HEAD}, result"
    )
    return connection.execute(statement, {"id": operation_id, "now": now}).mappings().first()


def count_open(connection: Connection, kind: str, namespace: str | None = None) -> int:
    """Operations of a kind that are queued or running; no other can be added meanwhile.

    Those over workloads of one namespace, among others, when given.
    """
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:kind, 7015))"), {"kind": kind}
    )
    statement = text(
        "SELECT count(*) FROM operations WHERE kind = :kind AND status IN ('queued', 'running') "
        "AND (CAST(:namespace AS text) IS NULL OR EXISTS (SELECT FROM "
        "jsonb_array_elements_text(params -> 'workloads') AS k(key) "
        "WHERE split_part(k.key, '/', 1) = :namespace))"
    )
    given = {"kind": kind, "namespace": namespace}
    return int(connection.execute(statement, given).scalar_one())


def has_workloads(connection: Connection, namespace: str) -> bool:
    """Check whether a namespace has an active workload."""
    statement = text(
        "SELECT EXISTS (SELECT FROM workloads WHERE namespace = :namespace AND is_active)"
    )
    return bool(connection.execute(statement, {"namespace": namespace}).scalar_one())


def load_newest_frontier(
    connection: Connection, workload: str | None, namespaces: frozenset[str] | None
) -> RowMapping | None:
    """The newest backtest that succeeded, over `workload` when given, within `namespaces`."""
    where = Conditions()
    where.add("kind = 'backtest' AND status = 'succeeded'")
    if workload is not None:
        where.add("params -> 'workloads' @> to_jsonb(CAST(:key AS text))", key=workload)
    if namespaces is not None:
        where.add(_VISIBLE, visible=list(namespaces))
    found = page(connection, f"SELECT {_HEAD}, result FROM operations", where, "id DESC", 1)  # noqa: S608
    return found[0] if found else None
