"""A simulated cluster without HTTP, with what tests write into it."""

from __future__ import annotations

from typing import Any

from services.lab.cluster.cluster import ClusterSettings, SimulatedCluster
from services.lab.cluster.storage.objects import Write
from services.lab.cluster.storage.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    EVENTS,
    PODS,
    Obj,
    ResourceType,
    with_value,
)
from services.simulator.engine.specs import NodeSpec

START_S = 1_767_571_200.0
NAMESPACE = "default"


class RunningCluster:
    """One cluster, whose time is counted from its start."""

    def __init__(self, *nodes: NodeSpec) -> None:
        given = nodes or (NodeSpec("h0", "H100", 8),)
        self.cluster = SimulatedCluster(ClusterSettings(given, seed=1, start_s=START_S))
        self.store, self.objects = self.cluster.store, self.cluster.objects

    def _write(self) -> Write:
        return Write("test", self.cluster.now())

    def wait(self, seconds: float) -> None:
        self.cluster.advance(self.cluster.engine.now_s + seconds)

    def define(self, definition: Obj) -> ResourceType:
        self.objects.create(CUSTOM_RESOURCE_DEFINITIONS, "", definition, self._write())
        spec = definition["spec"]
        found = self.cluster.registry.find(
            spec["group"], spec["versions"][0]["name"], spec["names"]["plural"]
        )
        assert found is not None
        return found

    def create(self, rtype: ResourceType, name: str, spec: Obj) -> Obj:
        body = {"metadata": {"name": name}, "spec": spec}
        namespace = NAMESPACE if rtype.is_namespaced else ""
        return self.objects.create(rtype, namespace, body, self._write())

    def get(self, rtype: ResourceType, name: str) -> Obj:
        namespace = NAMESPACE if rtype.is_namespaced else ""
        return self.objects.require(rtype, namespace, name)

    def change(self, rtype: ResourceType, name: str, path: str, value: Any) -> Obj:
        old = self.get(rtype, name)
        return self.objects.replace(rtype, old, with_value(old, path, value), self._write())

    def delete(self, rtype: ResourceType, name: str) -> None:
        self.objects.delete(rtype, self.get(rtype, name), {}, self._write())

    def pods(self) -> dict[str, Obj]:
        return {s.obj["metadata"]["name"]: s.obj for s in self.store.each(PODS)}

    def events(self, reason: str) -> list[str]:
        found = (stored.obj for stored in self.store.each(EVENTS))
        return [event["message"] for event in found if event["reason"] == reason]


def template(app: str = "x", gpus: int = 1, **pod: Any) -> Obj:
    """A pod template whose pods are ready after five seconds."""
    resources = {"limits": {"nvidia.com/gpu": str(gpus)}}
    container = {"name": "main", "image": "pause", "resources": resources}
    return {
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [container], **pod},
    }


def workload(replicas: int, app: str = "x", **pod: Any) -> Obj:
    """Specification of a Deployment, ReplicaSet or StatefulSet."""
    return {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": app}},
        "template": template(app, **pod),
    }


def is_ready(pod: Obj) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def condition(obj: Obj, kind: str) -> Obj:
    """A condition of an object; empty where it has none."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == kind), {})
