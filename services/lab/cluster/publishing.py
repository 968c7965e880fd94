"""Writes what the engine's pods do as API objects: pods, ReplicaSets, statuses."""

from __future__ import annotations

from services.lab.cluster.engine import ANY_GPU_TYPE, ClusterEngine, PodEvent, PodEventKind
from services.lab.cluster.groups import Group, Workload
from services.lab.cluster.manifests import (
    GPU_RESOURCE,
    HASH_LABEL,
    PodLife,
    pending_status,
    placed_status,
    rfc3339,
    safe_suffix,
)
from services.lab.cluster.objects import Objects, Write
from services.lab.cluster.resources import DEPLOYMENTS, PODS, REPLICA_SETS, STATEFUL_SETS, Obj
from services.lab.cluster.statuses import deployment_status, set_status


class Publisher:
    """Pods and statuses of workloads in the store."""

    def __init__(self, objects: Objects, engine: ClusterEngine) -> None:
        self._objects = objects
        self._store = objects.store
        self.engine = engine

    def write_replica_set(self, workload: Workload, group: Group, owner: Obj) -> None:
        """Store the ReplicaSet of a new revision."""
        labels = {
            **(group.template.get("metadata") or {}).get("labels", {}),
            HASH_LABEL: group.hash,
        }
        body = self._objects.born(
            REPLICA_SETS,
            workload.namespace,
            group.owner_name,
            metadata={
                "labels": labels,
                "annotations": {"deployment.kubernetes.io/revision": str(group.revision)},
                "ownerReferences": [owner_reference(owner)],
            },
            spec={
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {
                    **group.template,
                    "metadata": {**(group.template.get("metadata") or {}), "labels": labels},
                },
            },
            status={"replicas": 0},
        )
        self._objects.write(REPLICA_SETS, body)

    def publish_pod(self, workload: Workload, group: Group, event: PodEvent) -> None:
        """Write what happened to a pod."""
        if event.kind is PodEventKind.CREATED:
            self._publish_new_pod(workload, group, event)
            return
        life = group.lives.get(event.ordinal)
        if life is None:
            return
        obj = self._store.get(PODS, workload.namespace, life.name)
        if event.kind is PodEventKind.DELETED:
            self.forget(group, event.ordinal)
            if obj is not None:
                write = Write("replicaset-controller", rfc3339(event.at_s))
                self._objects.delete(PODS, obj, {}, write)
            return
        if obj is None:
            return
        life.follow(event)
        if life.node is None:
            status = pending_status(life, self._why_pending(group))
        else:
            if "nodeName" not in obj["spec"]:
                obj = {**obj, "spec": {**obj["spec"], "nodeName": life.node}}
            status = placed_status(life, obj["spec"]["containers"])
        self._objects.write_status(PODS, obj, status)

    def _publish_new_pod(self, workload: Workload, group: Group, event: PodEvent) -> None:
        suffix = safe_suffix(group.engine_key, event.ordinal)
        name = f"{group.owner_name}-{suffix}"
        if workload.rtype is STATEFUL_SETS:
            taken = set(group.ordinals)
            name = next(n for i in range(10**6) if (n := f"{workload.name}-{i}") not in taken)
        life = PodLife(name=name, created_s=event.at_s, changed_s=event.at_s)
        group.lives[event.ordinal] = life
        group.ordinals[name] = event.ordinal
        owner = self._store.get(group.owner_type, workload.namespace, group.owner_name)
        meta = group.template.get("metadata") or {}
        metadata = {
            "labels": {**meta.get("labels", {}), HASH_LABEL: group.hash},
            "creationTimestamp": rfc3339(event.at_s),
        }
        if workload.rtype is DEPLOYMENTS:
            metadata["generateName"] = f"{group.owner_name}-"
        if meta.get("annotations"):
            metadata["annotations"] = meta["annotations"]
        if owner is not None:
            metadata["ownerReferences"] = [owner_reference(owner)]
        body = self._objects.born(
            PODS,
            workload.namespace,
            name,
            metadata=metadata,
            spec=group.template["spec"],
            status=pending_status(life, ""),
        )
        self._objects.write(PODS, body)

    def forget(self, group: Group, ordinal: int) -> None:
        """A pod that is gone is published no further."""
        life = group.lives.pop(ordinal, None)
        if life is not None:
            group.ordinals.pop(life.name, None)

    def _why_pending(self, group: Group) -> str:
        gpu_type = self.engine.spec(group.engine_key).gpu_type
        nodes = self.engine.nodes.all()
        n_match = sum(gpu_type in (ANY_GPU_TYPE, node.gpu_type) for node in nodes)
        n_other = len(nodes) - n_match
        parts = [f"{n_match} Insufficient {GPU_RESOURCE}"] if n_match else []
        if n_other:
            parts.append(f"{n_other} node(s) didn't match Pod's node affinity/selector")
        return f"0/{len(nodes)} nodes are available: {', '.join(parts)}."

    def publish_status(self, workload: Workload) -> None:
        """Write the status of a workload and of its ReplicaSets."""
        counts = [self.engine.counts(group.engine_key) for group in workload.groups]
        at = rfc3339(self.engine.now_s)
        for group, count in zip(workload.groups, counts, strict=True):
            if group.owner_type is not REPLICA_SETS:
                continue
            owner = self._store.get(REPLICA_SETS, workload.namespace, group.owner_name)
            if owner is not None:
                if owner["spec"]["replicas"] != count.spec:
                    meta = {**owner["metadata"]}
                    meta["generation"] = meta.get("generation", 0) + 1
                    spec = {**owner["spec"], "replicas": count.spec}
                    owner = {**owner, "metadata": meta, "spec": spec}
                self._objects.write_status(REPLICA_SETS, owner, set_status(owner, count))
        obj = self._store.get(workload.rtype, workload.namespace, workload.name)
        if obj is None:
            return
        if workload.rtype is STATEFUL_SETS:
            status = set_status(obj, counts[-1])
        else:
            status = deployment_status(obj, counts, at)
        self._objects.write_status(workload.rtype, obj, status)


def owner_reference(obj: Obj) -> Obj:
    """The reference of a controlled object to its owner."""
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "name": obj["metadata"]["name"],
        "uid": obj["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
