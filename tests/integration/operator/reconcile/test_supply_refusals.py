"""Pools and node groups of a type of which some refuse nodes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from tests.integration.operator.conftest import Bench, pod_template
from tests.integration.operator.reconcile.chain import Chain
from tests.integration.operator.reconcile.test_supply_chain import (
    BUDGETS,
    POOLS,
    add_pool,
    allow,
    asked_gpus,
    budget,
    chain,
    n_held,
    ramp,
    supply_row,
)

__all__ = ["chain"]  # a fixture of every test here

pytestmark = pytest.mark.integration

TEAM = "team.example/slice"
MERGE = {"Content-Type": "application/merge-patch+json"}


def add_on_demand(bench: Bench, gpus: int = 400, **annotations: str) -> None:
    """A second NodePool of H100 machines, whose provider has as many as are asked for."""
    given = {"node-gpus": "8", "node-startup-median": "50s", **annotations}
    requirement = {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["H100"]}
    spec = {
        "template": {"spec": {"requirements": [requirement]}},
        "limits": {"nvidia.com/gpu": str(gpus)},
        "disruption": {"consolidateAfter": "Never"},
    }
    names = {f"lab.harmony.dev/{name}": value for name, value in given.items()}
    bench.lab.post(POOLS, {"metadata": {"name": "on-demand", "annotations": names}, "spec": spec})


@pytest.mark.slow
def test_a_dry_pool_holds_nothing_while_another_one_delivers(bench: Bench, chain: Chain) -> None:
    bench.deps.settings.operator_supply = True
    allow(bench, {"nodeStartup": "5m"})
    add_pool(bench, **{"node-capacity": "0"})
    add_on_demand(bench, **{"node-startup-median": "300s"})
    rows = ramp(chain)
    assert n_held(rows) == 0
    assert bench.lab.replicas("llama") > 2 + len(rows) / 2
    assert supply_row(bench)["refused_at"] is None
    found = budget(bench, "NodesArrive")
    assert (found["status"], found["reason"]) == ("True", "PartlyRefused")
    assert found["message"].startswith("NodePool/hopper: NodeClaim/hopper-")
    assert "InsufficientCapacityError: insufficient capacity, no H100" in found["message"]
    assert found["message"].endswith("NodePool/on-demand still may add nodes")


@pytest.mark.slow
def test_a_dry_pool_adds_nothing_to_what_may_be_asked_for(bench: Bench, chain: Chain) -> None:
    """Beside one with two nodes left: two replicas more, and no pod waits for the other."""
    bench.deps.settings.operator_supply = True
    allow(bench, {"nodeStartup": "50m"})
    add_pool(bench, **{"node-capacity": "0"})
    add_on_demand(bench, gpus=16)
    ramp(chain, 3)
    for _ in range(8):
        chain.step(100.0)
    asked, row = asked_gpus(bench), supply_row(bench)
    assert row["ceiling"] == 432, "what pools may have together stays"
    assert row["refused_at"] is not None, "the second pool is full, so all with room refuse"
    for _ in range(4):
        chain.step(300.0)
    assert asked_gpus(bench) == asked
    assert budget(bench, "NodesArrive")["reason"] == "ProvisioningRefused"
    body = {"spec": {"limits": {"nvidia.com/gpu": "48"}}}
    path = f"{POOLS}/on-demand"
    assert bench.lab.http.patch(path, json=body, headers=MERGE).status_code == 200
    for _ in range(8):
        chain.step(300.0)
    assert asked < asked_gpus(bench) <= asked + 32


def test_that_there_is_no_capacity_shows_with_the_first_claim(bench: Bench, chain: Chain) -> None:
    """Karpenter deletes it: minutes before pods have waited for too long, with its reason."""
    bench.deps.settings.operator_supply = True
    allow(bench, {"nodeStartup": "5m"})
    add_pool(bench, **{"node-capacity": "0"})
    ramp(chain, 3)
    row, asked = supply_row(bench), asked_gpus(bench)
    assert row["refused_at"] is not None
    assert "(InsufficientCapacityError: insufficient capacity, no H100" in row["refusal"]
    chain.step(300.0)
    assert asked_gpus(bench) == asked


@pytest.mark.slow
@pytest.mark.parametrize("form", ["yaml", "text"])
def test_a_group_that_backs_off_holds_nothing_while_another_one_rises(
    bench: Bench, chain: Chain, form: str
) -> None:
    bench.deps.settings.operator_supply = True
    spec = {"gpuType": "H100", "gpus": 1000, "supply": {"nodeStartup": "5m"}}
    annotations = {"scaling.harmony.dev/node-groups": "h100-a-spot=8,h100-demand=8"}
    bench.lab.post(
        BUDGETS, {"metadata": {"name": "hopper", "annotations": annotations}, "spec": spec}
    )
    group: dict[str, Any] = {"product": "H100", "gpus": 8, "max": 40, "startupMedian": "300s"}
    data = {
        "h100-a-spot": text(group | {"capacity": 0}),
        "h100-demand": text(group),
        "form": form,
    }
    config_map = {"metadata": {"name": "lab-node-groups"}}
    bench.lab.post("/api/v1/namespaces/kube-system/configmaps", config_map | {"data": data})
    rows = ramp(chain, 12)
    assert n_held(rows) == 0
    found = budget(bench, "NodesArrive")
    assert (found["status"], found["reason"]) == ("True", "PartlyRefused")
    assert "backs off from node group h100-a-spot" in found["message"]
    assert found["message"].endswith("node group h100-demand still may add nodes")


def text(value: dict[str, Any]) -> str:
    return orjson.dumps(value).decode()


def deploy_nowhere(bench: Bench) -> None:
    """One replica of a label that no node and no pool has: a slip of another team's."""
    lab, template = bench.lab, pod_template("typo", 1, 40)
    template["spec"]["nodeSelector"][TEAM] = "nope"
    selector = {"matchLabels": {"app": "typo"}}
    body = {"metadata": {"name": "typo"}, "spec": {"replicas": 1, "selector": selector}}
    body["spec"] |= {"template": template}
    lab.post(f"/apis/apps/v1/namespaces/{lab.namespace}/deployments", body)
    lab.autoscale("typo", minReplicas=1, maxReplicas=60)


def test_a_pod_that_nothing_takes_closes_the_type_for_nobody_else(
    bench: Bench, chain: Chain
) -> None:
    """It waited for twenty minutes, and looked as if no node could be had any longer."""
    bench.deps.settings.operator_supply = True
    allow(bench, {"nodeStartup": "5m"})
    add_pool(bench, **{"node-startup-median": "50s"})
    deploy_nowhere(bench)
    bench.reconcile()
    for _ in range(24):
        bench.step()
    assert supply_row(bench)["refused_at"] is None
    bench.decide("typo", 2, current_replicas=1)
    bench.decide("llama", 6, current_replicas=bench.lab.replicas("llama"))
    bench.reconcile()
    assert bench.lab.replicas("llama") == 6
    assert supply_row(bench)["attempted_at"] is None
