"""Pods that ask for accelerators of others than NVIDIA, and for slices, by their resource."""

from __future__ import annotations

import pytest

from tests.contract.kubernetes_api.cluster_under_test import ClusterUnderTest, Obj
from tests.contract.kubernetes_api.gpu_deployments import OTHERS, gpu_deployment


@pytest.mark.parametrize("resource", OTHERS)
def test_pods_wait_for_the_resource_that_they_ask_for(
    cluster: ClusterUnderTest, resource: str
) -> None:
    nodes = cluster.do("GET", "/api/v1/nodes")["items"]
    if any(int(node["status"]["allocatable"].get(resource, "0")) for node in nodes):
        pytest.skip(f"the cluster has {resource}")
    name = cluster.name("p")
    body = gpu_deployment(cluster, name, 1, resource=resource)
    cluster.do("POST", cluster.apps("deployments"), body)

    def refusal() -> Obj | None:
        conditions = [
            condition
            for pod in cluster.pods(name)
            for condition in pod["status"].get("conditions", ())
            if condition["type"] == "PodScheduled" and condition["status"] == "False"
        ]
        return conditions[0] if conditions else None

    found = cluster.eventually(refusal)
    assert found is not None
    assert found["reason"] == "Unschedulable"
    assert f"Insufficient {resource}" in found["message"]
    cluster.do("DELETE", cluster.apps("deployments", name))
    cluster.eventually(lambda: not cluster.pods(name))
