"""Use cases of SLA classes, as the workloads carry them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.admin import repository_classes as repository
from services.admin.schemas import Page
from services.admin.schemas_controls import SlaClassView
from services.admin.service import (
    MEASURED_WINDOW_S,
    AdminDeps,
    decode_cursor,
    encode_cursor,
)
from services.admin.translate_controls import to_sla_class
from services.kernel.domain import SlaSpec
from services.kernel.domain.workload import CLASS_PRIORITIES, DEFAULT_PRIORITY
from services.kernel.errors import NotFound


def list_classes(
    deps: AdminDeps, filters: dict[str, Any], limit: int, cursor: str | None
) -> Page[SlaClassView]:
    """SLA classes that some active workload carries, by name."""
    if cursor is not None:
        filters = filters | {"after": decode_cursor(cursor, (str,))}
    fields = SlaSpec.model_fields
    defaults = {
        "name": fields["sla_class"].default,
        "priority": DEFAULT_PRIORITY,
        "epsilon": fields["epsilon"].default,
        "kind": fields["kind"].default,
    }
    known = {"defaults": defaults, "priorities": CLASS_PRIORITIES}
    since = deps.clock.now() - timedelta(seconds=MEASURED_WINDOW_S)
    with deps.engine.connect() as connection:
        rows = repository.load_classes(connection, filters | known, since, limit + 1)
    following = encode_cursor(rows[limit - 1]["name"]) if len(rows) > limit else None
    items = [to_sla_class(row, MEASURED_WINDOW_S) for row in rows[:limit]]
    return Page[SlaClassView](items=items, next_cursor=following)


def get_class(deps: AdminDeps, name: str, namespaces: frozenset[str] | None) -> SlaClassView:
    """One SLA class.

    Raises:
        NotFound: No workload that can be seen carries it.
    """
    found = list_classes(deps, {"name": name, "namespaces": namespaces}, 1, None)
    if not found.items:
        raise NotFound(f"no active workload is of the SLA class {name!r}")
    return found.items[0]
