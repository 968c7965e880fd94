"""SQL of the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, RowMapping

from services.admin.rest.lists_repository import Conditions, page


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
