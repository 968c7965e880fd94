"""Use cases of SLA classes, as the workloads carry them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import timedelta
from typing import Any

import orjson

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

REMEMBERED_S = 30.0
_MOST = 64
_remembered: OrderedDict[str, Page[SlaClassView]] = OrderedDict()
_lock = threading.Lock()


def list_classes(
    deps: AdminDeps, filters: dict[str, Any], limit: int, cursor: str | None
) -> Page[SlaClassView]:
    """SLA classes that some active workload carries, by name.

    A day's outcomes of the whole fleet are summed up; as a step's worth of them arrives at a
    time, an answer is given again for half a minute.
    """
    slot = int(deps.clock.now().timestamp() // REMEMBERED_S)
    visible = filters.get("namespaces")
    asked = filters | {"namespaces": None if visible is None else sorted(visible)}
    key = orjson.dumps([str(deps.engine.url), slot, asked, limit, cursor]).decode()
    with _lock:
        known = _remembered.get(key)
    if known is None:
        known = _load_classes(deps, filters, limit, cursor)
        with _lock:
            _remembered[key] = known
            while len(_remembered) > _MOST:
                _remembered.popitem(last=False)
    return known


def _load_classes(
    deps: AdminDeps, filters: dict[str, Any], limit: int, cursor: str | None
) -> Page[SlaClassView]:
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
    with deps.reading() as connection:
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
