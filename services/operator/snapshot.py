"""Lists of Kubernetes objects as JSON -> replicas, starts and free GPUs, pure.

Pods are counted by owner reference (pod -> ReplicaSet -> Deployment), never by label, so that a
pod of somebody else that happens to carry the same labels is not counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.operator.autoscaler import Target

Object = Mapping[str, Any]

GPU_RESOURCE = "nvidia.com/gpu"
GPU_LABEL = "nvidia.com/gpu.product"
_CLOCK_SKEW = timedelta(seconds=5)
_FINISHED = {"Succeeded", "Failed"}


@dataclass(frozen=True, slots=True)
class TargetState:
    """A scale target as it was listed."""

    uid: str
    resource_version: str
    replicas: int


@dataclass(frozen=True, slots=True)
class PodState:
    """One living pod.

    Attributes:
        node: Where it is bound; empty while it waits for a node.
        gpus: GPUs that it holds once bound.
        owner_uid: Its controller, or the controller's controller where that is known.
        ready_at: When it became ready, as far as it is ready.
        is_leaving: Its deletion has begun: it serves no more, but holds its GPUs until it is gone.
    """

    uid: str
    name: str
    node: str
    gpus: int
    owner_uid: str
    created_at: datetime
    ready_at: datetime | None
    is_leaving: bool


@dataclass(frozen=True, slots=True)
class Replicas:
    """Replicas of one target.

    Attributes:
        start_ages_s: Seconds since creation: first of the starting pods, then of the pending ones,
            each oldest first, so it has `starting + pending` entries.
    """

    ready: int = 0
    starting: int = 0
    pending: int = 0
    start_ages_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeState:
    """GPUs of one node that takes pods."""

    name: str
    product: str
    gpus: int


def parse_kube_time(text: str) -> datetime:
    """A Kubernetes time stamp, aware UTC."""
    return datetime.fromisoformat(text)


def to_target_states(
    resources: Iterable[Object], kind: str
) -> dict[tuple[str, str, str], TargetState]:
    """Scale targets of one kind by (kind, namespace, name)."""
    found = {}
    for resource in resources:
        metadata = resource["metadata"]
        found[kind, str(metadata["namespace"]), str(metadata["name"])] = TargetState(
            str(metadata["uid"]),
            str(metadata["resourceVersion"]),
            int(resource.get("spec", {}).get("replicas", 1)),
        )
    return found


def controller_of(resource: Object) -> tuple[str, str] | None:
    """(kind, uid) of the controlling owner."""
    for owner in resource["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return str(owner["kind"]), str(owner["uid"])
    return None


def unknown_replica_sets(pods: Iterable[Object], known: Mapping[str, str]) -> bool:
    """Whether a pod's ReplicaSet has an owner that is not known yet."""
    owners = (controller_of(pod) for pod in pods)
    return any(owner and owner[0] == "ReplicaSet" and owner[1] not in known for owner in owners)


def to_replica_set_owners(resources: Iterable[Object]) -> dict[str, str]:
    """The uid of each ReplicaSet's Deployment, by the ReplicaSet's uid; its own uid without one."""
    found = {}
    for resource in resources:
        uid = str(resource["metadata"]["uid"])
        owner = controller_of(resource)
        found[uid] = uid if owner is None else owner[1]
    return found


def to_pods(resources: Iterable[Object], replica_set_owners: Mapping[str, str]) -> list[PodState]:
    """Living pods."""
    found = []
    for resource in resources:
        status = resource.get("status") or {}
        if status.get("phase") in _FINISHED:
            continue
        owner = controller_of(resource)
        owner_uid = "" if owner is None else replica_set_owners.get(owner[1], owner[1])
        found.append(_pod(resource, status, owner_uid))
    return found


def _pod(resource: Object, status: Object, owner_uid: str) -> PodState:
    metadata, spec = resource["metadata"], resource.get("spec") or {}
    ready_at = None
    for condition in status.get("conditions") or ():
        if condition["type"] == "Ready" and condition["status"] == "True":
            stamp = condition.get("lastTransitionTime") or metadata["creationTimestamp"]
            ready_at = parse_kube_time(stamp)
    return PodState(
        uid=str(metadata["uid"]),
        name=str(metadata["name"]),
        node=str(spec.get("nodeName") or ""),
        gpus=sum(_gpus(container) for container in spec.get("containers") or ()),
        owner_uid=owner_uid,
        created_at=parse_kube_time(metadata["creationTimestamp"]),
        ready_at=ready_at,
        is_leaving="deletionTimestamp" in metadata,
    )


