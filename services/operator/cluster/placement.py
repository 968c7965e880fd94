"""Nodes that a target's pods may use, and the replicas that fit there, pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.operator.cluster.images import all_images, has_images, images_of, images_on
from services.operator.cluster.pods import (
    GPU_LABEL,
    GPU_RESOURCE,
    PodState,
    gpus_of,
    parse_kube_time,
)

Object = Mapping[str, Any]
Pairs = tuple[tuple[str, str], ...]

_REPELLING = ("NoSchedule", "NoExecute")
_MOST_REPLICAS = 10_000


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint that keeps pods away."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Toleration:
    """Taints that a pod tolerates; empty parts match everything."""

    key: str
    value: str
    effect: str
    is_any_value: bool

    def covers(self, taint: Taint) -> bool:
        """True where the pod may go to a node with the taint."""
        return (
            self.key in ("", taint.key)
            and self.effect in ("", taint.effect)
            and (self.is_any_value or self.value == taint.value)
        )


GPU_TOLERATION = Toleration(GPU_RESOURCE, "", "", True)
"""Admission adds it to pods that ask for GPUs (ExtendedResourceToleration), not to templates."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement of a node affinity."""

    key: str
    operator: str
    values: tuple[str, ...]

    def holds(self, labels: Mapping[str, str]) -> bool:
        """True where a node with `labels` satisfies it; an unknown operator never holds."""
        has, value = self.key in labels, labels.get(self.key)
        return {
            "In": value in self.values,
            "NotIn": value not in self.values,
            "Exists": has,
            "DoesNotExist": not has,
        }.get(self.operator, False)


@dataclass(frozen=True, slots=True)
class PodShape:
    """Needs of one pod of a replica: GPUs and where it may be placed.

    Attributes:
        affinity: Required node affinity: one of the terms must hold as a whole; empty: none.
        images: Images that it starts with.
    """

    gpus: int
    selector: Pairs = ()
    tolerations: tuple[Toleration, ...] = ()
    affinity: tuple[tuple[Requirement, ...], ...] = ()
    images: tuple[str, ...] = ()

    def fits(self, node: NodeState) -> bool:
        """True where the node takes such a pod, GPUs apart."""
        if any(node.labels.get(name) != value for name, value in self.selector):
            return False
        if not all(any(t.covers(taint) for t in self.tolerations) for taint in node.taints):
            return False
        terms = self.affinity
        return not terms or any(all(r.holds(node.labels) for r in term) for term in terms)


Shape = tuple[PodShape, ...]
"""The pods of one replica; empty: not known."""


def to_pod_shape(spec: Object, *, is_template: bool) -> PodShape:
    """Needs of a pod, from its specification.

    Args:
        spec: `spec` of a pod or of a pod template.
        is_template: It has not been through admission yet, which adds a toleration.
    """
    tolerations = [_toleration(each) for each in spec.get("tolerations") or ()]
    if is_template:
        tolerations.append(GPU_TOLERATION)
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    terms = [_term(term) for term in affinity.get("nodeSelectorTerms") or ()]
    selector = spec.get("nodeSelector") or {}
    return PodShape(
        gpus_of(spec),
        tuple(sorted((str(k), str(v)) for k, v in selector.items())),
        tuple(tolerations),
        tuple(terms),
        images_of(spec),
    )


def _toleration(written: Object) -> Toleration:
    return Toleration(
        str(written.get("key") or ""),
        str(written.get("value") or ""),
        str(written.get("effect") or ""),
        written.get("operator") == "Exists",
    )


def _term(written: Object) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(str(r["key"]), str(r["operator"]), tuple(map(str, r.get("values") or ())))
        for r in written.get("matchExpressions") or ()
    )


def to_shape(resource: Object) -> Shape:
    """The pods of one replica, from the target's own templates; empty where it has none."""
    spec = resource.get("spec") or {}
    group = spec.get("leaderWorkerTemplate")
    if isinstance(group, Mapping):
        worker = group.get("workerTemplate") or {}
        leader = group.get("leaderTemplate") or worker
        rest = to_pod_shape(worker.get("spec") or {}, is_template=True)
        first = to_pod_shape(leader.get("spec") or {}, is_template=True)
        return (first, *[rest] * (gang_size(resource) - 1))
    template = spec.get("template")
    if isinstance(template, Mapping) and (template.get("spec") or {}).get("containers"):
        return (to_pod_shape(template["spec"], is_template=True),)
    return ()


def gang_size(resource: Object) -> int:
    """Pods of one replica."""
    group = (resource.get("spec") or {}).get("leaderWorkerTemplate") or {}
    return max(1, int(group.get("size") or 1)) if isinstance(group, Mapping) else 1


@dataclass(frozen=True, slots=True)
class NodeState:
    """GPUs of one node.

    Attributes:
        takes_pods: It is ready and not cordoned.
        created_at: When it came; None: not stated.
        images: Images that it has; empty: it does not say.
    """

    name: str
    product: str
    gpus: int
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    takes_pods: bool = True
    created_at: datetime | None = None
    images: frozenset[str] = frozenset()


