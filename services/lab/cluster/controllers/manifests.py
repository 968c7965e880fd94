"""The objects that the cluster's own controllers write, and what they read from templates."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from services.lab.cluster.controllers.devices import (
    product_label,
    resource_asked_by,
    resource_of,
)
from services.lab.cluster.storage.resources import Obj
from services.simulator.engine.engine import (
    ANY_GPU_TYPE,
    DeploymentSpec,
    DrainSpec,
    NodeSpec,
    PodEvent,
    PodEventKind,
    StartupSpec,
)
from services.simulator.engine.needs import NodeLabel, to_needs, to_taints

COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
HASH_LABEL = "pod-template-hash"
MEDIAN_ANNOTATION = "lab.harmony.dev/startup-median"
SIGMA_ANNOTATION = "lab.harmony.dev/startup-sigma"
FAIL_ANNOTATION = "lab.harmony.dev/startup-fail-probability"
RESTART_ANNOTATION = "lab.harmony.dev/startup-restart"
DRAIN_ANNOTATION = "lab.harmony.dev/drain"
"""How long a pod is at work once it is told to end, on a template or on one pod."""
WARM_ANNOTATION = "lab.harmony.dev/start-warm"

_NODE_INFO = {
    "kubeletVersion": "v1.33.0+harmony-lab",
    "operatingSystem": "linux",
    "architecture": "amd64",
    "osImage": "simulated",
    "kernelVersion": "none",
    "containerRuntimeVersion": "none",
    "machineID": "",
    "systemUUID": "",
    "bootID": "",
    "kubeProxyVersion": "",
}
_DEFAULT_MEDIAN = "5s"
GRACE_S = 30
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
_SAFE = "bcdfghjklmnpqrstvwxz2456789"


@lru_cache(maxsize=4_096)
def _stamp(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339(at_s: float) -> str:
    """Epoch seconds as Kubernetes writes them, cut to whole seconds."""
    return _stamp(int(at_s))


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `45s`, `1m30s` or `250ms`.

    Raises:
        ValueError: If it is none.
    """
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        raise ValueError(f"{text!r} must be a duration such as 45s or 1m30s")
    hours, minutes, seconds, millis = (float(part or 0) for part in found.groups())
    return hours * 3_600 + minutes * 60 + seconds + millis / 1_000


def startup_spec(annotations: dict[str, str]) -> StartupSpec:
    """Start-up law of the pods of a template.

    Raises:
        ValueError: Naming the annotation that is wrong.
    """
    values = {}
    for name, key, default, read in (
        ("median_s", MEDIAN_ANNOTATION, _DEFAULT_MEDIAN, parse_duration),
        ("sigma", SIGMA_ANNOTATION, "0", float),
        ("fail_probability", FAIL_ANNOTATION, "0", float),
        ("restart_s", RESTART_ANNOTATION, "10s", parse_duration),
    ):
        try:
            values[name] = read(annotations.get(key, default))
        except ValueError as error:
            raise ValueError(f"annotation {key}: {error}") from error
    return StartupSpec(min_s=min(1.0, values["median_s"]), **values)


def drain_spec(annotations: dict[str, str], spec: Obj) -> DrainSpec:
    """How a pod ends.

    Raises:
        ValueError: Naming the annotation that is wrong.
    """
    try:
        busy_s = parse_duration(annotations.get(DRAIN_ANNOTATION, "0s"))
    except ValueError as error:
        raise ValueError(f"annotation {DRAIN_ANNOTATION}: {error}") from error
    return DrainSpec(busy_s, float(spec.get("terminationGracePeriodSeconds", GRACE_S)))


