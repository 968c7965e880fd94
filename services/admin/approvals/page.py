"""The approvals inbox: what would change, why, what it costs, until when; approve or reject."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Request, Response

from services.admin.approvals.schemas import InboxItem, VerdictRequest
from services.admin.approvals.service import Verdict, judge, list_inbox
from services.admin.console.page import (
    Form,
    OwnApprover,
    PageCursor,
    Visitor,
    parse,
    render,
    submit,
)
from services.admin.decisions import service, wording
from services.admin.decisions.schemas import DecisionDetail
from services.admin.decisions.wording import Explanation
from services.admin.deps import AdminDeps
from services.admin.identity.auth import Deps
from services.admin.rest.change import Caller
from services.admin.rest.params import Id
from services.kernel.errors import HarmonyError, NotFound
from services.kernel.security.keys import Principal, Role

router = APIRouter(include_in_schema=False)
_PAGE_SIZE = 20
Answered = Literal["approve", "reject"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A decision that waits, with its why.

    Attributes:
        expires_at: From then on it cannot be approved.
    """

    detail: DecisionDetail
    why: Explanation
    expires_at: datetime
    may_answer: bool


@router.get("/approvals")
def inbox(request: Request, deps: Deps, principal: Visitor, cursor: PageCursor = None) -> Response:
    """What waits for a human, newest first."""
    return _inbox(request, deps, principal, cursor)


@router.get("/approvals/news")
def refresh(request: Request, deps: Deps, principal: Visitor, seen: str = "") -> Response:
    """Whether the inbox has changed since it was shown; a part that refreshes."""
    filters = {"namespaces": principal.namespaces()}
    page = list_inbox(deps, filters, _PAGE_SIZE, None)
    ids = ",".join(str(item.id) for item in page.items)
    return render(request, "_news.html", principal, seen=seen[:500], is_changed=ids != seen)


@router.post("/approvals/{decision_id}/{answered}")
def answer(
    request: Request,
    deps: Deps,
    principal: OwnApprover,
    decision_id: Id,
    answered: Answered,
    form: Form,
) -> Response:
    """Approve or reject one decision."""

    def write(caller: Caller) -> str:
        asked = parse(VerdictRequest, {"reason": form.one("reason")})
        verdict: Verdict = "approved" if answered == "approve" else "rejected"
        judge(deps, caller, decision_id, verdict, asked)
        return f"/approvals?done={verdict}"

    return submit(write, principal, lambda error: _inbox(request, deps, principal, None, error))


def _inbox(
    request: Request,
    deps: AdminDeps,
    principal: Principal,
    cursor: str | None,
    problem: HarmonyError | None = None,
) -> Response:
    visible = principal.namespaces()
    page = list_inbox(deps, {"namespaces": visible}, _PAGE_SIZE, cursor)
    items = [
        waiting for item in page.items if (waiting := _waiting(deps, principal, item)) is not None
    ]
    return render(
        request,
        "approvals.html",
        principal,
        items=items,
        seen=",".join(str(item.id) for item in page.items),
        next_cursor=page.next_cursor,
        cursor=cursor,
        problem=problem,
    )


def _waiting(deps: AdminDeps, principal: Principal, item: InboxItem) -> Waiting | None:
    try:
        detail = service.get_decision(deps, item.id, principal.namespaces())
    except NotFound:  # dropped by the retention since the list was read
        return None
    return Waiting(
        detail=detail,
        why=wording.explain(detail),
        expires_at=item.expires_at,
        may_answer=principal.may(Role.APPROVER, detail.namespace),
    )
