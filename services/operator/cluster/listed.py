"""Values that are kept of listed objects, pure; they are made as the objects arrive.

An object as the API server gives it takes several times the memory of what a pass reads of it,
and a fleet has tens of thousands of them. Texts that many have in common are one text here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import orjson

from services.operator.cluster import ownership, placement, pods, targets
from services.operator.cluster.ownership import OwnedPod, Owner
from services.operator.cluster.placement import NodeState, PodShape, Shape
from services.operator.cluster.pods import PodState
from services.operator.cluster.targets import TargetState

Object = dict[str, Any]
Reader = Callable[[Object], Any]
"""Makes the value that is kept of an object; None: the object counts as absent."""

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_N_SHAPES = 4096
ODD = (AttributeError, KeyError, OverflowError, TypeError, ValueError)
"""What reading an object may end in whose fields hold what nobody expects."""


@dataclass(frozen=True, slots=True)
class ListedTarget:
    """Something that can be scaled, and may stand between a pod and what is scaled.

    Attributes:
        problem: Why it cannot be read; empty: it can. Its state then holds no more than who it is.
    """

    namespace: str
    name: str
    state: TargetState
    owner: Owner | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ListedAutoscaler:
    """A `GPUAutoscaler`, its spec and status as JSON: they are read seldom, and one at a time."""

    namespace: str
    name: str
    uid: str
    generation: int
    created_at: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    sla_class: str
    spec: bytes
    status: bytes

    @property
    def resource(self) -> Object:
        """The object without its status."""
        metadata = {
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "generation": self.generation,
            "creationTimestamp": self.created_at,
            "labels": self.labels,
            "annotations": self.annotations,
        }
        return {"metadata": metadata, "spec": orjson.loads(self.spec)}


def read_pod(resource: Object) -> OwnedPod | None:
    """A pod; None: it has ended."""
    if not pods.is_living(resource):
        return None
    state = pods.to_pod(resource)
    return OwnedPod(state, _owner(resource), _needs(resource, state))


def _needs(resource: Object, pod: PodState) -> PodShape | None:
    """What a pod needs of a node with accelerators; None: it waits for none, or comes last.

    One that a gate holds waits for no node yet. One of a negative priority, as placeholders have,
    gives way to all that have none. Which scheduler is to place it does not matter.
    """
    spec = resource.get("spec") or {}
    is_waiting = bool(pod.asked) and not (pod.node or pod.is_gated or pod.is_leaving)
    if not is_waiting or int(spec.get("priority") or 0) < 0:
        return None
    return _shared((replace(placement.to_pod_shape(spec, is_template=False), images=()),))[0]


def read_target(resource: Object, kind: str) -> ListedTarget:
    """A Deployment, StatefulSet or ReplicaSet; items of a LIST do not carry their kind.

    One that cannot be read says so: it must not cost all others of its kind.
    """
    metadata, problem = resource["metadata"], ""
    try:
        state = targets.to_target_state({**resource, "kind": kind})
    except ODD as error:
        problem = f"{error!r:.200}"
        state = TargetState(str(metadata["uid"]), str(metadata["resourceVersion"]), 0)
    if state.shape:
        state = replace(state, shape=_shared(state.shape))
    return ListedTarget(
        sys.intern(str(metadata["namespace"])),
        str(metadata["name"]),
        state,
        _owner(resource),
        problem,
    )


def read_node(resource: Object) -> NodeState:
    """A node, one without GPUs too: its devices may be published apart from it."""
    return placement.to_any_node(resource)


def read_autoscaler(resource: Object) -> ListedAutoscaler:
    """A `GPUAutoscaler`."""
    metadata, spec = resource["metadata"], resource.get("spec") or {}
    annotations = dict(metadata.get("annotations") or {})
    annotations.pop(_LAST_APPLIED, None)
    sla = spec.get("sla") or {}
    return ListedAutoscaler(
        sys.intern(str(metadata["namespace"])),
        str(metadata["name"]),
        str(metadata.get("uid", "")),
        int(metadata.get("generation", 0)),
        str(metadata["creationTimestamp"]),
        pods.labels_of(resource),
        annotations,
        str(sla.get("class") or "") if isinstance(sla, dict) else "",
        orjson.dumps(spec),
        orjson.dumps(resource.get("status") or {}),
    )


def read_other_autoscaler(resource: Object) -> Object:
    """An HPA or a ScaledObject, without its status."""
    resource.pop("status", None)
    return read_object(resource)


def read_object(resource: Object) -> Object:
    """An object of a kind of which there are few, without bookkeeping that nobody reads here."""
    metadata = resource["metadata"]
    metadata.pop("managedFields", None)
    (metadata.get("annotations") or {}).pop(_LAST_APPLIED, None)
    return resource


@dataclass(frozen=True, slots=True)
class ListedKind:
    """A kind that is listed in all namespaces.

    Attributes:
        resource: Plural, as in paths and roles.
        root: Path of its API version.
        is_cached: The API server may answer from its memory, a moment behind.
        is_optional: The kind may be absent.
        read: Makes the value that is kept of an object.
        read_last: Makes a value with a `uid` that outlives an object; None: of this one nothing
            does. Of kinds without it nothing is.
        is_newest_kept: Of what outlives an object the newest value is kept, not the first.
    """

    resource: str
    root: str
    is_cached: bool = True
    is_optional: bool = False
    read: Reader = read_object
    read_last: Reader | None = None
    is_newest_kept: bool = False

    @property
    def path(self) -> str:
        """Path of all its objects."""
        return f"{self.root}/{self.resource}"


def _owner(resource: Object) -> Owner | None:
    found = ownership.controller_of(resource)
    return None if found is None else Owner(sys.intern(found.kind), sys.intern(found.uid))


@lru_cache(_N_SHAPES)
def _shared(shape: Shape) -> Shape:
    """The shape, or an equal one that is there already."""
    return shape
