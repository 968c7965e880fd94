"""LeaderWorkerSets: the definition that the laboratory offers, and a small controller.

One replica is a group of `size` pods. As in the original, the leaders are a StatefulSet of the
set's name, and each leader owns a StatefulSet of its name with the workers; when a leader goes,
its workers go with it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from services.lab.cluster.controllers.publishing import owner_reference
from services.lab.cluster.storage.objects import Objects
from services.lab.cluster.storage.resources import PODS, STATEFUL_SETS, Obj, Registry, ResourceType

GROUP = "leaderworkerset.x-k8s.io"
PLURAL = "leaderworkersets"
_PREFIX = "leaderworkerset.sigs.k8s.io"
NAME_LABEL = f"{_PREFIX}/name"
GROUP_LABEL = f"{_PREFIX}/group-index"
WORKER_LABEL = f"{_PREFIX}/worker-index"
SIZE_ANNOTATION = f"{_PREFIX}/size"


def definition() -> dict[str, Any]:
    """The CustomResourceDefinition, as far as the laboratory needs it."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    template = {
        "type": "object",
        "required": ["workerTemplate"],
        "properties": {
            "size": {"type": "integer", "minimum": 1, "default": 1},
            "leaderTemplate": anything,
            "workerTemplate": anything,
        },
    }
    spec = {
        "type": "object",
        "required": ["leaderWorkerTemplate"],
        "properties": {
            "replicas": {"type": "integer", "minimum": 0, "default": 1},
            "leaderWorkerTemplate": template,
        },
    }
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.hpaPodSelector",
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": spec, "status": anything},
            }
        },
        "subresources": {"status": {}, "scale": scale},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": PLURAL, "kind": "LeaderWorkerSet", "shortNames": ["lws"]},
            "versions": [version],
        },
    }


class LeaderWorkerSets:
    """Makes the StatefulSets of LeaderWorkerSets, and tells how their groups are."""

    def __init__(self, objects: Objects, registry: Registry) -> None:
        self._objects = objects
        self._store = objects.store
        self._registry = registry
        objects.listeners.append(self.on_write)

    def on_write(self, rtype: ResourceType, old: Obj | None, new: Obj | None) -> None:
        """Follow the sets and their pods."""
        if (rtype.group, rtype.plural) == (GROUP, PLURAL):
            if new is not None and (old is None or old["spec"] != new["spec"]):
                self._reconcile(new)
                self._publish(new["metadata"]["namespace"], new["metadata"]["name"])
        elif rtype is PODS:
            meta = (new or old or {})["metadata"]
            name = (meta.get("labels") or {}).get(NAME_LABEL)
            if name is None:
                return
            if old is None and new is not None:
                self._join(new)
            elif new is None or _is_ready(old) != _is_ready(new):
                self._publish(meta["namespace"], name)

    def _reconcile(self, owner: Obj) -> None:
        """The StatefulSet of the leaders."""
        spec, name = owner["spec"], owner["metadata"]["name"]
        group = spec["leaderWorkerTemplate"]
        template = group.get("leaderTemplate") or group["workerTemplate"]
        labels = {NAME_LABEL: name, WORKER_LABEL: "0"}
        body = _set_spec(template, labels, group["size"], spec["replicas"])
        self._write_set(owner, name, body)

    def _join(self, pod: Obj) -> None:
        """Number a new pod; a leader gets its workers."""
        meta = pod["metadata"]
        labels = {**meta["labels"]}
        namespace, pod_name = meta["namespace"], meta["name"]
        ordinal = pod_name.rpartition("-")[2]
        if labels.get(WORKER_LABEL) == "0":
            labels[GROUP_LABEL] = ordinal
        else:
            labels[WORKER_LABEL] = str(int(ordinal) + 1)
        pod = self._objects.write(PODS, {**pod, "metadata": {**meta, "labels": labels}})
        owner = self._owner(namespace, labels[NAME_LABEL])
        if labels[WORKER_LABEL] != "0" or owner is None:
            return
        group = owner["spec"]["leaderWorkerTemplate"]
        if group["size"] > 1:
            kept = {NAME_LABEL: labels[NAME_LABEL], GROUP_LABEL: ordinal}
            body = _set_spec(group["workerTemplate"], kept, group["size"], group["size"] - 1)
            self._write_set(pod, pod_name, body)

    def _write_set(self, owner: Obj, name: str, spec: Obj) -> None:
        namespace = owner["metadata"]["namespace"]
        old = self._store.get(STATEFUL_SETS, namespace, name)
        if (
            old is not None
            and old["metadata"]["ownerReferences"][0]["uid"] == (owner["metadata"]["uid"])
        ):
            meta = old["metadata"]
            meta = {**meta, "generation": meta["generation"] + (old["spec"] != spec)}
            self._objects.write(STATEFUL_SETS, {**old, "metadata": meta, "spec": spec})
            return
        reference = {"ownerReferences": [owner_reference(owner)]}
        body = self._objects.born(STATEFUL_SETS, namespace, name, metadata=reference, spec=spec)
        self._objects.write(STATEFUL_SETS, body)

    def _owner(self, namespace: str, name: str) -> Obj | None:
        rtype = self._type()
        return None if rtype is None else self._store.get(rtype, namespace, name)

    def _type(self) -> ResourceType | None:
        return self._registry.find(GROUP, "v1", PLURAL)

    def _publish(self, namespace: str, name: str) -> None:
        """Write the set's status: a replica is ready when its whole group is."""
        rtype, owner = self._type(), self._owner(namespace, name)
        if rtype is None or owner is None:
            return
        size = owner["spec"]["leaderWorkerTemplate"]["size"]
        groups: dict[str, list[Obj]] = defaultdict(list)
        for stored in self._store.each(PODS, namespace):
            labels = stored.facts.labels
            if labels.get(NAME_LABEL) == name and GROUP_LABEL in labels:
                groups[labels[GROUP_LABEL]].append(stored.obj)
        n_ready = sum(sum(map(_is_ready, pods)) >= size for pods in groups.values())
        status = {
            "observedGeneration": owner["metadata"]["generation"],
            "replicas": len(groups),
            "readyReplicas": n_ready,
            "updatedReplicas": len(groups),
            "hpaPodSelector": f"{NAME_LABEL}={name},{WORKER_LABEL}=0",
        }
        self._objects.write_status(rtype, owner, status)


def _set_spec(template: Obj, labels: dict[str, str], size: int, replicas: int) -> Obj:
    """Specification of a StatefulSet whose pods carry `labels`."""
    meta = template.get("metadata") or {}
    annotations = {**(meta.get("annotations") or {}), SIZE_ANNOTATION: str(size)}
    return {
        "replicas": replicas,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": labels},
        "template": {
            **template,
            "metadata": {
                "labels": {**(meta.get("labels") or {}), **labels},
                "annotations": annotations,
            },
        },
    }


def _is_ready(pod: Obj | None) -> bool:
    conditions = ((pod or {}).get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
