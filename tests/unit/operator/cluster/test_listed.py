"""Of an object only what a pass reads is kept, and a fleet fits into memory."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import Any

import pytest

from services.lab.bench.operator import fleet
from services.operator.cluster.listed import ListedAutoscaler, ListedTarget
from services.operator.cluster.ownership import OwnedPod, Owner
from services.operator.kube.client import PATHS
from services.operator.resource import translate
from services.operator.resource.translate import stored_spec

Object = dict[str, Any]
BORN = "2026-01-05T12:00:00Z"
N_SERVICES, N_PODS = 40, 3


def metadata(name: str, uid: str, owner: tuple[str, str] | None = None, **more: Any) -> Object:
    """As the API server fills it, with what takes most of the room in a real cluster."""
    managed = [{"manager": f"m{i}", "fieldsV1": {f"f:k{j}": {} for j in range(30)}} for i in "ab"]
    found: Object = {
        "name": name,
        "namespace": "team-000",
        "uid": uid,
        "resourceVersion": "123456",
        "generation": 1,
        "creationTimestamp": BORN,
        "managedFields": managed,
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x" * 2000},
    }
    if owner is not None:
        reference = {"kind": owner[0], "uid": owner[1], "name": "o", "controller": True}
        found["ownerReferences"] = [reference]
    return found | more


def template() -> Object:
    environment = [{"name": f"E{i}", "value": f"value-{i}" * 4} for i in range(20)]
    container = {
        "name": "server",
        "image": "example.test/llm:1",
        "env": environment,
        "resources": {"limits": {"nvidia.com/gpu": "2"}},
        "volumeMounts": [{"name": "models", "mountPath": "/models"}],
    }
    return {"containers": [container], "volumes": [{"name": "models", "emptyDir": {}}]}


def pod(name: str, uid: str, owner: str, **status: Any) -> Object:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-05T12:03:00Z"}
    statuses = [{"name": "server", "image": "i", "imageID": "sha256:" + "0" * 64}]
    labels = {"app": name, "pod-template-hash": "5d8f"}
    return {
        "metadata": metadata(name, uid, ("ReplicaSet", owner), labels=labels),
        "spec": {"nodeName": "h100-001", **template()},
        "status": {
            "phase": "Running",
            "conditions": [ready],
            "containerStatuses": statuses,
            **status,
        },
    }


def scalable(name: str, uid: str, owner: tuple[str, str] | None = None, **status: Any) -> Object:
    spec = {"replicas": N_PODS, "template": {"metadata": {}, "spec": template()}}
    full = {"observedGeneration": 1, "replicas": N_PODS, "updatedReplicas": N_PODS, **status}
    return {"metadata": metadata(name, uid, owner), "spec": spec, "status": full}


def autoscaler(name: str, uid: str) -> Object:
    given = fleet.autoscaler(fleet.Name("team-000", name))
    conditions = [
        {"type": f"Condition{i}", "status": "True", "reason": "R", "message": "m" * 80}
        for i in range(10)
    ]
    return given | {"metadata": metadata(name, uid), "status": {"conditions": conditions}}


def test_a_pod_keeps_its_owner_labels_and_times() -> None:
    found = PATHS["Pod"].read(pod("p", "u1", "rs1"))
    assert isinstance(found, OwnedPod)
    assert found.owner == Owner("ReplicaSet", "rs1")
    assert (found.state.node, found.state.gpus, found.state.uid) == ("h100-001", 2, "u1")
    assert found.state.labels == {"app": "p", "pod-template-hash": "5d8f"}
    assert found.state.ready_at is not None
    assert PATHS["Pod"].read(pod("p", "u1", "rs1", phase="Succeeded")) is None


def test_an_item_of_a_list_is_of_the_kind_that_was_listed() -> None:
    """Items do not say of which kind they are; a StatefulSet's roll-out is told otherwise."""
    rolling = {"currentRevision": "a", "updateRevision": "b", "updatedReplicas": 1}
    found = PATHS["StatefulSet"].read(scalable("s", "u1", **rolling))
    assert isinstance(found, ListedTarget)
    assert found.state.rollout == "1 of 3 replicas are of the new revision"
    assert (found.state.replicas, found.owner) == (N_PODS, None)
    assert found.state.shape[0].gpus == 2


