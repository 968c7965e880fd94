"""Nodes that are added for pods, as Karpenter's objects tell of them."""

from __future__ import annotations

import pytest

from services.lab.cluster.nodes.definitions import definitions
from tests.contract.kubernetes_api.cluster_under_test import DEFINITIONS, ClusterUnderTest, Obj
from tests.contract.kubernetes_api.gpu_deployments import GPU, gpu_deployment

POOLS, CLAIMS = "/apis/karpenter.sh/v1/nodepools", "/apis/karpenter.sh/v1/nodeclaims"
PRODUCT = "nvidia.com/gpu.product"


@pytest.fixture
def karpenter(cluster: ClusterUnderTest) -> ClusterUnderTest:
    """The cluster with pools; a real one must have them of its own, and an empty one to use."""
    if not cluster.is_lab:
        pytest.skip("nodes of a real provider are not this suite's to order")
    for definition in definitions():
        if cluster.call("POST", DEFINITIONS, definition).status_code not in (201, 409):
            pytest.fail("the definitions of pools are refused")
    cluster.eventually(lambda: cluster.call("GET", CLAIMS).status_code == 200)
    return cluster


def add_pool(cluster: ClusterUnderTest, name: str, limit: int = 16, **annotations: str) -> None:
    given = {"node-gpus": "8", "node-startup-median": "30s", **annotations}
    metadata = {
        "name": name,
        "annotations": {f"lab.harmony.dev/{key}": value for key, value in given.items()},
    }
    requirement = {"key": PRODUCT, "operator": "In", "values": [name]}
    spec = {"template": {"spec": {"requirements": [requirement]}}, "limits": {GPU: str(limit)}}
    cluster.do("POST", POOLS, {"metadata": metadata, "spec": spec})


def deploy(cluster: ClusterUnderTest, pool: str, replicas: int) -> str:
    name = cluster.name("p")
    body = gpu_deployment(cluster, name, replicas, gpus=8)
    body["spec"]["template"]["spec"]["nodeSelector"] = {PRODUCT: pool}
    cluster.do("POST", cluster.apps("deployments"), body)
    return name


def nodes_of(cluster: ClusterUnderTest, pool: str) -> list[Obj]:
    found = cluster.do("GET", "/api/v1/nodes", labelSelector=f"karpenter.sh/nodepool={pool}")
    return list(found["items"])


def claims_of(cluster: ClusterUnderTest, pool: str) -> list[Obj]:
    found = cluster.do("GET", CLAIMS, labelSelector=f"karpenter.sh/nodepool={pool}")
    return list(found["items"])


def test_a_node_comes_for_a_pod_that_waits_and_goes_when_it_is_empty(
    karpenter: ClusterUnderTest,
) -> None:
    pool = karpenter.name("pool")
    add_pool(karpenter, pool)
    name = deploy(karpenter, pool, 1)
    karpenter.eventually(lambda: len(karpenter.ready_pods(name)) == 1)
    (node,) = nodes_of(karpenter, pool)
    (pod,) = karpenter.pods(name)
    assert pod["spec"]["nodeName"] == node["metadata"]["name"]
    assert node["metadata"]["creationTimestamp"] >= pod["metadata"]["creationTimestamp"]
    (claim,) = claims_of(karpenter, pool)
    assert claim["status"]["nodeName"] == node["metadata"]["name"]
    assert claim["status"]["capacity"][GPU] == "8"
    stored = karpenter.do("GET", f"{POOLS}/{pool}")
    assert stored["status"]["resources"][GPU] == "8"
    karpenter.do("DELETE", karpenter.apps("deployments", name))
    karpenter.eventually(lambda: not nodes_of(karpenter, pool))
    karpenter.do("DELETE", f"{POOLS}/{pool}")