def deployment_spec(key: str, template: Obj, *, is_warm: bool) -> DeploymentSpec:
    """Convert a pod template to the engine's specification; no replicas yet.

    Raises:
        ValueError: If an annotation or a GPU quantity is wrong.
    """
    spec = template.get("spec") or {}
    resource = resource_asked_by(spec)
    label = product_label(resource)
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    gpus = 0
    for container in spec.get("containers") or ():
        quantity = str(((container.get("resources") or {}).get("limits") or {}).get(resource, 0))
        if not quantity.isdigit():
            raise ValueError(f"{resource}: {quantity!r} must be a whole number of GPUs")
        gpus += int(quantity)
    return DeploymentSpec(
        key=key,
        gpu_type=(spec.get("nodeSelector") or {}).get(label, ANY_GPU_TYPE),
        gpus_per_pod=gpus,
        startup=startup_spec(annotations),
        replicas=0,
        is_warm=is_warm,
        needs=to_needs(spec, label, resource),
        drain=drain_spec(annotations, spec),
    )


def safe_suffix(*parts: object, length: int = 5) -> str:
    """A name suffix that depends on `parts` only, in the letters Kubernetes uses."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=length).digest()
    return "".join(_SAFE[byte % len(_SAFE)] for byte in digest)


def template_hash(template: Obj) -> str:
    """Tells pod templates apart."""
    text = orjson.dumps(template, option=orjson.OPT_SORT_KEYS).decode()
    return safe_suffix(text, length=10)


def node_body(node: NodeSpec) -> Obj:
    """The manifest of a node with GPUs."""
    capacity = {"cpu": "128", "memory": "1024Gi", "pods": "250", node.resource: str(node.gpus)}
    label = product_label(node.resource)
    return {
        "metadata": {
            "name": node.name,
            "labels": {
                "kubernetes.io/hostname": node.name,
                "kubernetes.io/os": "linux",
                **({label: node.gpu_type} if label and node.gpu_type else {}),
            },
        },
        "spec": {},
        "status": {"capacity": capacity, "allocatable": capacity},
    }


def node_spec(obj: Obj) -> NodeSpec:
    """Convert a node object to the engine's specification."""
    allocatable = (obj.get("status") or {}).get("allocatable") or {}
    labels = obj["metadata"].get("labels") or {}
    resource = resource_of(allocatable)
    return NodeSpec(
        obj["metadata"]["name"],
        labels.get(product_label(resource), ANY_GPU_TYPE),
        int(allocatable.get(resource, 0)),
        tuple(NodeLabel(key, value) for key, value in sorted(labels.items())),
        to_taints(obj.get("spec") or {}),
        resource,
    )


_PAUSE = {"names": ["registry.k8s.io/pause:3.10"], "sizeBytes": 320_368}
"""What every kubelet has pulled before any pod."""


def node_status(obj: Obj, at: str) -> Obj:
    """Status of a node that is up."""
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
        "lastHeartbeatTime": at,
        "lastTransitionTime": at,
    }
    own = {"conditions": [ready], "nodeInfo": _NODE_INFO, "images": [_PAUSE]}
    return {**own, **(obj.get("status") or {})}


@dataclass(slots=True)
class PodLife:
    """Published state of a pod, event by event."""

    name: str
    created_s: float
    node: str | None = None
    bound_s: float | None = None
    ready_s: float | None = None
    changed_s: float = 0.0
    restarts: int = 0
    is_crashed: bool = False
    told_s: float | None = None
    is_gated: bool = False

    def follow(self, event: PodEvent) -> None:
        """Take in the next event."""
        self.changed_s = event.at_s
        if event.kind in (PodEventKind.GATED, PodEventKind.UNSCHEDULABLE, PodEventKind.SCHEDULED):
            self.is_gated = event.kind is PodEventKind.GATED
        if event.kind is PodEventKind.SCHEDULED:
            self.node, self.bound_s = event.node, event.at_s
        elif event.kind is PodEventKind.READY:
            self.ready_s = event.at_s
        elif event.kind is PodEventKind.CRASHED:
            self.restarts += 1
            self.is_crashed = True
        elif event.kind is PodEventKind.RESTARTED:
            self.is_crashed = False
        elif event.kind is PodEventKind.TOLD:
            self.told_s = event.at_s


