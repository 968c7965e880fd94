"""CapacityBuffers as they are in the cluster, and what keeps one from being provisioned for; pure.

Two programs provision for buffers, with the same conditions and other reasons:

* `ReadyForProvisioning`: the PodTemplate was found. The Cluster Autoscaler's controller of buffers
  writes it (kubernetes/autoscaler, cluster-autoscaler/capacitybuffer/common), and so does that of
  Karpenter (kubernetes-sigs/karpenter, pkg/controllers/capacitybuffer). It tells of no nodes.
* `Provisioning`: what adds nodes counts the buffer's pods. The Cluster Autoscaler has it True from
  then on (`FakePodsInjected`). Karpenter has it True where all pods have a place on nodes or on
  claims of nodes, and False (`RequiresNewCapacity`) where they need more; that is how each rise
  begins. Any other False is a fault.
* `LimitedByQuotas`: a ResourceQuota of the namespace leaves room for fewer pods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.operator.cluster.pods import parse_kube_time

Object = Mapping[str, Any]

TYPE_ANNOTATION = "scaling.harmony.dev/gpu-type"
CHUNK_ANNOTATION = "scaling.harmony.dev/chunk-gpus"
"""GPUs of one pod: templates are written and never read."""
CHANGED_ANNOTATION = "scaling.harmony.dev/changed-at"
UNREAD_AFTER = timedelta(minutes=5)
"""What adds nodes has looked at a buffer, and at a change of it, within so long."""
_AWAITED = ("RequiresNewCapacity", "NotReadyForProvisioning")
"""What ends by itself: Karpenter may look at the pods before it has looked for the template."""
_EMPTY = ("BufferEmpty", "BufferIsEmpty")
_GATE = (
    "the feature gate CapacityBuffer of Karpenter, or --capacity-buffer-controller-enabled and "
    "--capacity-buffer-pod-injection-enabled of the Cluster Autoscaler"
)


@dataclass(frozen=True, slots=True)
class BufferCondition:
    """A condition of a buffer.

    Attributes:
        since: When its status became what it is; None: not stated.
    """

    status: str
    reason: str
    message: str
    since: datetime | None = None

    @property
    def told(self) -> str:
        """Reason and message, as far as there are any."""
        return f"{self.reason}: {self.message}".strip(": ")


@dataclass(frozen=True, slots=True)
class BufferProblem:
    """Why a buffer holds less than it asks for.

    Attributes:
        reason: One word for a condition.
        told: What it is, and what would change it.
    """

    reason: str
    told: str


@dataclass(frozen=True, slots=True)
class SeenBuffer:
    """A buffer of ours as it is in the cluster.

    Attributes:
        replicas: Pods that it asks room for.
        chunk_gpus: GPUs of each; None: not stated.
        template: Name of its PodTemplate.
        changed_at: When its size or template was changed last.
        conditions: By their type.
        taken_up: Pods that what adds nodes has taken up, after quotas; None: it does not say.
    """

    name: str
    gpu_type: str
    replicas: int
    chunk_gpus: int | None
    template: str
    created_at: datetime
    changed_at: datetime
    conditions: Mapping[str, BufferCondition]
    taken_up: int | None = None

    def problem(self, now: datetime, patience_s: float) -> BufferProblem | None:
        """What keeps it from being provisioned for; None: nothing that is known.

        Args:
            now: Aware.
            patience_s: Time within which nodes come.
        """
        return (
            self._refused()
            or self._unread(now)
            or self._limited()
            or self._left_as_it_was(now)
            or self._unfilled(now, patience_s)
        )

    def _refused(self) -> BufferProblem | None:
        for kind in ("ReadyForProvisioning", "Provisioning"):
            found = self.conditions.get(kind)
            is_known = found is None or found.reason in (*_AWAITED, *_EMPTY)
            if found is not None and found.status == "False" and not is_known:
                return BufferProblem("BufferRefused", found.told or f"{kind} is False")
        return None

    def _unread(self, now: datetime) -> BufferProblem | None:
        """Older Cluster Autoscalers drop `Provisioning` at each change, and write it again."""
        if "Provisioning" in self.conditions:
            return None
        is_accepted = "ReadyForProvisioning" in self.conditions
        since = self.changed_at if is_accepted else self.created_at
        if now - since < UNREAD_AFTER:
            return None
        told = (
            f"it was accepted, and since {stamp_of(since)} nothing adds nodes for it"
            if is_accepted
            else f"it has no status since {stamp_of(since)}: nothing that adds nodes reads it"
        )
        return BufferProblem("BufferUnread", f"{told}, so nothing is held; set {_GATE}")

    def _limited(self) -> BufferProblem | None:
        found = self.conditions.get("LimitedByQuotas")
        is_whole = self.taken_up is not None and self.taken_up >= self.replicas
        if found is None or found.status != "True" or is_whole:
            return None
        told = f"{found.told}; raise that ResourceQuota, or keep it from the operator's namespace"
        return BufferProblem("BufferLimited", told)

    def _left_as_it_was(self, now: datetime) -> BufferProblem | None:
        if self.taken_up in (None, self.replicas) or now - self.changed_at < UNREAD_AFTER:
            return None
        told = (
            f"it asks for {self.replicas} pods since {stamp_of(self.changed_at)}, and what adds "
            f"nodes still has {self.taken_up}: it no longer reads it; see whether it runs, with "
            f"{_GATE}"
        )
        return BufferProblem("BufferUnread", told)

    def _unfilled(self, now: datetime, patience_s: float) -> BufferProblem | None:
        found = self.conditions.get("Provisioning")
        if found is None or found.status != "False" or found.reason not in _AWAITED:
            return None
        since = max(found.since or self.changed_at, self.changed_at)
        if not self.replicas or now - since <= timedelta(seconds=patience_s):
            return None
        told = (
            f"nodes for it are missing since {stamp_of(since)}, and 99 % of them take no longer "
            f"than {patience_s:.0f} s ({found.told}); see the limits of the NodePools, and what "
            "their provider has (NodesArrive)"
        )
        return BufferProblem("BufferUnfilled", told)


def to_seen(resource: Object) -> SeenBuffer:
    """Read a buffer."""
    metadata, spec = resource["metadata"], resource.get("spec") or {}
    status, annotations = resource.get("status") or {}, metadata.get("annotations") or {}
    created_at = parse_kube_time(str(metadata["creationTimestamp"]))
    chunk, taken_up = str(annotations.get(CHUNK_ANNOTATION, "")), status.get("replicas")
    return SeenBuffer(
        name=str(metadata["name"]),
        gpu_type=str(annotations.get(TYPE_ANNOTATION, "")),
        replicas=int(spec.get("replicas") or 0),
        chunk_gpus=int(chunk) if chunk.isdecimal() and int(chunk) else None,
        template=str((spec.get("podTemplateRef") or {}).get("name", "")),
        created_at=created_at,
        changed_at=_changed_at(annotations) or created_at,
        conditions={
            str(each.get("type", "")): _condition(each) for each in status.get("conditions") or ()
        },
        taken_up=None if taken_up is None else int(taken_up),
    )


def _condition(written: Object) -> BufferCondition:
    since = written.get("lastTransitionTime")
    return BufferCondition(
        str(written.get("status", "")),
        str(written.get("reason") or ""),
        str(written.get("message") or ""),
        parse_kube_time(str(since)) if since else None,
    )


def _changed_at(annotations: Object) -> datetime | None:
    """When we changed it last; None: it is not stated, or somebody wrote what is no time."""
    try:
        found = parse_kube_time(str(annotations[CHANGED_ANNOTATION]))
    except (KeyError, ValueError):
        return None
    return found if found.tzinfo is not None else None


def stamp_of(at: datetime) -> str:
    """A time as it is written into an annotation."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
