"""SQL of the controls that are set over a workload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from services.admin.rest.lists_repository import Conditions, page

_CONTROLLED = (
    "SELECT w.id, w.namespace, w.name, "
    "(SELECT c.name FROM clusters c WHERE c.id = w.cluster_id) AS cluster, "
    "w.step_s, w.spec::text AS spec_text, w.object_spec::text AS object_spec_text, "
    "w.spec_version, w.is_active, w.managed_by, "
    "COALESCE(c.body, '{}'::jsonb) AS body, COALESCE(c.version, 0) AS version, c.updated_by, "
    "c.updated_at FROM workloads w LEFT JOIN workload_controls c "
    "ON c.workload_id = w.id AND w.managed_by = 'kubernetes' "
)


def load_controlled(
    connection: Connection, namespace: str, name: str, *, is_locked: bool = False
) -> RowMapping | None:
    """A workload with its controls; locked against other writers of them when asked."""
    of_workload = "WHERE w.namespace = :namespace AND w.name = :name"
    values = {"namespace": namespace, "name": name}
    if is_locked:
        # by itself: a statement that waited here would join the controls of before it waited
        lock = text(f"SELECT FROM workloads w {of_workload} FOR UPDATE")
        connection.execute(lock, values)
    return connection.execute(text(f"{_CONTROLLED} {of_workload}"), values).mappings().first()


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
            "(c.body -> 'pause' <> 'null'::jsonb OR 'true'::jsonb IN ("
            "w.spec -> 'paused', w.spec -> 'scale_in_only', w.spec -> 'scale_out_only'))"
        )
    elif filters["what"] == "schedules":
        # of a row that somebody changed by hand it may be anything
        where.add(
            "CASE jsonb_typeof(w.spec -> 'schedules') WHEN 'array' "
            "THEN jsonb_array_length(w.spec -> 'schedules') > 0 END"
        )
    where.add("w.is_active")
    where.of_workloads(filters)
    where.after("(w.namespace, w.name, w.id) > (:a0, :a1, :a2)", filters.get("after"))
    return page(connection, _CONTROLLED, where, "w.namespace, w.name, w.id", limit)


def load_freezes(
    connection: Connection, ids: Sequence[int], now: datetime
) -> dict[int, list[RowMapping]]:
    """Freezes that cover workloads and are not over at `now`, by workload id.

    A workload that was made over REST has none: no operator follows them there.
    """
    of_workload = (
        "SELECT w.id AS workload_id, f.id, f.direction, f.from_at, f.until_at, f.reason "
        "FROM freezes f JOIN workloads w ON w.cluster_id = f.cluster_id "
        "AND w.id = ANY(:ids) AND w.managed_by = 'kubernetes' "
        "AND (f.name IS NULL OR f.name = w.name) "
        "WHERE f.lifted_at IS NULL AND f.until_at > :now "
    )
    # apart: those of other namespaces are not tried for each workload
    statement = (
        f"{of_workload} AND f.namespace = w.namespace UNION ALL "
        f"{of_workload} AND f.namespace IS NULL ORDER BY id"
    )
    given = {"ids": list(ids), "now": now}
    found: dict[int, list[RowMapping]] = {}
    for row in connection.execute(text(statement), given).mappings():
        found.setdefault(row["workload_id"], []).append(row)
    return found


def load_budgeted(connection: Connection, gpu_types: Sequence[str]) -> list[str]:
    """Those of some GPU types that have a budget, of their own or with all others."""
    statement = text(
        "SELECT t FROM unnest(CAST(:types AS text[])) t WHERE EXISTS ("
        "SELECT FROM gpu_budgets b WHERE b.gpu_type IN (t, '*')) ORDER BY t"
    )
    return list(connection.scalars(statement, {"types": list(gpu_types)}))


def save_controls(
    connection: Connection, workload_id: int, seen: int, values: Mapping[str, Any]
) -> int | None:
    """Store controls and return their new version; None: somebody has changed them since.

    Args:
        connection: An open transaction.
        workload_id: Of the workload that they are of.
        seen: Version of what they were made from; 0: there was nothing.
        values: `body`, `updated_by`, `updated_at`.
    """
    statement = text(
        "INSERT INTO workload_controls (workload_id, body, version, updated_by, updated_at) "
        "VALUES (:workload_id, :body, 1, :updated_by, :updated_at) "
        "ON CONFLICT (workload_id) DO UPDATE SET body = EXCLUDED.body, "
        "version = workload_controls.version + 1, updated_by = EXCLUDED.updated_by, "
        "updated_at = EXCLUDED.updated_at WHERE workload_controls.version = :seen RETURNING version"
    ).bindparams(bindparam("body", type_=JSONB))
    found = connection.execute(statement, {"workload_id": workload_id, "seen": seen, **values})
    version = found.scalar()
    return None if version is None else int(version)
