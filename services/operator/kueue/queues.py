"""Kueue's queues, quotas and flavors as they were read; pure.

Fields are those of `kueue.x-k8s.io` `v1beta2` and `v1beta1` (kubernetes-sigs/kueue,
config/components/crd/bases), which differ here in the name of the cohort alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.operator.cluster.accelerators import plugin_of, whole
from services.operator.cluster.placement import Taint, Toleration, to_taints, to_toleration

Object = Mapping[str, Any]

GROUP = "kueue.x-k8s.io"
VERSIONS = ("v1beta2", "v1beta1")
"""The first that is served is read."""
LOCAL_QUEUE, CLUSTER_QUEUE, FLAVOR = "LocalQueue", "ClusterQueue", "ResourceFlavor"
_RUNS = "None"
QueueKey = tuple[str, str]
"""Namespace and name of a LocalQueue."""


@dataclass(frozen=True, slots=True)
class FlavorQuota:
    """Quota of a ClusterQueue on one accelerator in one flavor.

    Attributes:
        nominal: What is its own; None: it cannot be read.
        borrowing: What it may use of its cohort's beyond; None: not stated.
        lending: What of its own the cohort may use; None: not stated, so all of it.
        reserved: What admitted pods hold; None: not counted yet.
    """

    flavor: str
    resource: str
    nominal: int | None
    borrowing: int | None = None
    lending: int | None = None
    reserved: int | None = None


@dataclass(frozen=True, slots=True)
class ClusterQueue:
    """A ClusterQueue, with its quotas on accelerators alone.

    Attributes:
        cohort: Queues of one cohort use each other's quota; empty: it has none.
        problem: Why it admits nothing; empty: it does.
    """

    name: str
    quotas: tuple[FlavorQuota, ...] = ()
    cohort: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class LocalQueue:
    """A LocalQueue.

    Attributes:
        problem: Why it admits nothing; empty: it does.
    """

    key: QueueKey
    cluster_queue: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Flavor:
    """A ResourceFlavor: which nodes a quota is for."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    tolerations: tuple[Toleration, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenQueues:
    """Kueue as far as it was read.

    Attributes:
        is_on: It is looked for at all.
        is_served: The cluster serves it.
        problem: Why it could not be read, and what to do; empty: it could.
    """

    is_on: bool = False
    is_served: bool = False
    local: Mapping[QueueKey, LocalQueue] = field(default_factory=dict)
    cluster: Mapping[str, ClusterQueue] = field(default_factory=dict)
    flavors: Mapping[str, Flavor] = field(default_factory=dict)
    problem: str = ""


def to_local_queue(resource: Object) -> LocalQueue:
    """A LocalQueue."""
    metadata, spec = resource["metadata"], resource.get("spec") or {}
    key = str(metadata["namespace"]), str(metadata["name"])
    return LocalQueue(key, str(spec.get("clusterQueue") or ""), _stopped(resource))


def to_cluster_queue(resource: Object) -> ClusterQueue:
    """A ClusterQueue."""
    spec = resource.get("spec") or {}
    name = str(resource["metadata"]["name"])
    cohort = str(spec.get("cohortName") or spec.get("cohort") or "")
    return ClusterQueue(name, tuple(_quotas(resource)), cohort, _stopped(resource))


def to_flavor(resource: Object) -> Flavor:
    """A ResourceFlavor."""
    spec = resource.get("spec") or {}
    labels = {str(k): str(v) for k, v in (spec.get("nodeLabels") or {}).items()}
    tolerations = tuple(to_toleration(each) for each in spec.get("tolerations") or ())
    taints = to_taints(spec.get("nodeTaints"))
    return Flavor(str(resource["metadata"]["name"]), labels, taints, tolerations)


def _quotas(resource: Object) -> Iterator[FlavorQuota]:
    reserved = _reserved(resource.get("status") or {})
    for group in (resource.get("spec") or {}).get("resourceGroups") or ():
        for flavor in group.get("flavors") or ():
            for each in flavor.get("resources") or ():
                name, of = str(flavor["name"]), str(each["name"])
                if plugin_of(of) is None:
                    continue
                yield FlavorQuota(
                    name,
                    of,
                    whole(each.get("nominalQuota")),
                    whole(each.get("borrowingLimit")),
                    whole(each.get("lendingLimit")),
                    reserved.get((name, of)),
                )


def _reserved(status: Object) -> dict[tuple[str, str], int | None]:
    """What is held of each flavor and resource: reserved, or in use where only that is told."""
    flavors = status.get("flavorsReservation") or status.get("flavorsUsage") or ()
    return {
        (str(flavor["name"]), str(each["name"])): whole(each.get("total", 0))
        for flavor in flavors
        for each in flavor.get("resources") or ()
    }


def _stopped(resource: Object) -> str:
    policy = str((resource.get("spec") or {}).get("stopPolicy") or _RUNS)
    if policy != _RUNS:
        return f"its stopPolicy is {policy}"
    for each in (resource.get("status") or {}).get("conditions") or ():
        if each.get("type") == "Active" and each.get("status") == "False":
            return str(each.get("message") or each.get("reason") or "it is not active")
    return ""
