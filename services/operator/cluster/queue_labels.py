"""What Kueue writes on pods, and users on what makes them; pure.

Kueue queues the pods of a Deployment, a StatefulSet or a LeaderWorkerSet whose label names a
LocalQueue: it gives them the label and a scheduling gate, which it takes away once its quota has
room (kueue.sigs.k8s.io, tasks "Run A Deployment" and "Run Plain Pods";
kubernetes-sigs/kueue, pkg/controller/jobs/pod/constants).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
MANAGED_LABEL = "kueue.x-k8s.io/managed"
ADMISSION_GATE = "kueue.x-k8s.io/admission"


def queue_of(resource: Object) -> str:
    """LocalQueue that a target sends its pods to; empty: none.

    The target's own label counts before that of its pod template, which Kueue makes equal to it.
    """
    spec = resource.get("spec") or {}
    group = spec.get("leaderWorkerTemplate") or {}
    template = spec.get("template") or group.get("workerTemplate") or {}
    for each in (resource, template):
        name = ((each.get("metadata") or {}).get("labels") or {}).get(QUEUE_LABEL)
        if name:
            return str(name)
    return ""


def is_managed(labels: Mapping[str, str]) -> bool:
    """True where Kueue may have held a pod back."""
    return QUEUE_LABEL in labels or MANAGED_LABEL in labels


def is_gated(spec: Object) -> bool:
    """True while a scheduling gate, Kueue's or another, keeps a pod from every node."""
    return bool(spec.get("schedulingGates")) and not spec.get("nodeName")
