"""Rules of approving and rejecting a decision, pure; a refusal gives its reason.

An approval is an annotation that names the decision: the operator applies that decision and no
other (`services/operator/plan/plan.py`). A rejection takes the approval back and names the
decision and who said no: the operator says so and waits for the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.admin.decisions.schemas import DecisionDetail, DecisionSummary
from services.cli.kubectl.pause import Changes, stamp
from services.kernel.errors import Conflict, InvalidInput
from services.operator.plan.plan import Result
from services.operator.resource.autoscaler import (
    APPROVED_BY,
    APPROVED_DECISION,
    REJECTED_BY,
    REJECTED_DECISION,
    Autoscaler,
)

_OPEN = (None, Result.AWAITING_APPROVAL, Result.REJECTED, Result.FAILED)
_CLOSED = {
    Result.APPLIED: "has been applied already",
    Result.UNCHANGED: "wants the replicas that are there; nothing is to be approved",
    Result.DELEGATED: "has been left to the autoscaler that follows Harmony already",
    Result.SUPERSEDED: "was superseded by a newer one",
    Result.EXPIRED: "expired before it was approved",
    Result.ADVISORY: "was made in mode Advisory, which applies nothing",
    Result.PAUSED: "met a pause; `kubectl harmony resume` first, the next decision asks again",
    Result.CONFLICT: "met another autoscaler on the same target; remove one of them",
    Result.TARGET_MISSING: "found no target",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A decision that is to be approved or rejected, and what is around it.

    Attributes:
        mode: Mode that holds.
        autoscaler: As the API server has it.
        newest: Newest decision of the workload.
        is_named: The user named the decision.
        user: Who asks, as the API server knows them.
        own_mode: What the GPUAutoscaler says, where another one was set through the API.
    """

    mode: str
    autoscaler: Autoscaler
    decision: DecisionDetail
    newest: DecisionSummary
    is_named: bool
    user: str
    own_mode: str = ""

    @property
    def label(self) -> str:
        """The decision, as messages spell it."""
        return f"decision {self.decision.id} of {self.autoscaler.namespace}/{self.autoscaler.name}"

    @property
    def is_approved(self) -> bool:
        """True where the decision has been approved already."""
        return self.autoscaler.approval.decision_id == self.decision.id

    @property
    def ends_at(self) -> datetime:
        """From then on an approval is worth nothing."""
        wait_s = self.autoscaler.approval.expire_after_s
        return self.decision.decided_at + timedelta(seconds=wait_s)


def approve_changes(case: Case, now: datetime) -> Changes:
    """Annotations that approve the decision.

    Raises:
        Conflict: It cannot be approved any more, or a newer one wants something else.
        InvalidInput: It is another workload's.
    """
    _check(case)
    if now >= case.ends_at:
        raise Conflict(
            f"{case.label} could be approved until {stamp(case.ends_at)} only "
            f"(spec.approval.expireAfter); see `kubectl harmony diff` for the newest"
        )
    newest = case.newest
    is_older = (newest.origin_at, newest.id) > (case.decision.origin_at, case.decision.id)
    if is_older and newest.wanted != case.decision.wanted:
        raise Conflict(
            f"{case.label} is superseded: decision {newest.id} is newer and wants "
            f"{newest.wanted}, not {case.decision.wanted}"
        )
    rule = case.autoscaler.approval
    if rule.rejected_id == case.decision.id and not case.is_named:
        by = f" by {rule.rejected_by}" if rule.rejected_by else ""
        raise Conflict(
            f"{case.label} was rejected{by}; name it with --decision {case.decision.id} to approve "
            "it all the same"
        )
    return {
        APPROVED_DECISION: str(case.decision.id),
        APPROVED_BY: case.user,
        REJECTED_DECISION: None,
        REJECTED_BY: None,
    }


def reject_changes(case: Case) -> Changes:
    """Annotations that reject the decision: an approval of it is taken back.

    Raises:
        Conflict: It was applied already, or asks for nothing.
        InvalidInput: It is another workload's.
    """
    _check(case)
    changes: Changes = {REJECTED_DECISION: str(case.decision.id), REJECTED_BY: case.user}
    if case.is_approved:
        changes |= {APPROVED_DECISION: None, APPROVED_BY: None}
    return changes


def _check(case: Case) -> None:
    decision, autoscaler = case.decision, case.autoscaler
    if (decision.namespace, decision.workload) != autoscaler.key:
        raise InvalidInput(
            f"decision {decision.id} belongs to {decision.namespace}/{decision.workload}, not to "
            f"{autoscaler.namespace}/{autoscaler.name}"
        )
    if case.mode != "Approval":
        hint = "applies nothing" if case.mode == "Advisory" else "asks nobody"
        remedy = "spec.mode: Approval makes decisions wait for a human"
        if case.own_mode:
            remedy = f"it was set through the API over the object's own spec.mode: {case.own_mode}"
        raise Conflict(
            f"{autoscaler.namespace}/{autoscaler.name} is in mode {case.mode}, which {hint}; "
            f"{remedy}"
        )
    result = decision.action_result
    if result not in _OPEN:
        known = _CLOSED.get(Result(result)) if result in set(Result) else None
        raise Conflict(f"{case.label} {known or f'ended as {result}'}")
    if not decision.is_change and result is None:
        raise Conflict(f"{case.label} {_CLOSED[Result.UNCHANGED]}")