def _gpus(container: Object) -> int:
    limits = (container.get("resources") or {}).get("limits") or {}
    return int(limits.get(GPU_RESOURCE, 0))


def pods_by_owner(pods: Iterable[PodState]) -> dict[str, list[PodState]]:
    """Pods by the uid of their owner."""
    found: dict[str, list[PodState]] = defaultdict(list)
    for pod in pods:
        found[pod.owner_uid].append(pod)
    return found


def count_replicas(pods: Sequence[PodState], now: datetime) -> Replicas:
    """Replicas as of `now`.

    A list that was read a moment after `now` may show what happened since (a replay moves its
    clock after its cluster): a pod created later is left out, one that became ready later counts
    as starting. The API server's clock may run a few seconds ahead without being taken for that.
    """
    horizon = now + _CLOCK_SKEW
    ready = 0
    starting: list[float] = []
    pending: list[float] = []
    for pod in pods:
        if pod.is_leaving or pod.created_at > horizon:
            continue
        if pod.ready_at is not None and pod.ready_at <= horizon:
            ready += 1
            continue
        age_s = max(0.0, (now - pod.created_at).total_seconds())
        (starting if pod.node else pending).append(age_s)
    ages = (*sorted(starting, reverse=True), *sorted(pending, reverse=True))
    return Replicas(ready, len(starting), len(pending), ages)


def to_nodes(resources: Iterable[Object]) -> list[NodeState]:
    """Nodes with GPUs that are ready and not cordoned."""
    found = []
    for resource in resources:
        status = resource.get("status") or {}
        gpus = int((status.get("allocatable") or {}).get(GPU_RESOURCE, 0))
        if gpus == 0 or (resource.get("spec") or {}).get("unschedulable") or not _is_ready(status):
            continue
        metadata = resource["metadata"]
        product = (metadata.get("labels") or {}).get(GPU_LABEL, "")
        found.append(NodeState(str(metadata["name"]), str(product), gpus))
    return found


def _is_ready(status: Object) -> bool:
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
    return bool(conditions.get("Ready", "True") == "True")


def is_product(product: str, gpu_type: str) -> bool:
    """Whether a node's `nvidia.com/gpu.product` is a GPU of `gpu_type`.

    `NVIDIA-H100-80GB-HBM3` is an `H100`; `NVIDIA-L40S` is no `L4`.
    """
    wanted = gpu_type.upper()
    return product.upper() == wanted or wanted in product.upper().split("-")


@dataclass(frozen=True, slots=True)
class FreeGpus:
    """GPUs that no bound pod holds, per node."""

    by_node: tuple[tuple[str, int], ...]
    """(product, free GPUs) of each node."""

    def schedulable(self, gpu_type: str, gpus_per_replica: int) -> int | None:
        """Free GPUs of `gpu_type` that whole replicas can use; None where no node has the type.

        A replica's GPUs are on one node: two nodes with three free GPUs each hold no replica of
        four.
        """
        free = [gpus for product, gpus in self.by_node if is_product(product, gpu_type)]
        if not free:
            return None
        return sum(gpus // gpus_per_replica * gpus_per_replica for gpus in free)


def free_gpus(nodes: Iterable[NodeState], pods: Iterable[PodState]) -> FreeGpus:
    """What is left on each node.

    Args:
        nodes: Nodes that take pods.
        pods: All pods of the cluster, those of others too.
    """
    held: dict[str, int] = defaultdict(int)
    for pod in pods:
        if pod.node:
            held[pod.node] += pod.gpus
    return FreeGpus(tuple((node.product, max(0, node.gpus - held[node.name])) for node in nodes))


def target_key(target: Target) -> tuple[str, str, str]:
    """(kind, namespace, name): how a target is looked up."""
    return target.kind, target.namespace, target.name