def test_an_autoscaler_says_what_is_wanted_of_it_as_it_was_written() -> None:
    given = autoscaler("llm", "u1")
    found = PATHS["GPUAutoscaler"].read(given)
    assert isinstance(found, ListedAutoscaler)
    assert found.resource["spec"] == given["spec"]
    assert translate.to_autoscaler(found.resource, {}).spec is not None
    assert found.annotations == {}


@pytest.mark.parametrize("kind", ["HorizontalPodAutoscaler", "ScaledObject"])
def test_of_another_autoscaler_what_it_wants_is_kept(kind: str) -> None:
    given = {"metadata": metadata("h", "u"), "spec": {"a": 1}, "status": {"b": 2}}
    found = PATHS[kind].read(given)
    assert found["spec"] == {"a": 1}
    assert not {"status", "managedFields"} & (found.keys() | found["metadata"].keys())


def size_of(roots: Iterable[Any]) -> int:
    """Bytes of everything that is reached, each thing once; types and code apart."""
    seen: set[int] = set()
    todo, total = list(roots), 0
    while todo:
        each = todo.pop()
        if id(each) in seen or isinstance(each, type | FunctionType | ModuleType):
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        todo += gc.get_referents(each)
    return total


def test_a_fleet_takes_little_memory() -> None:
    """Per service with three pods; unread parts of the objects, kept by mistake, would show."""
    kept: dict[str, list[Any]] = {kind: [] for kind in ("Pod", "ReplicaSet", "Deployment")}
    listed = []
    for i in range(N_SERVICES):
        name = f"llm-{i:05d}"
        for j in range(N_PODS):
            read = PATHS["Pod"].read
            kept["Pod"].append(read(pod(f"{name}-{j}", f"pod-{i}-{j}", f"rs-{i}")))
        of = ("Deployment", f"deployment-{i}")
        kept["ReplicaSet"].append(PATHS["ReplicaSet"].read(scalable(f"{name}-rs", f"rs-{i}", of)))
        kept["Deployment"].append(PATHS["Deployment"].read(scalable(name, of[1])))
        listed.append(PATHS["GPUAutoscaler"].read(autoscaler(name, f"gpua-{i}")))
    translated = [translate.to_autoscaler(each.resource, {}) for each in listed]
    stored = [stored_spec(each.spec) for each in translated]
    limits = [
        (900, kept["Pod"], N_SERVICES * N_PODS),
        (640, kept["ReplicaSet"], N_SERVICES),
        (512, kept["Deployment"], N_SERVICES),
        (3072, listed, N_SERVICES),
        (7680, [translated, stored], N_SERVICES),
        (14_336, [*kept.values(), listed, translated, stored], N_SERVICES),
    ]
    for most, what, n in limits:
        assert size_of(what) / n <= most


def unscheduled(**spec: Any) -> OwnedPod:
    resource = pod("p", "u", "rs")
    del resource["spec"]["nodeName"]
    resource["spec"] |= spec
    resource["status"] = {"phase": "Pending"}
    found = PATHS["Pod"].read(resource)
    assert isinstance(found, OwnedPod)
    return found


def test_what_a_pod_without_a_node_needs_is_kept() -> None:
    needs = unscheduled(nodeSelector={"zone": "b"}).needs
    assert needs is not None
    assert (needs.gpus, needs.selector, needs.images) == (2, (("zone", "b"),), ())
    assert unscheduled(schedulerName="volcano").needs is not None, "it takes GPUs all the same"
    assert PATHS["Pod"].read(pod("p", "u", "rs")).needs is None


@pytest.mark.parametrize(
    "spec",
    [
        {"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]},
        {"priority": -10},
        {"containers": [{"name": "no-gpus"}]},
    ],
)
def test_a_pod_that_comes_last_or_waits_for_no_gpus_needs_none(spec: dict[str, Any]) -> None:
    assert unscheduled(**spec).needs is None