def test_a_pool_keeps_its_limit(karpenter: ClusterUnderTest) -> None:
    pool = karpenter.name("pool")
    add_pool(karpenter, pool, limit=16)
    name = deploy(karpenter, pool, 3)
    karpenter.eventually(lambda: len(karpenter.ready_pods(name)) == 2)
    assert len(nodes_of(karpenter, pool)) == 2
    karpenter.do("DELETE", karpenter.apps("deployments", name))
    karpenter.do("DELETE", f"{POOLS}/{pool}")
    karpenter.eventually(lambda: not nodes_of(karpenter, pool))


def test_a_claim_without_capacity_is_deleted_and_an_event_says_why(
    karpenter: ClusterUnderTest,
) -> None:
    """As kubernetes-sigs/karpenter, pkg/controllers/nodeclaim/lifecycle, launch.go and events.go.

    The claim goes without ever saying more of `Launched` than that it is waited for, and its
    finalizer lets a watch see that it was being deleted.
    """
    pool = karpenter.name("pool")
    add_pool(karpenter, pool, **{"node-capacity": "0"})
    version = karpenter.do("GET", CLAIMS)["metadata"]["resourceVersion"]
    name = deploy(karpenter, pool, 1)
    selector = {"labelSelector": f"karpenter.sh/nodepool={pool}", "resourceVersion": version}

    def changes() -> list[Obj]:
        found = karpenter.watch(CLAIMS, **selector)
        return found if any(each["type"] == "DELETED" for each in found) else []

    seen = karpenter.eventually(changes)
    assert [seen[0]["type"], seen[-1]["type"]] == ["ADDED", "DELETED"]
    assert seen[0]["object"]["metadata"]["finalizers"] == ["karpenter.sh/termination"]
    last = seen[-1]["object"]
    assert last["metadata"]["deletionTimestamp"]
    told = [c for e in seen for c in (e["object"].get("status") or {}).get("conditions", ())]
    assert {(c["type"], c["status"], c["reason"]) for c in told} == {
        ("Launched", "Unknown", "AwaitingReconciliation")
    }
    assert claims_of(karpenter, pool) == []
    events = "/api/v1/namespaces/default/events"
    about = f"involvedObject.uid={last['metadata']['uid']}"
    (event,) = karpenter.do("GET", events, fieldSelector=about)["items"]
    assert (event["type"], event["reason"]) == ("Warning", "InsufficientCapacityError")
    begins = f"NodeClaim {last['metadata']['name']} event: insufficient capacity, "
    assert event["message"].startswith(begins)
    assert not karpenter.ready_pods(name)
    karpenter.do("DELETE", karpenter.apps("deployments", name))
    karpenter.do("DELETE", f"{POOLS}/{pool}")


def test_a_spot_node_is_told_that_it_will_go_and_goes(karpenter: ClusterUnderTest) -> None:
    pool = karpenter.name("pool")
    add_pool(karpenter, pool, **{"node-interruptions": "30"})
    name = deploy(karpenter, pool, 1)
    karpenter.eventually(lambda: len(karpenter.ready_pods(name)) == 1)
    (pod,) = karpenter.ready_pods(name)
    own = [n for n in nodes_of(karpenter, pool) if n["metadata"]["name"] == pod["spec"]["nodeName"]]
    uid = own[0]["metadata"]["uid"]

    def taints() -> set[str]:
        own = [each for each in nodes_of(karpenter, pool) if each["metadata"]["uid"] == uid]
        return {taint["key"] for each in own for taint in each["spec"].get("taints") or ()}

    karpenter.eventually(lambda: "aws-node-termination-handler/spot-itn" in taints(), 1500.0)
    assert len(karpenter.ready_pods(name)) == 1
    karpenter.eventually(  # two minutes after its notice
        lambda: uid not in {each["metadata"]["uid"] for each in nodes_of(karpenter, pool)}, 180.0
    )
    karpenter.do("DELETE", karpenter.apps("deployments", name))
    karpenter.do("DELETE", f"{POOLS}/{pool}")
    karpenter.eventually(lambda: not nodes_of(karpenter, pool))
