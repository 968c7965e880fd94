"""What a target's pods need of a node, and nodes as they were listed; pure."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from services.operator.cluster.accelerators import (
    NVIDIA_GPU,
    Accelerators,
    asked_by,
    offered,
    total,
)
from services.operator.cluster.gpu_types import is_of_type, is_unknown
from services.operator.cluster.images import images_of, images_on
from services.operator.cluster.pods import ClaimRef, claims_of, labels_of, parse_kube_time

Object = Mapping[str, Any]
Pairs = tuple[tuple[str, str], ...]

_REPELLING = ("NoSchedule", "NoExecute")
COMPARING = ("Gt", "Lt")
NAME_FIELD = ":metadata.name"
"""Key of a requirement on the name of a node; no label has a key like it."""
"""Operators that compare whole numbers."""
_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")
NOTICE_TAINTS = (
    # https://github.com/aws/aws-node-termination-handler, TAINT_NODE
    "aws-node-termination-handler/spot-itn",
    # https://github.com/GoogleCloudPlatform/k8s-node-termination-handler, --taint
    "cloud.google.com/impending-node-termination",
    # https://learn.microsoft.com/azure/aks/node-auto-drain
    "remediator.kubernetes.azure.com/unschedulable",
)
"""Taints of a node that is about to be interrupted."""
_SHUTTING_DOWN = "node is shutting down"
"""What a kubelet says of its node in a graceful shutdown, as on GKE at a preemption."""
_SCALED_DOWN = "ToBeDeletedByClusterAutoscaler"
"""Taint of a node that the Cluster Autoscaler takes away."""


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


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement of a node affinity."""

    key: str
    operator: str
    values: tuple[str, ...]

    def holds(self, labels: Mapping[str, str]) -> bool:
        """True where a node with `labels` satisfies it; an unknown operator never holds."""
        has, value = self.key in labels, labels.get(self.key)
        if self.operator in COMPARING:
            found, bound = (_number(each) for each in (value, next(iter(self.values), None)))
            if found is None or bound is None:
                return False
            return found > bound if self.operator == "Gt" else found < bound
        return {
            "In": value in self.values,
            "NotIn": value not in self.values,
            "Exists": has,
            "DoesNotExist": not has,
        }.get(self.operator, False)


_NEVER = Requirement("", "", ())


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and _NUMBER.fullmatch(text) else None


@dataclass(frozen=True, slots=True)
class PodShape:
    """Needs of one pod of a replica: accelerators and where it may be placed.

    Attributes:
        asked: Accelerators, each resource apart.
        affinity: Required node affinity: one of the terms must hold as a whole; empty: none.
        images: Images that it starts with.
        claims: Claims of devices; what they ask for is not in `asked` until it was looked up.
    """

    asked: tuple[Accelerators, ...]
    selector: Pairs = ()
    tolerations: tuple[Toleration, ...] = ()
    affinity: tuple[tuple[Requirement, ...], ...] = ()
    images: tuple[str, ...] = ()
    claims: tuple[ClaimRef, ...] = ()

    @property
    def gpus(self) -> int:
        """Accelerators that it asks for, whatever their resource."""
        return total(self.asked)

    def asks(self, resource: str) -> bool:
        """True where it asks for accelerators of a resource."""
        return any(each.resource == resource for each in self.asked)

    def fits(self, node: NodeState) -> bool:
        """True where the node takes such a pod, accelerators apart."""
        if any(node.labels.get(name) != value for name, value in self.selector):
            return False
        if not all(any(t.covers(taint) for t in self.tolerations) for taint in node.taints):
            return False
        terms = self.affinity
        if not terms:
            return True
        known = {**node.labels, NAME_FIELD: node.name}
        return any(all(r.holds(known) for r in term) for term in terms)

    def may_be_on(self, node: NodeState) -> bool:
        """True where the node takes such a pod once nothing else is there."""
        counts = {each.resource: each.count for each in node.accelerators}
        is_enough = any(each.count <= counts.get(each.resource, 0) for each in self.asked)
        return is_enough and self.fits(node)


Shape = tuple[PodShape, ...]
"""The pods of one replica; empty: not known."""
_MOST_PODS = 1024
"""Pods of one replica that are looked at: a mistaken size must not cost the memory of all."""


def to_pod_shape(spec: Object, *, is_template: bool) -> PodShape:
    """Needs of a pod, from its specification.

    Args:
        spec: `spec` of a pod or of a pod template.
        is_template: It has not been through admission yet, which adds a toleration of each resource
            that it asks for (ExtendedResourceToleration).
    """
    asked = asked_by(spec)
    tolerations = [to_toleration(each) for each in spec.get("tolerations") or ()]
    if is_template:
        tolerations += [Toleration(each.resource, "", "", True) for each in asked]
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    terms = [_term(term) for term in affinity.get("nodeSelectorTerms") or ()]
    selector = spec.get("nodeSelector") or {}
    return PodShape(
        asked,
        tuple(sorted((str(k), str(v)) for k, v in selector.items())),
        tuple(tolerations),
        tuple(terms),
        images_of(spec),
        claims_of(spec),
    )


def to_toleration(written: Object) -> Toleration:
    """A toleration of a pod."""
    return Toleration(
        str(written.get("key") or ""),
        str(written.get("value") or ""),
        str(written.get("effect") or ""),
        written.get("operator") == "Exists",
    )


def to_taints(written: Iterable[Object] | None) -> tuple[Taint, ...]:
    """The taints among these that keep pods away."""
    return tuple(
        Taint(str(t["key"]), str(t.get("value") or ""), str(t["effect"]))
        for t in written or ()
        if t.get("effect") in _REPELLING
    )


