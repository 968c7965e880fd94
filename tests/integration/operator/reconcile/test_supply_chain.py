"""A fleet whose nodes are added for its pods: from the forecast to the node and back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from services.lab.cluster.nodes.definitions import definitions
from tests.integration.operator.conftest import GROUP_PATH, Bench
from tests.integration.operator.reconcile.chain import Chain
from tests.integration.operator.watched_claims import watched_claims

pytestmark = pytest.mark.integration

POOLS = "/apis/karpenter.sh/v1/nodepools"
BUDGETS = f"{GROUP_PATH}/gpubudgets"
N_STEPS = 21


@pytest.fixture
def chain(bench: Bench) -> Iterator[Chain]:
    """A service that holds all 16 H100 of the cluster, with two replicas of eight."""
    bench.lab.deploy("llama", replicas=2, gpus=8, median_s=20)
    bench.lab.autoscale("llama", gpusPerReplica=8, maxReplicas=60)
    for definition in definitions():
        bench.lab.define(definition)
    with watched_claims(bench):
        yield Chain(bench)
    bench.lab.http.delete(POOLS)
    bench.lab.http.delete(BUDGETS)
    bench.lab.http.delete("/api/v1/namespaces/kube-system/configmaps")
    # a pool takes its nodes with it when the autoscaler looks next
    bench.lab.advance(bench.lab.now() + timedelta(seconds=20))


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


def asked_gpus(bench: Bench) -> int:
    """GPUs that all pods of the namespace ask for."""
    return 8 * len([p for p in bench.lab.pods("llama") if "deletionTimestamp" not in p["metadata"]])


def test_requests_never_exceed_the_ceiling(bench: Bench, chain: Chain) -> None:
    """Nor does a patch of a decision that was made when the ceiling was higher."""
    allow(bench, {"mode": "provisioned", "ceiling": 40})
    most = 0
    for n in range(12):
        chain.step(10.0 * (2.5 + n))
        most = max(most, asked_gpus(bench))
    assert most == 40
    limited = bench.lab.condition("llama", "ScalingLimited")
    assert (limited["status"], limited["reason"]) == ("True", "SupplyCeiling")
    assert "spec.supply.ceiling is 40; raise that limit" in limited["message"]
    bench.decide("llama", 30, current_replicas=5)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 5
    last = max(bench.rows("actions"), key=lambda row: row["id"])
    assert last["result"] == "waiting"
    assert "pods may ask for 40 GPUs of H100 together" in last["reason"]


def test_the_lower_of_budget_and_ceiling_holds(bench: Bench, chain: Chain) -> None:
    allow(bench, {"mode": "provisioned", "ceiling": 80}, gpus=32)
    for n in range(6):
        chain.step(10.0 * (2.5 + n))
    assert asked_gpus(bench) == 32


def budget(bench: Bench, condition: str) -> dict[str, Any]:
    status = bench.lab.http.get(f"{BUDGETS}/hopper").json()["status"]
    return next(dict(c) for c in status["conditions"] if c["type"] == condition)


def supply_row(bench: Bench) -> dict[str, Any]:
    (row,) = (row for row in bench.rows("gpu_supply") if row["gpu_type"] == "H100")
    return row


@pytest.mark.slow
def test_a_refused_provisioning_is_tried_once_in_each_back_off(bench: Bench, chain: Chain) -> None:
    bench.deps.settings.operator_supply = True
    allow(bench, {"nodeStartup": "50s"})
    add_pool(bench, **{"node-capacity": "2"})
    rises: list[float] = []
    held: list[dict[str, Any]] = []
    before = bench.lab.replicas("llama")
    for n in range(40):
        decided = chain.step(10.0 * (2.5 + n))
        now = bench.lab.replicas("llama")
        is_refused = supply_row(bench)["refused_at"] is not None
        if now > before and is_refused:
            rises.append(bench.clock.now().timestamp())
        if is_refused and decided["reason"] == "hold_not_schedulable":
            limited = bench.lab.condition("llama", "ScalingLimited")
            held.append(limited | {"budget": budget(bench, "NodesArrive")})
        before = now
    n_refused = supply_row(bench)["n_refused"]
    assert n_refused >= 3
    assert 2 <= len(rises) <= n_refused
    # a node takes about a minute: one minute after the first refusal, then two, four, ...
    waits = [later - at for at, later in pairwise(rises)]
    assert all(wait >= 60.0 * 2**n for n, wait in enumerate(waits, start=1))
    assert {limited["reason"] for limited in held} == {"ProvisioningRefused"}
    assert all("no H100 capacity is available in any zone" in one["message"] for one in held)
    arrive = [one["budget"] for one in held]
    assert {(one["status"], one["reason"]) for one in arrive} == {("False", "ProvisioningRefused")}
    assert "ResourceConstrained" in [event["reason"] for event in bench.lab.events()]


def test_once_a_node_comes_there_is_no_back_off_any_longer(bench: Bench, chain: Chain) -> None:
    bench.deps.settings.operator_supply = True
    allow(bench, {"nodeStartup": "50s"})
    add_pool(bench, **{"node-capacity": "0"})
    ramp(chain, 6)
    two_steps = timedelta(seconds=2 * bench.step_s)
    for _ in range(20):  # back-offs double: one will last for more than a step
        state = supply_row(bench)
        if state["retry_at"] is not None and state["retry_at"] > bench.clock.now() + two_steps:
            break
        chain.step(100.0)
    assert state["retry_at"] > bench.clock.now() + two_steps
    assert bench.clock.now() >= state["refused_at"]
    waiting = bench.lab.replicas("llama")
    bench.fresh_operator()  # what was refused outlives the operator
    chain.step(300.0)
    assert bench.lab.replicas("llama") == waiting
    path = f"{POOLS}/hopper"
    headers = {"Content-Type": "application/merge-patch+json"}
    body = {"metadata": {"annotations": {"lab.harmony.dev/node-capacity": "40"}}}
    assert bench.lab.http.patch(path, json=body, headers=headers).status_code == 200
    for _ in range(30):
        chain.step(100.0)
        if chain.served[-1] >= 10:
            break
    assert supply_row(bench)["refused_at"] is None
    assert bench.lab.replicas("llama") >= 10
    assert chain.served[-1] >= 10


def test_pods_that_waited_in_vain_do_not_put_off_starts_on_free_gpus(
    bench: Bench, chain: Chain
) -> None:
    """A start takes 20 s here; before, decisions looked as far ahead as pods had waited."""
    bench.deps.settings.operator_supply = True
    allow(bench, {"nodeStartup": "5m"})
    add_pool(bench, **{"node-capacity": "0"})
    never_waited = chain.step(5.0)
    for _ in range(12):
        chain.step(60.0)
    waiting = [row for row in bench.rows("pod_starts") if row["bound_at"] is None]
    assert len(waiting) >= 4
    for _ in range(3):  # what waits is taken back, and GPUs are free
        row = chain.step(5.0)
    # how far it can look is bounded by its history, too, which is longer now
    reach, before = (each["explanation"]["reach"] for each in (row, never_waited))
    assert reach["wanted_steps"] == before["wanted_steps"]
    # what was refused tells nothing of how long a node takes
    assert all(start["refused_at"] is not None for start in waiting)
    assert supply_row(bench)["startup_median_s"] == pytest.approx(300.0, rel=0.05)


@pytest.mark.slow
def test_waits_that_nobody_explains_are_learned_from_once(bench: Bench, chain: Chain) -> None:
    """They tell that a node takes longer; that none comes for hours is told as a refusal."""
    allow(bench, {"mode": "provisioned", "ceiling": 80, "nodeStartup": "50s"})
    medians = []
    for _ in range(40):
        chain.step(60.0)
        medians.append(supply_row(bench)["startup_median_s"])
    assert medians[0] == pytest.approx(50.0)
    assert 55.0 < medians[-1] < 100.0
    assert supply_row(bench)["n_refused"] >= 2
    told = [row for row in bench.rows("pod_starts") if row["refused_at"] is not None]
    waited_s = {(row["refused_at"] - row["requested_at"]).total_seconds() for row in told}
    assert 180.0 < max(waited_s) < 300.0


def test_a_node_that_was_launched_ends_the_back_off_before_it_is_there(
    bench: Bench, chain: Chain
) -> None:
    bench.deps.settings.operator_supply = True
    allow(bench, {"nodeStartup": "3000s"})
    add_pool(bench, **{"node-capacity": "0", "node-startup-median": "3000s"})
    ramp(chain, 4)
    asked = bench.lab.replicas("llama")
    assert supply_row(bench)["refused_at"] is not None
    path, headers = f"{POOLS}/hopper", {"Content-Type": "application/merge-patch+json"}
    body = {"metadata": {"annotations": {"lab.harmony.dev/node-capacity": "40"}}}
    assert bench.lab.http.patch(path, json=body, headers=headers).status_code == 200
    for _ in range(12):
        chain.step(300.0)
        if bench.lab.replicas("llama") > asked:
            break
    assert supply_row(bench)["refused_at"] is None
    assert bench.lab.replicas("llama") > asked
    assert supply_row(bench)["node_gpus"] == 16, "no node has come yet"


@pytest.mark.slow
@pytest.mark.parametrize(("form", "most"), [("yaml", 64), ("text", 64)])
def test_node_groups_of_the_cluster_autoscaler(
    bench: Bench, chain: Chain, form: str, most: int
) -> None:
    bench.deps.settings.operator_supply = True
    spec = {"gpuType": "H100", "gpus": 1000}
    annotations = {"scaling.harmony.dev/node-groups": "h100-pool=8"}
    bench.lab.post(
        BUDGETS, {"metadata": {"name": "hopper", "annotations": annotations}, "spec": spec}
    )
    group = '{"product": "H100", "gpus": 8, "max": 6, "startupMedian": "50s"}'
    config_map = {"metadata": {"name": "lab-node-groups"}}
    data = {"h100-pool": group, "form": form}
    bench.lab.post("/api/v1/namespaces/kube-system/configmaps", config_map | {"data": data})
    seen = 0
    for n in range(14):
        chain.step(10.0 * (2.5 + n))
        seen = max(seen, asked_gpus(bench))
    assert seen == most
    assert supply_row(bench)["ceiling"] == most
    assert chain.served[-1] == most // 8


@pytest.mark.parametrize("limit", [None, 0])
def test_a_pool_without_a_limit_leaves_the_type_fixed(
    bench: Bench, chain: Chain, limit: int | None
) -> None:
    bench.deps.settings.operator_supply = True
    allow(bench, {"mode": "auto"})
    add_pool(bench, gpus=limit)
    rows = ramp(chain, 3)
    assert n_held(rows) == 3
    assert bench.lab.replicas("llama") == 2
    found = budget(bench, "Provisioned")
    if limit is None:
        assert (found["status"], found["reason"]) == ("False", "CeilingUnknown")
        assert 'set its spec.limits["nvidia.com/gpu"], or spec.supply.ceiling' in found["message"]
    else:
        assert found["status"] == "True"


def test_a_pool_that_vanishes_ends_the_waiting(bench: Bench, chain: Chain) -> None:
    bench.deps.settings.operator_supply = True
    allow(bench, None)
    add_pool(bench, gpus=16)
    ramp(chain, 4)
    assert asked_gpus(bench) == 32
    bench.lab.http.delete(f"{POOLS}/hopper")
    chain.step(100.0)
    found = budget(bench, "Provisioned")
    assert (found["status"], found["reason"]) == ("False", "NoSource")
    assert "set spec.supply.mode to provisioned with a ceiling" in found["message"]
    chain.step(100.0)
    assert bench.lab.replicas("llama") == 4
