"""Conditions of a `GPUAutoscaler`, pure: each with a reason, and a message with what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from services.operator.cluster.other_autoscalers import FOLLOWS
from services.operator.plan.plan import Result, StoredDecision
from services.operator.report.controls import override_left_out, paused
from services.operator.report.facts import FALSE, TRUE, UNKNOWN, AutoscalerFacts, Finding
from services.operator.report.grace import grace_too_short
from services.operator.report.limited import capital_words, limited
from services.operator.report.measurement import (
    demand_censored,
    goal_unreachable,
    lead_time_beyond_horizon,
    not_capacity,
    sli_measured,
)
from services.operator.report.room import room_unknown
from services.operator.resource.autoscaler import APPROVED_DECISION

FORECAST_RUNGS = ("forecast", "last_forecast", "model")
"""Rungs on which a forecast answers; every other rung is a fallback."""
_LONGEST_MESSAGE = 4096
"""Characters of a message: the API server refuses a status with one of more than 32768."""


def find(facts: AutoscalerFacts, now: datetime) -> list[Finding]:
    """Every condition, `Ready` first."""
    others = [
        _target(facts),
        _metrics(facts, now),
        _forecast(facts),
        _decision(facts, now),
        limited(facts, now),
        _fallback(facts),
        paused(facts, now),
        _budget(facts),
        sli_measured(facts),
        demand_censored(facts),
        goal_unreachable(facts),
        not_capacity(facts),
        lead_time_beyond_horizon(facts),
        grace_too_short(facts),
        room_unknown(facts),
        _set_apart(facts),
        override_left_out(facts),
        _conflict(facts),
    ]
    return [_ready(facts, others), *others]


def _ready(facts: AutoscalerFacts, others: Sequence[Finding]) -> Finding:
    if facts.autoscaler.problem:
        return Finding("Ready", FALSE, "InvalidSpec", facts.autoscaler.problem)
    found = {finding.type: finding for finding in others}
    if found["TargetResolved"].status != TRUE:
        target = found["TargetResolved"]
        return Finding("Ready", FALSE, target.reason, target.message)
    conflict = found["Conflict"]
    spec = facts.situation.spec
    if conflict.status != FALSE and spec is not None and spec.mode != "Advisory":
        return Finding("Ready", FALSE, conflict.reason, conflict.message)
    if found["DecisionActive"].status != TRUE:
        decision = found["DecisionActive"]
        return Finding("Ready", FALSE, decision.reason, decision.message)
    if facts.patch_failure:
        return Finding("Ready", FALSE, "ScalePatchFails", facts.patch_failure)
    pause = facts.autoscaler.pause
    if pause.problem:
        return Finding("Ready", FALSE, "InvalidAnnotation", pause.problem)
    missing = facts.autoscaler.missing_class
    if missing and spec is not None:
        message = (
            f"sla.class={missing!r} does not exist or cannot be read: its own risk is promised, "
            f"under a GPU budget it counts as priority {spec.sla.priority_in_force}; create or "
            "correct that SLAClass, or leave sla.class out"
        )
        return Finding("Ready", FALSE, "SLAClassNotFound", message)
    return Finding("Ready", TRUE, "Reconciled", "decisions arrive and are followed")


def _target(facts: AutoscalerFacts) -> Finding:
    target, situation = facts.autoscaler.target, facts.situation
    for own, (name, part) in zip(facts.autoscaler.parts, situation.parts, strict=False):
        if part.replicas is None:
            status = FALSE if part.is_target_known else UNKNOWN
            word, problem = own.spec.WORD, part.target_problem
            message = f"{word} {name}: {problem}; the others are scaled without it"
            return Finding("TargetResolved", status, part.target_reason, message)
    if situation.replicas is None:
        status = FALSE if situation.is_target_known else UNKNOWN
        return Finding("TargetResolved", status, situation.target_reason, situation.target_problem)
    hung = "; ".join(f"{name} hangs ({how_far})" for name, how_far in _hung(facts))
    if hung:
        message = (
            f"the roll-out of {hung}, so scaling in no longer waits for it; look at the new pods, "
            "then finish it or `kubectl rollout undo` it"
        )
        return Finding("TargetResolved", TRUE, "RolloutHangs", message)
    if facts.autoscaler.counted_note:
        note = facts.autoscaler.counted_note
        return Finding("TargetResolved", TRUE, "CountedOtherwise", note)
    return Finding("TargetResolved", TRUE, "TargetFound", f"{target.label} is there")


def _hung(facts: AutoscalerFacts) -> list[tuple[str, str]]:
    """Targets whose roll-outs hang, and how far these came."""
    situation, parts = facts.situation, facts.autoscaler.parts
    found = [(facts.autoscaler.target.label, situation.hung)]
    if parts:
        own = zip(parts, situation.parts, strict=False)
        found = [(part.target.label, state.hung) for part, (_, state) in own]
    return [(name, how_far) for name, how_far in found if how_far]


def _set_apart(facts: AutoscalerFacts) -> Finding:
    if facts.details is None:
        return Finding("SetApart", UNKNOWN, "NotReadYet")
    if facts.details.errors:
        message = (
            f"failed for this workload alone: {'; '.join(facts.details.errors)}; the others go on, "
            "this one is decided by a lower rung or left as it is; correct its spec or its samples"
        )
        return Finding("SetApart", TRUE, "StageFailed", message)
    return Finding("SetApart", FALSE, "NoStageFailed")


def _metrics(facts: AutoscalerFacts, now: datetime) -> Finding:
    if facts.details is None:
        return Finding("MetricsFresh", UNKNOWN, "NotReadYet")
    last = facts.details.last_sample_at
    if last is None:
        message = (
            "no sample has arrived; push observations, or set indicators[].query or indicatorsFrom"
        )
        return Finding("MetricsFresh", FALSE, "MetricsMissing", message)
    if now - last > timedelta(seconds=facts.stale_after_s):
        message = f"newest sample is of {last:%Y-%m-%dT%H:%M:%SZ}; check the metric source"
        return Finding("MetricsFresh", FALSE, "MetricsStale", message)
    return Finding("MetricsFresh", TRUE, "MetricsFound")


def _forecast(facts: AutoscalerFacts) -> Finding:
    if facts.details is None:
        return Finding("ForecastReady", UNKNOWN, "NotReadYet")
    if facts.details.origin_at is None:
        message = "there is no forecast yet; the first one needs a complete step of demand"
        return Finding("ForecastReady", FALSE, "NoForecast", message)
    return Finding("ForecastReady", TRUE, "ForecastFound", f"from rung {facts.details.rung}")


def _decision(facts: AutoscalerFacts, now: datetime) -> Finding:
    newest = facts.newest
    if newest is None:
        message = "there is no decision yet; the first one follows the first forecast"
        return Finding("DecisionActive", FALSE, "NoDecision", message)
    if now >= newest.valid_until:
        message = (
            f"the newest decision was valid until {newest.valid_until:%Y-%m-%dT%H:%M:%SZ}; "
            "the target is left as it is; check the decision service and its queue"
        )
        return Finding("DecisionActive", FALSE, "DecisionExpired", message)
    if facts.last_result == Result.REJECTED:
        return _rejected(newest, facts)
    if facts.last_result == Result.AWAITING_APPROVAL:
        ends_at = newest.decided_at + timedelta(seconds=facts.situation.approval.expire_after_s)
        if now >= ends_at:
            message = f"nobody approved decision {newest.id} in time; the next one asks again"
            return Finding("DecisionActive", TRUE, "ApprovalExpired", message)
        message = (
            f"decision {newest.id} ({facts.situation.replicas} -> {newest.desired} replicas) waits "
            f"until {ends_at:%Y-%m-%dT%H:%M:%SZ} for `kubectl harmony approve "
            f"{facts.autoscaler.name} -n {facts.autoscaler.namespace}`, which sets the annotation "
            f"{APPROVED_DECISION}={newest.id}"
        )
        return Finding("DecisionActive", TRUE, "AwaitingApproval", message)
    left = f"; left to {facts.situation.follower}" if facts.situation.follower else ""
    return Finding("DecisionActive", TRUE, "DecisionValid", f"mode {_mode(facts)}{left}")


def _rejected(newest: StoredDecision, facts: AutoscalerFacts) -> Finding:
    shown = facts.autoscaler.status.get("lastDecision") or {}
    rule = facts.autoscaler.approval
    by = rule.rejected_by if rule.rejected_id == newest.id else ""
    if not by and shown.get("id") == newest.id:
        by = str(shown.get("rejectedBy", ""))
    message = (
        f"decision {newest.id} ({facts.situation.replicas} -> {newest.desired} replicas) was "
        f"rejected by {by or 'somebody'}; the target is left as it is and the next decision, a "
        "step later, is awaited; to end the asking, pause"
    )
    return Finding("DecisionActive", TRUE, "DecisionRejected", message)


def _mode(facts: AutoscalerFacts) -> str:
    return "unknown" if facts.situation.spec is None else facts.situation.spec.mode


def _fallback(facts: AutoscalerFacts) -> Finding:
    if facts.newest is None:
        return Finding("Fallback", UNKNOWN, "NoDecision")
    if facts.newest.rung in FORECAST_RUNGS:
        return Finding("Fallback", FALSE, "ForecastAnswers")
    message = (
        f"rung {facts.newest.rung} answers instead of the forecast; see MetricsFresh, and "
        "`kubectl harmony explain` for why"
    )
    return Finding("Fallback", TRUE, capital_words(facts.newest.rung), message)


def _budget(facts: AutoscalerFacts) -> Finding:
    if facts.newest is None:
        return Finding("BudgetExhausted", UNKNOWN, "NoDecision")
    if facts.newest.is_budget_exhausted:
        message = "the SLA window's error budget is spent; replicas are kept high until it recovers"
        return Finding("BudgetExhausted", TRUE, "ErrorBudgetSpent", message)
    return Finding("BudgetExhausted", FALSE, "ErrorBudgetLeft")


def _conflict(facts: AutoscalerFacts) -> Finding:
    situation = facts.situation
    if not situation.is_conflict_known:
        message = (
            "other autoscalers cannot be read, so none is ruled out; grant list and watch on "
            "horizontalpodautoscalers"
        )
        return Finding("Conflict", UNKNOWN, "AutoscalersUnreadable", message)
    if situation.conflict:
        kind = situation.conflict.partition("/")[0]
        message = f"{situation.conflict} scales {facts.autoscaler.target.label} too"
        if _mode(facts) != "Advisory":
            message += (
                "; remove one of them, or set mode: Advisory; if it follows Harmony, annotate it "
                f"with {FOLLOWS}={facts.autoscaler.name}"
            )
        return Finding("Conflict", TRUE, kind, message)
    if situation.follower:
        message = f"{situation.follower} scales {facts.autoscaler.target.label} as this one decides"
        if _mode(facts) != "Advisory":
            message += "; nothing is written beside it"
        return Finding("Conflict", FALSE, "FollowedByOther", message)
    message = ""
    if situation.unread:
        message = (
            f"{situation.unread}; ScaledObjects are seen by their HPAs only: grant list and watch "
            "on scaledobjects"
        )
    return Finding("Conflict", FALSE, "NoOtherAutoscaler", message)


def to_conditions(
    findings: Iterable[Finding],
    before: Sequence[Mapping[str, Any]],
    generation: int,
    now: datetime,
) -> list[dict[str, Any]]:
    """Conditions as the status holds them; a transition time moves only when the status changes.

    Args:
        findings: What holds now.
        before: Conditions that the status has.
        generation: Generation of the spec that they were found for.
        now: Aware.
    """
    known = {condition["type"]: condition for condition in before}
    stamp = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    found = []
    for finding in findings:
        old = known.get(finding.type, {})
        is_same = old.get("status") == finding.status
        found.append(
            {
                "type": finding.type,
                "status": finding.status,
                "reason": finding.reason,
                "message": finding.message[:_LONGEST_MESSAGE],
                "lastTransitionTime": old.get("lastTransitionTime", stamp) if is_same else stamp,
                "observedGeneration": generation,
            }
        )
    return found
