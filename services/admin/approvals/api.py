"""Routes of what is asked of a decision: approve, reject, replay; and of the inbox."""

from __future__ import annotations

from fastapi import Response

from services.admin.approvals import service as service_approvals
from services.admin.controls.schemas import InboxItem, VerdictRequest, VerdictView
from services.admin.decisions.api import Id
from services.admin.decisions.schemas import Page
from services.admin.identity.auth import PROBLEMS, AsReader, Deps
from services.admin.operations import service as service_operations
from services.admin.operations.schemas import OperationDetail
from services.admin.rest.filters import WorkloadFilters
from services.admin.rest.route import Router
from services.admin.rest.write import WRITE_PROBLEMS, OwnApproverWrites, ViewerWrites, respond
from services.admin.workloads.api import Cursor, Limit

router = Router(prefix="/v1", responses=PROBLEMS)


@router.get("/approvals", tags=["approvals"])
def list_inbox(
    deps: Deps, filters: WorkloadFilters, limit: Limit = 50, cursor: Cursor = None
) -> Page[InboxItem]:
    """Decisions that wait for a human, newest first: the newest one of each workload."""
    return service_approvals.list_inbox(deps, filters, limit, cursor)


@router.get("/decisions/{decision_id}/verdict", tags=["approvals"])
def get_verdict(deps: Deps, principal: AsReader, decision_id: Id) -> VerdictView:
    """What a human said of a decision through the API."""
    return service_approvals.get_verdict(deps, decision_id, principal.namespaces())


@router.post(
    "/decisions/{decision_id}/approve",
    tags=["approvals"],
    response_model=VerdictView,
    responses=WRITE_PROBLEMS,
)
def approve(
    deps: Deps, caller: OwnApproverWrites, decision_id: Id, body: VerdictRequest
) -> Response:
    """Approve a decision: the operator applies this one and no other."""
    answer = service_approvals.judge(deps, caller, decision_id, "approved", body.reason)
    return respond(answer)


@router.post(
    "/decisions/{decision_id}/reject",
    tags=["approvals"],
    response_model=VerdictView,
    responses=WRITE_PROBLEMS,
)
def reject(
    deps: Deps, caller: OwnApproverWrites, decision_id: Id, body: VerdictRequest
) -> Response:
    """Reject a decision, or take an approval back that was not followed yet."""
    answer = service_approvals.judge(deps, caller, decision_id, "rejected", body.reason)
    return respond(answer)


@router.post(
    "/decisions/{decision_id}/replay",
    tags=["decisions"],
    status_code=202,
    response_model=OperationDetail,
    responses=WRITE_PROBLEMS,
)
def replay(deps: Deps, caller: ViewerWrites, decision_id: Id) -> Response:
    """Make a decision again from its stored inputs; the operation's result says if it is the same.

    It changes nothing but the list of operations, so a viewer may ask for it.
    """
    return respond(service_operations.submit_replay(deps, caller, decision_id))
