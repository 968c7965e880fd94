"""Use cases of SLA classes, as the workloads carry them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
from sqlalchemy.exc import SQLAlchemyError

from services.admin.classes import repository
from services.admin.classes.schemas import SlaClassView
from services.admin.classes.translate import to_sla_class
from services.admin.deps import AdminDeps
from services.admin.rest.cursors import page_of, position
from services.admin.rest.schemas import Page
from services.kernel.domain import SlaSpec
from services.kernel.domain.workload import CLASS_PRIORITIES, DEFAULT_PRIORITY
from services.kernel.errors import NotFound
from services.kernel.telemetry import get_logger

WINDOW_S = 86400.0
REMEMBERED_S = 30.0
_MOST = 64
_remembered: OrderedDict[str, tuple[int, Page[SlaClassView]]] = OrderedDict()
_refreshing: set[str] = set()
_lock = threading.Lock()


def list_classes(
    deps: AdminDeps, filters: dict[str, Any], limit: int, cursor: str | None
) -> Page[SlaClassView]:
    """SLA classes that some workload carries that is active or had costs in the day, by name.

    A day's outcomes of the whole fleet are summed up; as a step's worth of them arrives at a
    time, an answer is given again for half a minute, and once more while a newer one is made
    beside the requests.
    """
    slot = int(deps.clock.now().timestamp() // REMEMBERED_S)
    visible = filters.get("namespaces")
    asked = filters | {"namespaces": None if visible is None else sorted(visible)}
    key = orjson.dumps([str(deps.engine.url), deps.cell.name, asked, limit, cursor]).decode()

    def load() -> Page[SlaClassView]:
        return _remember(key, slot, _load_classes(deps, filters, limit, cursor))

    with _lock:
        made_in, known = _remembered.get(key, (None, None))
        is_due = made_in == slot - 1 and key not in _refreshing
        if is_due:
            _refreshing.add(key)
    if is_due:
        threading.Thread(target=_refresh, args=(key, load), daemon=True).start()
    is_fresh = made_in is not None and 0 <= slot - made_in <= 1
    return known if known is not None and is_fresh else load()


def _remember(key: str, slot: int, page: Page[SlaClassView]) -> Page[SlaClassView]:
    with _lock:
        _remembered[key] = slot, page
        while len(_remembered) > _MOST:
            _remembered.popitem(last=False)
    return page


def _refresh(key: str, load: Callable[[], object]) -> None:
    try:
        load()
    except SQLAlchemyError as error:  # the next request that finds nothing fresh meets it itself
        get_logger(__name__).warning("classes_not_refreshed", error=str(error)[:200])
    finally:
        with _lock:
            _refreshing.discard(key)


def _load_classes(
    deps: AdminDeps, filters: dict[str, Any], limit: int, cursor: str | None
) -> Page[SlaClassView]:
    filters = filters | position(cursor, (str,))
    fields = SlaSpec.model_fields
    defaults = {
        "name": fields["sla_class"].default,
        "priority": DEFAULT_PRIORITY,
        "epsilon": fields["epsilon"].default,
        "kind": fields["kind"].default,
        "window_s": fields["window_s"].default,
    }
    known = {"defaults": defaults, "priorities": CLASS_PRIORITIES}
    since = deps.clock.now() - timedelta(seconds=WINDOW_S)
    with deps.reading() as connection:
        rows = repository.load_classes(connection, filters | known, since, limit + 1)
    return page_of(
        Page[SlaClassView], rows, limit, ("name",), lambda row: to_sla_class(row, WINDOW_S)
    )


def get_class(deps: AdminDeps, name: str, namespaces: frozenset[str] | None) -> SlaClassView:
    """One SLA class.

    Raises:
        NotFound: No workload that can be seen carries it.
    """
    found = list_classes(deps, {"name": name, "namespaces": namespaces}, 1, None)
    if not found.items:
        raise NotFound(f"no active workload is of the SLA class {name!r}")
    return found.items[0]
