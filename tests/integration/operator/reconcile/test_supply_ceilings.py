"""A stated ceiling holds, whatever is known of the nodes that pods stand on or wait for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.lab.cluster.nodes.definitions import definitions
from services.operator.kube.client import KubeClient
from tests.integration.operator.conftest import GROUP_PATH, Bench
from tests.integration.operator.reconcile.chain import Chain
from tests.integration.operator.resource.test_rights import act_as, without

pytestmark = pytest.mark.integration

POOLS = "/apis/karpenter.sh/v1/nodepools"
BUDGETS = f"{GROUP_PATH}/gpubudgets"
GPU = "nvidia.com/gpu"
BY_GPU = ("karpenter.k8s.aws/instance-gpu-name", "h100")
BY_INSTANCE = ("node.kubernetes.io/instance-type", "p5.48xlarge")


@pytest.fixture
def karpenter(bench: Bench) -> Iterator[Bench]:
    """An operator that looks for what adds nodes."""
    for definition in definitions():
        bench.lab.define(definition)
    bench.deps.settings.operator_supply = True
    yield bench
    for path in (POOLS, BUDGETS, deployments(bench)):
        bench.lab.http.delete(path)
    # a pool takes its nodes with it when the autoscaler looks next
    bench.lab.advance(bench.lab.now() + timedelta(seconds=20))


def deployments(bench: Bench) -> str:
    return f"/apis/apps/v1/namespaces/{bench.lab.namespace}/deployments"


def add_pool(
    bench: Bench,
    requirement: tuple[str, str],
    after: str = "0s",
    limit: str = "400",
    **annotations: str,
) -> None:
    """A NodePool whose nodes of eight GPUs come within a minute, and go once they are empty."""
    key, value = requirement
    given = {"node-gpus": "8", "node-startup-median": "50s", **annotations}
    template = {"spec": {"requirements": [{"key": key, "operator": "In", "values": [value]}]}}
    spec: dict[str, Any] = {"template": template, "limits": {"nvidia.com/gpu": limit}}
    spec["disruption"] = {"consolidateAfter": after}
    metadata = {
        "name": "pool",
        "annotations": {f"lab.harmony.dev/{name}": each for name, each in given.items()},
    }
    bench.lab.post(POOLS, {"metadata": metadata, "spec": spec})


def deploy(bench: Bench, name: str, replicas: int) -> None:
    """Pods of eight GPUs each on nodes of the pool, which select no product."""
    labels = {"app": name}
    limits = {"limits": {"nvidia.com/gpu": "8"}}
    container = {"name": "server", "image": "example.test/llm:1", "resources": limits}
    annotations = {"lab.harmony.dev/startup-median": "20s", "lab.harmony.dev/start-warm": "true"}
    template = {
        "metadata": {"labels": labels, "annotations": annotations},
        "spec": {"nodeSelector": {"karpenter.sh/nodepool": "pool"}, "containers": [container]},
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    bench.lab.post(deployments(bench), {"metadata": {"name": name}, "spec": spec})


def allow(bench: Bench, gpu_type: str, **supply: Any) -> None:
    spec = {"gpuType": gpu_type, "gpus": 1000} | ({"supply": supply} if supply else {})
    bench.lab.post(BUDGETS, {"metadata": {"name": "budget"}, "spec": spec})


def asked_gpus(bench: Bench, *names: str) -> int:
    """GPUs that the pods of these deployments ask for, those being deleted left out."""
    pods = [pod for name in names for pod in bench.lab.pods(name)]
    return 8 * len([pod for pod in pods if "deletionTimestamp" not in pod["metadata"]])


def provisioned(bench: Bench) -> dict[str, Any]:
    status = bench.lab.http.get(f"{BUDGETS}/budget").json()["status"]
    return next(dict(c) for c in status["conditions"] if c["type"] == "Provisioned")


@pytest.mark.slow
@pytest.mark.parametrize("requirement", [BY_GPU, BY_INSTANCE])
def test_pods_of_others_count_on_nodes_that_no_discovery_has_labelled(
    karpenter: Bench, requirement: tuple[str, str]
) -> None:
    """As on EKS with the bare device plugin: the provider tells the product, or nobody does."""
    add_pool(karpenter, requirement)
    deploy(karpenter, "others", replicas=2)
    deploy(karpenter, "llama", replicas=1)
    allow(karpenter, "H100", mode="provisioned", ceiling=32)
    karpenter.lab.autoscale("llama", gpusPerReplica=8, maxReplicas=60)
    chain = Chain(karpenter)
    most = 0
    for n in range(12):
        chain.step(10.0 * (0.5 + n))
        most = max(most, asked_gpus(karpenter, "others", "llama"))
    assert most == 32


def test_idle_gpus_count_on_nodes_that_the_provider_alone_labels(karpenter: Bench) -> None:
    """Pods that go leave GPUs free, which are on no node that is still to come."""
    add_pool(karpenter, BY_GPU, after="Never")
    deploy(karpenter, "others", replicas=2)
    deploy(karpenter, "llama", replicas=1)
    allow(karpenter, "H100")
    karpenter.lab.autoscale("llama", gpusPerReplica=8, maxReplicas=60)
    for _ in range(2):
        karpenter.step()
    karpenter.lab.http.delete(f"{deployments(karpenter)}/others")
    karpenter.step()
    state = max(karpenter.rows("replica_states"), key=lambda row: row["observed_at"])
    status = karpenter.lab.http.get(f"{BUDGETS}/budget").json()["status"]["supply"]
    assert status["nodeGpus"] == 16 + 24
    assert state["schedulable_gpus"] - state["new_node_gpus"] == 16


def test_a_ceiling_holds_where_nothing_tells_what_a_pool_has(karpenter: Bench) -> None:
    """In the default mode no pod is known to wait in vain: the ceiling alone holds them back."""
    add_pool(karpenter, BY_INSTANCE)
    deploy(karpenter, "llama", replicas=1)
    allow(karpenter, "B200", ceiling=16)
    karpenter.lab.autoscale("llama", gpusPerReplica=8, maxReplicas=8, gpuType="B200")
    chain = Chain(karpenter)
    for _ in range(4):
        chain.step(60.0)
    assert asked_gpus(karpenter, "llama") == 16
    found = provisioned(karpenter)
    assert (found["status"], found["reason"]) == ("False", "ProductUnknown")
    assert "NodePool/pool" in found["message"]
    assert "no more than spec.supply.ceiling=16 is asked for" in found["message"]
    limited = karpenter.lab.condition("llama", "ScalingLimited")
    assert (limited["status"], limited["reason"]) == ("True", "SupplyCeiling")
    karpenter.decide("llama", 6, current_replicas=2)
    karpenter.reconcile()
    assert karpenter.lab.replicas("llama") == 2
    last = max(karpenter.rows("actions"), key=lambda row: row["id"])
    assert "pods may ask for 16 GPUs of B200 together" in last["reason"]


def test_a_product_that_a_node_told_is_known_when_the_node_is_gone(karpenter: Bench) -> None:
    add_pool(karpenter, BY_INSTANCE, **{"node-product": "NVIDIA-B200"})
    deploy(karpenter, "llama", replicas=1)
    allow(karpenter, "B200")
    karpenter.lab.autoscale("llama", gpusPerReplica=8, maxReplicas=8, gpuType="B200")
    karpenter.reconcile()
    assert provisioned(karpenter)["reason"] == "ProductUnknown"
    for _ in range(2):
        karpenter.step()
    assert provisioned(karpenter)["reason"] == "Detected"
    karpenter.lab.http.delete(f"{deployments(karpenter)}/llama")
    for _ in range(3):
        karpenter.step()
    supply = karpenter.lab.http.get(f"{BUDGETS}/budget").json()["status"]["supply"]
    assert (supply["mode"], supply["ceiling"], supply["nodeGpus"]) == ("provisioned", 400, 0)


def test_what_is_free_on_nodes_of_an_unknown_product_is_not_zero(karpenter: Bench) -> None:
    """Nobody can tell how much of the room is on new nodes; the ceiling holds all the same."""
    add_pool(karpenter, BY_INSTANCE)
    deploy(karpenter, "others", replicas=1)
    deploy(karpenter, "llama", replicas=1)
    allow(karpenter, "B200", mode="provisioned", ceiling=40)
    karpenter.lab.autoscale("llama", gpusPerReplica=8, maxReplicas=8, gpuType="B200")
    karpenter.reconcile()
    before = max(karpenter.rows("replica_states"), key=lambda row: row["observed_at"])
    for _ in range(2):
        karpenter.step()
    after = max(karpenter.rows("replica_states"), key=lambda row: row["observed_at"])
    waiting, beyond = 8, 40 - 16
    assert (before["schedulable_gpus"], before["new_node_gpus"]) == (beyond + waiting,) * 2
    assert (after["schedulable_gpus"], after["new_node_gpus"]) == (beyond, None)


def test_pods_that_wait_for_another_type_use_nothing_of_the_ceiling(karpenter: Bench) -> None:
    """They select a pool, as users of Karpenter do, and their GPUAutoscaler tells their type."""
    karpenter.lab.deploy("llama", replicas=2, gpus=4)
    karpenter.lab.autoscale("llama", gpusPerReplica=4)
    deploy(karpenter, "small", replicas=2)
    allow(karpenter, "H100", mode="provisioned", ceiling=24)
    karpenter.step()
    supply = karpenter.lab.http.get(f"{BUDGETS}/budget").json()["status"]["supply"]
    assert supply["askedGpus"] == 8 + 16  # nobody tells what they wait for
    karpenter.lab.autoscale("small", gpuType="L4", gpusPerReplica=8)
    karpenter.step()
    supply = karpenter.lab.http.get(f"{BUDGETS}/budget").json()["status"]["supply"]
    assert supply["askedGpus"] == 8
    karpenter.decide("llama", 4)
    karpenter.reconcile()
    assert karpenter.lab.replicas("llama") == 4


def test_a_quota_leaves_free_gpus_before_those_of_nodes_to_come(karpenter: Bench) -> None:
    """Eight are free and the quota leaves eight: the next start needs no new node."""
    karpenter.lab.deploy("llama", replicas=2, gpus=4)
    karpenter.lab.autoscale("llama", gpusPerReplica=4)
    allow(karpenter, "H100", mode="provisioned", ceiling=1000)
    quota = {"metadata": {"name": "team"}, "spec": {"hard": {"requests.nvidia.com/gpu": "16"}}}
    namespace = karpenter.lab.namespace
    karpenter.lab.post(f"/api/v1/namespaces/{namespace}/resourcequotas", quota)
    karpenter.step()
    state = max(karpenter.rows("replica_states"), key=lambda row: row["observed_at"])
    assert (state["schedulable_gpus"], state["new_node_gpus"]) == (8, 0)


@pytest.mark.parametrize("ceiling", [12, 1000])
def test_a_ceiling_below_what_is_free_leaves_warm_gpus_in_proportion(
    karpenter: Bench, ceiling: int
) -> None:
    """Eight GPUs are free, all of them on nodes that have the image."""
    karpenter.lab.deploy("llama", replicas=2, gpus=4)
    karpenter.lab.deploy("everywhere", replicas=2, gpus=4)
    karpenter.lab.autoscale("llama", gpusPerReplica=4)
    allow(karpenter, "H100", mode="provisioned", ceiling=ceiling)
    for _ in range(3):
        karpenter.step()
    karpenter.lab.http.delete(f"{deployments(karpenter)}/everywhere")
    karpenter.step()
    state = max(karpenter.rows("replica_states"), key=lambda row: row["observed_at"])
    free = state["schedulable_gpus"] - state["new_node_gpus"]
    assert free == min(8, ceiling - 8)
    assert state["warm_gpus"] == free


def test_pods_of_others_count_where_nodes_may_not_be_listed(karpenter: Bench) -> None:
    karpenter.lab.deploy("others", replicas=1, gpus=8)
    karpenter.lab.deploy("llama", replicas=1, gpus=8)
    allow(karpenter, "H100", mode="provisioned", ceiling=24)
    karpenter.lab.autoscale("llama", gpusPerReplica=8, maxReplicas=8)
    karpenter.step()
    http = act_as(karpenter, without("nodes", "list", "watch"))
    karpenter.deps = replace(karpenter.deps, kube=KubeClient(http))
    karpenter.step()
    supply = karpenter.lab.http.get(f"{BUDGETS}/budget").json()["status"]["supply"]
    assert (supply["nodeGpus"], supply["askedGpus"]) == (0, 16)


def rise_unlisted(bench: Bench, limit: str, **supply: Any) -> dict[str, Any]:
    """From one replica of eight GPUs, on a node beside a pool, to four; no node may be listed.

    Returns:
        The state that the increase was decided on.
    """
    add_pool(bench, BY_GPU, limit=limit)
    bench.lab.deploy("llama", replicas=1, gpus=8)
    allow(bench, "H100", **supply)
    bench.lab.autoscale("llama", gpusPerReplica=8, maxReplicas=8)
    http = act_as(bench, without("nodes", "list", "watch"))
    bench.deps = replace(bench.deps, kube=KubeClient(http))
    bench.step()
    state = max(bench.rows("replica_states"), key=lambda row: row["observed_at"])
    bench.decide("llama", 4, current_replicas=1)
    bench.reconcile()
    return state


@pytest.mark.parametrize("limit", ["8", "400"])
def test_the_limit_of_a_pool_is_no_ceiling_where_nodes_may_not_be_listed(
    karpenter: Bench, limit: str
) -> None:
    """Nobody knows what stands on nodes beside the pool, so what it leaves is unknown, not zero."""
    state = rise_unlisted(karpenter, limit)
    assert karpenter.lab.replicas("llama") == 4
    found = provisioned(karpenter)
    assert (found["status"], found["reason"]) == ("False", "SupplyUnreadable")
    assert "NodePool/pool" in found["message"]
    assert "grant the operator list and watch on nodes" in found["message"]
    room = karpenter.lab.condition("llama", "RoomUnknown")
    assert (room["status"], room["reason"]) == ("True", "NodesUnknown")
    assert (state["schedulable_gpus"], state["new_node_gpus"]) == (None, None)


@pytest.mark.parametrize("limit", ["8", "400"])
def test_a_stated_ceiling_alone_holds_where_nodes_may_not_be_listed(
    karpenter: Bench, limit: str
) -> None:
    state = rise_unlisted(karpenter, limit, ceiling=24)
    assert karpenter.lab.replicas("llama") == 3
    assert provisioned(karpenter)["reason"] == "CeilingSet"
    assert state["schedulable_gpus"] == 16


def test_a_node_that_is_on_its_way_counts_once(karpenter: Bench) -> None:
    """Of 32 GPUs that a pool may have its limit no longer leaves those that it was given."""
    add_pool(karpenter, BY_GPU, after="Never", limit="32", **{"node-startup-median": "400s"})
    deploy(karpenter, "llama", replicas=1)
    allow(karpenter, "H100")
    karpenter.lab.autoscale("llama", gpusPerReplica=8, maxReplicas=60)
    seen = []
    for _ in range(12):
        karpenter.step()
        state = max(karpenter.rows("replica_states"), key=lambda row: row["observed_at"])
        used = karpenter.lab.http.get(f"{POOLS}/pool").json()["status"]["resources"]
        waits = 8 * state["pending_replicas"]
        free = state["schedulable_gpus"] - state["new_node_gpus"]
        seen.append((used[GPU], waits, free, state["new_node_gpus"] - waits))
    # the node comes for the pod that waits, and three more may
    assert set(seen) == {("8", 8, 0, 24), ("8", 0, 0, 24)}
