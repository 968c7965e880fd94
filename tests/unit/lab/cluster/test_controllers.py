"""What the controllers of StatefulSets, ReplicaSets and custom kinds make of their objects."""

from __future__ import annotations

from typing import Any

from services.lab.cluster.controllers.custom_workloads import CONTROLLER_ANNOTATION
from services.lab.cluster.controllers.leader_worker_sets import (
    GROUP_LABEL,
    WORKER_LABEL,
    definition,
)
from services.lab.cluster.storage.resources import DEPLOYMENTS, PODS, REPLICA_SETS, STATEFUL_SETS
from tests.unit.lab.cluster.running_cluster import (
    RunningCluster,
    condition,
    is_ready,
    template,
    workload,
)


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


def test_a_leader_worker_set_runs_groups() -> None:
    cluster = RunningCluster()
    kind = cluster.define(definition())
    group = {"size": 3, "workerTemplate": template()}
    cluster.create(kind, "x", {"replicas": 2, "leaderWorkerTemplate": group})
    pods = cluster.pods()
    assert sorted(pods) == ["x-0", "x-0-0", "x-0-1", "x-1", "x-1-0", "x-1-1"]
    labels = pods["x-1-1"]["metadata"]["labels"]
    assert (labels[GROUP_LABEL], labels[WORKER_LABEL]) == ("1", "2")
    status = cluster.get(kind, "x")["status"]
    assert (status["replicas"], status["readyReplicas"]) == (2, 0)
    cluster.wait(10)
    assert cluster.get(kind, "x")["status"]["readyReplicas"] == 2
    # eight GPUs hold two groups and two pods of a third
    cluster.change(kind, "x", "spec.replicas", 3)
    cluster.wait(10)
    assert sum(map(is_ready, cluster.pods().values())) == 8
    status = cluster.get(kind, "x")["status"]
    assert (status["replicas"], status["readyReplicas"]) == (3, 2)
    cluster.change(kind, "x", "spec.replicas", 1)
    assert sorted(cluster.pods()) == ["x-0", "x-0-0", "x-0-1"]
    cluster.delete(kind, "x")
    assert cluster.pods() == {}


def pool_definition() -> dict[str, Any]:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": anything, "status": anything},
            }
        },
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.servers",
                "statusReplicasPath": ".status.servers",
                "labelSelectorPath": ".status.selector",
            },
        },
    }
    return {
        "metadata": {
            "name": "pools.example.dev",
            "annotations": {CONTROLLER_ANNOTATION: "deployment"},
        },
        "spec": {
            "group": "example.dev",
            "scope": "Namespaced",
            "names": {"plural": "pools", "kind": "Pool"},
            "versions": [version],
        },
    }


def test_a_custom_kind_runs_a_deployment() -> None:
    cluster = RunningCluster()
    kind = cluster.define(pool_definition())
    cluster.create(kind, "x", {"servers": 2, "template": template()})
    cluster.wait(10)
    assert cluster.get(kind, "x")["status"] == {"servers": 2, "selector": "app=x"}
    cluster.change(kind, "x", "spec.servers", 3)
    assert len(cluster.pods()) == 3
    cluster.delete(kind, "x")
    assert cluster.pods() == {}
