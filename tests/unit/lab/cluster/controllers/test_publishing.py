"""What the engine's pods do, as clients read it: pods, ReplicaSets, statuses, Events."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.controllers.publishing import owner_reference
from services.lab.cluster.storage.resources import (
    DEPLOYMENTS,
    EVENTS,
    NODES,
    PODS,
    REPLICA_SETS,
    RESOURCE_QUOTAS,
    STATEFUL_SETS,
    Obj,
    ResourceType,
)
from services.simulator.engine.specs import NodeSpec
from tests.unit.lab.cluster.running_cluster import RunningCluster, condition, is_ready, workload

NOTES = {"note": "kept"}


def replica_sets(cluster: RunningCluster) -> list[Obj]:
    return [stored.obj for stored in cluster.store.each(REPLICA_SETS)]


def only_pod(cluster: RunningCluster) -> Obj:
    (pod,) = cluster.pods().values()
    return pod


def annotated(replicas: int, **pod: Any) -> Obj:
    spec = workload(replicas, **pod)
    spec["template"]["metadata"]["annotations"] = dict(NOTES)
    return spec


def test_a_reference_names_the_owner_and_that_it_controls() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "x", "uid": "u"}}
    assert owner_reference(owner) == {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "x",
        "uid": "u",
        "controller": True,
        "blockOwnerDeletion": True,
    }


def test_a_deployments_revision_is_a_replica_set_that_selects_its_pods() -> None:
    cluster = RunningCluster()
    made = cluster.create(DEPLOYMENTS, "x", annotated(2))
    (found,) = replica_sets(cluster)
    meta = found["metadata"]
    labels = meta["labels"]
    assert set(labels) == {"app", "pod-template-hash"}
    assert meta["name"] == f"x-{labels['pod-template-hash']}"
    assert meta["annotations"] == {"deployment.kubernetes.io/revision": "1"}
    assert meta["ownerReferences"] == [owner_reference(made)]
    assert found["spec"]["replicas"] == 2
    assert found["spec"]["selector"] == {"matchLabels": labels}
    assert found["spec"]["template"]["metadata"] == {"labels": labels, "annotations": NOTES}
    for name, pod in cluster.pods().items():
        assert pod["metadata"]["labels"] == labels
        assert pod["metadata"]["annotations"] == NOTES
        assert pod["metadata"]["ownerReferences"] == [owner_reference(found)]
        assert pod["metadata"]["generateName"] == f"{meta['name']}-"
        assert name.startswith(f"{meta['name']}-")


def test_sizes_of_replica_sets_count_as_new_specifications() -> None:
    cluster = RunningCluster()
    cluster.create(DEPLOYMENTS, "x", workload(2))
    before = replica_sets(cluster)[0]["metadata"]["generation"]
    cluster.wait(10)
    assert replica_sets(cluster)[0]["metadata"]["generation"] == before
    cluster.change(DEPLOYMENTS, "x", "spec.replicas", 3)
    (found,) = replica_sets(cluster)
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (3, before + 1)
    assert found["status"]["observedGeneration"] == before + 1


def test_pods_of_a_stateful_set_are_numbered_and_know_it() -> None:
    cluster = RunningCluster()
    cluster.create(STATEFUL_SETS, "x", workload(2))
    revision = cluster.get(STATEFUL_SETS, "x")["status"]["updateRevision"]
    assert sorted(cluster.pods()) == ["x-0", "x-1"]
    for name, pod in cluster.pods().items():
        assert "generateName" not in pod["metadata"]
        assert pod["metadata"]["labels"] == {
            "app": "x",
            "controller-revision-hash": revision,
            "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": name[-1],
        }
    cluster.delete(PODS, "x-0")
    assert sorted(cluster.pods()) == ["x-0", "x-1"]


def test_pods_of_a_replica_set_of_its_own_have_the_labels_of_the_template() -> None:
    cluster = RunningCluster()
    made = cluster.create(REPLICA_SETS, "x", workload(1))
    meta = only_pod(cluster)["metadata"]
    assert meta["labels"] == {"app": "x"}
    assert meta["ownerReferences"] == [owner_reference(made)]
    assert "annotations" not in meta


def test_a_pod_is_placed_then_ready_and_its_owners_count_it() -> None:
    cluster = RunningCluster()
    cluster.create(DEPLOYMENTS, "x", workload(1))
    born = cluster.cluster.now()
    pod = only_pod(cluster)
    assert pod["spec"]["nodeName"] == "h0"
    assert pod["metadata"]["creationTimestamp"] == born
    assert not is_ready(pod)
    cluster.wait(10)
    assert is_ready(only_pod(cluster))
    for found in (*replica_sets(cluster), cluster.get(DEPLOYMENTS, "x")):
        assert found["status"]["readyReplicas"] == 1
    cluster.change(DEPLOYMENTS, "x", "spec.replicas", 0)
    assert cluster.pods() == {}
    for found in (*replica_sets(cluster), cluster.get(DEPLOYMENTS, "x")):
        assert "readyReplicas" not in found["status"]


def test_a_pod_that_fits_nowhere_says_why_node_by_node() -> None:
    cluster = RunningCluster(NodeSpec("a", "H100", 1), NodeSpec("b", "A100", 8))
    spec = workload(2, nodeSelector={"nvidia.com/gpu.product": "H100"})
    cluster.create(DEPLOYMENTS, "x", spec)
    waiting = [pod for pod in cluster.pods().values() if "nodeName" not in pod["spec"]]
    assert len(waiting) == 1
    found = condition(waiting[0], "PodScheduled")
    assert waiting[0]["status"]["phase"] == "Pending"
    assert (found["status"], found["reason"]) == ("False", "Unschedulable")
    assert found["message"] == (
        "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, "
        "1 node(s) didn't match Pod's node affinity/selector."
    )


def test_a_taint_that_repels_is_a_reason_too() -> None:
    cluster = RunningCluster()
    body = cluster.store.get(NODES, "", "h0")
    assert body is not None
    taint = {"key": "dedicated", "value": "train", "effect": "NoSchedule"}
    cluster.change(NODES, "h0", "spec.taints", [taint])
    cluster.create(DEPLOYMENTS, "x", workload(1))
    message = condition(only_pod(cluster), "PodScheduled")["message"]
    assert message == "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: train}."


def quota(cluster: RunningCluster, gpus: int) -> None:
    cluster.create(RESOURCE_QUOTAS, "q", {"hard": {"requests.nvidia.com/gpu": str(gpus)}})


@pytest.mark.parametrize("rtype", [DEPLOYMENTS, REPLICA_SETS], ids=["deployment", "replica set"])
def test_pods_that_a_quota_refuses_are_told_in_status_and_event(rtype: ResourceType) -> None:
    cluster = RunningCluster()
    quota(cluster, 1)
    cluster.create(rtype, "x", workload(2))
    assert len(cluster.pods()) == 1
    found = condition(cluster.get(rtype, "x"), "ReplicaFailure")
    assert (found["status"], found["reason"]) == ("True", "FailedCreate")
    owner = replica_sets(cluster)[0]
    assert condition(owner, "ReplicaFailure")["message"] == found["message"]
    events = [s.obj for s in cluster.store.each(EVENTS) if s.obj["reason"] == "FailedCreate"]
    assert len(events) == 1
    assert events[0]["message"] == f"Error creating: {found['message']}"
    assert events[0]["type"] == "Warning"
    assert events[0]["source"] == {"component": "replicaset-controller"}
    about = events[0]["involvedObject"]
    assert (about["kind"], about["uid"]) == ("ReplicaSet", owner["metadata"]["uid"])
    assert events[0]["firstTimestamp"] == events[0]["lastTimestamp"] == cluster.cluster.now()


def test_a_roll_out_runs_out_of_time_with_nothing_else_happening() -> None:
    cluster = RunningCluster(NodeSpec("a", "H100", 1))
    cluster.create(DEPLOYMENTS, "x", {**workload(2), "progressDeadlineSeconds": 60})
    cluster.wait(30)
    assert _progress(cluster) == "ReplicaSetUpdated"
    cluster.wait(100)
    assert _progress(cluster) == "ProgressDeadlineExceeded"


def _progress(cluster: RunningCluster) -> str:
    return str(condition(cluster.get(DEPLOYMENTS, "x"), "Progressing")["reason"])


def test_a_deployment_that_is_gone_is_told_of_no_more() -> None:
    cluster = RunningCluster(NodeSpec("a", "H100", 1))
    cluster.create(DEPLOYMENTS, "x", {**workload(2), "progressDeadlineSeconds": 60})
    cluster.delete(DEPLOYMENTS, "x")
    cluster.wait(100)
    assert cluster.pods() == {}
    assert replica_sets(cluster) == []
    assert cluster.store.get(DEPLOYMENTS, "default", "x") is None
