"""Routes of policies, pauses and schedules."""

from __future__ import annotations

from fastapi import Response

from services.admin.controls import service
from services.admin.controls.schemas import (
    PauseRequest,
    PauseView,
    PolicyPatch,
    PolicyView,
    SchedulesRequest,
    SchedulesView,
)
from services.admin.identity.auth import Deps, Reader
from services.admin.rest.filters import WorkloadFilters
from services.admin.rest.params import Cursor, Limit, Name, Namespace
from services.admin.rest.problems import PROBLEMS, UPDATE_PROBLEMS, WRITE_PROBLEMS
from services.admin.rest.route import Router
from services.admin.rest.schemas import Page
from services.admin.rest.service import WorkloadKey
from services.admin.rest.write import ETAG_HEADER, IfMatch, OperatorWrites, respond, tagged

router = Router(prefix="/v1", responses=PROBLEMS)
_WORKLOAD = "/workloads/{namespace}/{name}"


@router.get("/policies", tags=["policies"])
def list_policies(
    deps: Deps, filters: WorkloadFilters, limit: Limit = 50, cursor: Cursor = None
) -> Page[PolicyView]:
    """Policies of the active workloads, in order of namespace and name."""
    return service.list_policies(deps, filters, limit, cursor)


@router.get(
    f"{_WORKLOAD}/policy", tags=["policies"], dependencies=[Reader], responses={200: ETAG_HEADER}
)
def get_policy(deps: Deps, response: Response, namespace: Namespace, name: Name) -> PolicyView:
    """The policy in force, and what was set of it through the API."""
    return tagged(response, *service.get_policy(deps, WorkloadKey(namespace, name)))


@router.patch(
    f"{_WORKLOAD}/policy",
    tags=["policies"],
    response_model=PolicyView,
    responses=UPDATE_PROBLEMS | {200: ETAG_HEADER},
)
def patch_policy(
    deps: Deps,
    caller: OperatorWrites,
    namespace: Namespace,
    name: Name,
    body: PolicyPatch,
    if_match: IfMatch = None,
) -> Response:
    """Set fields of a policy over the GPUAutoscaler's own; null takes a field back.

    It holds from the operator's next pass on (`is_in_force`).
    """
    key = WorkloadKey(namespace, name)
    return respond(service.patch_policy(deps, caller, key, body, if_match))


@router.get("/pauses", tags=["pauses"])
def list_pauses(
    deps: Deps, filters: WorkloadFilters, limit: Limit = 50, cursor: Cursor = None
) -> Page[PauseView]:
    """Workloads of which something is held, in order of namespace and name."""
    return service.list_pauses(deps, filters, limit, cursor)


@router.get(
    f"{_WORKLOAD}/pause", tags=["pauses"], dependencies=[Reader], responses={200: ETAG_HEADER}
)
def get_pause(deps: Deps, response: Response, namespace: Namespace, name: Name) -> PauseView:
    """What is held of a workload."""
    return tagged(response, *service.get_pause(deps, WorkloadKey(namespace, name)))


@router.put(
    f"{_WORKLOAD}/pause",
    tags=["pauses"],
    response_model=PauseView,
    responses=WRITE_PROBLEMS | {200: ETAG_HEADER},
)
def put_pause(
    deps: Deps,
    caller: OperatorWrites,
    namespace: Namespace,
    name: Name,
    body: PauseRequest,
    if_match: IfMatch = None,
) -> Response:
    """Pause a workload, in place of an earlier pause of the API; `If-Match` may be left out."""
    key = WorkloadKey(namespace, name)
    return respond(service.put_pause(deps, caller, key, body, if_match or "*"))


@router.delete(
    f"{_WORKLOAD}/pause",
    tags=["pauses"],
    response_model=PauseView,
    responses=WRITE_PROBLEMS | {200: ETAG_HEADER},
)
def delete_pause(
    deps: Deps, caller: OperatorWrites, namespace: Namespace, name: Name, if_match: IfMatch = None
) -> Response:
    """Resume: take the API's pause back; what annotations or freezes hold stays held."""
    key = WorkloadKey(namespace, name)
    return respond(service.delete_pause(deps, caller, key, if_match or "*"))


@router.get("/schedules", tags=["schedules"])
def list_schedules(
    deps: Deps, filters: WorkloadFilters, limit: Limit = 50, cursor: Cursor = None
) -> Page[SchedulesView]:
    """Workloads with schedules, in order of namespace and name."""
    return service.list_schedules(deps, filters, limit, cursor)


@router.get(
    f"{_WORKLOAD}/schedules",
    tags=["schedules"],
    dependencies=[Reader],
    responses={200: ETAG_HEADER},
)
def get_schedules(
    deps: Deps, response: Response, namespace: Namespace, name: Name
) -> SchedulesView:
    """The schedules of a workload."""
    key = WorkloadKey(namespace, name)
    return tagged(response, *service.get_schedules(deps, key))


@router.put(
    f"{_WORKLOAD}/schedules",
    tags=["schedules"],
    response_model=SchedulesView,
    responses=UPDATE_PROBLEMS | {200: ETAG_HEADER},
)
def put_schedules(
    deps: Deps,
    caller: OperatorWrites,
    namespace: Namespace,
    name: Name,
    body: SchedulesRequest,
    if_match: IfMatch = None,
) -> Response:
    """Replace the schedules, in place of the GPUAutoscaler's own."""
    key = WorkloadKey(namespace, name)
    return respond(service.put_schedules(deps, caller, key, body, if_match))


@router.delete(
    f"{_WORKLOAD}/schedules",
    tags=["schedules"],
    response_model=SchedulesView,
    responses=UPDATE_PROBLEMS | {200: ETAG_HEADER},
)
def reset_schedules(
    deps: Deps, caller: OperatorWrites, namespace: Namespace, name: Name, if_match: IfMatch = None
) -> Response:
    """Take the schedules back to those of the GPUAutoscaler."""
    key = WorkloadKey(namespace, name)
    return respond(service.reset_schedules(deps, caller, key, if_match))
