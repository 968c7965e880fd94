"""Routes of decisions, actions and outcomes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query
from pydantic import AfterValidator

from services.admin.decisions import schemas, service
from services.admin.decisions.reason_wording import REASONS
from services.admin.decisions.service import ListQuery
from services.admin.identity.auth import AsReader, Deps, Reader
from services.admin.rest.filters import Times, WorkloadFilters
from services.admin.rest.params import Cursor, Id, Limit
from services.admin.rest.problems import PROBLEMS
from services.admin.rest.route import Router
from services.admin.rest.schemas import Page

router = Router(prefix="/v1", responses=PROBLEMS)


async def list_query(
    of: WorkloadFilters,
    period: Times,
    workload: Annotated[
        str | None, Query(max_length=317, description="namespace/name", examples=["prod/llama"])
    ] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> ListQuery:
    """Filters that the lists share; without times the whole history, newest first."""
    visible = of["namespaces"]
    return ListQuery(workload, period["from_at"], period["to_at"], cursor, limit, visible, of)


Filters = Annotated[ListQuery, Depends(list_query)]


def _known_reason(reason: str) -> str:
    """A misspelt reason would be an empty page, which reads as if nothing had happened."""
    if reason not in REASONS:
        raise ValueError(f"must be one of {', '.join(sorted(REASONS))}")
    return reason


@router.get("/decisions", tags=["decisions"], dependencies=[Reader])
def list_decisions(
    deps: Deps,
    query: Filters,
    direction: schemas.Direction | None = None,
    reason: Annotated[
        Annotated[str, AfterValidator(_known_reason)] | None,
        Query(max_length=100, examples=["scale_up_risk"]),
    ] = None,
    changes: Annotated[bool, Query(description="Leave out decisions to hold")] = False,
) -> Page[schemas.DecisionSummary]:
    """Decisions, newest first, by time of their origin; without `to_at` until now."""
    filters = {"direction": direction, "reason": reason, "changes": changes}
    return service.list_decisions(deps, query, filters)


@router.get("/decisions/{decision_id}", tags=["decisions"], dependencies=[Reader])
def get_decision(deps: Deps, principal: AsReader, decision_id: Id) -> schemas.DecisionDetail:
    """Why a decision was made, what was done about it, and what came of it."""
    return service.get_decision(deps, decision_id, principal.namespaces())


@router.get("/actions", tags=["decisions"], dependencies=[Reader])
def list_actions(
    deps: Deps,
    query: Filters,
    result: Annotated[schemas.ActionResult | None, Query(examples=["applied"])] = None,
) -> Page[schemas.ActionView]:
    """Attempts to apply decisions, newest first."""
    return service.list_actions(deps, query, {"result": result})


@router.get("/outcomes", tags=["decisions"], dependencies=[Reader])
def list_outcomes(deps: Deps, query: Filters) -> Page[schemas.OutcomeView]:
    """What happened in each step, newest first."""
    return service.list_outcomes(deps, query)
