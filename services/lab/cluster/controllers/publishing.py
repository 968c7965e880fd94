"""Writes what the engine's pods do as API objects: pods, ReplicaSets, statuses."""

from __future__ import annotations

from collections import Counter

from services.lab.cluster.controllers.groups import Group, SimulatedWorkload
from services.lab.cluster.controllers.manifests import (
    GRACE_S,
    HASH_LABEL,
    PodLife,
    ended_status,
    gated_status,
    pending_status,
    placed_status,
    rfc3339,
    safe_suffix,
)
from services.lab.cluster.controllers.statuses import (
    deployment_status,
    is_moving,
    refusal_of,
    revisions_of,
    set_status,
    with_failure,
)
from services.lab.cluster.storage.objects import Objects, Write
from services.lab.cluster.storage.resources import (
    DEPLOYMENTS,
    EVENTS,
    NODES,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Obj,
)
from services.operator.cluster.queue_labels import (
    ADMISSION_GATE,
    MANAGED_LABEL,
    QUEUE_LABEL,
)
from services.simulator.engine.engine import (
    ANY_GPU_TYPE,
    ClusterEngine,
    NodeSpec,
    PodEvent,
    PodEventKind,
)
from services.simulator.engine.needs import Needs


class Publisher:
    """Pods and statuses of workloads in the store."""

    def __init__(self, objects: Objects, engine: ClusterEngine) -> None:
        self._objects = objects
        self._store = objects.store
        self.engine = engine
        self._moving: dict[int, SimulatedWorkload] = {}

    def publish_overdue(self) -> None:
        """Time has passed: say which roll-outs have run out of it."""
        for workload in list(self._moving.values()):
            self.publish_status(workload)

    def settle(self, workload: SimulatedWorkload) -> None:
        """A workload is gone: no roll-out of it can run out of time."""
        self._moving.pop(id(workload), None)

    def write_replica_set(self, workload: SimulatedWorkload, group: Group, owner: Obj) -> None:
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

    def publish_pod(self, workload: SimulatedWorkload, group: Group, event: PodEvent) -> None:
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
            if obj is not None and life.told_s is not None:
                status = ended_status(obj["status"], event.at_s, is_killed=event.is_killed)
                self._objects.remove(PODS, self._objects.write_status(PODS, obj, status))
            elif obj is not None:
                write = Write("replicaset-controller", rfc3339(event.at_s))
                self._objects.delete(PODS, obj, {}, write)
            return
        if obj is None:
            return
        life.follow(event)
        if event.kind is PodEventKind.TOLD:
            self._objects.write(PODS, _told(obj, event.at_s))
            return
        obj = _gated(obj, group.queue) if life.is_gated else _let_go(obj)
        if life.is_gated:
            status = gated_status(life)
        elif life.node is None:
            status = pending_status(life, self._why_pending(group))
        else:
            if "nodeName" not in obj["spec"]:
                obj = {**obj, "spec": {**obj["spec"], "nodeName": life.node}}
            status = placed_status(life, obj["spec"]["containers"])
            if life.ready_s is not None:
                self._keep_images(life.node, obj["spec"]["containers"])
        self._objects.write_status(PODS, obj, status)

    def _keep_images(self, node: str, containers: list[Obj]) -> None:
        """A node lists the images that it has pulled."""
        found = self._store.get(NODES, "", node)
        if found is None:
            return
        listed = list((found.get("status") or {}).get("images") or ())
        known = {name for each in listed for name in each["names"]}
        new = [c["image"] for c in containers if c.get("image") and c["image"] not in known]
        if new:
            images = [*listed, *({"names": [name], "sizeBytes": 1} for name in new)]
            self._objects.write_status(NODES, found, {**found["status"], "images": images})

    def _publish_new_pod(self, workload: SimulatedWorkload, group: Group, event: PodEvent) -> None:
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
            "labels": {**meta.get("labels", {}), **_own_labels(workload, group, name)},
            "creationTimestamp": rfc3339(event.at_s),
        }
        if workload.rtype is not STATEFUL_SETS:
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

    def tell_refusal(self, workload: SimulatedWorkload, group: Group) -> None:
        """An Event about pods that cannot be created."""
        owner = self._store.get(group.owner_type, workload.namespace, group.owner_name)
        if owner is None:
            return
        name = f"{group.owner_name}.{safe_suffix(group.engine_key, self._store.version)}"
        kept = ("namespace", "name", "uid")
        about = {"apiVersion": owner["apiVersion"], "kind": owner["kind"]}
        event = self._objects.born(
            EVENTS,
            workload.namespace,
            name,
            involvedObject=about | {part: owner["metadata"][part] for part in kept},
            type="Warning",
            reason="FailedCreate",
            message=f"Error creating: {refusal_of(group)}",
            source={"component": f"{owner['kind'].lower()}-controller"},
            count=1,
            firstTimestamp=self._objects.now(),
            lastTimestamp=self._objects.now(),
        )
        self._objects.write(EVENTS, event)

    def end_told(self, workload: SimulatedWorkload, group: Group) -> None:
        """Pods that are ending go at once."""
        for life in list(group.lives.values()):
            obj = self._store.get(PODS, workload.namespace, life.name)
            if obj is not None and life.told_s is not None:
                self._objects.remove(PODS, obj)

    def forget(self, group: Group, ordinal: int) -> None:
        """A pod that is gone is published no further."""
        group.revisions.pop(ordinal, None)
        life = group.lives.pop(ordinal, None)
        if life is not None:
            group.ordinals.pop(life.name, None)

    def _why_pending(self, group: Group) -> str:
        """Message of the scheduler about a pod that waits, node by node."""
        spec, nodes = self.engine.spec(group.engine_key), self.engine.nodes.all()
        reasons = Counter(_why_not(spec.gpu_type, spec.needs, node) for node in nodes)
        parts = [f"{n} {reason}" for reason, n in sorted(reasons.items())]
        return f"0/{len(nodes)} nodes are available: {', '.join(parts)}."

    def publish_status(self, workload: SimulatedWorkload) -> None:
        """Write the status of a workload and of its ReplicaSets."""
        counts = [self.engine.counts(group.engine_key) for group in workload.groups]
        at = rfc3339(self.engine.now_s)
        for group, count in zip(workload.groups, counts, strict=True):
            if group.owner_type is not REPLICA_SETS or workload.rtype is REPLICA_SETS:
                continue
            owner = self._store.get(REPLICA_SETS, workload.namespace, group.owner_name)
            if owner is not None:
                if owner["spec"]["replicas"] != group.wanted:
                    meta = {**owner["metadata"]}
                    meta["generation"] = meta.get("generation", 0) + 1
                    spec = {**owner["spec"], "replicas": group.wanted}
                    owner = {**owner, "metadata": meta, "spec": spec}
                status = with_failure(set_status(owner, count), group, owner, at)
                self._objects.write_status(REPLICA_SETS, owner, status)
        obj = self._store.get(workload.rtype, workload.namespace, workload.name)
        self._moving.pop(id(workload), None)
        if obj is None:
            return
        newest = workload.groups[-1]
        if workload.rtype is DEPLOYMENTS:
            status = with_failure(deployment_status(obj, counts, at), newest, obj, at)
            if is_moving(status):
                self._moving[id(workload)] = workload
        else:
            status = set_status(obj, counts[-1])
            if workload.rtype is STATEFUL_SETS:
                status |= revisions_of(newest, counts[-1])
            else:
                status = with_failure(status, newest, obj, at)
        self._objects.write_status(workload.rtype, obj, status)


