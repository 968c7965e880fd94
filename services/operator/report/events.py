"""Events about a `GPUAutoscaler`, pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.operator.plan.plan import Result
from services.operator.report.status import AutoscalerReport, Status, stamp
from services.operator.resource.autoscaler import Autoscaler
from services.operator.resource.fields import API_VERSION

COMPONENT = "harmony-operator"


@dataclass(frozen=True, slots=True)
class Notice:
    """An Event that is to be written."""

    kind: str
    reason: str
    message: str


def notices(report: AutoscalerReport, after: Status) -> list[Notice]:
    """Events of a pass: rescales, and conditions that changed.

    A failure gives one Event: each decision is tried again and again, and the next one too.
    """
    found = []
    shown = report.facts.autoscaler.status.get("lastDecision") or {}
    failure = shown.get("resultReason") if shown.get("result") == Result.FAILED else None
    for action in (done.action for done in report.done):
        if action.result is Result.APPLIED:
            sizes = f"New size: {action.to_replicas}; was: {action.from_replicas}"
            by = f"; approved by: {action.approved_by}" if action.approved_by else ""
            message = f"{sizes}; reason: {action.reason}{by}"
            found.append(Notice("Normal", "SuccessfulRescale", message))
        if action.result is Result.DELEGATED and action.approved_by:
            sizes = f"{action.from_replicas} -> {action.to_replicas} replicas"
            message = f"{sizes} {action.reason}; approved by: {action.approved_by}"
            found.append(Notice("Normal", "DecisionApproved", message))
        if action.result is Result.REJECTED:
            found.append(Notice("Normal", "DecisionRejected", action.reason))
        if action.result is not Result.FAILED:
            failure = None
        elif action.reason != failure:
            found.append(Notice("Warning", "FailedRescale", action.reason))
            failure = action.reason
    before = {c["type"]: c for c in report.facts.autoscaler.status.get("conditions") or ()}
    for condition in after["conditions"]:
        notice = _transition(before.get(condition["type"], {}), condition)
        if notice is not None:
            found.append(notice)
    return found


_WATCHED = {
    "Paused": ("Normal", "Paused", "Resumed"),
    "Fallback": ("Warning", "FallbackActivated", "FallbackDeactivated"),
    "Conflict": ("Warning", "Conflict", "ConflictResolved"),
    "BudgetExhausted": ("Warning", "BudgetExhausted", "BudgetRecovered"),
}
"""Conditions that are warnings while they hold: kind of Event, reasons at begin and end."""
_NEEDED = {
    "TargetResolved": ("FailedGetScale", "TargetFound"),
    "MetricsFresh": ("MetricsUnavailable", "MetricsAvailable"),
}
"""Conditions that are warnings while they do not hold."""
_HANGS = "RolloutHangs"
_KILLED = "PodsKilled"
_SCARCE = (
    *("QuotaExceeded", "InsufficientGPUs", "FailedCreate"),
    *("SupplyCeiling", "ProvisioningRefused"),
    *("AwaitingAdmission", "QueueNotFound", "QueueStopped"),
    *("ClaimNotFound", "ClaimsUnbound"),
)


def _transition(old: Mapping[str, Any], new: Mapping[str, Any]) -> Notice | None:
    if new["reason"] == _HANGS and old.get("reason") != _HANGS:
        return Notice("Warning", _HANGS, new["message"])
    if new["reason"] == _KILLED and old.get("reason") != _KILLED:
        return Notice("Warning", "RequestsCutOff", new["message"])
    if new["type"] in _NEEDED:
        return _needed_transition(old, new)
    if new["type"] == "ScalingLimited":
        is_new = new["reason"] in _SCARCE and old.get("reason") != new["reason"]
        return Notice("Warning", "ResourceConstrained", new["message"]) if is_new else None
    kind, began, ended = _WATCHED.get(new["type"], ("", "", ""))
    if not kind or new["status"] == "Unknown" or old.get("status") == new["status"]:
        return None
    if new["status"] == "True":
        return Notice(kind, began, new["message"] or new["reason"])
    return Notice("Normal", ended, new["reason"]) if old.get("status") == "True" else None


def _needed_transition(old: Mapping[str, Any], new: Mapping[str, Any]) -> Notice | None:
    lost, found = _NEEDED[new["type"]]
    was_there = old.get("status") != "False"
    is_known = bool(old) or new["type"] == "TargetResolved"  # metrics are missing at first
    if new["status"] == "False" and was_there and is_known:
        return Notice("Warning", lost, new["message"])
    is_back = new["status"] == "True" and not was_there
    return Notice("Normal", found, new["message"] or new["reason"]) if is_back else None


def to_event(autoscaler: Autoscaler, notice: Notice, now: datetime) -> Status:
    """An Event about an autoscaler."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "namespace": autoscaler.namespace,
            "generateName": f"{autoscaler.name[:200]}.",
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": "GPUAutoscaler",
            "namespace": autoscaler.namespace,
            "name": autoscaler.name,
            "uid": autoscaler.uid,
        },
        "type": notice.kind,
        "reason": notice.reason,
        "message": notice.message[:1024],
        "firstTimestamp": stamp(now),
        "lastTimestamp": stamp(now),
        "count": 1,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
    }
