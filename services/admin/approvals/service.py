"""Use cases of approvals: decisions that wait for a person, and verdicts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, RowMapping

from services.admin.approvals.repository import (
    is_announced,
    load_inbox,
    load_verdict,
    lock_workload,
    save_verdict,
)
from services.admin.approvals.schemas import InboxItem, VerdictRequest, VerdictView
from services.admin.approvals.translate import expires_at, to_inbox
from services.admin.decisions import repository
from services.admin.decisions.translate import to_decision
from services.admin.deps import AdminDeps
from services.admin.rest.change import (
    DECISIONS_CHANNEL,
    OPERATOR_CHANNEL,
    Answer,
    Caller,
    Change,
    perform,
)
from services.admin.rest.cursors import page_of, position
from services.admin.rest.formats import iso
from services.admin.rest.schemas import Page
from services.admin.rest.times import AHEAD
from services.kernel.errors import Conflict, NotFound
from services.kernel.security.keys import Role
from services.kernel.server_clock import shared_now

Verdict = Literal["approved", "rejected"]
_OPEN = (None, "awaiting_approval", "failed", "rejected", "waiting")


def list_inbox(
    deps: AdminDeps, filters: dict[str, Any], limit: int, cursor: str | None
) -> Page[InboxItem]:
    """Newest decisions that wait for a human, newest origin first.

    An older decision of the same workload waits for nobody: the newest has taken its place.
    """
    filters = filters | position(cursor, (datetime, int))
    with deps.reading() as connection:
        now = shared_now(connection, deps.clock)
        rows = load_inbox(connection, filters, limit + 1, now)
    return page_of(Page[InboxItem], rows, limit, ("origin_at", "id"), to_inbox)


def judge(
    deps: AdminDeps, caller: Caller, decision_id: int, verdict: Verdict, request: VerdictRequest
) -> Answer:
    """Approve or reject a decision; the operator follows within a pass.

    Raises:
        NotFound: There is no such decision, or none that can be seen.
        Forbidden: The caller is no approver there.
        Conflict: It waits for nobody, a newer decision wants something else, it is approved
            later than the operator follows or after somebody else has rejected it, or it is
            rejected while it is being applied.
    """

    def change(one: Change) -> Answer:
        missing = f"decision {decision_id} does not exist"
        row = repository.load_decision(one.connection, decision_id)
        if row is None:
            raise NotFound(missing)
        one.require(Role.APPROVER, row["namespace"], missing)
        lock_workload(one.connection, row["workload_id"])
        before = load_verdict(one.connection, decision_id)
        now = shared_now(one.connection, deps.clock)
        result = _check_open(one.connection, row, now + AHEAD)
        if verdict == "approved":
            _check_approvable(row, now)
            if not request.overrule:
                _check_not_rejected(before, result, one.actor, decision_id)
        elif is_announced(one.connection, decision_id):
            raise Conflict(f"decision {decision_id} is being applied; it is too late to reject it")
        values = {
            "decision_id": decision_id,
            "origin_at": row["origin_at"],
            "workload_id": row["workload_id"],
            "verdict": verdict,
            "reason": request.reason,
            "actor": one.actor,
            "decided_at": one.at,
        }
        save_verdict(one.connection, values)
        view = VerdictView.model_validate(values)
        name = f"decision/{decision_id} of workload/{row['namespace']}/{row['name']}"
        was = None if before is None else {"verdict": before["verdict"], "by": before["actor"]}
        after = {"verdict": verdict, "reason": request.reason, "desired": row["desired_replicas"]}
        one.audit(f"decision.{'approve' if verdict == 'approved' else 'reject'}", name, was, after)
        one.wake_operator(DECISIONS_CHANNEL)
        one.wake_operator(OPERATOR_CHANNEL)
        return Answer(200, view)

    return perform(deps, caller, change)


def get_verdict(
    deps: AdminDeps, decision_id: int, namespaces: frozenset[str] | None
) -> VerdictView:
    """The verdict that a person gave on a decision through the API.

    Raises:
        NotFound: There is no verdict, or no such decision to be seen.
    """
    with deps.reading() as connection:
        row = repository.load_decision(connection, decision_id)
        if row is None or (namespaces is not None and row["namespace"] not in namespaces):
            raise NotFound(f"decision {decision_id} does not exist")
        found = load_verdict(connection, decision_id)
    if found is None:
        raise NotFound(f"decision {decision_id} has no verdict")
    return VerdictView.model_validate(dict(found))


def _check_not_rejected(
    before: RowMapping | None, result: str | None, actor: str, decision_id: int
) -> None:
    """Raise `Conflict` where somebody else has said no: who approves may not have seen that."""
    if before is None and result != "rejected":
        return
    if before is not None and (before["verdict"] != "rejected" or before["actor"] == actor):
        return
    by = "somebody" if before is None else str(before["actor"])
    at = "" if before is None else f" at {iso(before['decided_at'])}"
    why = f" ({before['reason']})" if before is not None and before["reason"] else ""
    raise Conflict(
        f"decision {decision_id} was rejected by {by}{at}{why}; to approve it all the same, set "
        "overrule: true"
    )


def _check_open(connection: Connection, row: RowMapping, until: datetime) -> str | None:
    """The newest result of the decision; None: there is none yet.

    Raises:
        Conflict: It waits for nobody. Decisions later than `until` say nothing.
    """
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
    later = repository.load_decisions(connection, here | {"to_at": until}, 1)
    newest = later[0] if later else row
    is_older = (newest["origin_at"], newest["id"]) > (row["origin_at"], decision_id)
    wanted, instead = to_decision(row).wanted, to_decision(newest).wanted
    if is_older and wanted != instead:
        raise Conflict(
            f"decision {decision_id} is superseded: decision {newest['id']} is newer and wants "
            f"{instead}, not {wanted}"
        )
    return result


def _check_approvable(row: RowMapping, now: datetime) -> None:
    """Raise `Conflict` where nothing would follow an approval; a rejection says no all the same."""
    decision_id, ends_at = row["id"], expires_at(row["decided_at"], row["spec"])
    if not to_decision(row).is_change:
        raise Conflict(f"decision {decision_id} changes nothing; nothing is to be approved")
    if now >= ends_at:
        raise Conflict(
            f"decision {decision_id} could be approved until {iso(ends_at)} only "
            "(spec.approval.expireAfter of the GPUAutoscaler); the next decision asks again"
        )