def _told(obj: Obj, at_s: float) -> Obj:
    """A pod whose deletion has begun; it is due when its grace is over."""
    grace_s = int(obj["spec"].get("terminationGracePeriodSeconds", GRACE_S))
    marked = {
        **obj["metadata"],
        "deletionTimestamp": rfc3339(at_s + grace_s),
        "deletionGracePeriodSeconds": grace_s,
    }
    return {**obj, "metadata": marked}


def _gated(obj: Obj, queue: str) -> Obj:
    """A pod as Kueue holds it."""
    labels = {**(obj["metadata"].get("labels") or {}), QUEUE_LABEL: queue, MANAGED_LABEL: "true"}
    spec = {**obj["spec"], "schedulingGates": [{"name": ADMISSION_GATE}]}
    return {**obj, "metadata": {**obj["metadata"], "labels": labels}, "spec": spec}


def _let_go(obj: Obj) -> Obj:
    """A pod without its gates."""
    if "schedulingGates" not in obj["spec"]:
        return obj
    spec = {name: value for name, value in obj["spec"].items() if name != "schedulingGates"}
    return {**obj, "spec": spec}


def _own_labels(workload: SimulatedWorkload, group: Group, name: str) -> dict[str, str]:
    """Labels that the controller of a pod adds to those of its template."""
    if workload.rtype is not STATEFUL_SETS:
        return {HASH_LABEL: group.hash} if workload.rtype is DEPLOYMENTS else {}
    return {
        "controller-revision-hash": f"{group.owner_name}-{group.hash}",
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": name.rpartition("-")[2],
    }


def _why_not(gpu_type: str, needs: Needs, node: NodeSpec) -> str:
    if gpu_type not in (ANY_GPU_TYPE, node.gpu_type) or not needs.is_selected(node.labels):
        return "node(s) didn't match Pod's node affinity/selector"
    taint = needs.repelled_by(node.taints)
    if taint is not None:
        return f"node(s) had untolerated taint {taint.text}"
    return f"Insufficient {needs.resource}"


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
