"""A fleet on spot nodes: what is learned, what is replaced at once, and what is held."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from services.decision.decide.replay import replay
from services.operator.cluster.placement import NodeState
from services.operator.wire.http import KubeError
from tests.integration.operator.conftest import GROUP_PATH, Bench
from tests.integration.operator.reconcile import pools, test_apply_parts as parts
from tests.integration.operator.reconcile.chain import Chain
from tests.integration.operator.reconcile.test_apply_parts_pools import decide as decide_pools

pytestmark = pytest.mark.integration

NODE_POOLS = "/apis/karpenter.sh/v1/nodepools"
BUDGETS = f"{GROUP_PATH}/gpubudgets"
NODES = "/api/v1/nodes"
NOTICE = "aws-node-termination-handler/spot-itn"
SPOT = {"karpenter.sh/capacity-type": "spot"}


def patch_node(bench: Bench, name: str, body: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    assert bench.lab.http.patch(f"{NODES}/{name}", json=body, headers=headers).status_code == 200


def nodes(bench: Bench, product: str = "H100") -> list[dict[str, Any]]:
    items = bench.lab.http.get(NODES).json()["items"]
    found = [n for n in items if n["metadata"]["labels"].get("nvidia.com/gpu.product") == product]
    return sorted(found, key=lambda each: each["metadata"]["name"])


def unmark(bench: Bench, product: str = "H100") -> None:
    """No node of a GPU type is a spot node, or under notice."""
    for each in nodes(bench, product):
        body = {"metadata": {"labels": dict.fromkeys(SPOT)}, "spec": {"taints": None}}
        patch_node(bench, each["metadata"]["name"], body)


@pytest.fixture
def spot(bench: Bench) -> Iterator[Bench]:
    """Two spot nodes of eight H100; `llama` has a replica of four GPUs on one of them."""
    for each in nodes(bench):
        patch_node(bench, each["metadata"]["name"], {"metadata": {"labels": SPOT}})
    bench.lab.deploy("llama", replicas=2, gpus=4, median_s=20)
    bench.lab.autoscale("llama", gpusPerReplica=4)
    bench.reconcile()
    yield bench
    bench.lab.http.delete(BUDGETS)
    unmark(bench)


def tell(bench: Bench, name: str) -> None:
    patch_node(bench, name, {"spec": {"taints": [{"key": NOTICE, "effect": "NoSchedule"}]}})


def node_of(bench: Bench) -> str:
    """A node with replicas."""
    return str(bench.lab.pods("llama")[0]["spec"]["nodeName"])


def n_on(bench: Bench, name: str) -> int:
    return sum(pod["spec"].get("nodeName") == name for pod in bench.lab.pods("llama"))


def last_state(bench: Bench) -> dict[str, Any]:
    return max(bench.rows("replica_states"), key=lambda row: row["observed_at"])


def count(bench: Bench) -> dict[str, Any]:
    (row,) = bench.rows("gpu_interruptions")
    return row


def test_replicas_on_spot_nodes_are_recorded(spot: Bench) -> None:
    state = last_state(spot)
    names = {pod["spec"]["nodeName"] for pod in spot.lab.pods("llama")}
    figures = (state["spot_replicas"], state["spot_nodes"], state["leaving_replicas"])
    assert figures == (2, len(names), 0)


@pytest.fixture
def spot_l4(bench: Bench) -> Iterator[Bench]:
    """All nodes of L4 are spot nodes, those of H100 are not."""
    for each in nodes(bench, "L4"):
        patch_node(bench, each["metadata"]["name"], {"metadata": {"labels": SPOT}})
    yield bench
    unmark(bench, "L4")


def test_a_variant_on_spot_nodes_is_known_apart_and_its_mix_is_chosen_so(spot_l4: Bench) -> None:
    parts.deploy(spot_l4.lab, h100=2, l4=2)
    parts.autoscale(spot_l4.lab)
    chain = Chain(spot_l4)
    rows = [chain.step(26.0) for _ in range(6)]
    seen = last_state(spot_l4)["variants"]
    assert "spot" not in seen["h100"]
    assert seen["l4"]["spot"]["replicas"] == seen["l4"]["ready"] > 0
    assert seen["l4"]["spot"]["leaving"] == 0
    told = rows[-1]["explanation"]["mix"]["spot"]
    assert [each["name"] for each in told["variants"]] == ["l4"]
    desired = next(v["desired"] for v in rows[-1]["variants"] if v["name"] == "l4")
    assert told["variants"][0]["replicas"] == desired
    assert "run on spot nodes" in rows[-1]["explanation"]["summary"]
    assert all(replay(chain.deps, row["id"]).is_identical for row in rows)


def test_without_spot_nodes_nothing_is_written(bench: Bench) -> None:
    bench.lab.deploy("llama", replicas=2, gpus=4)
    bench.lab.autoscale("llama", gpusPerReplica=4)
    bench.step()
    state = last_state(bench)
    assert (state["spot_replicas"], state["leaving_replicas"]) == (None, None)
    assert bench.rows("gpu_interruptions") == []


def test_a_budget_states_it_where_labels_do_not_tell(bench: Bench) -> None:
    bench.lab.deploy("llama", replicas=2, gpus=4)
    bench.lab.autoscale("llama", gpusPerReplica=4)
    spec = {"gpuType": "H100", "gpus": 64, "supply": {"spot": True}}
    bench.lab.post(BUDGETS, {"metadata": {"name": "hopper"}, "spec": spec})
    bench.reconcile()
    assert last_state(bench)["spot_replicas"] == 2
    bench.lab.http.delete(BUDGETS)


def test_an_interruption_is_counted_once_and_outlives_the_operator(spot: Bench) -> None:
    spot.step()
    hours = count(spot)["node_hours"]
    assert hours == pytest.approx(2 * spot.step_s / 3600, rel=0.01)
    tell(spot, node_of(spot))
    spot.step()
    assert count(spot)["interruptions"] == 1.0
    spot.step()
    spot.fresh_operator()
    spot.reconcile()
    spot.step()
    assert count(spot)["interruptions"] == pytest.approx(1.0, abs=0.01)
    assert count(spot)["node_hours"] > hours


def test_nodes_that_are_not_looked_at_any_longer_are_not_interrupted(spot: Bench) -> None:
    """The last autoscaler is deleted, and comes back: nodes are not listed meanwhile."""
    spot.step()
    before = count(spot)
    spot.lab.delete_autoscaler("llama")
    spot.step()
    assert count(spot) == before
    spot.lab.autoscale("llama", gpusPerReplica=4)
    spot.step()
    after = count(spot)
    assert after["interruptions"] == 0.0
    assert after["node_hours"] == pytest.approx(3 * 2 * spot.step_s / 3600, rel=0.01)


def list_nodes_as(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, seen: Callable[[list[NodeState]], Any]
) -> None:
    """Nodes are listed as `seen` makes them."""
    real = bench.deps.kube.list_objects

    def list_objects(kind: str) -> Any:
        return seen(real(kind)) if kind == "Node" else real(kind)

    monkeypatch.setattr(bench.deps.kube, "list_objects", list_objects)


def test_nodes_that_may_not_be_listed_for_a_pass_are_not_interrupted(
    spot: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    spot.step()
    before = count(spot)

    def forbidden(_: list[NodeState]) -> None:
        raise KubeError(403, "Forbidden", "nodes is forbidden")

    with monkeypatch.context() as patch:
        list_nodes_as(spot, patch, forbidden)
        spot.step()
    assert count(spot) == before
    spot.step()
    assert count(spot)["interruptions"] == 0.0


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_node_whose_device_plugin_starts_again_is_still_the_same_spot_node(
    spot: Bench, monkeypatch: pytest.MonkeyPatch, is_gone: bool
) -> None:
    """Its GPUs are not allocatable meanwhile, while its pods serve on."""
    spot.step()
    name, n_serving = node_of(spot), last_state(spot)["spot_replicas"]

    def bare(nodes: list[NodeState]) -> list[NodeState]:
        return [replace(node, accelerators=()) for node in nodes]

    with monkeypatch.context() as patch:
        list_nodes_as(spot, patch, bare)
        spot.step()
        assert count(spot)["interruptions"] == 0.0
        assert last_state(spot)["spot_replicas"] == n_serving
    if is_gone:
        list_nodes_as(spot, monkeypatch, lambda found: [n for n in found if n.name != name])
    spot.step()
    after = count(spot)
    assert after["interruptions"] == float(is_gone)
    assert after["node_hours"] == pytest.approx(3 * 2 * spot.step_s / 3600, rel=0.01)


def test_replicas_on_a_node_under_notice_are_replaced_in_the_next_pass(spot: Bench) -> None:
    spot.decide("llama", 2)
    spot.reconcile()
    assert spot.results()[-1][2] == "unchanged"
    name = node_of(spot)
    n_leaving = n_on(spot, name)
    tell(spot, name)
    spot.reconcile()
    assert spot.lab.replicas("llama") == 2 + n_leaving
    action = max(spot.rows("actions"), key=lambda row: row["id"])
    assert (action["attempt"], action["result"]) == (2, "applied")
    assert action["reason"].startswith(f"interruption: {n_leaving} replica")
    assert f"{name} ({NOTICE})" in action["reason"]
    spot.step()
    assert last_state(spot)["leaving_replicas"] == n_leaving
    assert spot.lab.replicas("llama") == 2 + n_leaving  # once
    assert len(spot.rows("actions")) == 2


def test_the_next_decision_does_not_count_them_twice(spot: Bench) -> None:
    spot.decide("llama", 2)
    spot.reconcile()
    name = node_of(spot)
    n_leaving = n_on(spot, name)
    tell(spot, name)
    spot.reconcile()
    spot.clock.advance(spot.step_s)
    spot.lab.advance(spot.clock.now())
    spot.decide("llama", 2, direction="hold")
    spot.reconcile()
    assert spot.lab.replicas("llama") == 2 + n_leaving
    assert spot.results()[-1][2] == "unchanged"


def test_a_decision_after_they_are_gone_brings_the_target_down(spot: Bench) -> None:
    spot.decide("llama", 2)
    spot.reconcile()
    name = node_of(spot)
    tell(spot, name)
    spot.reconcile()
    for pod in spot.lab.pods("llama"):
        if pod["spec"].get("nodeName") == name:
            path = f"/api/v1/namespaces/{spot.lab.namespace}/pods/{pod['metadata']['name']}"
            spot.lab.http.delete(path)
    spot.step()
    assert last_state(spot)["leaving_replicas"] in (None, 0)
    spot.decide("llama", 2, direction="down")
    spot.reconcile()
    assert spot.lab.replicas("llama") == 2


def test_nothing_is_replaced_beyond_the_bounds_or_in_advice(spot: Bench) -> None:
    spot.lab.change("llama", {"maxReplicas": 2})
    spot.decide("llama", 2)
    spot.reconcile()
    tell(spot, node_of(spot))
    spot.reconcile()
    assert spot.lab.replicas("llama") == 2
    spot.lab.change("llama", {"maxReplicas": 12, "mode": "Advisory"})
    spot.reconcile()
    assert spot.lab.replicas("llama") == 2


def node_with(bench: Bench, target: str) -> tuple[str, int]:
    """A node with replicas of a target, and how many."""
    found = Counter(pod["spec"]["nodeName"] for pod in bench.lab.pods(target))
    return min(found.items())


def test_a_variant_under_notice_is_replaced_once_and_the_other_stays(spot_l4: Bench) -> None:
    parts.deploy(spot_l4.lab, h100=2, l4=2)
    parts.autoscale(spot_l4.lab)
    for _ in range(3):
        spot_l4.step()
    parts.decide(spot_l4, h100=(2, 2), l4=(2, 2), direction="hold")
    spot_l4.reconcile()
    assert parts.last_action(spot_l4)["result"] == "unchanged"
    name, n_leaving = node_with(spot_l4, "llama-l4")
    tell(spot_l4, name)
    spot_l4.reconcile()
    assert parts.replicas(spot_l4) == (2, 2 + n_leaving)
    action = parts.last_action(spot_l4)
    assert (action["attempt"], action["result"]) == (2, "applied")
    assert action["reason"].startswith(f"interruption: l4 2 -> {2 + n_leaving} (")
    assert f"{name} ({NOTICE})" in action["reason"]
    assert [each["name"] for each in action["parts"]] == ["l4"]
    spot_l4.step()
    assert last_state(spot_l4)["variants"]["l4"]["spot"]["leaving"] == n_leaving
    parts.decide(spot_l4, h100=(2, 2), l4=(2, 2), direction="hold")
    spot_l4.reconcile()
    assert parts.replicas(spot_l4) == (2, 2 + n_leaving)  # once


def test_the_chain_counts_a_variant_under_notice_as_gone(spot_l4: Bench) -> None:
    """The demand stays, so the capacity decided does: of which mix is for the decision to say."""
    parts.deploy(spot_l4.lab, h100=2, l4=2)
    parts.autoscale(spot_l4.lab)
    chain = Chain(spot_l4)
    before = [chain.step(26.0) for _ in range(6)][-1]
    name, n_leaving = node_with(spot_l4, "llama-l4")
    tell(spot_l4, name)
    after = chain.step(26.0)
    assert after["desired_replicas"] == before["desired_replicas"] == 3
    assert after["current_replicas"] == 3 - math.ceil(n_leaving * 0.5)
    desired = {v["name"]: v["desired"] for v in after["variants"]}
    assert parts.replicas(spot_l4) == (desired["h100"], desired["l4"] + n_leaving)
    assert replay(chain.deps, after["id"]).is_identical


@pytest.fixture
def spot_h100(bench: Bench) -> Iterator[Bench]:
    """All nodes of H100 are spot nodes."""
    for each in nodes(bench):
        patch_node(bench, each["metadata"]["name"], {"metadata": {"labels": SPOT}})
    yield bench
    unmark(bench)


def test_of_each_pool_is_replaced_what_of_it_is_under_notice(spot_h100: Bench) -> None:
    bench = spot_h100
    pools.deploy(bench.lab)
    pools.autoscale(bench.lab)
    for _ in range(3):
        bench.step()
    decide_pools(bench, prefill=(2, 2), decode=(2, 2))
    bench.reconcile()
    name, _ = node_with(bench, "llama-decode")
    tell(bench, name)
    n_leaving = {
        target: sum(pod["spec"]["nodeName"] == name for pod in bench.lab.pods(target))
        for target in ("llama-prefill", "llama-decode")
    }
    bench.reconcile()
    wanted = (2 + n_leaving["llama-prefill"], 2 + n_leaving["llama-decode"])
    assert pools.replicas(bench) == wanted
    bench.step()
    assert pools.replicas(bench) == wanted
    decide_pools(bench, prefill=(2, 3), decode=(2, 2))
    bench.reconcile()
    assert pools.replicas(bench) == (wanted[0] + 1, wanted[1])