def _pod_condition(kind: str, is_true: bool, at_s: float, **more: str) -> Obj:
    return {
        "type": kind,
        "status": "True" if is_true else "False",
        "lastProbeTime": None,
        "lastTransitionTime": rfc3339(at_s),
        **more,
    }


def pending_status(life: PodLife, why: str) -> Obj:
    """Status of a pod without a node; `why` is empty while the scheduler has not looked at it."""
    status: Obj = {"phase": "Pending", "qosClass": "Burstable"}
    if why:
        status["conditions"] = [
            _pod_condition(
                "PodScheduled", False, life.created_s, reason="Unschedulable", message=why
            )
        ]
    return status


def gated_status(life: PodLife) -> Obj:
    """Status of a pod that its scheduling gates hold."""
    why = "Scheduling is blocked due to non-empty scheduling gates"
    blocked = _pod_condition(
        "PodScheduled", False, life.created_s, reason="SchedulingGated", message=why
    )
    return {"phase": "Pending", "qosClass": "Burstable", "conditions": [blocked]}


def placed_status(life: PodLife, containers: list[Obj]) -> Obj:
    """Status of a pod on a node: starting, crashed or ready."""
    assert life.bound_s is not None, "only a placed pod comes here"
    is_ready = life.ready_s is not None
    why = {}
    if not is_ready:
        names = " ".join(container["name"] for container in containers)
        why = {
            "reason": "ContainersNotReady",
            "message": f"containers with unready status: [{names}]",
        }
    turned_s = life.ready_s if life.ready_s is not None else life.bound_s
    bound = rfc3339(life.bound_s)
    return {
        "phase": "Running",
        "qosClass": "Burstable",
        "startTime": bound,
        "hostIP": "10.0.0.1",
        "conditions": [
            _pod_condition("Initialized", True, life.bound_s),
            _pod_condition("Ready", is_ready, turned_s, **why),
            _pod_condition("ContainersReady", is_ready, turned_s, **why),
            _pod_condition("PodScheduled", True, life.bound_s),
        ],
        "containerStatuses": [_container_status(life, each, bound) for each in containers],
    }


def ended_status(before: Obj, at_s: float, *, is_killed: bool) -> Obj:
    """Status of a pod that has ended, as the kubelet writes it before the pod goes."""
    code, why = (137, "Error") if is_killed else (0, "Completed")
    reason = "PodFailed" if is_killed else "PodCompleted"
    turned = {
        kind: _pod_condition(kind, False, at_s, reason=reason)
        for kind in ("Ready", "ContainersReady")
    }
    statuses = []
    for each in before.get("containerStatuses") or ():
        running = (each.get("state") or {}).get("running") or {}
        ended = {"exitCode": code, "reason": why, "finishedAt": rfc3339(at_s), **running}
        statuses.append({**each, "ready": False, "started": False, "state": {"terminated": ended}})
    return {
        **before,
        "phase": "Failed" if is_killed else "Succeeded",
        "conditions": [turned.get(c["type"], c) for c in before.get("conditions") or ()],
        "containerStatuses": statuses,
    }


def _container_status(life: PodLife, container: Obj, bound: str) -> Obj:
    changed = rfc3339(life.changed_s)
    state: Obj = {"running": {"startedAt": bound if not life.restarts else changed}}
    if life.is_crashed:
        waiting = "back-off restarting failed container"
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": waiting}}
    last: dict[str, Any] = {}
    if life.restarts:
        ended = {"exitCode": 1, "reason": "Error", "startedAt": bound, "finishedAt": changed}
        last = {"terminated": ended}
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": container.get("image", ""),
        "ready": life.ready_s is not None,
        "started": not life.is_crashed,
        "restartCount": life.restarts,
        "state": state,
        "lastState": last,
    }
