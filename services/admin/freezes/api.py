"""Routes of change freezes and of SLA classes."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Response

from services.admin.classes import service as service_classes
from services.admin.controls.schemas import FreezeRequest, FreezeView, SlaClassView
from services.admin.decisions.schemas import Page
from services.admin.freezes import service as service_freezes
from services.admin.identity.auth import PROBLEMS, AsReader, Deps
from services.admin.rest.filters import Times, WorkloadFilters
from services.admin.rest.route import Router
from services.admin.rest.write import WRITE_PROBLEMS, OwnOperatorWrites, respond
from services.admin.workloads.api import Cursor, Limit

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
    return service_freezes.list_freezes(deps, given, limit, cursor)


@router.get("/freezes/{freeze_id}", tags=["freezes"])
def get_freeze(deps: Deps, principal: AsReader, freeze_id: FreezeId) -> FreezeView:
    """One change freeze."""
    return service_freezes.get_freeze(deps, principal, freeze_id)


@router.post(
    "/freezes",
    tags=["freezes"],
    status_code=201,
    response_model=FreezeView,
    responses=WRITE_PROBLEMS,
)
def create_freeze(deps: Deps, caller: OwnOperatorWrites, body: FreezeRequest) -> Response:
    """Freeze scaling between two times: of a workload, a namespace, or the fleet."""
    return respond(service_freezes.create_freeze(deps, caller, body))


@router.delete(
    "/freezes/{freeze_id}",
    tags=["freezes"],
    status_code=204,
    response_class=Response,
    responses=WRITE_PROBLEMS,
)
def lift_freeze(deps: Deps, caller: OwnOperatorWrites, freeze_id: FreezeId) -> Response:
    """End a freeze early; it stays in the list."""
    return respond(service_freezes.lift_freeze(deps, caller, freeze_id))


@router.get("/sla-classes", tags=["sla classes"])
def list_classes(
    deps: Deps, filters: WorkloadFilters, limit: Limit = 50, cursor: Cursor = None
) -> Page[SlaClassView]:
    """SLA classes that active workloads carry: what they promise, and what was kept."""
    return service_classes.list_classes(deps, filters, limit, cursor)


@router.get("/sla-classes/{class_name}", tags=["sla classes"])
def get_class(
    deps: Deps,
    principal: AsReader,
    class_name: Annotated[str, Path(max_length=253, examples=["gold"])],
) -> SlaClassView:
    """One SLA class."""
    return service_classes.get_class(deps, class_name, principal.namespaces())
