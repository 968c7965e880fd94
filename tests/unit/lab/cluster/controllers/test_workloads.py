"""StatefulSets, Deployments and ReplicaSets of their own."""

from __future__ import annotations

from services.lab.cluster.storage.resources import DEPLOYMENTS, PODS, REPLICA_SETS, STATEFUL_SETS
from tests.unit.lab.cluster.running_cluster import RunningCluster, condition, workload


def test_a_stateful_set_gives_up_its_highest_ordinals() -> None:
    cluster = RunningCluster()
    cluster.create(STATEFUL_SETS, "x", workload(3))
    cluster.wait(10)
    cluster.delete(PODS, "x-0")
    assert sorted(cluster.pods()) == ["x-0", "x-1", "x-2"]
    cluster.change(STATEFUL_SETS, "x", "spec.replicas", 2)
    assert sorted(cluster.pods()) == ["x-0", "x-1"]


def test_a_stateful_set_rolls_out_from_the_end_one_by_one() -> None:
    cluster = RunningCluster()
    cluster.create(STATEFUL_SETS, "x", workload(3))
    cluster.wait(10)
    before = cluster.get(STATEFUL_SETS, "x")["status"]
    assert before["currentRevision"] == before["updateRevision"]
    old = {name: pod["metadata"]["uid"] for name, pod in cluster.pods().items()}
    cluster.change(STATEFUL_SETS, "x", "spec.template.metadata.annotations", {"revision": "2"})
    status = cluster.get(STATEFUL_SETS, "x")["status"]
    assert status["currentRevision"] != status["updateRevision"]
    assert _fresh(cluster, old) == ["x-2"]
    cluster.wait(6)
    assert _fresh(cluster, old) == ["x-1", "x-2"]
    assert cluster.get(STATEFUL_SETS, "x")["status"]["updatedReplicas"] == 2
    cluster.wait(20)
    assert _fresh(cluster, old) == ["x-0", "x-1", "x-2"]
    status = cluster.get(STATEFUL_SETS, "x")["status"]
    assert status["currentRevision"] == status["updateRevision"] != before["updateRevision"]
    assert status["readyReplicas"] == status["updatedReplicas"] == 3


def _fresh(cluster: RunningCluster, old: dict[str, str]) -> list[str]:
    return sorted(n for n, pod in cluster.pods().items() if pod["metadata"]["uid"] != old[n])


def test_scaling_is_no_progress_of_a_deployment_but_a_new_template_is() -> None:
    cluster = RunningCluster()
    cluster.create(DEPLOYMENTS, "x", workload(2))
    assert _progress(cluster) == "ReplicaSetUpdated"
    cluster.wait(10)
    assert _progress(cluster) == "NewReplicaSetAvailable"
    cluster.change(DEPLOYMENTS, "x", "spec.replicas", 4)
    assert _progress(cluster) == "NewReplicaSetAvailable"
    cluster.wait(10)
    cluster.change(DEPLOYMENTS, "x", "spec.template.metadata.annotations", {"revision": "2"})
    assert _progress(cluster) == "ReplicaSetUpdated"
    status = cluster.get(DEPLOYMENTS, "x")["status"]
    assert status["updatedReplicas"] < status["replicas"]
    cluster.wait(60)
    assert _progress(cluster) == "NewReplicaSetAvailable"


def _progress(cluster: RunningCluster) -> str:
    return str(condition(cluster.get(DEPLOYMENTS, "x"), "Progressing")["reason"])


def test_a_replica_set_of_its_own_has_pods() -> None:
    cluster = RunningCluster()
    made = cluster.create(REPLICA_SETS, "x", workload(2))
    cluster.wait(10)
    assert cluster.get(REPLICA_SETS, "x")["status"]["readyReplicas"] == 2
    owners = {pod["metadata"]["ownerReferences"][0]["uid"] for pod in cluster.pods().values()}
    assert owners == {made["metadata"]["uid"]}
    cluster.change(REPLICA_SETS, "x", "spec.replicas", 1)
    assert len(cluster.pods()) == 1
    cluster.delete(REPLICA_SETS, "x")
    assert cluster.pods() == {}
