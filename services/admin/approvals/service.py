"""Use cases of approvals: what waits for a human, and what the human said."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping

from services.admin.controls import repository as controls
from services.admin.controls.schemas import InboxItem, VerdictView
from services.admin.controls.translate import to_inbox
from services.admin.decisions import repository
from services.admin.decisions.schemas import Page
from services.admin.decisions.service import AdminDeps, decode_cursor, encode_cursor
from services.admin.rest.change import (
    DECISIONS_CHANNEL,
    OPERATOR_CHANNEL,
    Answer,
    Caller,
    Change,
    perform,
)
from services.kernel.errors import Conflict, NotFound
from services.kernel.security.keys import Role

Verdict = Literal["approved", "rejected"]
_OPEN = (None, "awaiting_approval", "failed", "rejected")


def list_inbox(
    deps: AdminDeps, filters: dict[str, Any], limit: int, cursor: str | None
) -> Page[InboxItem]:
    """Newest decisions that wait for a human, newest origin first.

    An older decision of the same workload waits for nobody: the newest has taken its place.
    """
    if cursor is not None:
        filters = filters | {"after": decode_cursor(cursor, (datetime, int))}
    with deps.reading() as connection:
        rows = controls.load_inbox(connection, filters, limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    following = encode_cursor(last["origin_at"], last["id"]) if last else None
    return Page[InboxItem](items=[to_inbox(row) for row in rows[:limit]], next_cursor=following)


def judge(
    deps: AdminDeps, caller: Caller, decision_id: int, verdict: Verdict, reason: str
) -> Answer:
    """Approve or reject a decision; the operator follows within a pass.

    Raises:
        NotFound: There is no such decision, or none that can be seen.
        Forbidden: The caller is no approver there.
        Conflict: It waits for nobody, or a newer decision wants something else.
    """

    def change(one: Change) -> Answer:
        missing = f"decision {decision_id} does not exist"
        row = repository.load_decision(one.connection, decision_id)
        if row is None:
            raise NotFound(missing)
        one.require(Role.APPROVER, row["namespace"], missing)
        controls.lock_workload(one.connection, row["workload_id"])
        before = controls.load_verdict(one.connection, decision_id)
        _check_open(one.connection, row, verdict)
        values = {
            "decision_id": decision_id,
            "origin_at": row["origin_at"],
            "workload_id": row["workload_id"],
            "verdict": verdict,
            "reason": reason,
            "actor": one.actor,
            "decided_at": one.at,
        }
        controls.save_verdict(one.connection, values)
        view = VerdictView.model_validate(values)
        name = f"decision/{decision_id} of workload/{row['namespace']}/{row['name']}"
        was = None if before is None else {"verdict": before["verdict"], "by": before["actor"]}
        after = {"verdict": verdict, "reason": reason, "desired": row["desired_replicas"]}
        one.audit(f"decision.{'approve' if verdict == 'approved' else 'reject'}", name, was, after)
        one.wake_operator(DECISIONS_CHANNEL)
        one.wake_operator(OPERATOR_CHANNEL)
        return Answer(200, view)

    return perform(deps, caller, change)


def get_verdict(
    deps: AdminDeps, decision_id: int, namespaces: frozenset[str] | None
) -> VerdictView:
    """What a human said of a decision through the API.

    Raises:
        NotFound: Nobody said anything, or there is no such decision to be seen.
    """
    with deps.reading() as connection:
        row = repository.load_decision(connection, decision_id)
        if row is None or (namespaces is not None and row["namespace"] not in namespaces):
            raise NotFound(f"decision {decision_id} does not exist")
        found = controls.load_verdict(connection, decision_id)
    if found is None:
        raise NotFound(f"decision {decision_id} has no verdict")
    return VerdictView.model_validate(dict(found))


def _check_open(connection: Connection, row: RowMapping, verdict: Verdict) -> None:
    """Raise `Conflict` where the decision waits for nobody."""
    decision_id = row["id"]
    mode = row["spec"].get("mode")
    if mode != "Approval":
        raise Conflict(
            f"{row['namespace']}/{row['name']} is in mode {mode}; only mode Approval waits for a "
            "human"
        )
    here = {"workload_id": row["workload_id"], "from_at": row["origin_at"]}
    near = here | {"decision_id": decision_id, "to_at": row["origin_at"]}
    actions = repository.load_actions(connection, near, 1)
    result = actions[0]["result"] if actions else None
    if result not in _OPEN:
        raise Conflict(f"decision {decision_id} ended as {result}; nothing is to be answered")
    newest = repository.load_decisions(connection, here, 1)[0]
    is_older = (newest["origin_at"], newest["id"]) > (row["origin_at"], decision_id)
    if is_older and newest["desired_replicas"] != row["desired_replicas"]:
        raise Conflict(
            f"decision {decision_id} is superseded: decision {newest['id']} is newer and wants "
            f"{newest['desired_replicas']} replicas, not {row['desired_replicas']}"
        )
    if row["desired_replicas"] == row["current_replicas"] and verdict == "approved":
        raise Conflict(f"decision {decision_id} changes nothing; nothing is to be approved")
