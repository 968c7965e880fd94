"""Status of Deployments, ReplicaSets and StatefulSets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.lab.cluster.controllers.groups import Group
from services.lab.cluster.controllers.rollout import RollingRules
from services.lab.cluster.storage.resources import Obj
from services.simulator.engine.engine import ReplicaCounts


def _lean(status: dict[str, Any]) -> dict[str, Any]:
    """Without zero counts, which the real server leaves out."""
    return {name: value for name, value in status.items() if value != 0}


def set_status(owner: Obj, count: ReplicaCounts) -> Obj:
    """Status of a ReplicaSet or StatefulSet."""
    total = count.bound + count.pending
    status = {
        "observedGeneration": owner["metadata"].get("generation", 1),
        "readyReplicas": count.ready,
        "availableReplicas": count.ready,
    }
    if owner["kind"] == "ReplicaSet":
        status["fullyLabeledReplicas"] = total
    return {"replicas": total, **_lean(status)}


def revisions_of(group: Group, count: ReplicaCounts) -> Obj:
    """Revisions that the pods of a StatefulSet are of."""
    total, n_old = count.bound + count.pending, len(group.revisions)
    update = f"{group.owner_name}-{group.hash}"
    current = next(iter(group.revisions.values()), group.hash)
    n_current = n_old or total
    return _lean({"currentReplicas": n_current, "updatedReplicas": total - n_old}) | {
        "currentRevision": f"{group.owner_name}-{current}",
        "updateRevision": update,
    }


def refusal_of(group: Group) -> str:
    """Message about a pod that a quota refused."""
    return f'pods "{group.owner_name}-" is forbidden: {group.refusal}'


def with_failure(status: Obj, group: Group, owner: Obj, at: str) -> Obj:
    """The status with the condition of pods that cannot be created, while some cannot."""
    if not group.refusal:
        return status
    old = {c["type"]: c for c in (owner.get("status") or {}).get("conditions") or ()}
    fresh = _condition(None, "ReplicaFailure", True, "FailedCreate", refusal_of(group), at)
    known = old.get("ReplicaFailure")
    kept = known if known is not None and known["message"] == fresh["message"] else fresh
    return {**status, "conditions": [*(status.get("conditions") or ()), kept]}


def deployment_status(obj: Obj, counts: Sequence[ReplicaCounts], at: str) -> Obj:
    """Status of a Deployment; `counts` are of its revisions, oldest first."""
    wanted = obj["spec"].get("replicas", 1)
    n_total = sum(count.bound + count.pending for count in counts)
    n_ready = sum(count.ready for count in counts)
    n_updated = counts[-1].bound + counts[-1].pending
    status = _lean(
        {
            "observedGeneration": obj["metadata"].get("generation", 1),
            "replicas": n_total,
            "updatedReplicas": n_updated,
            "readyReplicas": n_ready,
            "availableReplicas": n_ready,
            "unavailableReplicas": max(wanted - n_ready, n_total - n_ready, 0),
        }
    )
    is_available = n_ready >= wanted - RollingRules.of(obj["spec"]).unavailable(wanted)
    old = {c["type"]: c for c in (obj.get("status") or {}).get("conditions") or ()}
    # Once complete, a revision stays so: scaling it, or a pod that restarts, is no progress.
    was_complete = old.get("Progressing", {}).get("reason") == "NewReplicaSetAvailable"
    is_complete = n_updated == n_total and (was_complete or wanted == n_ready == n_total)
    status["conditions"] = [
        _condition(
            old.get("Available"),
            "Available",
            is_available,
            "MinimumReplicasAvailable" if is_available else "MinimumReplicasUnavailable",
            f"Deployment {'has' if is_available else 'does not have'} minimum availability.",
            at,
        ),
        _progress(obj, status, is_complete, at),
    ]
    return status


def is_moving(status: Obj) -> bool:
    """Check whether a Deployment's roll-out is under way and may still run out of time."""
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    return bool(conditions["Progressing"]["reason"] == "ReplicaSetUpdated")


def _progress(obj: Obj, status: Obj, is_complete: bool, at: str) -> Obj:
    """The condition `Progressing`: it moves with the counts, and runs out of time without them."""
    before = obj.get("status") or {}
    known: dict[str, Obj] = {c["type"]: c for c in before.get("conditions") or ()}
    old = known.get("Progressing")
    if is_complete:
        message = "ReplicaSet has successfully progressed."
        return _condition(old, "Progressing", True, "NewReplicaSetAvailable", message, at)
    moving = ("True", "ReplicaSetUpdated")
    fresh = _condition(None, "Progressing", True, moving[1], "ReplicaSet is progressing.", at)
    if old is None or old["reason"] == "NewReplicaSetAvailable" or _has_moved(before, status):
        return fresh
    waited = datetime.fromisoformat(at) - datetime.fromisoformat(old["lastUpdateTime"])
    limit_s = obj["spec"].get("progressDeadlineSeconds", 600)
    if (old["status"], old["reason"]) != moving or waited.total_seconds() <= limit_s:
        return old
    name = obj["metadata"]["name"]
    message = f'ReplicaSet of Deployment "{name}" has timed out progressing.'
    return _condition(old, "Progressing", False, "ProgressDeadlineExceeded", message, at)


def _has_moved(before: Obj, after: Obj) -> bool:
    counts = ("updatedReplicas", "readyReplicas", "availableReplicas")
    left = [s.get("replicas", 0) - s.get("updatedReplicas", 0) for s in (before, after)]
    return left[1] < left[0] or any(after.get(c, 0) > before.get(c, 0) for c in counts)


def _condition(
    old: Obj | None, kind: str, is_true: bool, reason: str, message: str, at: str
) -> Obj:
    state = "True" if is_true else "False"
    if old is not None and (old["status"], old["reason"]) == (state, reason):
        return old
    turned = old["lastTransitionTime"] if old is not None and old["status"] == state else at
    return {
        "type": kind,
        "status": state,
        "reason": reason,
        "message": message,
        "lastUpdateTime": at,
        "lastTransitionTime": turned,
    }
