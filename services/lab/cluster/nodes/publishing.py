"""Writes what pools do as API objects: nodes, NodeClaims, and the Cluster Autoscaler's status."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from services.lab.cluster.controllers.manifests import node_body, rfc3339
from services.lab.cluster.controllers.publishing import owner_reference
from services.lab.cluster.nodes.machines import Machine, Machines
from services.lab.cluster.nodes.pools import POOL_LABEL
from services.lab.cluster.storage.objects import Objects, Write
from services.lab.cluster.storage.resources import EVENTS, NODES, Obj, ResourceType

STATUS_NAMESPACE, STATUS_NAME = "kube-system", "cluster-autoscaler-status"
TEXT_FORM, YAML_FORM = "text", "yaml"
EVENTS_NAMESPACE = "default"
"""Where Events about objects without a namespace are."""
_FINALIZER = "karpenter.sh/termination"
INTERRUPTION_TAINT = "aws-node-termination-handler/spot-itn"


def add_node(objects: Objects, machines: Machines, machine: Machine) -> None:
    """A machine has come."""
    node = machines.pool.node
    body = node_body(node)
    labels = dict(node.labels)
    meta = {**body["metadata"], "name": machine.name}
    meta["labels"] = {**meta["labels"], **labels, "kubernetes.io/hostname": machine.name}
    taints = [{"key": t.key, "value": t.value, "effect": t.effect} for t in node.taints]
    spec = {"taints": taints} if taints else {}
    write = Write("kubelet", objects.now())
    objects.create(NODES, "", {**body, "metadata": meta, "spec": spec}, write)


def tell_interruption(objects: Objects, name: str) -> None:
    """A machine will go: its node takes no more pods, and those that it has stay until then."""
    node = objects.store.get(NODES, "", name)
    if node is not None:
        taint = {"key": INTERRUPTION_TAINT, "value": "", "effect": "NoSchedule"}
        taints = [*(node["spec"].get("taints") or ()), taint]
        body = {**node, "spec": {**node["spec"], "taints": taints}}
        objects.replace(NODES, node, body, Write("termination-handler", objects.now()))


def remove_node(objects: Objects, name: str) -> None:
    """A machine goes."""
    node = objects.store.get(NODES, "", name)
    if node is not None:
        objects.delete(NODES, node, {}, Write("autoscaler", objects.now()))


def publish_claims(objects: Objects, rtype: ResourceType, pool: Obj, machines: Machines) -> None:
    """Make the NodeClaims of a pool equal to its machines; one that is refused comes and goes."""
    wanted = {each.name: _claim(machines, each) for each in machines.all}
    for stored in list(objects.store.each(rtype, "")):
        meta = stored.obj["metadata"]
        is_own = (meta.get("labels") or {}).get(POOL_LABEL) == machines.pool.name
        if is_own and meta["name"] not in wanted:
            objects.remove(rtype, stored.obj)
    for name, status in wanted.items():
        old = objects.store.get(rtype, "", name)
        old = _new_claim(objects, rtype, pool, name) if old is None else old
        objects.write_status(rtype, old, status)
    if machines.refused_s is not None and machines.refused_s != machines.told_s:
        _refuse_claim(objects, rtype, pool, machines)
    machines.told_s = machines.refused_s


def _new_claim(objects: Objects, rtype: ResourceType, pool: Obj, name: str) -> Obj:
    labels = {POOL_LABEL: pool["metadata"]["name"]}
    meta = {"labels": labels, "ownerReferences": [owner_reference(pool)]}
    return objects.born(rtype, "", name, metadata=meta, spec=pool["spec"]["template"]["spec"])


def _refuse_claim(objects: Objects, rtype: ResourceType, pool: Obj, machines: Machines) -> None:
    """What Karpenter does with a claim that its provider has no capacity for.

    It says so in an Event, deletes the claim, and lets it go: `Launched` never says more than that
    it is waited for (kubernetes-sigs/karpenter, pkg/controllers/nodeclaim/lifecycle/launch.go and
    events.go).
    """
    at = objects.now()
    born = _new_claim(objects, rtype, pool, f"{machines.pool.name}-{machines.refused_s:.0f}")
    claim = objects.write(
        rtype, {**born, "metadata": {**born["metadata"], "finalizers": [_FINALIZER]}}
    )
    message = "object is awaiting reconciliation"
    awaited = _condition("Launched", "Unknown", at, "AwaitingReconciliation", message)
    _tell_refusal(objects, claim, machines.pool.node.gpu_type)
    claim = objects.delete(rtype, claim, {}, Write("karpenter", at))
    claim = objects.write_status(rtype, claim, {"conditions": [awaited]})
    bare = {key: value for key, value in claim["metadata"].items() if key != "finalizers"}
    objects.write(rtype, {**claim, "metadata": bare})


def _tell_refusal(objects: Objects, claim: Obj, gpu_type: str) -> None:
    meta, at = claim["metadata"], objects.now()
    why = f"insufficient capacity, no {gpu_type} capacity is available in any zone"
    about = {"apiVersion": claim["apiVersion"], "kind": claim["kind"]}
    event = objects.born(
        EVENTS,
        EVENTS_NAMESPACE,
        f"{meta['name']}.{meta['uid'][:8]}",
        involvedObject=about | {"name": meta["name"], "uid": meta["uid"]},
        type="Warning",
        reason="InsufficientCapacityError",
        message=f"NodeClaim {meta['name']} event: {why}",
        source={"component": "karpenter"},
        count=1,
        firstTimestamp=at,
        lastTimestamp=at,
    )
    objects.write(EVENTS, event)


def _claim(machines: Machines, machine: Machine) -> Obj:
    asked, due = rfc3339(machine.asked_s), rfc3339(machine.due_s)
    amounts = {machines.pool.node.resource: str(machines.pool.node.gpus)}
    arrived = ("True", due) if machine.is_there else ("Unknown", asked)
    status: Obj = {
        "capacity": amounts,
        "allocatable": amounts,
        "providerID": f"lab:///{machine.name}",
        "conditions": [
            _condition("Launched", "True", asked, "Launched"),
            *(_condition(kind, *arrived, kind) for kind in ("Registered", "Initialized", "Ready")),
        ],
    }
    return {**status, "nodeName": machine.name} if machine.is_there else status


def _condition(kind: str, status: str, at: str, reason: str, message: str = "") -> Obj:
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": at,
        "reason": reason,
        "message": message,
    }


def publish_pool(objects: Objects, rtype: ResourceType, pool: Obj, machines: Machines) -> None:
    """Write what the nodes of a pool have together."""
    total = len(machines.all) * machines.pool.node.gpus
    before = (pool.get("status") or {}).get("conditions")
    ready = before or [_condition("Ready", "True", objects.now(), "Ready")]
    status = {"resources": {machines.pool.node.resource: str(total)}, "conditions": ready}
    objects.write_status(rtype, pool, status)


def publish_groups(
    objects: Objects, rtype: ResourceType, groups: Sequence[Machines], form: str
) -> None:
    """Write the Cluster Autoscaler's status, where it says something new.

    Args:
        objects: Of the cluster.
        rtype: ConfigMaps.
        groups: All of them; each has looked what it does.
        form: `yaml` or `text`.
    """
    say = _text_of if form == TEXT_FORM else _yaml_of
    status = say(groups)
    old = objects.store.get(rtype, STATUS_NAMESPACE, STATUS_NAME)
    if old is None:
        born = objects.born(rtype, STATUS_NAMESPACE, STATUS_NAME, data={"status": status})
        objects.write(rtype, born)
    elif old.get("data") != {"status": status}:
        objects.write(rtype, {**old, "data": {"status": status}})


def _yaml_of(groups: Sequence[Machines]) -> str:
    return yaml.safe_dump(
        {
            "autoscalerStatus": "Running",
            "clusterWide": {"health": {"status": "Healthy"}},
            "nodeGroups": [_group(each) for each in groups],
        },
        sort_keys=False,
    )


def _group(machines: Machines) -> Obj:
    ready = sum(each.is_there for each in machines.all)
    registered = {"total": ready, "ready": ready, "notStarted": 0}
    said = machines.scale_up
    assert said is not None, "a group has looked what it does"
    scale_up: Obj = {"status": said.status, "lastTransitionTime": rfc3339(said.since_s)}
    if said.status == "Backoff":
        scale_up["backoffInfo"] = {
            "errorCode": "OUT_OF_RESOURCES",
            "errorMessage": f"no capacity for {machines.pool.node.gpu_type}",
        }
    return {
        "name": machines.pool.name,
        "health": {
            "status": "Healthy",
            "nodeCounts": {"registered": registered},
            "cloudProviderTarget": len(machines.all),
            "minSize": machines.pool.least_nodes,
            "maxSize": machines.pool.most_nodes,
        },
        "scaleUp": scale_up,
        "scaleDown": {"status": "NoCandidates"},
    }


def _text_of(groups: Sequence[Machines]) -> str:
    """The form of the releases before 1.30."""
    lines = ["Cluster-autoscaler status at 2026-01-05 00:00:00 +0000 UTC:", "Cluster-wide:"]
    lines += ["  Health:      Healthy (ready=1 unready=0 registered=1)", "", "NodeGroups:"]
    for each in groups:
        ready, pool = sum(m.is_there for m in each.all), each.pool
        sizes = f"(minSize={pool.least_nodes}, maxSize={pool.most_nodes})"
        target, said = f"cloudProviderTarget={len(each.all)}", each.scale_up
        assert said is not None, "a group has looked what it does"
        since = rfc3339(said.since_s).replace("T", " ").rstrip("Z")
        lines += [
            f"  Name:        {pool.name}",
            f"  Health:      Healthy (ready={ready} unready=0 registered={ready} {target} {sizes})",
            f"  ScaleUp:     {said.status} (ready={ready} {target})",
            f"               LastTransitionTime: {since}.000000001 +0000 UTC m=+1.0",
        ]
        lines += ["  ScaleDown:   NoCandidates (candidates=0)", ""]
    return "\n".join(lines)
