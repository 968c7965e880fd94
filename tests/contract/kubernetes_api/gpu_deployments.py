"""GPUs of the cluster under test, and deployments that ask for them."""

from __future__ import annotations

import pytest

from tests.contract.kubernetes_api.cluster_under_test import ClusterUnderTest, Obj

GPU = "nvidia.com/gpu"
OTHERS = ("amd.com/gpu", "nvidia.com/mig-1g.5gb", "habana.ai/gaudi")
"""Resources that none of the cluster's nodes offers, as a rule."""


def free_gpus(cluster: ClusterUnderTest) -> int:
    """GPUs that no pod of this suite holds; skips where the cluster has none."""
    nodes = cluster.do("GET", "/api/v1/nodes")["items"]
    total = sum(int(node["status"]["allocatable"].get(GPU, "0")) for node in nodes)
    if not total:
        pytest.skip("the cluster has no nodes with GPUs")
    return total


def gpu_deployment(
    cluster: ClusterUnderTest, name: str, replicas: int, gpus: int = 1, resource: str = GPU
) -> Obj:
    limits = {"resources": {"limits": {resource: str(gpus)}}}
    return cluster.deployment(name, replicas, container=limits)
