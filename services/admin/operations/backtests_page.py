"""Backtests and frontiers: submit one, follow it, read the verdict, see risk against cost."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from fastapi import APIRouter, Query, Request, Response

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
from services.admin.operations.schemas import BacktestRequest, FrontierView, OperationDetail, Policy
from services.admin.rest.change import Caller
from services.admin.rest.params import Id
from services.admin.workloads.service import ProposedNames, workload_names
from services.kernel.errors import HarmonyError, InvalidInput, NotFound
from services.kernel.security.keys import FLEET, Principal, Role

router = APIRouter(include_in_schema=False)
_PAGE_SIZE = 20
EPSILONS = ("0.001", "0.005", "0.01", "0.02", "0.05")
POLICIES: tuple[str, ...] = get_args(Policy)
DEFAULT_POLICIES = ("hpa", "trailing_percentile", "static_peak")


@router.get("/backtests")
def backtests(
    request: Request,
    deps: Deps,
    principal: Visitor,
    workload: Annotated[str, Query(max_length=317)] = "",
    cursor: PageCursor = None,
) -> Response:
    """Backtests, newest first, and the form that asks for one."""
    given = {"workloads": [workload] if workload else []}
    return _list(request, deps, principal, given, cursor=cursor)


def _list(
    request: Request,
    deps: AdminDeps,
    principal: Principal,
    given: dict[str, Any],
    cursor: str | None = None,
    problem: HarmonyError | None = None,
) -> Response:
    page = service.list_operations(deps, principal, {"kind": "backtest"}, _PAGE_SIZE, cursor)
    may_submit = principal.may_somewhere(Role.OPERATOR)
    usual = {
        "workloads": [],
        "replay_hours": "24",
        "epsilons": ["0.01"],
        "policies": list(DEFAULT_POLICIES),
        "forecaster": "simple",
    }
    known = workload_names(deps, principal, Role.OPERATOR) if may_submit else ProposedNames()
    return render(
        request,
        "backtests.html",
        principal,
        page=page,
        may_submit=may_submit,
        given=usual | given,
        known=[*dict.fromkeys([*given["workloads"], *known.workloads])],
        has_more=known.has_more,
        epsilons=EPSILONS,
        policies=POLICIES,
        problem=problem,
    )


@router.post("/backtests")
def submit_backtest(request: Request, deps: Deps, principal: OwnOperator, form: Form) -> Response:
    """Queue a backtest."""

    def write(caller: Caller) -> str:
        body = parse(BacktestRequest, _request(form))
        made = service.submit_backtest(deps, caller, body).body
        assert isinstance(made, OperationDetail), "what the use case answers"
        return f"/backtests/{made.id}"

    def again(error: HarmonyError) -> Response:
        given = {
            "workloads": _named(form),
            "replay_hours": form.one("replay_hours"),
            "epsilons": form.all("epsilons"),
            "policies": form.all("policies"),
            "forecaster": form.one("forecaster", "simple"),
        }
        return _list(request, deps, principal, given, problem=error)

    return submit(write, principal, again)


def _named(form: FormFields) -> list[str]:
    """The workloads chosen, also where an address or a script gave several with commas."""
    parts = [part.strip() for given in form.all("workloads") for part in given.split(",")]
    return [part for part in parts if part]


def _request(form: FormFields) -> dict[str, Any]:
    """The fields of the form as the REST API names them.

    Raises:
        InvalidInput: A risk level is no number.
    """
    try:
        epsilons = [float(value) for value in form.all("epsilons")]
    except ValueError as error:
        raise InvalidInput(f"epsilons={form.all('epsilons')[:5]} must be numbers") from error
    return {
        "workloads": _named(form),
        "replay_hours": form.one("replay_hours", "24"),
        "epsilons": epsilons,
        "policies": form.all("policies"),
        "forecaster": form.one("forecaster", "simple"),
    }


@router.get("/backtests/{operation_id}")
def backtest(request: Request, deps: Deps, principal: Visitor, operation_id: Id) -> Response:
    """One backtest: its progress, then its verdict and its frontier."""
    return _one(request, deps, principal, operation_id)


def _one(
    request: Request,
    deps: AdminDeps,
    principal: Principal,
    operation_id: int,
    problem: HarmonyError | None = None,
) -> Response:
    found = service.get_operation(deps, principal, operation_id, "backtest")
    frontier = None
    if found.result is not None:
        frontier = service.get_frontier(deps, principal, None, operation_id)
    spaces = {key.partition("/")[0] for key in found.params.get("workloads", ())} or {FLEET}
    return render(
        request,
        "backtest.html",
        principal,
        found=found,
        is_ended=found.status in wording.ENDED,
        runs=wording.runs(found.result or {}),
        may_cancel=all(principal.may(Role.OPERATOR, space) for space in spaces),
        problem=problem,
        **_frontier_values(frontier),
    )


def _frontier_values(frontier: FrontierView | None) -> dict[str, Any]:
    return {
        "frontier": frontier,
        "fronts": wording.fronts(frontier) if frontier else [],
        "cheapest": wording.cheapest(frontier) if frontier else [],
        "limits": wording.LIMITS,
    }


@router.get("/backtests/{operation_id}/progress")
def progress(request: Request, deps: Deps, principal: Visitor, operation_id: Id) -> Response:
    """How far a backtest is; once it has ended the whole page is asked for."""
    found = service.get_operation(deps, principal, operation_id, "backtest")
    response = render(request, "_progress.html", principal, found=found)
    if found.status in wording.ENDED:
        response.headers["HX-Refresh"] = "true"
    return response


@router.post("/backtests/{operation_id}/cancel")
def cancel(request: Request, deps: Deps, principal: OwnOperator, operation_id: Id) -> Response:
    """Ask a backtest to end."""

    def write(caller: Caller) -> str:
        service.cancel(deps, caller, operation_id, "backtest")
        return f"/backtests/{operation_id}?done=cancelled"

    return submit(
        write, principal, lambda error: _one(request, deps, principal, operation_id, error)
    )


@router.get("/frontier")
def frontier(
    request: Request,
    deps: Deps,
    principal: Visitor,
    workload: Annotated[str, Query(max_length=317)] = "",
) -> Response:
    """Risk against cost of a workload, from the newest backtest over it."""
    try:
        found = service.get_frontier(deps, principal, workload or None, None)
    except NotFound:
        found = None
    return render(
        request,
        "frontier.html",
        principal,
        workload=workload,
        known=workload_names(deps, principal, Role.VIEWER).workloads,
        may_submit=principal.may_somewhere(Role.OPERATOR),
        **_frontier_values(found),
    )