def _term(written: Object) -> tuple[Requirement, ...]:
    """Requirements on labels and on the node's name, the only field; an empty term fits no node."""
    fields = [{**r, "key": NAME_FIELD} for r in written.get("matchFields") or ()]
    found = tuple(
        Requirement(str(r["key"]), str(r["operator"]), tuple(map(str, r.get("values") or ())))
        for r in (*(written.get("matchExpressions") or ()), *fields)
    )
    return found or (_NEVER,)


def to_shape(resource: Object) -> Shape:
    """The pods of one replica, from the target's own templates; empty where it has none."""
    spec = resource.get("spec") or {}
    group = spec.get("leaderWorkerTemplate")
    if isinstance(group, Mapping):
        worker = group.get("workerTemplate") or {}
        leader = group.get("leaderTemplate") or worker
        rest = to_pod_shape(worker.get("spec") or {}, is_template=True)
        first = to_pod_shape(leader.get("spec") or {}, is_template=True)
        size = gang_size(resource)
        return (first, *[rest] * (size - 1)) if size <= _MOST_PODS else ()
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
    """Accelerators of one node.

    Attributes:
        accelerators: Of each resource that it offers.
        takes_pods: It is ready and not cordoned.
        created_at: When it came; None: not stated.
        images: Images that it has; empty: it does not say.
        uid: Tells it from another one that had its name.
        notice: What tells that it is about to be interrupted; empty: nothing does.
        is_meant: It goes because who manages nodes wants fewer of them, or others.
        taken: How many of each resource claims hold; of resources that pods ask for by name it is
            known from the pods.
        devices: Which devices each resource is that claims ask for: one device may be of several,
            since services select devices in different ways.
    """

    name: str
    accelerators: tuple[Accelerators, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    takes_pods: bool = True
    created_at: datetime | None = None
    images: frozenset[str] = frozenset()
    uid: str = ""
    notice: str = ""
    is_meant: bool = False
    taken: Mapping[str, int] = field(default_factory=dict)
    devices: Mapping[str, frozenset[Hashable]] = field(default_factory=dict)

    @property
    def gpus(self) -> int:
        """All its accelerators, whatever their resource; a device counts once."""
        by_name = total(each for each in self.accelerators if each.resource not in self.devices)
        return by_name + len(self.claimable)

    @property
    def claimable(self) -> frozenset[Hashable]:
        """Devices that claims may be given."""
        own = (self.devices.get(each.resource, frozenset()) for each in self.accelerators)
        return frozenset[Hashable]().union(*own)

    def of_type(self, gpu_type: str) -> NodeState | None:
        """The node with its accelerators of a type alone; None: it has none of it."""
        return self._with(each for each in self.accelerators if is_of_type(each, gpu_type))

    def maybe_of_type(self, gpu_type: str) -> NodeState | None:
        """The same with accelerators of which nothing tells what they are."""
        return self._with(
            each for each in self.accelerators if is_unknown(each) or is_of_type(each, gpu_type)
        )

    def _with(self, accelerators: Iterable[Accelerators]) -> NodeState | None:
        own = tuple(accelerators)
        if len(own) == len(self.accelerators):
            return self
        return replace(self, accelerators=own) if own else None


def nodes_of_type(nodes: Iterable[NodeState], gpu_type: str) -> list[NodeState]:
    """The nodes that have accelerators of a type, each with those alone."""
    found = (node.of_type(gpu_type) for node in nodes)
    return [node for node in found if node is not None]


def resources_asked(shape: Shape, gpu_type: str, nodes: Iterable[NodeState]) -> set[str]:
    """Resources that replicas of a type ask for.

    Where their pods are not known, those by which nodes offer the type; without such nodes the
    most common one.
    """
    asked = {each.resource for pod in shape for each in pod.asked}
    if asked:
        return asked
    own = nodes_of_type(nodes, gpu_type)
    return {each.resource for node in own for each in node.accelerators} or {NVIDIA_GPU}


def to_node(resource: Object) -> NodeState | None:
    """A node with accelerators; None: it has none."""
    found = to_any_node(resource)
    return found if found.accelerators else None


def to_any_node(resource: Object) -> NodeState:
    """A node, with those accelerators that device plugins offer."""
    status, spec = resource.get("status") or {}, resource.get("spec") or {}
    metadata = resource["metadata"]
    labels = labels_of(resource)
    accelerators = offered(status.get("allocatable") or {}, labels)
    takes_pods = not spec.get("unschedulable") and _is_ready(status)
    stamp = metadata.get("creationTimestamp")
    return NodeState(
        str(metadata["name"]),
        accelerators,
        labels,
        to_taints(spec.get("taints")),
        takes_pods,
        parse_kube_time(stamp) if stamp else None,
        images_on(status),
        str(metadata.get("uid", "")),
        _notice(spec, status),
        any(str(t["key"]) == _SCALED_DOWN for t in spec.get("taints") or ()),
    )


def _notice(spec: Object, status: Object) -> str:
    """What tells that a node is about to be interrupted; empty: nothing does."""
    keys = {str(taint["key"]) for taint in spec.get("taints") or ()}
    told = next((key for key in NOTICE_TAINTS if key in keys), "")
    if told:
        return told
    ready: Object = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), {})
    is_down = ready.get("status") == "False" and _SHUTTING_DOWN in str(ready.get("message") or "")
    return _SHUTTING_DOWN if is_down else ""


def _is_ready(status: Object) -> bool:
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
    return bool(conditions.get("Ready", "True") == "True")
