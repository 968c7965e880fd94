"""Use cases of the fleet: workloads with their live state."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import ValidationError
from sqlalchemy import RowMapping

from services.admin.deps import AdminDeps, ReadDeps
from services.admin.rest.cursors import page_of, position
from services.admin.rest.schemas import Page
from services.admin.workloads import repository, schemas, translate, trend_repository
from services.kernel.errors import NotFound
from services.kernel.security.keys import Principal, Role
from services.kernel.server_clock import shared_now
from services.kernel.telemetry import get_logger


def list_workloads(
    deps: ReadDeps, filters: dict[str, Any], limit: int, cursor: str | None = None
) -> Page[schemas.WorkloadView]:
    """Active workloads in order of namespace and name, each with its live state.

    One whose stored spec cannot be read is left out, and keeps no other from being shown.
    """
    now = deps.clock.now()
    filters = filters | position(cursor, (str, str, int))
    since = now - timedelta(seconds=translate.COST_WINDOW_S)
    with deps.reading() as connection:
        until = shared_now(connection, deps.clock)
        rows = repository.load_fleet(connection, filters, limit + 1, until)
        shown = rows[:limit]
        spent = repository.load_spent(connection, [row["id"] for row in shown], since)

    def view(row: RowMapping) -> schemas.WorkloadView | None:
        try:
            return translate.to_workload(row, spent.get(row["id"]), now)
        except ValidationError as error:
            key, why = f"{row['namespace']}/{row['name']}", error.errors()[0]["msg"]
            get_logger("admin").warning("spec_unreadable", workload=key, error=why)
            return None

    return page_of(Page[schemas.WorkloadView], rows, limit, ("namespace", "name", "id"), view)


def list_standings(deps: ReadDeps, filters: dict[str, Any]) -> list[translate.WorkloadStanding]:
    """How every workload stands that `list_workloads` would list, and what those cost that left.

    Of a workload that left within the window of costs only the cost is of use.
    """
    now = deps.clock.now()
    since = now - timedelta(seconds=translate.COST_WINDOW_S)
    with deps.reading() as connection:
        until = shared_now(connection, deps.clock)
        rows = repository.load_standings(connection, filters, until, since)
    found = []
    for row in rows:
        with suppress(ValidationError):  # the list itself tells of a spec that cannot be read
            found.append(translate.to_standing(row, now))
    return found


def get_workload(deps: ReadDeps, namespace: str, name: str) -> schemas.WorkloadView:
    """One workload, active or not.

    Raises:
        NotFound: There is none, or its spec cannot be read.
    """
    page = list_workloads(deps, {"namespace": namespace, "name": name}, 1)
    if not page.items:
        raise NotFound(f"workload {namespace}/{name} does not exist, or its spec cannot be read")
    return page.items[0]


_MAX_NAMED = 500
"""Workloads that a form proposes, and that a trend sums up."""


@dataclass(frozen=True, slots=True)
class ProposedNames:
    """What a form proposes.

    Attributes:
        workloads: The first ones by name, as `namespace/name`.
        has_more: There are workloads beyond them, whose names can be typed.
    """

    workloads: list[str] = field(default_factory=list)
    has_more: bool = False


def workload_names(deps: AdminDeps, principal: Principal, role: Role) -> ProposedNames:
    """Workloads of which the visitor has the role."""
    with deps.reading() as connection:
        filters = {"namespaces": principal.namespaces(role)}
        found = repository.load_names(connection, filters, _MAX_NAMED + 1)
    return ProposedNames(found[:_MAX_NAMED], len(found) > _MAX_NAMED)


def namespace_names(deps: AdminDeps, principal: Principal, role: Role) -> list[str]:
    """Every namespace with workloads of which the visitor has the role."""
    with deps.reading() as connection:
        return repository.load_namespaces(connection, {"namespaces": principal.namespaces(role)})


TREND_WINDOW = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SpentTrend:
    """What workloads used hour by hour.

    Attributes:
        n_of_first: Workloads that are summed up, where these are the first by name of more; None:
            they are all.
    """

    hours: list[schemas.SpentHour]
    n_of_first: int | None = None


def get_trend(deps: ReadDeps, filters: dict[str, Any]) -> SpentTrend:
    """What the workloads of a filter used in each hour of the last day, in order of time."""
    since = deps.clock.now() - TREND_WINDOW
    with deps.reading() as connection:
        ids = repository.load_ids(connection, filters, _MAX_NAMED + 1, since)
        summed = ids[:_MAX_NAMED]
        rows = trend_repository.load_trend(connection, summed, since)
    hours = [translate.to_spent_hour(row) for row in rows]
    return SpentTrend(hours, len(summed) if len(ids) > len(summed) else None)
