"""A fleet whose nodes are added for its pods: from the forecast to the node and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from services.lab.cluster.nodes.definitions import definitions
from tests.integration.operator.conftest import GROUP_PATH, Bench
from tests.integration.operator.reconcile.chain import Chain

pytestmark = pytest.mark.integration

POOLS = "/apis/karpenter.sh/v1/nodepools"
BUDGETS = f"{GROUP_PATH}/gpubudgets"
N_STEPS = 21


@pytest.fixture
def chain(bench: Bench) -> Iterator[Chain]:
    """A service that holds all 16 H100 of the cluster, with two replicas of eight."""
    bench.lab.deploy("llama", replicas=2, gpus=8, median_s=20)
    bench.lab.autoscale("llama", gpusPerReplica=8, maxReplicas=60)
    yield Chain(bench)
    bench.lab.http.delete(POOLS)
    bench.lab.http.delete(BUDGETS)
    bench.lab.http.delete("/api/v1/namespaces/kube-system/configmaps")


def allow(bench: Bench, supply: dict[str, Any] | None, gpus: int = 1000) -> None:
    spec = {"gpuType": "H100", "gpus": gpus} | ({"supply": supply} if supply else {})
    bench.lab.post(BUDGETS, {"metadata": {"name": "hopper"}, "spec": spec})


def add_pool(bench: Bench, gpus: int | None = 400, **annotations: str) -> None:
    """A NodePool of H100 machines with eight GPUs each that come within a minute."""
    for definition in definitions():
        bench.lab.define(definition)
    given = {"node-gpus": "8", "node-startup-median": "50s", **annotations}
    requirement = {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["H100"]}
    spec: dict[str, Any] = {
        "template": {"spec": {"requirements": [requirement]}},
        "disruption": {"consolidateAfter": "Never"},
    }
    if gpus is not None:
        spec["limits"] = {"nvidia.com/gpu": str(gpus)}
    metadata = {
        "name": "hopper",
        "annotations": {f"lab.harmony.dev/{name}": value for name, value in given.items()},
    }
    bench.lab.post(POOLS, {"metadata": metadata, "spec": spec})


def ramp(chain: Chain, n_steps: int = N_STEPS) -> list[dict[str, Any]]:
    """Demand that needs a replica more with each step."""
    return [chain.step(10.0 * (2.5 + n)) for n in range(n_steps)]


def n_held(rows: list[dict[str, Any]]) -> int:
    """Scale-ups that were held for want of GPUs."""
    return sum(
        row["binding_constraint"] == "schedulable"
        and row["desired_replicas"] == row["current_replicas"] < row["raw_replicas"]
        for row in rows
    )


def test_where_nodes_are_fixed_every_scale_up_is_held(bench: Bench, chain: Chain) -> None:
    rows = ramp(chain)
    assert n_held(rows) == N_STEPS
    assert bench.lab.replicas("llama") == 2
    limited = bench.lab.condition("llama", "ScalingLimited")
    assert limited["reason"] == "InsufficientGPUs"
    assert "spec.supply of a GPUBudget" in limited["message"]


def test_where_nodes_are_added_no_scale_up_is_held(bench: Bench, chain: Chain) -> None:
    bench.deps.settings.operator_supply = True
    add_pool(bench)
    rows = ramp(chain)
    assert n_held(rows) == 0
    assert bench.lab.replicas("llama") > 2 + N_STEPS / 2
    # a minute for a node, twenty seconds for a pod: two steps behind what was asked for
    assert chain.served[-1] >= rows[-4]["desired_replicas"]
    starts = [row for row in bench.rows("pod_starts") if row["is_new_node"]]
    assert len(starts) >= N_STEPS / 2
    (supply,) = (row for row in bench.rows("gpu_supply") if row["gpu_type"] == "H100")
    assert supply["ceiling"] == 416
    assert supply["n_startups"] >= N_STEPS / 2
