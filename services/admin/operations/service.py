"""Use cases of long work: backtests, training, replays; and of the frontiers they leave.

A worker does the work; here a row is written and read. Of each kind only a few may wait or run at
once, so that nobody can fill the queue that everyone's fits run on; one namespace may have half of
them, so that none can fill them for the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from sqlalchemy import RowMapping

from services.admin.decisions.repository import load_decision
from services.admin.deps import AdminDeps
from services.admin.identity.authority import check_object
from services.admin.operations import repository
from services.admin.operations.schemas import (
    AdviceRequest,
    BacktestRequest,
    FrontierView,
    OperationDetail,
    OperationView,
    TrainRequest,
)
from services.admin.operations.translate import to_frontier, to_operation, to_operation_detail
from services.admin.rest.change import Answer, Caller, Change, perform
from services.admin.rest.cursors import page_of, position
from services.admin.rest.repository import load_workload_id
from services.admin.rest.schemas import Page
from services.kernel.db.operations import insert_operation
from services.kernel.db.retention import not_kept
from services.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from services.kernel.jobs import OPERATION_JOBS, Job
from services.kernel.security.keys import FLEET, Principal, Role
from services.kernel.telemetry import get_logger

MAX_OPEN = {"backtest": 8, "advise": 4, "train_model": 1, "replay_decision": 100}
"""Operations of a kind that may be queued or running at once."""


def list_operations(
    deps: AdminDeps,
    principal: Principal,
    filters: dict[str, Any],
    limit: int,
    cursor: str | None = None,
) -> Page[OperationView]:
    """Operations, newest first; of those over workloads only what the principal may see.

    Args:
        deps: Dependencies.
        principal: Who asks.
        filters: `kind`, `status`, `from_at`, `to_at`.
        limit: Items at most.
        cursor: Of an earlier page.
    """
    filters = filters | position(cursor, (int,))
    visible = principal.namespaces()
    filters = filters | {"namespaces": visible}
    with deps.reading() as connection:
        rows = repository.load_operations(connection, filters, limit + 1)
    return page_of(Page[OperationView], rows, limit, ("id",), _shown)


def _shown(row: RowMapping) -> OperationView | None:
    """An operation; None: it is odd, or of a later release, and keeps no other from being shown."""
    try:
        return to_operation(row)
    except ValidationError as error:
        why = error.errors()[0]["msg"]
        get_logger("admin").warning("operation_unreadable", id=row["id"], error=why)
        return None


def get_operation(
    deps: AdminDeps, principal: Principal, operation_id: int, kind: str | None = None
) -> OperationDetail:
    """One operation with its result.

    Raises:
        NotFound: There is none, or none that can be seen.
    """
    with deps.reading() as connection:
        row = repository.load_operation(connection, operation_id, kind)
    missing = f"{kind or 'operation'} {operation_id} does not exist"
    if row is None:
        raise NotFound(missing)
    for namespace in namespaces_of(row):
        check_object(principal, Role.VIEWER, namespace, missing)
    return to_operation_detail(row)


def namespaces_of(row: RowMapping) -> set[str]:
    """Namespaces of the workloads that an operation is about; the fleet where it names none."""
    return _named_namespaces(row["params"]) or {FLEET}


def _named_namespaces(params: Mapping[str, Any]) -> set[str]:
    return {str(key).partition("/")[0] for key in params.get("workloads", ())}


def submit_backtest(deps: AdminDeps, caller: Caller, body: BacktestRequest) -> Answer:
    """Queue a backtest of some workloads.

    Raises:
        NotFound: A workload does not exist, or cannot be seen.
        Forbidden: The caller is no operator of all of them.
        InvalidInput: A policy is unknown.
        Conflict: Too many wait already.
    """

    def change(one: Change) -> Answer:
        for i, key in enumerate(body.workloads):
            namespace, _, name = key.partition("/")
            missing = f"workload {key} does not exist"
            one.require(Role.OPERATOR, namespace, missing)
            if load_workload_id(one.connection, namespace, name) is None:
                raise InvalidInput(f"workloads[{i}]={key!r}: {missing}", f"/workloads/{i}")
        return submit(one, "backtest", body.model_dump(mode="json"))

    return perform(deps, caller, change)


def submit_advice(deps: AdminDeps, caller: Caller, body: AdviceRequest) -> Answer:
    """Queue a report of the services that somebody else scales, beside what Harmony decided.

    Raises:
        Forbidden: The caller is no operator of the namespace, or of the fleet where none is named.
        NotFound: No workload of the namespace can be seen.
        Conflict: Too many wait already.
    """

    def change(one: Change) -> Answer:
        params = body.model_dump(mode="json")
        if body.namespace is None:
            if not caller.principal.may(Role.OPERATOR, FLEET):
                raise Forbidden("all namespaces need an operator of the fleet; name one: namespace")
            return submit(one, "advise", params)
        missing = f"namespace {body.namespace} has no active workload"
        one.require(Role.OPERATOR, body.namespace, missing)
        if not repository.has_workloads(one.connection, body.namespace):
            raise NotFound(missing)
        # who may see it is told by its workloads: here all of one namespace
        return submit(one, "advise", params | {"workloads": [f"{body.namespace}/*"]})

    return perform(deps, caller, change)


def submit_training(deps: AdminDeps, caller: Caller, body: TrainRequest) -> Answer:
    """Queue a fit of the forecaster.

    Raises:
        Conflict: One waits or runs already.
    """

    def change(one: Change) -> Answer:
        return submit(one, "train_model", body.model_dump(mode="json"))

    return perform(deps, caller, change)


def submit_replay(deps: AdminDeps, caller: Caller, decision_id: int) -> Answer:
    """Queue a replay of a decision from its stored inputs.

    Raises:
        NotFound: There is no such decision, or none that can be seen.
        Conflict: What it was made from is not kept any more, or too many replays wait.
    """

    def change(one: Change) -> Answer:
        missing = f"decision {decision_id} does not exist"
        row = load_decision(one.connection, decision_id)
        if row is None:
            raise NotFound(missing)
        one.require(Role.VIEWER, row["namespace"], missing)
        if not row["is_replayable"]:
            raise Conflict(not_kept(decision_id))
        key = f"{row['namespace']}/{row['name']}"
        return submit(one, "replay_decision", {"decision_id": decision_id, "workloads": [key]})

    return perform(deps, caller, change)


def submit(one: Change, kind: str, params: dict[str, Any]) -> Answer:
    """Store a queued operation and send its job after the commit.

    Raises:
        Conflict: As many of its kind wait or run as may, in all or of a namespace.
    """
    for namespace in sorted(_named_namespaces(params)):
        n_own, n_most = repository.count_open(one.connection, kind, namespace), MAX_OPEN[kind] // 2
        if n_own >= n_most:
            raise Conflict(
                f"{n_own} operations of kind {kind} over workloads of namespace {namespace!r} wait "
                f"or run already, at most {n_most} of the {MAX_OPEN[kind]} may be of one "
                "namespace; wait, or cancel one"
            )
    n_open = repository.count_open(one.connection, kind)
    if n_open >= MAX_OPEN[kind]:
        raise Conflict(
            f"{n_open} operations of kind {kind} wait or run already, at most {MAX_OPEN[kind]} "
            "may; wait, or cancel one"
        )
    operation_id = insert_operation(one.connection, kind, params, one.actor, one.at)
    one.audit(f"{kind}.submit", f"operation/{operation_id}", after=params)
    one.send(Job(OPERATION_JOBS[kind], {"operation_id": operation_id}))
    row = repository.load_operation(one.connection, operation_id)
    assert row is not None, "written in this transaction"
    return Answer(202, to_operation_detail(row), {"Location": f"/v1/operations/{operation_id}"})


def cancel(deps: AdminDeps, caller: Caller, operation_id: int, kind: str | None = None) -> Answer:
    """Ask an operation to end; a running one does at its next stage.

    Raises:
        NotFound: There is none, or none that can be seen.
        Forbidden: The caller is no operator of all that it is about.
        Conflict: It has ended already.
    """

    def change(one: Change) -> Answer:
        missing = f"{kind or 'operation'} {operation_id} does not exist"
        row = repository.load_operation(one.connection, operation_id, kind)
        if row is None:
            raise NotFound(missing)
        for namespace in namespaces_of(row):
            one.require(Role.OPERATOR, namespace, missing)
        ended = repository.request_cancel(one.connection, operation_id, one.at)
        if ended is None:
            raise Conflict(f"operation {operation_id} has ended as {row['status']}")
        one.audit(f"{row['kind']}.cancel", f"operation/{operation_id}")
        return Answer(202, to_operation_detail(ended))

    return perform(deps, caller, change)


def get_frontier(
    deps: AdminDeps, principal: Principal, workload: str | None, backtest_id: int | None
) -> FrontierView:
    """Risk against cost: of one backtest, or of the newest one over a workload, or of the newest.

    Raises:
        NotFound: No backtest that can be seen has succeeded.
        Conflict: The backtest named has no result.
    """
    of = f" of {workload}" if workload is not None else ""
    missing = f"no backtest{of} has succeeded yet; POST /v1/backtests runs one"
    with deps.reading() as connection:
        if backtest_id is not None:
            missing = f"backtest {backtest_id} does not exist"
            row = repository.load_operation(connection, backtest_id, "backtest")
        else:
            row = repository.load_newest_frontier(connection, workload, principal.namespaces())
    if row is None:
        raise NotFound(missing)
    for namespace in namespaces_of(row):
        check_object(principal, Role.VIEWER, namespace, missing)
    if backtest_id is not None and workload not in (None, *row["params"]["workloads"]):
        raise NotFound(f"backtest {backtest_id} is not of {workload}")
    if row["result"] is None:
        raise Conflict(f"backtest {row['id']} is {row['status']} and has no result")
    return to_frontier(row)
