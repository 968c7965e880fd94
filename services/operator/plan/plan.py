"""Plan of the action for each decision, pure: every one gets one result and a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from services.kernel.domain import WorkloadSpec
from services.kernel.domain.schedules import bounds_at, freeze_at
from services.operator.cluster.grace import Grace
from services.operator.devices.claim_room import ClaimRoom
from services.operator.kueue.queue_room import QueueRoom
from services.operator.resource.autoscaler import ApprovalRule, Pause

MAX_ATTEMPTS = 5
AHEAD = timedelta(seconds=30)
"""An origin that lies further ahead than this is of a clock that is wrong; less is any clock's."""


class Result(StrEnum):
    """Result of a decision; the values of `actions.result`."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    DELEGATED = "delegated"
    ADVISORY = "advisory"
    AWAITING_APPROVAL = "awaiting_approval"
    REJECTED = "rejected"
    PAUSED = "paused"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    CONFLICT = "conflict"
    FAILED = "failed"
    WAITING = "waiting"
    UNKNOWN = "unknown"
    TARGET_MISSING = "target_missing"


_ANSWERED_BY_HUMANS = (Result.AWAITING_APPROVAL, Result.REJECTED)
"""Results that only an approval or a rejection changes."""


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A stored decision, as far as the operator reads it.

    Attributes:
        n_attempts: Actions that it has already.
        last_result: Result of the newest of them; empty without one.
        forecast_id: Forecast that it is made of; 0: not read.
        trace: `traceparent` of the run that made it; empty: none is known.
        parts: Present and desired count of each variant or pool by name; empty: it knows of none.
        capacity_ratios: Reference replicas that one of a variant counts as, by name, where that was
            learned; without one it counts as stated.
        is_external: Its workload was made over REST and never had a GPUAutoscaler.
        is_put_to_zero: The target had no replicas, and the last count that was applied was zero: it
            was not stopped by hand.
        parts_put_to_zero: Variants and pools of which the same is true, of those that are to have
            replicas.
        note: What is asked for beside what was decided, for the reason of its action.
    """

    id: int
    workload_id: int
    origin_at: datetime
    decided_at: datetime
    valid_until: datetime
    current: int
    raw: int
    desired: int
    direction: str
    reason: str
    rung: str
    risk_target: float
    risk_estimated: float | None
    cost_delta_usd_per_h: float
    binding_constraint: str | None = None
    constraints: tuple[str, ...] = ()
    is_budget_exhausted: bool = False
    n_attempts: int = 0
    last_result: str = ""
    forecast_id: int = 0
    trace: str = ""
    parts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    capacity_ratios: Mapping[str, float] = field(default_factory=dict)
    is_external: bool = False
    is_put_to_zero: bool = False
    parts_put_to_zero: tuple[str, ...] = ()
    note: str = ""

    def is_ahead(self, now: datetime) -> bool:
        """True where it is for a time to come: a worker's clock was wrong, or this one is."""
        return self.origin_at > now + AHEAD


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything but the decision itself that determines the action for one workload.

    Attributes:
        spec: None when the autoscaler cannot be used; `problem` holds the reason.
        replicas: Replicas in the target's spec; None when the target does not exist.
        target_problem: Why there are none, and what to do.
        target_reason: The same in one word.
        is_target_known: False when it could not be found out whether there is a target.
        conflict: Another autoscaler of the target; empty when there is none.
        is_conflict_known: False when the other autoscalers could not be read.
        follower: Autoscaler that scales the target and follows this one; empty: none.
        unread: Why some other autoscalers are known by their HPAs only; empty: none are.
        rollout: How far a roll-out of the target is; empty when none is under way, or it hangs.
        hung: How far a roll-out of the target that hangs came; empty when none does.
        failure: Why the target's pods cannot be created; empty when they can.
        limit: What holds back GPUs for more replicas: `nodes`, `ceiling`, `refused`, `claims`, the
            name of a quota or a queue, or empty.
        is_room_known: False where nothing tells how many more replicas could have GPUs.
        is_short: There are no GPUs for one replica more.
        queue: What the queue leaves that its pods are sent to; None: none queues them.
        claims: What the claims of its pods hold back or leave unknown; None: nothing.
        supply: Where the GPUs of its type come from, in words; empty: nothing is known.
        n_pending: Replicas that wait for a node.
        n_gated: Replicas that a scheduling gate holds back.
        grace: Time that the target's pods have to end; None: not known, or stated by part.
        parts: The same of each variant or pool by name, where there are several targets; then
            `replicas` is their sum, of variants in reference replicas.
    """

    spec: WorkloadSpec | None
    replicas: int | None
    problem: str = ""
    target_problem: str = ""
    target_reason: str = "TargetNotFound"
    is_target_known: bool = True
    conflict: str = ""
    is_conflict_known: bool = True
    follower: str = ""
    unread: str = ""
    rollout: str = ""
    hung: str = ""
    failure: str = ""
    limit: str = ""
    is_room_known: bool = True
    is_short: bool = False
    queue: QueueRoom | None = None
    claims: ClaimRoom | None = None
    supply: str = ""
    n_pending: int = 0
    n_gated: int = 0
    grace: Grace | None = None
    pause: Pause = field(default_factory=Pause)
    approval: ApprovalRule = field(default_factory=ApprovalRule)
    parts: tuple[tuple[str, Situation], ...] = ()


@dataclass(frozen=True, slots=True)
class MadePart:
    """What a scaling made of a target, or may have made of it.

    Attributes:
        name: The variant or pool; empty: the workload has one target.
        ratio: Counted replicas that one is worth: reference replicas of a variant.
        is_sure: The API server confirmed it. Else another hand may have set what was found since.
    """

    name: str
    before: int
    after: int
    ratio: float = 1.0
    is_sure: bool = True

    def to_json(self) -> dict[str, object]:
        """An element of `actions.parts`."""
        counts = {"name": self.name, "from": self.before, "to": self.after}
        return {**counts, "ratio": self.ratio, "is_sure": self.is_sure}


@dataclass(frozen=True, slots=True)
class PlannedAction:
    """The action for a decision, planned or taken.

    `result` is `applied` while the patch is still to be made.

    Attributes:
        approved_by: The person who approved it, where one had to.
        rejected_by: The person who rejected it, where one did.
        is_sure: False of a patch whose count was found, and not confirmed by its answer.
        parts: What was made of each target, where there are several or it is not sure.
    """

    decision: StoredDecision
    result: Result
    reason: str
    from_replicas: int | None = None
    to_replicas: int | None = None
    approved_by: str = ""
    rejected_by: str = ""
    is_sure: bool = True
    parts: tuple[MadePart, ...] = ()

    @property
    def is_patch(self) -> bool:
        """True where the target must be patched."""
        return self.result is Result.APPLIED

    @property
    def attempt(self) -> int:
        """Number of this attempt at the decision, from 1."""
        return self.decision.n_attempts + 1

    def with_result(self, result: Result, reason: str) -> PlannedAction:
        """The same action with another result."""
        return replace(self, result=result, reason=reason)


def plan(
    decisions: Sequence[StoredDecision],
    newest: StoredDecision | None,
    situation: Situation,
    now: datetime,
) -> list[PlannedAction]:
    """Actions for the decisions of one workload that still need one.

    Args:
        decisions: Decisions without a final action.
        newest: The workload's newest decision, which may have its action already.
        situation: State of the workload.
        now: Aware.

    Returns:
        One action per decision, except where its last result still holds; at most one patches.
    """
    planned = []
    for decision in sorted(decisions, key=lambda d: (d.origin_at, d.id)):
        action = _plan_one(decision, newest or decision, situation, now)
        is_new = action.result != decision.last_result
        if is_new or (action.result is Result.FAILED and decision.n_attempts < MAX_ATTEMPTS):
            planned.append(action)
    patches = [action for action in planned if action.is_patch]
    for extra in patches[:-1]:
        reason = f"decision {patches[-1].decision.id} is applied instead"
        planned[planned.index(extra)] = extra.with_result(Result.SUPERSEDED, reason)
    return planned


def _plan_one(
    decision: StoredDecision, newest: StoredDecision, situation: Situation, now: datetime
) -> PlannedAction:
    if decision.is_ahead(now):
        ahead_s = (decision.origin_at - now).total_seconds()
        reason = (
            f"made for a time {ahead_s:.0f} s ahead: a worker's clock or the operator's is wrong"
        )
        return _without_patch(decision, Result.EXPIRED, reason, situation)
    is_newer_there = (newest.origin_at, newest.id) > (decision.origin_at, decision.id)
    approved = is_approved(decision, situation, now)
    if is_rejected(decision, situation):
        by = situation.approval.rejected_by or "somebody"
        reason = f"decision {decision.id} was rejected by {by}; the next decision is awaited"
        return replace(_without_patch(decision, Result.REJECTED, reason, situation), rejected_by=by)
    if decision.last_result in _ANSWERED_BY_HUMANS and not approved:
        result = Result(decision.last_result)
        return _without_patch(decision, result, "waits for an approval", situation)
    if is_newer_there and not approved:
        return _without_patch(
            decision, Result.SUPERSEDED, f"decision {newest.id} is newer", situation
        )
    if now >= decision.valid_until and not approved:
        reason = f"valid until {decision.valid_until:%Y-%m-%dT%H:%M:%SZ} only"
        return _without_patch(decision, Result.EXPIRED, reason, situation)
    return decide_action(decision, situation, now)


def _without_patch(
    decision: StoredDecision, result: Result, reason: str, situation: Situation
) -> PlannedAction:
    return PlannedAction(decision, result, reason, situation.replicas, decision.desired)


def is_approved(decision: StoredDecision, situation: Situation, now: datetime) -> bool:
    """True where a human approved this very decision, and the approval has not run out."""
    rule = situation.approval
    is_approval = situation.spec is not None and situation.spec.mode == "Approval"
    ends_at = decision.decided_at + timedelta(seconds=rule.expire_after_s)
    return is_approval and rule.decision_id == decision.id and now < ends_at


def is_rejected(decision: StoredDecision, situation: Situation) -> bool:
    """True where a human rejected this very decision.

    `approve` removes a rejection and `reject` an approval, so both together were written by hand:
    then the rejection counts.
    """
    is_approval = situation.spec is not None and situation.spec.mode == "Approval"
    return is_approval and situation.approval.rejected_id == decision.id


def decide_action(decision: StoredDecision, situation: Situation, now: datetime) -> PlannedAction:
    """The action for a decision that is the one to apply.

    The checks stand in the order of what a user would have to change first. In mode Advisory a
    follower is left what it is advised, as in the other modes, and a roll-out is not waited for.
    """
    if situation.spec is None:
        return _without_patch(
            decision, Result.FAILED, f"invalid spec: {situation.problem}", situation
        )
    if situation.replicas is None:
        is_missing = situation.is_target_known
        result = Result.TARGET_MISSING if is_missing else Result.FAILED
        return _without_patch(decision, result, situation.target_problem, situation)
    to_replicas, note = _within_bounds(decision, situation.spec, now)
    action = PlannedAction(
        decision, Result.APPLIED, decision.reason, situation.replicas, to_replicas
    )
    is_followed = bool(situation.follower) and not situation.conflict
    if situation.spec.mode == "Advisory" and not is_followed:
        scaler = f"; {situation.conflict} scales the target" if situation.conflict else ""
        return action.with_result(Result.ADVISORY, f"mode Advisory applies nothing{scaler}{note}")
    held = _forbidden(action, situation, situation.spec, now)
    if held is not None:
        return held
    if is_approved(decision, situation, now):
        action = replace(action, approved_by=situation.approval.approved_by)
    if situation.follower:
        reason = f"left to {situation.follower}, which follows this autoscaler{note}"
        return action.with_result(Result.DELEGATED, reason)
    return replace(action, reason=f"{decision.reason}{decision.note}{note}")


def _within_bounds(decision: StoredDecision, spec: WorkloadSpec, now: datetime) -> tuple[int, str]:
    low, high = bounds_at(spec, now)
    to_replicas = min(max(decision.desired, low), high)
    if to_replicas == decision.desired:
        return to_replicas, ""
    why = f"{decision.desired} replicas are outside {low}..{high}, which changed since"
    return to_replicas, f"; {why}"


def _forbidden(
    action: PlannedAction, situation: Situation, spec: WorkloadSpec, now: datetime
) -> PlannedAction | None:
    """The action with the reason that forbids a patch; None: nothing forbids it."""
    current, to_replicas = action.from_replicas or 0, action.to_replicas or 0
    if not situation.is_conflict_known:
        return action.with_result(
            Result.FAILED, "other autoscalers cannot be read, so none is ruled out"
        )
    if situation.conflict:
        return action.with_result(Result.CONFLICT, f"{situation.conflict} scales the same target")
    if to_replicas == current:
        return action.with_result(Result.UNCHANGED, f"the target has {current} replicas already")
    if is_stopped_by_hand(action.decision, situation):
        reason = "the target was scaled to zero by hand; give it replicas to go on"
        return action.with_result(Result.PAUSED, reason)
    if situation.pause.holds(current, to_replicas, now):
        return action.with_result(Result.PAUSED, _pause_reason(situation.pause, now))
    frozen = freeze_at(spec, now)
    if frozen is not None and (frozen[0] == "Both" or to_replicas < current):
        return action.with_result(Result.PAUSED, f"schedule {frozen[1]} freezes {frozen[0]}")
    if situation.rollout and to_replicas < current and spec.mode != "Advisory":
        reason = f"scaling in waits for the roll-out to end: {situation.rollout}"
        return action.with_result(Result.PAUSED, reason)
    if spec.mode == "Approval":
        return _ask(action, situation, now)
    return None


def is_stopped_by_hand(decision: StoredDecision, situation: Situation) -> bool:
    """True where somebody scaled the target, or all of its parts, to zero to stop the service.

    Zero is nobody's wish where `minReplicas` or a schedule allowed it and it was applied: raised
    since, the bound wakes the service. A follower may have scaled the target to zero itself.
    """
    spec = situation.spec
    if spec is None or spec.min_replicas == 0 or situation.follower:
        return False
    return situation.replicas == 0 and not decision.is_put_to_zero


def _pause_reason(pause: Pause, now: datetime) -> str:
    if pause.problem:
        return f"held: {pause.problem}"
    if pause.is_active(now):
        until = "" if pause.until is None else f" until {pause.until:%Y-%m-%dT%H:%M:%SZ}"
        return f"paused by {pause.source}{until}"
    return "scaling in is paused" if pause.is_scale_in else "scaling out is paused"


def _ask(action: PlannedAction, situation: Situation, now: datetime) -> PlannedAction | None:
    change = abs((action.to_replicas or 0) - (action.from_replicas or 0))
    if change <= situation.approval.auto_replicas or is_approved(action.decision, situation, now):
        return None
    return action.with_result(
        Result.AWAITING_APPROVAL, f"decision {action.decision.id} waits for an approval"
    )
