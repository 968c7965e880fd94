"""Kueue's queues: what the operator reads of them, and the gate of the pods that they hold.

A real server is asked where it serves the kinds; one without Kueue, or whose Kueue leaves pods
alone, is skipped by name.
"""

from __future__ import annotations

import pytest

from services.lab.cluster.controllers.kueue_definitions import GROUP, VERSIONS, definitions
from tests.contract.kubernetes_api.cluster_under_test import (
    DEFINITIONS,
    MERGE,
    ClusterUnderTest,
    Obj,
)
from tests.contract.kubernetes_api.gpu_deployments import GPU, free_gpus, gpu_deployment

LABEL = "kueue.x-k8s.io/queue-name"


@pytest.fixture
def root(cluster: ClusterUnderTest) -> str:
    """Path of the newest version of the group that is served."""
    if cluster.is_lab:
        for definition in definitions():
            assert cluster.call("POST", DEFINITIONS, definition).status_code in (201, 409)
        cluster.eventually(lambda: _serves(cluster, VERSIONS[0]))
    served = next((v for v in VERSIONS if _serves(cluster, v)), None)
    if served is None:
        pytest.skip("clusterqueues.kueue.x-k8s.io are not served")
    return f"/apis/{GROUP}/{served}"


def _serves(cluster: ClusterUnderTest, version: str) -> bool:
    answer = cluster.call("GET", f"/apis/{GROUP}/{version}")
    if answer.status_code != 200:
        return False
    return {"ClusterQueue", "LocalQueue", "ResourceFlavor"} <= {
        each["kind"] for each in answer.json()["resources"]
    }


def group(flavor: str, quota: int) -> Obj:
    resources = [{"name": GPU, "nominalQuota": str(quota)}]
    return {"coveredResources": [GPU], "flavors": [{"name": flavor, "resources": resources}]}


def add_queue(cluster: ClusterUnderTest, root: str, name: str, quota: int) -> None:
    """A flavor, a ClusterQueue and a LocalQueue of one name."""
    cluster.do("POST", f"{root}/resourceflavors", {"metadata": {"name": name}, "spec": {}})
    spec = {"namespaceSelector": {}, "resourceGroups": [group(name, quota)]}
    cluster.do("POST", f"{root}/clusterqueues", {"metadata": {"name": name}, "spec": spec})
    body = {"metadata": {"name": name}, "spec": {"clusterQueue": name}}
    cluster.do("POST", f"{root}/namespaces/{cluster.namespace}/localqueues", body)


def remove_queue(cluster: ClusterUnderTest, root: str, name: str) -> None:
    cluster.do("DELETE", f"{root}/namespaces/{cluster.namespace}/localqueues/{name}")
    cluster.do("DELETE", f"{root}/clusterqueues/{name}")
    cluster.do("DELETE", f"{root}/resourceflavors/{name}")


def is_held(pod: Obj) -> bool:
    return {"name": "kueue.x-k8s.io/admission"} in (pod["spec"].get("schedulingGates") or ())


def test_a_queue_keeps_its_quotas_and_has_a_status_of_its_own(
    cluster: ClusterUnderTest, root: str
) -> None:
    name = cluster.name("queue")
    add_queue(cluster, root, name, 2)
    path = f"{root}/clusterqueues/{name}"
    stored = cluster.do("GET", path)["spec"]["resourceGroups"][0]["flavors"][0]["resources"]
    assert stored == [{"name": GPU, "nominalQuota": "2"}]
    bad = {"spec": {"resourceGroups": [{"coveredResources": [GPU]}]}}
    cluster.refuse(422, "PATCH", path, bad, media_type=MERGE)
    remove_queue(cluster, root, name)


def test_pods_beyond_the_quota_are_held_until_it_grows(
    cluster: ClusterUnderTest, root: str
) -> None:
    if free_gpus(cluster) < 3:
        pytest.skip("the cluster has fewer than three GPUs")
    name = cluster.name("queue")
    add_queue(cluster, root, name, 2)
    body = gpu_deployment(cluster, name, 3)
    body["spec"]["template"]["metadata"]["labels"][LABEL] = name
    cluster.do("POST", cluster.apps("deployments"), body)
    cluster.eventually(lambda: len(cluster.pods(name)) == 3)
    if not cluster.is_lab and not any(is_held(pod) for pod in cluster.pods(name)):
        pytest.skip("this Kueue does not queue pods")
    cluster.eventually(lambda: len(cluster.ready_pods(name)) == 2)
    (held,) = [pod for pod in cluster.pods(name) if is_held(pod)]
    (reason,) = [c["reason"] for c in held["status"]["conditions"] if c["type"] == "PodScheduled"]
    assert reason == "SchedulingGated"
    path = f"{root}/clusterqueues/{name}"

    def reserved() -> str:
        flavors = (cluster.do("GET", path).get("status") or {}).get("flavorsReservation") or [{}]
        return str(((flavors[0].get("resources") or [{}])[0]).get("total"))

    cluster.eventually(lambda: reserved() == "2")
    more = {"spec": {"resourceGroups": [group(name, 3)]}}
    cluster.do("PATCH", path, more, media_type=MERGE)
    cluster.eventually(lambda: len(cluster.ready_pods(name)) == 3)
    assert not any(is_held(pod) for pod in cluster.pods(name))
    cluster.do("DELETE", cluster.apps("deployments", name))
    cluster.eventually(lambda: not cluster.pods(name))
    cluster.eventually(lambda: reserved() == "0")
    remove_queue(cluster, root, name)
