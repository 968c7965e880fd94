"""A cluster in memory: autoscalers, targets with their pods, nodes, budgets, and one Lease."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from tests.simulation.chance import Chance

Object = dict[str, Any]
START = datetime(2026, 1, 5, tzinfo=UTC)
NAMESPACE = "serving"
GPU = "nvidia.com/gpu"
_LAG = 0.4
"""How often a controller has not come round to its target yet."""


def at(now_s: float) -> datetime:
    return START + timedelta(seconds=now_s)


@lru_cache(4096)
def stamp(now_s: float) -> str:
    return at(now_s).isoformat().replace("+00:00", "Z")


@dataclass
class Pod:
    """A replica: asked for, perhaps on a node, perhaps ready, perhaps leaving."""

    name: str
    created_s: float
    start_s: float
    node: str = ""
    ready_s: float | None = None
    gone_s: float | None = None

    @property
    def is_leaving(self) -> bool:
        return self.gone_s is not None


@dataclass
class Target:
    """A Deployment or a StatefulSet; its controller works when the cluster is settled."""

    name: str
    gpu_type: str
    gpus: int
    replicas: int
    version: int
    kind: str = "Deployment"
    generation: int = 1
    pods: list[Pod] = field(default_factory=list)

    @property
    def staying(self) -> int:
        return sum(pod.gone_s is None for pod in self.pods)

    def held_gpus(self, replicas: int | None = None) -> int:
        """GPUs that it holds, or would hold if it asked for `replicas`."""
        asked = self.replicas if replicas is None else replicas
        leaving = len(self.pods) - self.staying
        return self.gpus * (max(asked, self.staying) + leaving)


@dataclass(frozen=True)
class Written:
    """A change of a target's count as the cluster saw it.

    Attributes:
        by: The process of the operator; `outside`: another hand.
    """

    at_s: float
    target: str
    before: int
    after: int
    by: str


@dataclass
class Cluster:
    """State of the cluster; every change gives a new version.

    Attributes:
        gone_autoscalers: As they were when they were deleted; their targets may be there.
        still_until_s: Until then no controller makes or ends pods.
    """

    chance: Chance
    now_s: float = 0.0
    version: int = 100
    targets: dict[str, Target] = field(default_factory=dict)
    autoscalers: dict[str, Object] = field(default_factory=dict)
    gone_autoscalers: dict[str, Object] = field(default_factory=dict)
    budgets: dict[str, Object] = field(default_factory=dict)
    nodes: dict[str, tuple[str, int]] = field(default_factory=dict)
    hpas: dict[str, Object] = field(default_factory=dict)
    lease: Object | None = None
    written: list[Written] = field(default_factory=list)
    forbidden: set[str] = field(default_factory=set)
    still_until_s: float = -1.0
    _n_pods: int = 0

    def next_version(self) -> int:
        self.version += 1
        return self.version

    def add_target(self, name: str, part: Object, replicas: int) -> None:
        """Make the target of a part of a spec, with pods that are ready."""
        gpu_type, gpus = part["gpuType"], part.get("gpusPerReplica", 1)
        kind = part["scaleTargetRef"]["kind"]
        target = Target(name, gpu_type, gpus, replicas, self.next_version(), kind)
        self.targets[name] = target
        for _ in range(replicas):
            pod = self._new_pod(target)
            pod.node, pod.ready_s = self.room(target), self.now_s
            target.pods.append(pod)

    def write_count(self, name: str, replicas: int, by: str) -> Written:
        target = self.targets[name]
        done = Written(self.now_s, name, target.replicas, replicas, by)
        self.written.append(done)
        if replicas != target.replicas:
            target.replicas = replicas
            target.generation += 1
            target.version = self.next_version()
        return done

    def known_autoscaler(self, name: str) -> Object:
        """An autoscaler, or what it was when it was deleted."""
        found = self.autoscalers.get(name)
        return self.gone_autoscalers[name] if found is None else found

    def change_autoscaler(self, name: str, change: Mapping[str, Any]) -> None:
        """Merge into the metadata's annotations (None removes) and the spec."""
        found = copy.deepcopy(self.autoscalers[name])
        metadata = found["metadata"]
        for key, value in change.get("annotations", {}).items():
            metadata["annotations"].pop(key, None)
            if value is not None:
                metadata["annotations"][key] = value
        if "spec" in change:
            found["spec"] |= change["spec"]
            metadata["generation"] += 1
        metadata["resourceVersion"] = str(self.next_version())
        self.autoscalers[name] = found

    def settle(self, now_s: float) -> None:
        """Let the controllers, the scheduler and the kubelets work up to `now_s`."""
        self.now_s = now_s
        for target in self.targets.values():
            if any(pod.gone_s is not None for pod in target.pods):
                target.pods = [p for p in target.pods if p.gone_s is None or p.gone_s > now_s]
            if self.chance.happens(_LAG) or now_s < self.still_until_s:
                continue
            staying = [pod for pod in target.pods if pod.gone_s is None]
            for _ in range(target.replicas - len(staying)):
                target.pods.append(self._new_pod(target))
            lost = staying[target.replicas :] if target.replicas < len(staying) else []
            for pod in lost:
                waits = pod.node == ""
                pod.gone_s = now_s + (0.0 if waits else self.chance.seconds(2.0, 60.0))
            if lost:
                target.pods = [p for p in target.pods if p.gone_s is None or p.gone_s > now_s]
        for target in self.targets.values():
            self._start_pods(target, now_s)

    def _start_pods(self, target: Target, now_s: float) -> None:
        for pod in target.pods:
            if pod.gone_s is not None or (pod.node and pod.ready_s is not None):
                continue
            if not pod.node:
                pod.node = self.room(target)
            if pod.node and pod.ready_s is None and now_s >= pod.created_s + pod.start_s:
                pod.ready_s = now_s

    def _new_pod(self, target: Target) -> Pod:
        self._n_pods += 1
        start_s = self.chance.seconds(10.0, 120.0)
        return Pod(f"{target.name}-{self._n_pods}", self.now_s, start_s)

    def room(self, target: Target) -> str:
        """A node with room for one more replica; empty: there is none."""
        used = dict.fromkeys(self.nodes, 0)
        for other in self.targets.values():
            for pod in other.pods:
                if pod.node in used:
                    used[pod.node] += other.gpus
        for name, (gpu_type, gpus) in self.nodes.items():
            if gpu_type == target.gpu_type and used[name] + target.gpus <= gpus:
                return name
        return ""

    def asked_gpus(self, gpu_type: str) -> int:
        return sum(t.gpus * t.replicas for t in self.targets.values() if t.gpu_type == gpu_type)

    def held_gpus(self, gpu_type: str) -> int:
        return sum(t.held_gpus() for t in self.targets.values() if t.gpu_type == gpu_type)

    def budget_of(self, gpu_type: str) -> int | None:
        """GPUs that are allowed of a type; None: it has no budget."""
        found = [
            b["spec"]["gpus"] for b in self.budgets.values() if b["spec"]["gpuType"] == gpu_type
        ]
        return min(found) if found else None

    def list_kind(self, resource: str) -> list[Object]:
        """Objects of a kind as the API server gives them."""
        if resource == "gpuautoscalers":
            return list(self.autoscalers.values())
        if resource == "gpubudgets":
            return list(self.budgets.values())
        if resource in ("deployments", "statefulsets"):
            kind = "Deployment" if resource == "deployments" else "StatefulSet"
            return [_scalable(t) for t in self.targets.values() if t.kind == kind]
        if resource == "pods":
            return [_pod(t, pod) for t in self.targets.values() for pod in t.pods]
        if resource == "nodes":
            return [_node(name, *found) for name, found in self.nodes.items()]
        if resource == "horizontalpodautoscalers":
            return list(self.hpas.values())
        return []


