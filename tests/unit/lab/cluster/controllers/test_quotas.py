"""A quota on GPUs refuses pods, not what makes them, and says so."""

from __future__ import annotations

from services.lab.cluster.storage.resources import DEPLOYMENTS, REPLICA_SETS, RESOURCE_QUOTAS
from services.simulator.engine.specs import NodeSpec
from tests.unit.lab.cluster.running_cluster import RunningCluster, condition, workload

HARD = {"hard": {"requests.nvidia.com/gpu": "3"}}


def test_pods_above_the_quota_are_refused_and_made_when_it_grows() -> None:
    cluster = RunningCluster()
    cluster.create(RESOURCE_QUOTAS, "gpus", HARD)
    cluster.create(DEPLOYMENTS, "x", workload(4))
    cluster.wait(10)
    assert len(cluster.pods()) == 3
    deployment = cluster.get(DEPLOYMENTS, "x")
    assert (deployment["spec"]["replicas"], deployment["status"]["replicas"]) == (4, 3)
    failure = condition(deployment, "ReplicaFailure")
    assert (failure["status"], failure["reason"]) == ("True", "FailedCreate")
    said = (
        "is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, "
        "used: requests.nvidia.com/gpu=3, limited: requests.nvidia.com/gpu=3"
    )
    assert said in failure["message"]
    (message,) = cluster.events("FailedCreate")
    assert message.startswith("Error creating: pods")
    (replica_set,) = [stored.obj for stored in cluster.store.each(REPLICA_SETS)]
    assert (replica_set["spec"]["replicas"], replica_set["status"]["replicas"]) == (4, 3)
    assert cluster.get(RESOURCE_QUOTAS, "gpus")["status"] == {
        "hard": {"requests.nvidia.com/gpu": "3"},
        "used": {"requests.nvidia.com/gpu": "3"},
    }
    cluster.change(RESOURCE_QUOTAS, "gpus", "spec.hard", {"requests.nvidia.com/gpu": "8"})
    assert len(cluster.pods()) == 4
    assert condition(cluster.get(DEPLOYMENTS, "x"), "ReplicaFailure") == {}


def test_what_one_gives_up_another_gets() -> None:
    cluster = RunningCluster()
    cluster.create(RESOURCE_QUOTAS, "gpus", HARD)
    cluster.create(DEPLOYMENTS, "x", workload(3))
    cluster.create(DEPLOYMENTS, "y", workload(2, "y"))
    assert len(cluster.pods()) == 3
    cluster.change(DEPLOYMENTS, "x", "spec.replicas", 1)
    apps = sorted(pod["metadata"]["labels"]["app"] for pod in cluster.pods().values())
    assert apps == ["x", "y", "y"]
    used = cluster.get(RESOURCE_QUOTAS, "gpus")["status"]["used"]
    assert used == {"requests.nvidia.com/gpu": "3"}


def test_pods_without_gpus_do_not_count() -> None:
    cluster = RunningCluster()
    cluster.create(RESOURCE_QUOTAS, "gpus", {"hard": {"requests.nvidia.com/gpu": "0"}})
    cluster.create(DEPLOYMENTS, "x", workload(2, gpus=0))
    assert len(cluster.pods()) == 2


def test_each_resource_has_a_quota_of_its_own() -> None:
    cluster = RunningCluster(
        NodeSpec("h0", "H100", 8), NodeSpec("m0", "MI300X", 8, resource="amd.com/gpu")
    )
    hard = {"requests.nvidia.com/gpu": "1", "requests.amd.com/gpu": "3"}
    cluster.create(RESOURCE_QUOTAS, "gpus", {"hard": hard})
    cluster.create(DEPLOYMENTS, "x", workload(2))
    amd = workload(4, "y")
    amd["template"]["spec"]["containers"][0]["resources"] = {"limits": {"amd.com/gpu": "1"}}
    cluster.create(DEPLOYMENTS, "y", amd)
    cluster.wait(10)
    apps = sorted(pod["metadata"]["labels"]["app"] for pod in cluster.pods().values())
    assert apps == ["x", "y", "y", "y"]
    assert {pod["spec"]["nodeName"] for pod in cluster.pods().values()} == {"h0", "m0"}
    assert cluster.get(RESOURCE_QUOTAS, "gpus")["status"]["used"] == hard
