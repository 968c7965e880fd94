"""Accelerators of others than NVIDIA, and slices: room, quotas and scaling by their resource."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.integration.operator.conftest import GROUP_PATH, Bench, pod_template

pytestmark = pytest.mark.integration

AMD, AMD_LABEL, AMD_PRODUCT = (
    "amd.com/gpu",
    "amd.com/gpu.product-name",
    "AMD_Instinct_MI300X_OAM",
)
BUDGETS = f"{GROUP_PATH}/gpubudgets"
GAUDI, TAINTED = "habana.ai/gaudi", "NoSchedule"


@contextmanager
def nodes(bench: Bench, count: int, resource: str, labels: dict[str, str]) -> Iterator[None]:
    """Nodes of eight accelerators each, with the taint that keeps other pods away."""
    names = [f"{resource.replace('/', '-').replace('.', '-')}-{i}" for i in range(count)]
    for name in names:
        amounts = {"cpu": "96", "pods": "250", resource: "8"}
        taint = {"key": resource, "value": "present", "effect": TAINTED}
        body = {
            "metadata": {"name": name, "labels": labels},
            "spec": {"taints": [taint]},
            "status": {"capacity": amounts, "allocatable": amounts},
        }
        bench.lab.post("/api/v1/nodes", body)
    try:
        yield
    finally:
        for name in names:
            assert bench.lab.http.delete(f"/api/v1/nodes/{name}").status_code == 200


def deploy(bench: Bench, name: str, replicas: int, resource: str, selector: dict[str, str]) -> None:
    """A service whose pods hold two accelerators each."""
    template = pod_template(name)
    pod: dict[str, Any] = template["spec"]
    pod["nodeSelector"] = selector
    pod["containers"][0]["resources"] = {"limits": {resource: "2"}}
    # the admission of a real cluster adds it to pods (ExtendedResourceToleration)
    pod["tolerations"] = [{"key": resource, "operator": "Exists"}]
    body = {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": template,
        },
    }
    bench.lab.post(f"/apis/apps/v1/namespaces/{bench.lab.namespace}/deployments", body)


def quota(bench: Bench, resource: str, count: int) -> None:
    path = f"/api/v1/namespaces/{bench.lab.namespace}/resourcequotas"
    spec = {"hard": {f"requests.{resource}": str(count)}}
    bench.lab.post(path, {"metadata": {"name": f"q-{count}"}, "spec": spec})


def state(bench: Bench, name: str) -> dict[str, Any]:
    id_ = bench.workload_id(name)
    rows = [row for row in bench.rows("replica_states") if row["workload_id"] == id_]
    return max(rows, key=lambda row: row["observed_at"])


def test_a_service_on_amd_is_scaled_within_its_room(bench: Bench) -> None:
    with nodes(bench, 2, AMD, {AMD_LABEL: AMD_PRODUCT}):
        deploy(bench, "llama", 2, AMD, {AMD_LABEL: AMD_PRODUCT})
        bench.lab.autoscale("llama", gpuType="MI300X", gpusPerReplica=2)
        bench.reconcile()
        assert state(bench, "llama")["schedulable_gpus"] == 12
        bench.decide("llama", 8)
        bench.reconcile()
        for _ in range(3):
            bench.step()
        assert bench.lab.replicas("llama") == 8
        found = state(bench, "llama")
        assert (found["ready_replicas"], found["pending_replicas"]) == (8, 0)
        assert found["schedulable_gpus"] == 0
        bench.decide(
            "llama", 8, current_replicas=8, raw_replicas=9, binding_constraint="schedulable"
        )
        bench.reconcile()
        limited = bench.lab.condition("llama", "ScalingLimited")
        assert limited["reason"] == "InsufficientGPUs"
        assert "free MI300X GPUs" in limited["message"]


def test_a_quota_on_its_own_resource_holds(bench: Bench) -> None:
    with nodes(bench, 2, AMD, {AMD_LABEL: AMD_PRODUCT}):
        quota(bench, AMD, 6)
        quota(bench, "nvidia.com/gpu", 1)
        deploy(bench, "llama", 2, AMD, {AMD_LABEL: AMD_PRODUCT})
        bench.lab.autoscale("llama", gpuType="MI300X", gpusPerReplica=2)
        bench.reconcile()
        assert state(bench, "llama")["schedulable_gpus"] == 2, "six allowed, four used"
        bench.decide("llama", 5)
        bench.reconcile()
        for _ in range(3):
            bench.step()
        limited = bench.lab.condition("llama", "ScalingLimited")
        assert (limited["status"], limited["reason"]) == ("True", "QuotaExceeded")
        told = "5 replicas are decided, 3 are asked for: raise ResourceQuota/q-6 to allow more"
        assert limited["message"] == told
        bench.lab.scale("llama", 5)
        for _ in range(3):
            bench.step()
        limited = bench.lab.condition("llama", "ScalingLimited")
        assert (limited["status"], limited["reason"]) == ("True", "QuotaExceeded")
        assert "exceeded quota: q-6" in limited["message"]
        found = state(bench, "llama")
        assert (found["spec_replicas"], found["ready_replicas"]) == (5, 3)
        assert found["schedulable_gpus"] == 0


def test_where_no_label_names_a_product_the_resource_is_the_type(bench: Bench) -> None:
    with nodes(bench, 1, GAUDI, {}):
        deploy(bench, "llama", 1, GAUDI, {})
        bench.lab.autoscale("llama", gpuType="gaudi", gpusPerReplica=2)
        bench.lab.deploy("other", replicas=2, gpus=4)
        bench.lab.autoscale("other", gpusPerReplica=4)
        bench.reconcile()
        assert state(bench, "llama")["schedulable_gpus"] == 6
        assert state(bench, "other")["schedulable_gpus"] == 8, "Gaudis hold no H100"


def test_nodes_that_are_sliced_alike_are_no_room_for_whole_gpus(bench: Bench) -> None:
    """MIG's single strategy: the resource is that of whole GPUs, and the product says the slice."""
    sliced = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"}
    with nodes(bench, 1, "nvidia.com/gpu", sliced):
        deploy(bench, "small", 1, "nvidia.com/gpu", sliced)
        bench.lab.autoscale("small", gpuType="A100-MIG-1g.5gb", gpusPerReplica=2)
        deploy(bench, "large", 0, "nvidia.com/gpu", {})
        bench.lab.autoscale("large", gpuType="A100", gpusPerReplica=2)
        bench.reconcile()
        assert state(bench, "small")["schedulable_gpus"] == 6
        assert state(bench, "large")["schedulable_gpus"] is None, "no node has a whole A100"


def test_a_ceiling_counts_what_others_ask_of_the_same_resource(bench: Bench) -> None:
    supply = {"mode": "provisioned", "ceiling": 16}
    spec = {"gpuType": "MI300X", "gpus": 100, "supply": supply}
    with nodes(bench, 1, AMD, {AMD_LABEL: AMD_PRODUCT}):
        bench.lab.post(BUDGETS, {"metadata": {"name": "instinct"}, "spec": spec})
        try:
            deploy(bench, "llama", 2, AMD, {AMD_LABEL: AMD_PRODUCT})
            deploy(bench, "of-others", 1, AMD, {})
            bench.lab.deploy("waits-for-h100", replicas=3, gpus=8)
            bench.lab.autoscale("llama", gpuType="MI300X", gpusPerReplica=2)
            bench.reconcile()
            found = state(bench, "llama")
            assert found["schedulable_gpus"] == 10, "two are free, and eight may come"
            status = bench.lab.http.get(f"{BUDGETS}/instinct").json()["status"]
            assert (status["supply"]["nodeGpus"], status["supply"]["askedGpus"]) == (8, 6)
        finally:
            bench.lab.http.delete(BUDGETS)
