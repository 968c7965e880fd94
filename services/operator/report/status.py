"""The status of a `GPUAutoscaler`, pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.kernel.domain import step_promise
from services.kernel.domain.figures import kept
from services.operator.cluster.pods import Replicas
from services.operator.plan.part_members import describe_target, part_statuses
from services.operator.plan.plan import PlannedAction, Result, StoredDecision
from services.operator.report import conditions
from services.operator.report.facts import AutoscalerFacts, Details
from services.operator.resource.quantities import format_duration
from services.operator.resource.status import N_HISTORY

Status = dict[str, Any]
SETTLED = (Result.APPLIED, Result.UNCHANGED, Result.DELEGATED)
_QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9, "p99": 0.99}
_SAME_LEVEL = 1e-6
_PROMISE = (
    *("measuredLow", "measured", "measuredHigh", "believed", "source"),
    *("budgetRemainingLow", "budgetRemaining", "budgetRemainingHigh"),
)
"""Fields of the risk that are the decision service's figures."""
_MINOR = ("forecast", "risk", "leadTime", "lastDecision", "readyReplicas")
"""Fields that change with each step; a change of these alone may wait a little."""


@dataclass(frozen=True, slots=True)
class TakenAction:
    """An action that was taken, and when.

    Attributes:
        is_listed: The target has been listed since, so its count is known better.
    """

    action: PlannedAction
    at: datetime
    is_listed: bool = False


@dataclass(frozen=True, slots=True)
class AutoscalerReport:
    """Everything that the report of one autoscaler is made from.

    Attributes:
        done: Actions that are not reported yet, oldest first.
    """

    facts: AutoscalerFacts
    replicas: Replicas | None
    done: tuple[TakenAction, ...] = ()


def stamp(at: datetime | None) -> str | None:
    """A time as Kubernetes writes it, to the second."""
    return None if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}"


def build(report: AutoscalerReport, now: datetime) -> Status:
    """Build the whole status; what is not known now stays as it was reported."""
    facts = report.facts
    before = facts.autoscaler.status
    status: Status = {
        name: before[name]
        for name in ("lastScaleTime", "decisionHistory", "lastDecision", "desiredReplicas")
        if before.get(name) is not None
    }
    status["observedGeneration"] = facts.autoscaler.generation
    if target := describe_target(facts.autoscaler, facts.situation):
        status["target"] = target
    if facts.situation.replicas is not None:
        status["currentReplicas"] = facts.situation.replicas
    if report.replicas is not None:
        status["readyReplicas"] = report.replicas.ready
    if facts.newest is not None:
        status["recommendedReplicas"] = facts.newest.desired
        status["lastDecision"] = _last_decision(facts.newest, report.done, before)
    for done in report.done:
        _add_action(status, done)
    if facts.situation.parts:
        status["variants"] = part_statuses(facts.situation, facts.newest)
    elif before.get("variants"):
        status["variants"] = None  # there were some
    _add_details(status, facts, before)
    status["conditions"] = conditions.to_conditions(
        conditions.find(facts, now),
        before.get("conditions") or (),
        facts.autoscaler.generation,
        now,
    )
    return status


def _last_decision(
    newest: StoredDecision, done: Sequence[TakenAction], before: Mapping[str, Any]
) -> Status:
    entry = _decision(newest)
    for item in done:
        if item.action.decision.id == newest.id:
            entry |= _result(item.action)
    old = before.get("lastDecision") or {}
    if "result" not in entry and old.get("id") == newest.id:
        kept = ("result", "resultReason", "approvedBy", "rejectedBy")
        entry |= {name: old[name] for name in kept if name in old}
    return entry


def _decision(decision: StoredDecision) -> Status:
    entry: Status = {
        "id": decision.id,
        "time": stamp(decision.decided_at),
        "raw": decision.raw,
        "final": decision.desired,
        "current": decision.current,
        "direction": decision.direction,
        "reason": decision.reason,
        "costDeltaPerHour": kept(decision.cost_delta_usd_per_h),
    }
    if decision.binding_constraint:
        entry["bindingConstraint"] = decision.binding_constraint
    if decision.constraints:
        entry["constraintsApplied"] = list(decision.constraints)
    return entry


def _result(action: PlannedAction) -> Status:
    entry = {"result": str(action.result), "resultReason": action.reason}
    if action.approved_by:
        entry["approvedBy"] = action.approved_by
    if action.rejected_by:
        entry["rejectedBy"] = action.rejected_by
    return entry


