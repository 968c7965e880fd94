"""CapacityBuffers of `autoscaling.x-k8s.io`: how they are named, written and sized; pure.

A buffer asks what adds nodes to keep room for so many pods of a PodTemplate. Harmony holds a type's
headroom with one buffer, whose pods ask for a whole chunk of GPUs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from services.operator.plan.seen_buffers import (
    CHANGED_ANNOTATION,
    CHUNK_ANNOTATION,
    TYPE_ANNOTATION,
    stamp_of,
)

Object = Mapping[str, Any]

GROUP, VERSIONS, KIND = "autoscaling.x-k8s.io", ("v1beta1", "v1alpha1"), "CapacityBuffer"
STRATEGY = "buffer.x-k8s.io/active-capacity"
OWN = {"app.kubernetes.io/managed-by": "harmony", "app.kubernetes.io/component": "headroom"}
"""Labels of what is kept here."""


@dataclass(frozen=True, slots=True)
class BufferSize:
    """How much room a buffer asks for.

    Attributes:
        chunks: Pods that it asks room for.
        chunk_gpus: GPUs of each.
        template: Name of their PodTemplate.
    """

    chunks: int
    chunk_gpus: int
    template: str

    def changed(self, now: datetime) -> Object:
        """What makes a buffer ask for it, and says since when."""
        annotations = {CHUNK_ANNOTATION: str(self.chunk_gpus), CHANGED_ANNOTATION: stamp_of(now)}
        spec = {"podTemplateRef": {"name": self.template}, "replicas": self.chunks}
        return {"metadata": {"annotations": annotations}, "spec": spec}


def buffer_name(gpu_type: str) -> str:
    """Name of a type's buffer: types that differ in signs only have different ones."""
    plain = re.sub(r"[^a-z0-9]+", "-", gpu_type.lower()).strip("-")[:40]
    return f"harmony-headroom-{plain or 'gpu'}-{_digest(gpu_type.encode())}"


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=3).hexdigest()


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


def buffer_of(gpu_type: str, size: BufferSize, owner: Object, now: datetime) -> Object:
    """A buffer as it is made, its version apart."""
    change = size.changed(now)
    annotations = {TYPE_ANNOTATION: gpu_type, **change["metadata"]["annotations"]}
    return {
        "kind": KIND,
        "metadata": {
            "name": buffer_name(gpu_type),
            "labels": OWN,
            "annotations": annotations,
            "ownerReferences": [owner],
        },
        "spec": {"provisioningStrategy": STRATEGY, **change["spec"]},
    }


def owner_of(budget: Object, api_version: str) -> Object:
    """The GPUBudget as the owner of what is kept for it: it takes them with it."""
    metadata = budget["metadata"]
    named = {"apiVersion": api_version, "kind": "GPUBudget"}
    return {**named, "name": metadata["name"], "uid": metadata["uid"], "controller": True}


Advised = tuple[tuple[datetime, int], ...]
"""GPUs that were advised, oldest first: chunks of another size could not be compared."""


def noted(advised: Advised, gpus: int, now: datetime, patience_s: float) -> Advised:
    """What was advised with what is advised now; the newest of before the patience stays."""
    since = now - timedelta(seconds=patience_s)
    kept = [each for each in advised if each[0] > since]
    before = [each for each in advised if each[0] <= since][-1:]
    return (*before, *kept, (now, gpus))


def gpus_to_hold(current: int, advised: Advised, now: datetime, patience_s: float) -> int:
    """It rises at once, and falls to the most that was advised while a node might have come.

    Until so much is known it does not fall: a node that is let go of takes as long to come back.

    Args:
        current: GPUs that are held.
        advised: At least what is advised now.
        now: Aware.
        patience_s: Time within which nodes come.
    """
    most = max(gpus for _, gpus in advised)
    is_known = advised[0][0] <= now - timedelta(seconds=patience_s)
    return most if is_known else max(current, most)
