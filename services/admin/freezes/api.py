"""Routes of change freezes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Response

from services.admin.freezes import service
from services.admin.freezes.schemas import FreezeRequest, FreezeView
from services.admin.identity.auth import AsReader, Deps
from services.admin.rest.filters import Times, WorkloadFilters
from services.admin.rest.params import Cursor, Limit
from services.admin.rest.problems import PROBLEMS, WRITE_PROBLEMS
from services.admin.rest.route import Router
from services.admin.rest.schemas import Page
from services.admin.rest.write import OwnOperatorWrites, respond

router = Router(prefix="/v1", responses=PROBLEMS)
FreezeId = Annotated[int, Path(ge=1, lt=2**31)]


@router.get("/freezes", tags=["freezes"])
def list_freezes(
    deps: Deps,
    filters: WorkloadFilters,
    period: Times,
    standing: Annotated[bool, Query(description="In force or to come, not lifted")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[FreezeView]:
    """Change freezes, newest first, by the time that they hold; those of the fleet too."""
    given = filters | period | {"is_standing": standing}
    return service.list_freezes(deps, given, limit, cursor)


@router.get("/freezes/{freeze_id}", tags=["freezes"])
def get_freeze(deps: Deps, principal: AsReader, freeze_id: FreezeId) -> FreezeView:
    """One change freeze."""
    return service.get_freeze(deps, principal, freeze_id)


@router.post(
    "/freezes",
    tags=["freezes"],
    status_code=201,
    response_model=FreezeView,
    responses=WRITE_PROBLEMS,
)
def create_freeze(deps: Deps, caller: OwnOperatorWrites, body: FreezeRequest) -> Response:
    """Freeze scaling between two times: of a workload, a namespace, or the fleet."""
    return respond(service.create_freeze(deps, caller, body))


@router.delete(
    "/freezes/{freeze_id}",
    tags=["freezes"],
    status_code=204,
    response_class=Response,
    responses=WRITE_PROBLEMS,
)
def lift_freeze(deps: Deps, caller: OwnOperatorWrites, freeze_id: FreezeId) -> Response:
    """End a freeze early; it stays in the list."""
    return respond(service.lift_freeze(deps, caller, freeze_id))
