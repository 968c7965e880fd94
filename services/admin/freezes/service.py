"""Use cases of change freezes: for a workload, a namespace or the fleet, between two times."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from services.admin.deps import AdminDeps
from services.admin.freezes import repository
from services.admin.freezes.schemas import FreezeRequest, FreezeView
from services.admin.freezes.translate import to_freeze
from services.admin.identity.authority import NOT_ALLOWED, check_object
from services.admin.rest.change import Answer, Caller, Change, perform
from services.admin.rest.cursors import page_of, position
from services.admin.rest.schemas import Page
from services.admin.rest.service import WorkloadKey, find_workload
from services.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from services.kernel.security.keys import FLEET, Principal, Role

MOST_STANDING = 200
"""Freezes of a namespace, or of the fleet, in force or to come: each pass of the operator reads
them all."""


def list_freezes(
    deps: AdminDeps, filters: dict[str, Any], limit: int, cursor: str | None
) -> Page[FreezeView]:
    """Freezes, newest first; those of the fleet are seen by everyone."""
    now = deps.clock.now()
    if filters.pop("is_standing", False):
        filters["now"] = now
    filters = filters | position(cursor, (int,))
    with deps.reading() as connection:
        rows = repository.load_freezes(connection, filters, limit + 1)
    return page_of(Page[FreezeView], rows, limit, ("id",), lambda row: to_freeze(row, now))


def get_freeze(deps: AdminDeps, principal: Principal, freeze_id: int) -> FreezeView:
    """One freeze.

    Raises:
        NotFound: There is none, or none that can be seen.
    """
    missing = f"freeze {freeze_id} does not exist"
    with deps.reading() as connection:
        row = repository.load_freeze(connection, freeze_id)
    if row is None:
        raise NotFound(missing)
    if row["namespace"] is not None:
        check_object(principal, Role.VIEWER, row["namespace"], missing)
    return to_freeze(row, deps.clock.now())


def create_freeze(deps: AdminDeps, caller: Caller, body: FreezeRequest) -> Answer:
    """Freeze scaling between two times.

    Raises:
        NotFound: The workload does not exist, or its namespace cannot be seen.
        Forbidden: The caller is no operator there; a freeze of the fleet needs one of the fleet.
        InvalidInput: It would have ended already.
        Conflict: As many as may be are there.
    """
    now = deps.clock.now()
    if body.until_at <= now:
        raise InvalidInput(
            f"until_at={body.until_at.isoformat()} must be after now ({now.isoformat()})",
            "/until_at",
        )

    def change(one: Change) -> Answer:
        _require(one, body.namespace, f"namespace {body.namespace} does not exist")
        if body.workload is not None and body.namespace is not None:
            find_workload(one.connection, WorkloadKey(body.namespace, body.workload))
        _check_room(one, body.namespace, now)
        values: dict[str, Any] = body.model_dump(exclude={"workload"}) | {
            "name": body.workload,
            "from_at": body.from_at or now,
            "created_by": one.actor,
            "created_at": one.at,
        }
        view = to_freeze(repository.insert_freeze(one.connection, values), now)
        after = view.model_dump(mode="json", exclude={"is_in_force"})
        one.audit("freeze.create", f"freeze/{view.id}", after=after)
        one.wake_operator()
        return Answer(201, view, {"Location": f"/v1/freezes/{view.id}"})

    return perform(deps, caller, change)


def lift_freeze(deps: AdminDeps, caller: Caller, freeze_id: int) -> Answer:
    """End a freeze early.

    Raises:
        NotFound: There is none, or none that can be seen.
        Forbidden: The caller is no operator there.
        Conflict: It has ended already.
    """
    now = deps.clock.now()

    def change(one: Change) -> Answer:
        missing = f"freeze {freeze_id} does not exist"
        row = repository.load_freeze(one.connection, freeze_id)
        if row is None:
            raise NotFound(missing)
        _require(one, row["namespace"], missing)
        if row["lifted_at"] is not None or row["until_at"] <= now:
            raise Conflict(f"freeze {freeze_id} has ended already")
        repository.lift_freeze(one.connection, freeze_id, now)
        before = to_freeze(row, now).model_dump(mode="json", exclude={"is_in_force"})
        after = before | {"lifted_at": now.isoformat()}
        one.audit("freeze.lift", f"freeze/{freeze_id}", before, after)
        one.wake_operator()
        return Answer(204, None)

    return perform(deps, caller, change)


def _check_room(one: Change, namespace: str | None, now: datetime) -> None:
    """Check that one more may be made.

    Raises:
        Conflict: As many as may be are there.
    """
    n_there = repository.count_standing(one.connection, namespace, now)
    if n_there >= MOST_STANDING:
        where = "the fleet" if namespace is None else f"namespace {namespace!r}"
        raise Conflict(
            f"{where} has {n_there} freezes in force or to come, and may have {MOST_STANDING}; end "
            "some with DELETE, or have one hold all of them"
        )


def _require(one: Change, namespace: str | None, missing: str) -> None:
    """Refuse who is no operator there; that there is a fleet is no secret."""
    if namespace is not None:
        one.require(Role.OPERATOR, namespace, missing)
    elif not one.caller.principal.may(Role.OPERATOR, FLEET):
        raise Forbidden(NOT_ALLOWED)
