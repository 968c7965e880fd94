"""CapacityBuffers of `autoscaling.x-k8s.io`: how they are read, named and sized; pure.

A buffer asks what adds nodes to keep room for so many pods of a PodTemplate. Harmony holds a type's
headroom with one buffer, whose pods ask for a whole chunk of GPUs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from services.operator.cluster.accelerators import plugin_of
from services.operator.cluster.node_pools import POOL_LABEL
from services.operator.cluster.placement import NodeState, nodes_of_type
from services.operator.plan.supply import TypeSupply

Object = Mapping[str, Any]

GROUP, VERSIONS, KIND = "autoscaling.x-k8s.io", ("v1beta1", "v1alpha1"), "CapacityBuffer"
STRATEGY = "buffer.x-k8s.io/active-capacity"
OWN = {"app.kubernetes.io/managed-by": "harmony", "app.kubernetes.io/component": "headroom"}
"""Labels of what is kept here."""
TYPE_ANNOTATION = "scaling.harmony.dev/gpu-type"
UNREAD_AFTER = timedelta(minutes=5)
"""A buffer without any condition for so long is read by nothing that adds nodes."""
_IMAGE = "registry.k8s.io/pause:3.10"


@dataclass(frozen=True, slots=True)
class SeenBuffer:
    """A buffer of ours as it is in the cluster.

    Attributes:
        replicas: Pods that it asks room for.
        template: Name of its PodTemplate.
        is_read: Something has written a condition of it.
        problem: Why it is not provisioned for; empty: nothing says so.
    """

    name: str
    gpu_type: str
    replicas: int
    template: str
    created_at: datetime
    is_read: bool
    problem: str

    def is_unread(self, now: datetime) -> bool:
        """True where nothing has looked at it for longer than it should take."""
        return not self.is_read and now - self.created_at >= UNREAD_AFTER


def to_seen(resource: Object) -> SeenBuffer:
    """Read a buffer."""
    metadata, spec = resource["metadata"], resource.get("spec") or {}
    conditions = (resource.get("status") or {}).get("conditions") or ()
    refused = [
        f"{each.get('reason', '')}: {each.get('message', '')}".strip(": ")
        for each in conditions
        if each.get("type") == "ReadyForProvisioning" and each.get("status") == "False"
    ]
    return SeenBuffer(
        str(metadata["name"]),
        str((metadata.get("annotations") or {}).get(TYPE_ANNOTATION, "")),
        int(spec.get("replicas") or 0),
        str((spec.get("podTemplateRef") or {}).get("name", "")),
        datetime.fromisoformat(str(metadata["creationTimestamp"]).replace("Z", "+00:00")),
        bool(conditions),
        refused[0] if refused else "",
    )


def buffer_name(gpu_type: str) -> str:
    """Name of a type's buffer: types that differ in signs only have different ones."""
    plain = re.sub(r"[^a-z0-9]+", "-", gpu_type.lower()).strip("-")[:40]
    return f"harmony-headroom-{plain or 'gpu'}-{_digest(gpu_type.encode())}"


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=3).hexdigest()


def pod_spec(supply: TypeSupply, nodes: Sequence[NodeState], chunk_gpus: int) -> Object | None:
    """A pod that asks for one chunk of GPUs on a node of the type; None: no such node is known.

    Of several pools the one with the most room is asked. It tolerates all: its selector says where
    it may go.
    """
    pools = [
        (each.gpus, each.pool.name, each.pool.resource)
        for each in supply.resolved.new
        if each.pool is not None
    ]
    own = nodes_of_type(nodes, supply.gpu_type)
    if pools:
        _, pool, resource = max(pools)
        selector = {POOL_LABEL: pool}
    elif own:
        largest = max(own, key=lambda node: (node.gpus, node.name))
        resource = largest.accelerators[0].resource
        selector = _product_label(resource, largest)
    else:
        return None
    amounts = {resource: str(chunk_gpus)}
    resources = {"requests": amounts, "limits": amounts}
    return {
        "nodeSelector": selector,
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "headroom", "image": _IMAGE, "resources": resources}],
    }


def _product_label(resource: str, node: NodeState) -> dict[str, str]:
    """The label by which a node names its product; none where it names none."""
    plugin = plugin_of(resource)
    names = () if plugin is None else plugin.product_labels
    return next(({name: node.labels[name]} for name in names if node.labels.get(name)), {})


def template_of(buffer: str, spec: Object, owner: Object) -> Object:
    """The PodTemplate of a buffer, named for what is in it: it is replaced, never changed."""
    name = f"{buffer}-{_digest(orjson.dumps(spec, option=orjson.OPT_SORT_KEYS))}"
    metadata = {"name": name, "labels": OWN, "ownerReferences": [owner]}
    return {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": metadata,
        "template": {"metadata": {"labels": OWN}, "spec": spec},
    }


def buffer_of(gpu_type: str, spec: Object, api_version: str, owner: Object) -> Object:
    """A buffer as it is made."""
    return {
        "apiVersion": api_version,
        "kind": KIND,
        "metadata": {
            "name": buffer_name(gpu_type),
            "labels": OWN,
            "annotations": {TYPE_ANNOTATION: gpu_type},
            "ownerReferences": [owner],
        },
        "spec": {"provisioningStrategy": STRATEGY, **spec},
    }


def owner_of(budget: Object, api_version: str) -> Object:
    """The GPUBudget as the owner of what is kept for it: it takes them with it."""
    metadata = budget["metadata"]
    named = {"apiVersion": api_version, "kind": "GPUBudget"}
    return {**named, "name": metadata["name"], "uid": metadata["uid"], "controller": True}


Advised = tuple[tuple[datetime, int], ...]
"""Chunks that were advised, oldest first."""


def noted(advised: Advised, chunks: int, now: datetime, patience_s: float) -> Advised:
    """What was advised with what is advised now; the newest of before the patience stays."""
    since = now - timedelta(seconds=patience_s)
    kept = [each for each in advised if each[0] > since]
    before = [each for each in advised if each[0] <= since][-1:]
    return (*before, *kept, (now, chunks))


def chunks_to_hold(current: int, advised: Advised, now: datetime, patience_s: float) -> int:
    """It rises at once, and falls to the most that was advised while a node might have come.

    Until so much is known it does not fall: a node that is let go of takes as long to come back.

    Args:
        current: Chunks that are held.
        advised: At least what is advised now.
        now: Aware.
        patience_s: Time within which nodes come.
    """
    most = max(chunks for _, chunks in advised)
    is_known = advised[0][0] <= now - timedelta(seconds=patience_s)
    return most if is_known else max(current, most)
