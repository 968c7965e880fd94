"""Advice: what services cost and broke that somebody else scales, and what Harmony would have."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from services.admin.console.page import (
    Form,
    FormFields,
    OwnOperator,
    PageCursor,
    Visitor,
    parse,
    render,
    submit,
)
from services.admin.deps import AdminDeps
from services.admin.identity.auth import Deps
from services.admin.operations import service, wording
from services.admin.operations.schemas import AdviceRequest, OperationDetail
from services.admin.rest.change import Caller
from services.admin.rest.params import Id
from services.admin.workloads.service import namespace_names
from services.kernel.errors import HarmonyError
from services.kernel.security.keys import FLEET, Principal, Role

router = APIRouter(include_in_schema=False)
_PAGE_SIZE = 10
WINDOWS = (("24", "a day"), ("168", "a week"), ("336", "two weeks"), ("672", "four weeks"))
"""Hours up to now that can be asked for, and what people call them."""


@router.get("/advice")
def advice(request: Request, deps: Deps, principal: Visitor, cursor: PageCursor = None) -> Response:
    """The newest report, earlier ones, and the form that asks for one."""
    return _list(request, deps, principal, {}, cursor=cursor)


def _list(
    request: Request,
    deps: AdminDeps,
    principal: Principal,
    given: dict[str, str],
    cursor: str | None = None,
    problem: HarmonyError | None = None,
) -> Response:
    page = service.list_operations(deps, principal, {"kind": "advise"}, _PAGE_SIZE, cursor)
    newest = _newest(deps, principal)
    return render(
        request,
        "advice.html",
        principal,
        page=page,
        newest=newest,
        advice=newest and wording.advice_of(newest.result or {}),
        may_submit=principal.may_somewhere(Role.OPERATOR),
        is_fleet=principal.may(Role.OPERATOR, FLEET),
        namespaces=namespace_names(deps, principal, Role.OPERATOR),
        windows=WINDOWS,
        given={"since_hours": "168", "namespace": ""} | given,
        problem=problem,
    )


def _newest(deps: AdminDeps, principal: Principal) -> OperationDetail | None:
    """The newest report, whichever page of the list is shown."""
    filters = {"kind": "advise", "status": "succeeded"}
    done = service.list_operations(deps, principal, filters, 1).items
    return service.get_operation(deps, principal, done[0].id, "advise") if done else None


@router.post("/advice")
def submit_advice(request: Request, deps: Deps, principal: OwnOperator, form: Form) -> Response:
    """Queue a report."""

    def write(caller: Caller) -> str:
        body = parse(AdviceRequest, _request(form))
        made = service.submit_advice(deps, caller, body).body
        assert isinstance(made, OperationDetail), "what the use case answers"
        return f"/advice/{made.id}"

    def again(error: HarmonyError) -> Response:
        given = {name: form.one(name) for name in ("since_hours", "namespace")}
        return _list(request, deps, principal, given, problem=error)

    return submit(write, principal, again)


def _request(form: FormFields) -> dict[str, Any]:
    return {
        "since_hours": form.one("since_hours", "168"),
        "namespace": form.one("namespace") or None,
    }


@router.get("/advice/{operation_id}")
def one_advice(request: Request, deps: Deps, principal: Visitor, operation_id: Id) -> Response:
    """One report: its progress, then what it says."""
    return _one(request, deps, principal, operation_id)


def _one(
    request: Request,
    deps: AdminDeps,
    principal: Principal,
    operation_id: int,
    problem: HarmonyError | None = None,
) -> Response:
    found = service.get_operation(deps, principal, operation_id, "advise")
    space = found.params.get("namespace") or FLEET
    return render(
        request,
        "advice_report.html",
        principal,
        found=found,
        advice=found.result and wording.advice_of(found.result),
        is_ended=found.status in wording.ENDED,
        may_cancel=principal.may(Role.OPERATOR, space),
        problem=problem,
    )


@router.get("/advice/{operation_id}/progress")
def progress(request: Request, deps: Deps, principal: Visitor, operation_id: Id) -> Response:
    """How far a report is; once it has ended the whole page is asked for."""
    found = service.get_operation(deps, principal, operation_id, "advise")
    response = render(request, "_progress.html", principal, found=found)
    if found.status in wording.ENDED:
        response.headers["HX-Refresh"] = "true"
    return response


@router.post("/advice/{operation_id}/cancel")
def cancel(request: Request, deps: Deps, principal: OwnOperator, operation_id: Id) -> Response:
    """Ask a report to end."""

    def write(caller: Caller) -> str:
        service.cancel(deps, caller, operation_id, "advise")
        return f"/advice/{operation_id}?done=cancelled"

    return submit(
        write, principal, lambda error: _one(request, deps, principal, operation_id, error)
    )
