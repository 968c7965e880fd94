"""SQL of the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from services.admin.rest.lists_repository import Conditions, page


def has_action(connection: Connection, action: str) -> bool:
    """Whether any entry of the audit log is of an action."""
    statement = text("SELECT EXISTS (SELECT 1 FROM audit WHERE action = :action)")
    return bool(connection.execute(statement, {"action": action}).scalar_one())


def load_audit(connection: Connection, filters: Mapping[str, Any], limit: int) -> list[RowMapping]:
    """Audit entries, newest first.

    Filters: `actor` and `action` (exactly), `object` (how it begins), `from_at`, `to_at`, `after`.
    """
    where = Conditions()
    where.equal("actor", filters.get("actor"))
    where.equal("action", filters.get("action"))
    if filters.get("object") is not None:
        where.add("starts_with(object, :object)", object=filters["object"])
    where.between("at", filters)
    where.after("id < :a0", filters.get("after"))
    select = (
        "SELECT id, at, actor, action, object, before, after, encode(hash, 'hex') AS hash "
        "FROM audit"
    )
    return page(connection, select, where, "id DESC", limit)
