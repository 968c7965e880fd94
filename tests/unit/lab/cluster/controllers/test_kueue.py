"""Pods of a queue are held until there is quota for them, and say so as Kueue's do."""

from __future__ import annotations

import pytest

from services.lab.cluster.storage.objects import Write
from services.lab.cluster.storage.resources import DEPLOYMENTS
from tests.unit.lab.cluster.controllers.queued import QueuedCluster, quota_group
from tests.unit.lab.cluster.running_cluster import (
    RunningCluster,
    condition,
    is_ready,
    workload,
)


@pytest.fixture(params=["v1beta2", "v1beta1"])
def cluster(request: pytest.FixtureRequest) -> QueuedCluster:
    return QueuedCluster(request.param)


def test_pods_beyond_the_quota_are_held_and_let_go_when_it_grows(cluster: QueuedCluster) -> None:
    cluster.add_queue("team-a", 2)
    cluster.deploy("team-a", 4)
    cluster.wait(10)
    assert len([pod for pod in cluster.pods().values() if is_ready(pod)]) == 2
    first, second = cluster.held()
    for pod in (first, second):
        assert pod["spec"]["schedulingGates"] == [{"name": "kueue.x-k8s.io/admission"}]
        assert pod["metadata"]["labels"]["kueue.x-k8s.io/managed"] == "true"
        why = condition(pod, "PodScheduled")
        assert (why["status"], why["reason"]) == ("False", "SchedulingGated")
        assert "nodeName" not in pod["spec"]
    assert cluster.reserved("team-a") == "2"
    status = cluster.status("team-a")
    assert (status["pendingWorkloads"], status["admittedWorkloads"]) == (2, 2)
    assert cluster.status("team-a", "LocalQueue")["pendingWorkloads"] == 2
    path = "spec.resourceGroups"
    more = [quota_group(3)]
    cluster.change(cluster.types["ClusterQueue"], "team-a", path, more)
    assert len(cluster.held()) == 1


def test_what_one_gives_up_another_gets(cluster: QueuedCluster) -> None:
    cluster.add_queue("team-a", 2)
    cluster.deploy("team-a", 2)
    cluster.deploy("team-a", 1, app="y")
    cluster.wait(10)
    assert [pod["metadata"]["labels"]["app"] for pod in cluster.held()] == ["y"]
    cluster.change(DEPLOYMENTS, "x", "spec.replicas", 1)
    assert cluster.held() == []
    cluster.wait(10)
    assert all(is_ready(pod) for pod in cluster.pods().values())
    assert cluster.reserved("team-a") == "2"


def test_a_cohort_lends_what_it_does_not_use(cluster: QueuedCluster) -> None:
    cluster.add_queue("team-a", 2, cohort="all", borrowingLimit="1")
    cluster.add_queue("team-b", 4, cohort="all")
    cluster.deploy("team-a", 5)
    assert len(cluster.held()) == 2
    (flavor,) = cluster.status("team-a")["flavorsReservation"]
    assert flavor["resources"][0]["borrowed"] == "1"
    cluster.deploy("team-b", 4, app="y")
    assert len([p for p in cluster.held() if p["metadata"]["labels"]["app"] == "y"]) == 1


def test_a_pod_that_is_let_go_may_still_wait_for_a_node(cluster: QueuedCluster) -> None:
    cluster.add_queue("team-a", 16)
    cluster.deploy("team-a", 3, gpus=4)
    assert cluster.held() == []
    waiting = [pod for pod in cluster.pods().values() if "nodeName" not in pod["spec"]]
    (pod,) = waiting
    assert condition(pod, "PodScheduled")["reason"] == "Unschedulable"
    assert cluster.reserved("team-a") == "12"


def test_without_a_queue_nothing_is_let_go_until_it_is_made(cluster: QueuedCluster) -> None:
    cluster.deploy("team-a", 1)
    assert len(cluster.held()) == 1
    cluster.add_queue("team-a", 2)
    assert cluster.held() == []


def test_a_queue_without_its_flavor_or_stopped_is_not_active(cluster: QueuedCluster) -> None:
    cluster.add_queue("team-a", 2)
    cluster.change(cluster.types["ClusterQueue"], "team-a", "spec.stopPolicy", "Hold")
    cluster.deploy("team-a", 1)
    assert len(cluster.held()) == 1
    queue = cluster.get(cluster.types["ClusterQueue"], "team-a")
    assert condition(queue, "Active")["status"] == "False"
    cluster.change(cluster.types["ClusterQueue"], "team-a", "spec.stopPolicy", "None")
    assert cluster.held() == []
    cluster.delete(cluster.types["ResourceFlavor"], "h100")
    queue = cluster.get(cluster.types["ClusterQueue"], "team-a")
    assert "missing ResourceFlavor" in condition(queue, "Active")["message"]


def test_what_is_deleted_holds_no_quota(cluster: QueuedCluster) -> None:
    cluster.add_queue("team-a", 2)
    cluster.deploy("team-a", 2)
    assert cluster.reserved("team-a") == "2"
    cluster.delete(DEPLOYMENTS, "x")
    assert cluster.reserved("team-a") == "0"


def test_a_label_means_nothing_where_there_is_no_kueue() -> None:
    cluster = RunningCluster()
    spec = workload(1)
    spec["template"]["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "team-a"
    cluster.create(DEPLOYMENTS, "x", spec)
    cluster.wait(10)
    (pod,) = cluster.pods().values()
    assert is_ready(pod)


def test_the_label_of_the_deployment_counts_as_that_of_its_pods(cluster: QueuedCluster) -> None:
    cluster.add_queue("team-a", 0)
    body = {"metadata": {"name": "x", "labels": {"kueue.x-k8s.io/queue-name": "team-a"}}}
    cluster.objects.create(
        DEPLOYMENTS, "default", body | {"spec": workload(1)}, Write("test", cluster.cluster.now())
    )
    (pod,) = cluster.held()
    assert pod["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
