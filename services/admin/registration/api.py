"""Routes that make, change and remove workloads where no operator does."""

from __future__ import annotations

from fastapi import Response

from services.admin.identity.auth import Deps, Reader
from services.admin.registration import service
from services.admin.registration.schemas import (
    ReplicasReport,
    ReplicasView,
    WorkloadRequest,
    WorkloadSpecView,
    WorkloadUpdate,
)
from services.admin.rest.params import Name, Namespace
from services.admin.rest.problems import PROBLEMS, UPDATE_PROBLEMS, WRITE_PROBLEMS
from services.admin.rest.route import Router
from services.admin.rest.service import WorkloadKey
from services.admin.rest.write import (
    ETAG_HEADER,
    IfMatch,
    OperatorWrites,
    OwnOperatorWrites,
    respond,
    tagged,
)

router = Router(prefix="/v1/workloads", tags=["workloads"], responses=PROBLEMS)


@router.post(
    "",
    status_code=201,
    response_model=WorkloadSpecView,
    responses=WRITE_PROBLEMS | {201: ETAG_HEADER},
)
def create_workload(deps: Deps, caller: OwnOperatorWrites, body: WorkloadRequest) -> Response:
    """Make a workload whose decisions are advice: nothing of the cluster is touched.

    Needs the role operator in its namespace. One that was removed comes back with its history. A
    GPUAutoscaler of the same name, made later, takes the workload over.
    """
    return respond(service.create(deps, caller, body))


@router.get("/{namespace}/{name}/spec", dependencies=[Reader], responses={200: ETAG_HEADER})
def get_spec(deps: Deps, response: Response, namespace: Namespace, name: Name) -> WorkloadSpecView:
    """A workload's spec as it stands, and who sets it."""
    return tagged(response, *service.get_spec(deps, WorkloadKey(namespace, name)))


@router.put(
    "/{namespace}/{name}",
    response_model=WorkloadSpecView,
    responses=UPDATE_PROBLEMS | {200: ETAG_HEADER},
)
def replace_workload(
    deps: Deps,
    caller: OperatorWrites,
    namespace: Namespace,
    name: Name,
    body: WorkloadUpdate,
    if_match: IfMatch = None,
) -> Response:
    """Replace the spec of a workload that was made here; one of the operator's is refused (409).

    What GET answers may be sent back, changed: a field that cannot be set is taken where it is as
    it stands. A spec that is as it stands changes nothing.
    """
    key = WorkloadKey(namespace, name)
    return respond(service.replace(deps, caller, key, body, if_match))


@router.post("/{namespace}/{name}/replicas", response_model=ReplicasView, responses=WRITE_PROBLEMS)
def report_replicas(
    deps: Deps, caller: OperatorWrites, namespace: Namespace, name: Name, body: ReplicasReport
) -> Response:
    """Say how many replicas a workload has that was made here, whenever that changes.

    Without reports its last decision counts as carried out.
    """
    return respond(service.report_replicas(deps, caller, WorkloadKey(namespace, name), body))


@router.delete(
    "/{namespace}/{name}", status_code=204, response_class=Response, responses=UPDATE_PROBLEMS
)
def remove_workload(
    deps: Deps, caller: OperatorWrites, namespace: Namespace, name: Name, if_match: IfMatch = None
) -> Response:
    """Remove a workload that was made here; its history stays until retention drops it."""
    return respond(service.remove(deps, caller, WorkloadKey(namespace, name), if_match))
