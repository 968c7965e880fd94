"""Routes of decisions, actions, outcomes, models, audit and keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from services.admin import schemas, service, service_keys
from services.admin.api_auth import PROBLEMS, AsAdmin, Deps, Viewer
from services.admin.api_workloads import Cursor, FromAt, Limit, ToAt
from services.admin.service import ListQuery

router = APIRouter(prefix="/v1", responses=PROBLEMS)
Id = Annotated[int, Path(ge=1, lt=2**63)]


def list_query(
    workload: Annotated[
        str | None, Query(max_length=300, description="namespace/name", examples=["prod/llama"])
    ] = None,
    from_at: FromAt = None,
    to_at: ToAt = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> ListQuery:
    """Filters that the lists share; without times the whole history, newest first."""
    return ListQuery(workload, from_at, to_at, cursor, limit)


Filters = Annotated[ListQuery, Depends(list_query)]


@router.get("/decisions", tags=["decisions"], dependencies=[Viewer])
def list_decisions(
    deps: Deps,
    query: Filters,
    direction: schemas.Direction | None = None,
    reason: Annotated[str | None, Query(max_length=100)] = None,
    changes: Annotated[bool, Query(description="Leave out decisions to hold")] = False,
) -> schemas.Page[schemas.DecisionSummary]:
    """Decisions, newest first, by time of their origin."""
    filters = {"direction": direction, "reason": reason, "changes": changes}
    return service.list_decisions(deps, query, filters)


@router.get("/decisions/{decision_id}", tags=["decisions"], dependencies=[Viewer])
def get_decision(deps: Deps, decision_id: Id) -> schemas.DecisionDetail:
    """Why a decision was made, what was done about it, and what came of it."""
    return service.get_decision(deps, decision_id)


@router.get("/actions", tags=["decisions"], dependencies=[Viewer])
def list_actions(
    deps: Deps,
    query: Filters,
    result: Annotated[str | None, Query(max_length=40, examples=["applied"])] = None,
) -> schemas.Page[schemas.ActionView]:
    """Attempts to apply decisions, newest first."""
    return service.list_actions(deps, query, {"result": result})


@router.get("/outcomes", tags=["decisions"], dependencies=[Viewer])
def list_outcomes(deps: Deps, query: Filters) -> schemas.Page[schemas.OutcomeView]:
    """What happened in each step, newest first."""
    return service.list_outcomes(deps, query)


@router.get("/models", tags=["models"], dependencies=[Viewer])
def list_models(
    deps: Deps, limit: Limit = 50, cursor: Cursor = None
) -> schemas.Page[schemas.ModelView]:
    """The model registry, newest first."""
    return service.list_models(deps, limit, cursor)


@router.get("/audit", tags=["audit"])
def list_audit(
    deps: Deps, principal: AsAdmin, limit: Limit = 50, cursor: Cursor = None
) -> schemas.Page[schemas.AuditView]:
    """The audit log, newest first."""
    return service_keys.list_audit(deps, limit, cursor)


@router.get("/audit/check", tags=["audit"])
def check_audit(deps: Deps, principal: AsAdmin) -> schemas.AuditCheck:
    """Recompute the audit chain: was an entry changed, inserted or removed?"""
    return service_keys.check_audit(deps)


@router.get("/keys", tags=["keys"])
def list_keys(deps: Deps, principal: AsAdmin) -> list[schemas.KeyView]:
    """All API keys, newest first, revoked ones too; never their secrets."""
    return service_keys.list_keys(deps)


@router.post("/keys", tags=["keys"], status_code=201)
def create_key(deps: Deps, principal: AsAdmin, body: schemas.KeyRequest) -> schemas.KeyCreated:
    """Make an API key; the answer holds its token, which is shown this once."""
    return service_keys.create_key(deps, body, principal)


@router.delete("/keys/{key_id}", tags=["keys"], status_code=204, response_class=Response)
def revoke_key(
    deps: Deps, principal: AsAdmin, key_id: Annotated[int, Path(ge=1, lt=2**31)]
) -> None:
    """Revoke an API key."""
    service_keys.revoke_key(deps, key_id, principal)
