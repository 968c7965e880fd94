"""Statuses of CapacityBuffers, as Karpenter and the Cluster Autoscaler write them.

Karpenter's are those of `pkg/controllers/capacitybuffer/controller.go` and
`pkg/controllers/provisioning/buffers.go` of kubernetes-sigs/karpenter, the Cluster Autoscaler's
those of `capacitybuffer/common/common.go` and `processors/capacitybuffer/pod_list_processor.go` in
`cluster-autoscaler` of kubernetes/autoscaler. Of ResourceQuotas it heeds none.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.lab.cluster.nodes.buffers import STRATEGY, Buffer
from services.lab.cluster.storage.objects import Objects
from services.lab.cluster.storage.resources import Obj

READY, PROVISIONING, LIMITED = "ReadyForProvisioning", "Provisioning", "LimitedByQuotas"


@dataclass(frozen=True, slots=True)
class BufferLook:
    """What one look at the pods of a buffer came to.

    Attributes:
        n_new: Pods for which nodes were asked at this look. Those for which nodes are on their way
            have a place already.
        n_failed: Pods for which no node may be asked.
    """

    n_new: int = 0
    n_failed: int = 0


@dataclass(frozen=True, slots=True)
class _ToldCondition:
    type: str
    status: str
    reason: str
    message: str


def publish_buffer(
    objects: Objects, buffer: Buffer, look: BufferLook, *, is_karpenter: bool
) -> None:
    """Write how it stands with a buffer."""
    old = buffer.obj.get("status") or {}
    told = _of_karpenter(buffer, look) if is_karpenter else _of_cluster_autoscaler(buffer)
    conditions = [_condition(objects, buffer.obj, each) for each in told]
    resolved = _resolved(buffer)
    if resolved is None:
        # Karpenter leaves what it had found before, the Cluster Autoscaler takes it away
        kept = old if is_karpenter else {}
        resolved = {name: value for name, value in kept.items() if name != "conditions"}
    objects.write_status(buffer.rtype, buffer.obj, {**resolved, "conditions": conditions})


def _resolved(buffer: Buffer) -> Obj | None:
    template = buffer.template
    if template is None:
        return None
    return {
        "podTemplateRef": {"name": template["metadata"]["name"]},
        "podTemplateGeneration": template["metadata"].get("generation", 1),
        "replicas": len(buffer.pods),
        "provisioningStrategy": STRATEGY,
    }


def _of_karpenter(buffer: Buffer, look: BufferLook) -> list[_ToldCondition]:
    if buffer.template is None:
        reason = "PodTemplateNotFound" if "not found" in buffer.problem else "ResolutionFailed"
        return [
            _ToldCondition(READY, "False", reason, buffer.problem),
            _ToldCondition(
                PROVISIONING,
                "False",
                "NotReadyForProvisioning",
                "Buffer is not ReadyForProvisioning",
            ),
        ]
    n = len(buffer.pods)
    ready = _ToldCondition(READY, "True", "Resolved", "Pod template resolved successfully")
    if not n:
        empty = "Buffer has zero desired replicas"
        return [ready, _ToldCondition(PROVISIONING, "False", "BufferEmpty", empty)]
    if look.n_new or look.n_failed:
        needs = f"{look.n_new}/{n} virtual pods required new capacity, {look.n_failed} failed"
        return [ready, _ToldCondition(PROVISIONING, "False", "RequiresNewCapacity", needs)]
    fits = f"All {n} virtual pods fit on existing capacity"
    return [ready, _ToldCondition(PROVISIONING, "True", "FitsExistingCapacity", fits)]


def _of_cluster_autoscaler(buffer: Buffer) -> list[_ToldCondition]:
    if buffer.template is None:
        not_ready = "CapacityBuffer is not ready for provisioning"
        return [
            _ToldCondition(READY, "False", "error", buffer.problem),
            _ToldCondition(PROVISIONING, "False", "NotReadyForProvisioning", not_ready),
        ]
    ready = [
        _ToldCondition(READY, "True", "AttributesSetSuccessfully", "ready"),
        _ToldCondition(LIMITED, "False", "ResourceQuotasAllocated", ""),
    ]
    if not buffer.pods:
        empty = "CapacityBuffer has zero replicas"
        return [*ready, _ToldCondition(PROVISIONING, "False", "BufferIsEmpty", empty)]
    return [*ready, _ToldCondition(PROVISIONING, "True", "FakePodsInjected", "")]


def _condition(objects: Objects, obj: Obj, told: _ToldCondition) -> Obj:
    old = (obj.get("status") or {}).get("conditions") or ()
    before = next((each for each in old if each["type"] == told.type), None)
    is_same = before is not None and before["status"] == told.status
    at = before["lastTransitionTime"] if before is not None and is_same else objects.now()
    return {
        "type": told.type,
        "status": told.status,
        "reason": told.reason,
        "message": told.message,
        "lastTransitionTime": at,
    }