def _add_action(status: Status, done: TakenAction) -> None:
    """An applied change moves `desiredReplicas`, `lastScaleTime` and the history.

    One that is left to a follower sets `desiredReplicas` and the history; the follower decides when
    it happens.
    """
    action = done.action
    if action.result in SETTLED:
        status["desiredReplicas"] = action.to_replicas
    if action.result not in (Result.APPLIED, Result.DELEGATED):
        return
    if action.result is Result.APPLIED:
        status["lastScaleTime"] = stamp(done.at)
        if not done.is_listed:
            status["currentReplicas"] = action.to_replicas
    entry = {**_decision(action.decision), **_result(action), "current": action.from_replicas}
    history: Sequence[Status] = status.get("decisionHistory") or ()
    status["decisionHistory"] = [entry, *history][:N_HISTORY]


def _add_details(status: Status, facts: AutoscalerFacts, before: Mapping[str, Any]) -> None:
    details = facts.details
    if details is None:
        for name in ("forecast", "leadTime"):
            if before.get(name):
                status[name] = before[name]
    else:
        status["forecast"] = _forecast(details)
        status["leadTime"] = _lead_time(details)
    status["risk"] = _risk(facts, before.get("risk") or {})
    for name in ("forecast", "leadTime", "risk"):
        if not status.get(name):
            status.pop(name, None)


def _forecast(details: Details) -> Status:
    shown: Status = {
        "modelVersion": details.model_version,
        "rung": details.rung,
        "issuedAt": stamp(details.origin_at),
        "horizon": None if details.horizon_s is None else format_duration(details.horizon_s),
        "coverage7d": _rounded(details.history.coverage),
    }
    for name, level in _QUANTILES.items():
        shown[name] = _at_level(details.next_step or {}, level)
    return {name: value for name, value in shown.items() if value is not None}


def is_shown(level: float) -> bool:
    """True where the status shows a forecast's quantile of this level."""
    return any(abs(level - shown) < _SAME_LEVEL for shown in _QUANTILES.values())


def _at_level(quantiles: Mapping[float, float], level: float) -> float | None:
    for known, value in quantiles.items():
        if abs(known - level) < _SAME_LEVEL:
            return _rounded(value)
    return None


def _risk(facts: AutoscalerFacts, before: Mapping[str, Any]) -> Status:
    spec, newest = facts.situation.spec, facts.newest
    shown: Status = {}
    if spec is not None:
        sla = spec.sla  # of a step, as all that is beside it
        target = step_promise(sla.kind, sla.epsilon, sla.window_s, facts.step_s)
        shown["target"] = _rounded(target)
    if newest is not None:
        if spec is not None and spec.sla.kind == "AnyInWindow":
            shown["target"] = _rounded(newest.risk_target)
        shown["estimated"] = _rounded(newest.risk_estimated)
    details = facts.details
    if details is None:
        shown |= {name: before.get(name) for name in _PROMISE}
    elif details.measured is not None or details.believed is not None:
        shown["measuredLow"] = _rounded(details.measured_low)
        shown["measured"] = _rounded(details.measured)
        shown["measuredHigh"] = _rounded(details.measured_high)
        shown["believed"] = _rounded(details.believed)
        shown["source"] = details.budget_source
        shown["budgetRemainingLow"] = _rounded(details.budget_left_low)
        shown["budgetRemaining"] = _rounded(details.budget_left)
        shown["budgetRemainingHigh"] = _rounded(details.budget_left_high)
    return {name: value for name, value in shown.items() if value is not None}


def _lead_time(details: Details) -> Status:
    seen = details.history
    if seen.n_starts == 0 or seen.lead_p50_s is None or seen.lead_p90_s is None:
        return {}
    return {
        "measuredP50": format_duration(round(seen.lead_p50_s)),
        "measuredP90": format_duration(round(seen.lead_p90_s)),
        "samples": seen.n_starts,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> Status:
    """The JSON merge patch (RFC 7396) from `before` to `after`: null removes a field.

    Top-level fields that `after` lacks are left alone.
    """
    changed: Status = {}
    for name, value in after.items():
        old = before.get(name)
        if old == value:
            continue
        if isinstance(value, dict) and isinstance(old, Mapping):
            changed[name] = merge_patch(old, value) | dict.fromkeys(old.keys() - value.keys())
        else:
            changed[name] = value
    return changed


def is_urgent(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """True where more changed than the figures that move with each step."""
    for name, value in after.items():
        if name == "conditions":
            if _without_messages(before.get(name) or ()) != _without_messages(value):
                return True
        elif name == "lastDecision":
            kept = before.get(name) or {}
            if any(kept.get(part) != value.get(part) for part in ("result", "reason")):
                return True
        elif name not in _MINOR and before.get(name) != value:
            return True
    return False


def _without_messages(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    return [(c["type"], c["status"], c["reason"]) for c in found]
