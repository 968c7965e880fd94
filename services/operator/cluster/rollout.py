"""Roll-outs of a target, read from its status, pure.

While it is, some of its pods are of the old template and some of the new; removing replicas
then would remove serving ones in the midst of it, so scaling in waits. It does not wait for one
that hangs: that would keep idle GPUs until somebody notices.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]

STILL_S = 1800.0
"""A roll-out whose progress has not changed for this long hangs."""
_IN_PROGRESS = {"NewReplicaSetCreated", "FoundNewReplicaSet", "ReplicaSetUpdated"}


def rollout_of(resource: Object) -> str:
    """Describe the roll-out that is under way; empty when none is, or it ran out of time.

    Scaling alone is no roll-out: neither the revision nor `Progressing` moves with it.
    """
    status, kind = resource.get("status") or {}, resource.get("kind", "")
    if not status:
        return ""
    seen, generation = status.get("observedGeneration"), resource["metadata"].get("generation")
    if isinstance(seen, int) and isinstance(generation, int) and seen < generation:
        return f"its controller has seen generation {seen} of {generation}"
    if kind == "StatefulSet":
        return _stateful(resource, status)
    if overdue_of(resource):
        return ""
    total, updated = status.get("replicas"), status.get("updatedReplicas", 0)
    says_updated = "updatedReplicas" in status or kind == "Deployment"
    if says_updated and isinstance(total, int) and isinstance(updated, int) and updated < total:
        return f"{updated} of {total} replicas are of the new revision"
    conditions = {c.get("type"): c for c in status.get("conditions") or ()}
    progress = conditions.get("Progressing", {})
    is_moving = progress.get("status") == "True" and progress.get("reason") in _IN_PROGRESS
    if kind == "Deployment" and is_moving:
        available = status.get("availableReplicas", 0)
        return f"{available} of {total or 0} replicas of the new revision are available"
    if conditions.get("UpdateInProgress", {}).get("status") == "True":
        return "it says UpdateInProgress"
    return ""


def _stateful(resource: Object, status: Object) -> str:
    strategy = (resource.get("spec") or {}).get("updateStrategy") or {}
    current, update = status.get("currentRevision"), status.get("updateRevision")
    if strategy.get("type") == "OnDelete" or not update or current == update:
        return ""
    partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    wanted = max(0, int(status.get("replicas", 0)) - int(partition))
    updated = int(status.get("updatedReplicas", 0))
    return f"{updated} of {wanted} replicas are of the new revision" if updated < wanted else ""


def overdue_of(resource: Object) -> str:
    """Describe how far a roll-out came that ran out of its own time; empty when none did."""
    status = resource.get("status") or {}
    for condition in status.get("conditions") or ():
        is_over = condition.get("reason") == "ProgressDeadlineExceeded"
        if condition.get("type") == "Progressing" and is_over:
            available, total = status.get("availableReplicas", 0), status.get("replicas", 0)
            return f"{available} of {total} replicas are available when progressDeadlineSeconds end"
    return ""


def failure_of(resource: Object) -> str:
    """Why the target's pods cannot be created, in its controller's words; empty when they can."""
    for condition in (resource.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return str(condition.get("message") or condition.get("reason") or "ReplicaFailure")
    return ""