def to_node(resource: Object) -> NodeState | None:
    """A node with GPUs; None: it has none."""
    status, spec = resource.get("status") or {}, resource.get("spec") or {}
    gpus = int((status.get("allocatable") or {}).get(GPU_RESOURCE, 0))
    if gpus == 0:
        return None
    metadata = resource["metadata"]
    labels = metadata.get("labels") or {}
    taints = tuple(
        Taint(str(t["key"]), str(t.get("value") or ""), str(t["effect"]))
        for t in spec.get("taints") or ()
        if t["effect"] in _REPELLING
    )
    takes_pods = not spec.get("unschedulable") and _is_ready(status)
    stamp = metadata.get("creationTimestamp")
    return NodeState(
        str(metadata["name"]),
        str(labels.get(GPU_LABEL, "")),
        gpus,
        labels,
        taints,
        takes_pods,
        parse_kube_time(stamp) if stamp else None,
        images_on(status),
    )


def _is_ready(status: Object) -> bool:
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
    return bool(conditions.get("Ready", "True") == "True")


def is_product(product: str, gpu_type: str) -> bool:
    """True where a node's `nvidia.com/gpu.product` is a GPU of `gpu_type`.

    `NVIDIA-H100-80GB-HBM3` is an `H100`; `NVIDIA-L40S` is no `L4`.
    """
    wanted = gpu_type.upper()
    return product.upper() == wanted or wanted in product.upper().split("-")


@dataclass(frozen=True, slots=True)
class NodeRoom:
    """A node with the GPUs that no bound pod holds."""

    node: NodeState
    free_gpus: int


@dataclass(frozen=True, slots=True)
class FreeGpus:
    """GPUs that no bound pod holds, per node."""

    by_node: tuple[NodeRoom, ...]
    _known: dict[tuple[str, int, Shape], int | None] = field(default_factory=dict)
    _warm: dict[tuple[str, int, Shape], int | None] = field(default_factory=dict)

    def warm(self, gpu_type: str, gpus_per_replica: int, shape: Shape) -> int | None:
        """The same on nodes that have the images of all pods; None where no node tells of any."""
        key = gpu_type, gpus_per_replica, shape
        if key not in self._warm:
            wanted = all_images(pod.images for pod in shape)
            told = [(room, has_images(room.node.images, wanted)) for room in self.by_node]
            known = [room for room, has_all in told if has_all is not None]
            is_told = any(is_product(room.node.product, gpu_type) for room in known)
            here = FreeGpus(tuple(room for room, has_all in told if has_all))
            found = here.schedulable(gpu_type, gpus_per_replica, shape) if is_told else None
            self._warm[key] = (found or 0) if is_told else None
        return self._warm[key]

    def schedulable(self, gpu_type: str, gpus_per_replica: int, shape: Shape = ()) -> int | None:
        """Free GPUs of `gpu_type` that whole replicas can use; None where no node has the type.

        The GPUs of one pod are on one node: two nodes with three free GPUs each hold no pod of
        four. A replica of several pods may stand on several nodes.
        """
        key = gpu_type, gpus_per_replica, shape
        if key not in self._known:
            self._known[key] = self._count(gpu_type, gpus_per_replica, shape)
        return self._known[key]

    def _count(self, gpu_type: str, gpus_per_replica: int, shape: Shape) -> int | None:
        nodes = [room for room in self.by_node if is_product(room.node.product, gpu_type)]
        if not nodes:
            return None
        wanted = [pod for pod in shape if pod.gpus > 0]
        if not wanted:
            free = sum(room.free_gpus // gpus_per_replica for room in nodes)
        elif len(wanted) == 1:
            pod = wanted[0]
            free = sum(room.free_gpus // pod.gpus for room in nodes if pod.fits(room.node))
        else:
            free = _count_gangs(nodes, wanted)
        return free * gpus_per_replica


def _count_gangs(nodes: Sequence[NodeRoom], pods: Sequence[PodShape]) -> int:
    """Whole groups that fit, first fit with the largest pods first."""
    free = [room.free_gpus for room in nodes]
    ordered = sorted(pods, key=lambda pod: -pod.gpus)
    may_use = {pod: [i for i, room in enumerate(nodes) if pod.fits(room.node)] for pod in ordered}
    for n_placed in range(_MOST_REPLICAS):
        for pod in ordered:
            place = next((i for i in may_use[pod] if free[i] >= pod.gpus), None)
            if place is None:
                return n_placed
            free[place] -= pod.gpus
    return _MOST_REPLICAS


def free_gpus(nodes: Iterable[NodeState], pods: Iterable[PodState]) -> FreeGpus:
    """GPUs that are left on each node.

    Args:
        nodes: Nodes with GPUs; those that take no pods leave none.
        pods: All pods of the cluster, those of others too.
    """
    held: dict[str, int] = defaultdict(int)
    for pod in pods:
        if pod.node:
            held[pod.node] += pod.gpus
    return FreeGpus(
        tuple(
            NodeRoom(node, max(0, node.gpus - held[node.name])) for node in nodes if node.takes_pods
        )
    )
