"""Routes of long work: operations of every kind, backtests, and the frontier they leave."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from services.admin.identity.auth import AsReader, Deps
from services.admin.operations import service
from services.admin.operations.schemas import (
    AdviceRequest,
    BacktestRequest,
    FrontierView,
    Kind,
    OperationDetail,
    OperationView,
    Status,
)
from services.admin.rest.filters import Times
from services.admin.rest.params import Cursor, Id, Limit
from services.admin.rest.problems import PROBLEMS, WRITE_PROBLEMS
from services.admin.rest.route import Router
from services.admin.rest.schemas import Page
from services.admin.rest.write import OwnOperatorWrites, respond

router = Router(prefix="/v1", responses=PROBLEMS)


@router.get("/operations", tags=["operations"])
def list_operations(  # noqa: PLR0913 - one argument per filter
    deps: Deps,
    principal: AsReader,
    period: Times,
    kind: Kind | None = None,
    status: Status | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[OperationView]:
    """Long work that was asked for, newest first, by time of the request."""
    filters = period | {"kind": kind, "status": status}
    return service.list_operations(deps, principal, filters, limit, cursor)


@router.get("/operations/{operation_id}", tags=["operations"])
def get_operation(deps: Deps, principal: AsReader, operation_id: Id) -> OperationDetail:
    """One operation: how far it is, and its result."""
    return service.get_operation(deps, principal, operation_id)


@router.post(
    "/operations/{operation_id}/cancel",
    tags=["operations"],
    status_code=202,
    response_model=OperationDetail,
    responses=WRITE_PROBLEMS,
)
def cancel_operation(deps: Deps, caller: OwnOperatorWrites, operation_id: Id) -> Response:
    """Ask an operation to end; a running one does at its next stage."""
    return respond(service.cancel(deps, caller, operation_id))


@router.post(
    "/backtests",
    tags=["backtests"],
    status_code=202,
    response_model=OperationDetail,
    responses=WRITE_PROBLEMS,
)
def submit_backtest(deps: Deps, caller: OwnOperatorWrites, body: BacktestRequest) -> Response:
    """Replay the stored demand of some workloads under Harmony and its rivals.

    Needs the role operator in the namespace of each workload.
    """
    return respond(service.submit_backtest(deps, caller, body))


@router.get("/backtests", tags=["backtests"])
def list_backtests(
    deps: Deps,
    principal: AsReader,
    period: Times,
    status: Status | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[OperationView]:
    """Backtests, newest first, by time of the request."""
    filters = period | {"kind": "backtest", "status": status}
    return service.list_operations(deps, principal, filters, limit, cursor)


@router.get("/backtests/{operation_id}", tags=["backtests"])
def get_backtest(deps: Deps, principal: AsReader, operation_id: Id) -> OperationDetail:
    """One backtest: its progress, and its result once it has succeeded."""
    return service.get_operation(deps, principal, operation_id, "backtest")


@router.post(
    "/backtests/{operation_id}/cancel",
    tags=["backtests"],
    status_code=202,
    response_model=OperationDetail,
    responses=WRITE_PROBLEMS,
)
def cancel_backtest(deps: Deps, caller: OwnOperatorWrites, operation_id: Id) -> Response:
    """Ask a backtest to end."""
    return respond(service.cancel(deps, caller, operation_id, "backtest"))


@router.post(
    "/advice",
    tags=["advice"],
    status_code=202,
    response_model=OperationDetail,
    responses=WRITE_PROBLEMS,
)
def submit_advice(deps: Deps, caller: OwnOperatorWrites, body: AdviceRequest) -> Response:
    """Say what services cost and broke that somebody else scales, and what Harmony would have.

    Needs the role operator in the namespace, or of the fleet where none is named.
    """
    return respond(service.submit_advice(deps, caller, body))


@router.get("/frontier", tags=["backtests"])
def get_frontier(
    deps: Deps,
    principal: AsReader,
    workload: Annotated[
        str | None,
        Query(max_length=317, description="namespace/name; default: any", examples=["prod/llama"]),
    ] = None,
    backtest_id: Annotated[
        int | None, Query(ge=1, lt=2**63, description="Default: the newest that succeeded")
    ] = None,
) -> FrontierView:
    """Risk against cost: what each share of time out of SLA costs, policy by policy."""
    return service.get_frontier(deps, principal, workload, backtest_id)
