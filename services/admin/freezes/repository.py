"""SQL of change freezes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, RowMapping, text

from services.admin.rest.lists_repository import Conditions, page

_FREEZE = (
    "id, namespace, name, direction, from_at, until_at, reason, created_by, created_at, "
    "lifted_at, (SELECT c.name FROM clusters c WHERE c.id = cluster_id) AS cluster"
)
_OF_LABELLED = (
    "(namespace IS NULL OR EXISTS (SELECT FROM workloads w WHERE w.is_active "
    "AND w.cluster_id = freezes.cluster_id AND w.namespace = freezes.namespace "
    "AND (freezes.name IS NULL OR w.name = freezes.name) "
    "AND w.spec -> 'labels' @> CAST(:labels AS jsonb)))"
)


def insert_freeze(connection: Connection, values: Mapping[str, Any]) -> RowMapping:
    """Store a freeze and return it."""
    statement = text(
        "INSERT INTO freezes (namespace, name, direction, from_at, until_at, reason, created_by, "  # noqa: S608
        "created_at) VALUES (:namespace, :name, :direction, :from_at, :until_at, :reason, "
        f":created_by, :created_at) RETURNING {_FREEZE}"
    )
    return connection.execute(statement, dict(values)).mappings().one()


def count_standing(connection: Connection, namespace: str | None, now: datetime) -> int:
    """Freezes of a namespace that are in force or to come; none is added meanwhile.

    Args:
        connection: An open transaction.
        namespace: None: those of the fleet.
        now: Aware.
    """
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 7017))"),
        {"name": namespace or ""},
    )
    statement = text(
        "SELECT count(*) FROM freezes WHERE namespace IS NOT DISTINCT FROM :namespace "
        "AND lifted_at IS NULL AND until_at > :now"
    )
    return int(connection.execute(statement, {"namespace": namespace, "now": now}).scalar_one())


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

    Filters: `now` (only what is in force or to come), `namespace`, `namespaces`, `label` (what
    holds a workload with these), `from_at`, `to_at` (of the time it holds), `after`.
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
    if filters.get("label"):
        labels = orjson.dumps(dict(filters["label"])).decode()
        where.add(_OF_LABELLED, labels=labels)
    if filters.get("from_at") is not None:
        where.add("least(until_at, lifted_at) >= :from_at", from_at=filters["from_at"])
    if filters.get("to_at") is not None:
        where.add("from_at <= :to_at", to_at=filters["to_at"])
    where.after("id < :a0", filters.get("after"))
    return page(connection, f"SELECT {_FREEZE} FROM freezes", where, "id DESC", limit)  # noqa: S608
