"""Pods that were still at work when their grace ended, and were killed for it; pure.

A pod that is deleted is told to end at its `deletionTimestamp` less its grace. The kubelet kills
what still runs when the grace has passed: the container ends with exit code 137 then, and not
before. The kubelet writes that to the pod's status before the pod goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.operator.cluster.grace import DEFAULT_GRACE_S
from services.operator.cluster.pods import parse_kube_time

Object = Mapping[str, Any]

_KILLED = 137
_OTHER_CAUSES = ("OOMKilled", "ContainerStatusUnknown")
"""Reasons beside which 137 is not the end of a grace: out of memory; nobody knows how it ended."""
_WHOLE_SECOND = timedelta(seconds=1)
"""Times are whole seconds."""


@dataclass(frozen=True, slots=True)
class KilledPod:
    """A pod that was killed at the end of its grace.

    Attributes:
        told_at: When it was told to end.
        killed_at: When the last of its containers was killed.
    """

    uid: str
    namespace: str
    name: str
    told_at: datetime
    killed_at: datetime
    grace_s: float


@dataclass(frozen=True, slots=True)
class Kills:
    """Pods of a workload that were killed at the end of their grace, after scalings in.

    Attributes:
        n_pods: How many.
        grace_s: The longest grace that did not do.
        last_at: When the last was killed.
        requests: Requests that they had, as far as they were read; None: of none they were.
    """

    n_pods: int
    grace_s: float
    last_at: datetime
    requests: float | None = None


def read_kill(resource: Object) -> KilledPod | None:
    """How a pod was killed; None: it was not, or not for its grace."""
    metadata, spec = resource["metadata"], resource.get("spec") or {}
    stamp = metadata.get("deletionTimestamp")
    if not stamp:
        return None
    left_s = float(metadata.get("deletionGracePeriodSeconds") or 0.0)
    # the last deletion, which the kubelet sends when all has ended, leaves no grace
    grace_s = left_s or float(spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_S))
    try:
        told_at = parse_kube_time(stamp) - timedelta(seconds=left_s)
        ends_at = told_at + timedelta(seconds=grace_s) - _WHOLE_SECOND
    except (ValueError, OverflowError):  # who deletes a pod may give it a million years
        return None
    killed = [at for at in _killed_at(resource) if at >= ends_at]
    if not killed:
        return None
    uid, namespace, name = (str(metadata.get(key, "")) for key in ("uid", "namespace", "name"))
    return KilledPod(uid, namespace, name, told_at, max(killed), grace_s)


def _killed_at(resource: Object) -> list[datetime]:
    """When each container was killed that was."""
    found = []
    for status in (resource.get("status") or {}).get("containerStatuses") or ():
        ended = (status.get("state") or {}).get("terminated") or {}
        is_killed = ended.get("exitCode") == _KILLED and ended.get("reason") not in _OTHER_CAUSES
        if is_killed and ended.get("finishedAt"):
            found.append(parse_kube_time(ended["finishedAt"]))
    return found
