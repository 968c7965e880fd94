"""Routes of what is asked of a decision: approve, reject, replay; and of the inbox."""

from __future__ import annotations

from fastapi import Response

from services.admin.approvals import service
from services.admin.approvals.schemas import InboxItem, VerdictRequest, VerdictView
from services.admin.identity.auth import AsReader, Deps
from services.admin.operations.schemas import OperationDetail
from services.admin.operations.service import submit_replay
from services.admin.rest.filters import WorkloadFilters
from services.admin.rest.params import Cursor, Id, Limit
from services.admin.rest.problems import PROBLEMS, WRITE_PROBLEMS
from services.admin.rest.route import Router
from services.admin.rest.schemas import Page
from services.admin.rest.write import OwnApproverWrites, ViewerWrites, respond

router = Router(prefix="/v1", responses=PROBLEMS)


@router.get("/approvals", tags=["approvals"])
def list_inbox(
    deps: Deps, filters: WorkloadFilters, limit: Limit = 50, cursor: Cursor = None
) -> Page[InboxItem]:
    """Decisions that wait for a human, newest first: the newest one of each workload."""
    return service.list_inbox(deps, filters, limit, cursor)


@router.get("/decisions/{decision_id}/verdict", tags=["approvals"])
def get_verdict(deps: Deps, principal: AsReader, decision_id: Id) -> VerdictView:
    """What a human said of a decision through the API."""
    return service.get_verdict(deps, decision_id, principal.namespaces())


@router.post(
    "/decisions/{decision_id}/approve",
    tags=["approvals"],
    response_model=VerdictView,
    responses=WRITE_PROBLEMS,
)
def approve(
    deps: Deps, caller: OwnApproverWrites, decision_id: Id, body: VerdictRequest
) -> Response:
    """Approve a decision: the operator applies this one and no other.

    One that somebody else has rejected is 409, unless the request overrules that.
    """
    answer = service.judge(deps, caller, decision_id, "approved", body)
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
    answer = service.judge(deps, caller, decision_id, "rejected", body)
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
    return respond(submit_replay(deps, caller, decision_id))
