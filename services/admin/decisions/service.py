"""Use cases of decisions, actions and outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from services.admin.decisions import repository, schemas, translate
from services.admin.deps import AdminDeps, ReadDeps
from services.admin.identity.authority import check_visible
from services.admin.rest.cursors import page_of, position
from services.admin.rest.schemas import Page
from services.admin.rest.service import WorkloadKey, find_workload
from services.admin.rest.times import AHEAD
from services.kernel.errors import InvalidInput, NotFound
from services.kernel.server_clock import shared_now


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Filters of the lists of decisions, actions and outcomes.

    Attributes:
        namespaces: Those that may be seen; None: all.
        of: Which workloads, by `namespace` and `label`.
    """

    workload: str | None = None
    from_at: datetime | None = None
    to_at: datetime | None = None
    cursor: str | None = None
    limit: int = 50
    namespaces: frozenset[str] | None = None
    of: Mapping[str, Any] = field(default_factory=dict)


def list_decisions(
    deps: AdminDeps, query: ListQuery, filters: dict[str, Any]
) -> Page[schemas.DecisionSummary]:
    """Decisions, newest first; those of a time to come only where they are asked for."""
    with deps.reading() as connection:
        until = query.to_at or shared_now(connection, deps.clock) + AHEAD
        query = replace(query, to_at=until)
        found = _filters(connection, query) | filters
        rows = repository.load_decisions(connection, found, query.limit + 1)
    page = Page[schemas.DecisionSummary]
    return page_of(page, rows, query.limit, ("origin_at", "id"), translate.to_decision)


def get_decision(
    deps: ReadDeps, decision_id: int, namespaces: frozenset[str] | None = None
) -> schemas.DecisionDetail:
    """One decision: why it was made, and what came of it.

    Args:
        deps: Dependencies.
        decision_id: The decision.
        namespaces: Where it may be, to be seen; None: anywhere. Workloads elsewhere that gave up
            GPUs of the same budget are not named.

    Raises:
        NotFound: There is none, or none there.
    """
    with deps.reading() as connection:
        row = repository.load_decision(connection, decision_id)
        if row is None or (namespaces is not None and row["namespace"] not in namespaces):
            raise NotFound(f"decision {decision_id} does not exist")
        near = {
            "decision_id": decision_id,
            "workload_id": row["workload_id"],
            "from_at": row["origin_at"],
        }
        actions = repository.load_actions(connection, near | {"to_at": row["origin_at"]}, 20)
        outcomes = repository.load_outcomes(connection, near, 20)
        killed = repository.load_killed_pods(connection, decision_id)
    detail = translate.to_decision_detail(row, actions, outcomes, killed)
    seen = translate.seen_in(detail.explanation, namespaces)
    return detail.model_copy(update={"explanation": seen})


def list_actions(
    deps: AdminDeps, query: ListQuery, filters: dict[str, Any]
) -> Page[schemas.ActionView]:
    """Actions, newest first."""
    with deps.reading() as connection:
        found = _filters(connection, query) | filters
        rows = repository.load_actions(connection, found, query.limit + 1)
    page = Page[schemas.ActionView]
    return page_of(page, rows, query.limit, ("origin_at", "id"), translate.to_action)


def list_outcomes(deps: AdminDeps, query: ListQuery) -> Page[schemas.OutcomeView]:
    """Outcomes, newest first."""
    with deps.reading() as connection:
        rows = repository.load_outcomes(connection, _filters(connection, query), query.limit + 1)
    by = ("step_at", "workload_id")
    return page_of(Page[schemas.OutcomeView], rows, query.limit, by, translate.to_outcome)


def _filters(connection: Connection, query: ListQuery) -> dict[str, Any]:
    filters: dict[str, Any] = {"from_at": query.from_at, "to_at": query.to_at, **query.of}
    filters["namespaces"] = query.namespaces
    if query.workload is not None:
        namespace, slash, name = query.workload.partition("/")
        if not slash:
            raise InvalidInput(f"workload={query.workload!r} must read namespace/name")
        check_visible(query.namespaces, namespace)
        filters["workload_id"] = find_workload(connection, WorkloadKey(namespace, name)).id
    return filters | position(query.cursor, (datetime, int))