def _scalable(target: Target) -> Object:
    n_ready = sum(p.ready_s is not None and not p.is_leaving for p in target.pods)
    return {
        "metadata": {
            "namespace": NAMESPACE,
            "name": target.name,
            "uid": f"uid-{target.name}",
            "resourceVersion": str(target.version),
            "generation": target.generation,
        },
        "spec": {"replicas": target.replicas},
        "status": {
            "observedGeneration": target.generation,
            "replicas": target.staying,
            "updatedReplicas": target.staying,
            "availableReplicas": n_ready,
        },
    }


def _pod(target: Target, pod: Pod) -> Object:
    metadata: Object = {
        "namespace": NAMESPACE,
        "name": pod.name,
        "uid": f"uid-{pod.name}",
        "creationTimestamp": stamp(pod.created_s),
        "labels": {"app": target.name},
        "ownerReferences": [{"kind": target.kind, "uid": f"uid-{target.name}", "controller": True}],
    }
    if pod.gone_s is not None:
        metadata["deletionTimestamp"] = stamp(pod.gone_s)
    ready = pod.ready_s is not None and not pod.is_leaving
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    if ready and pod.ready_s is not None:
        condition["lastTransitionTime"] = stamp(pod.ready_s)
    return {
        "metadata": metadata,
        "spec": {
            "nodeName": pod.node,
            "containers": [{"resources": {"limits": {GPU: str(target.gpus)}}}],
        },
        "status": {"phase": "Running" if ready else "Pending", "conditions": [condition]},
    }


def _node(name: str, gpu_type: str, gpus: int) -> Object:
    return {
        "metadata": {"name": name, "labels": {f"{GPU}.product": gpu_type}},
        "status": {"allocatable": {GPU: str(gpus)}},
    }


def targets_of(autoscaler: Object) -> Iterator[tuple[str, Object]]:
    """Each target of an autoscaler with the part of the spec that has its bounds."""
    spec = autoscaler["spec"]
    for part in spec.get("pools") or [spec]:
        yield part["scaleTargetRef"]["name"], part
