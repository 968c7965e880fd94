"""Which nodes are spot nodes, which are about to go, and whose replicas are on them."""

from __future__ import annotations

import pytest

from services.operator.cluster.accelerators import Accelerators
from services.operator.cluster.node_pools import NodeClaim
from services.operator.cluster.placement import PodShape, Requirement
from services.operator.cluster.pods import SpotUse
from services.operator.plan.spot import (
    SPOT_LABELS,
    Leaving,
    is_spot,
    leaving_of,
    needs_spot,
    spot_names,
    spot_use,
    with_claims,
)
from tests.unit.operator.pods import node, pod

SPOT = {"karpenter.sh/capacity-type": "spot"}


@pytest.mark.parametrize(("key", "value"), SPOT_LABELS.items())
def test_each_provider_has_its_label(key: str, value: str) -> None:
    assert is_spot(node("a", 8, labels={key: value}))
    assert not is_spot(node("a", 8, labels={key: "other"}))
    assert not is_spot(node("a", 8))


def test_what_is_stated_of_a_type_holds_for_its_nodes() -> None:
    nodes = [
        node("labelled", 8, labels=SPOT),
        node("bare", 8),
        node("other", 8, product="NVIDIA-L4"),
    ]
    assert spot_names(nodes, ()) == {"labelled"}
    assert spot_names(nodes, ("H100",)) == {"labelled", "bare"}


def test_pods_that_can_run_on_spot_nodes_alone_are_told_by_where_they_may_go() -> None:
    gpu = (Accelerators("nvidia.com/gpu", "", 1),)
    (pair,) = SPOT.items()
    only = Requirement(pair[0], "In", (pair[1],))
    either = Requirement(pair[0], "In", ("spot", "on-demand"))
    zone = Requirement("zone", "In", ("a",))
    assert needs_spot([PodShape(gpu, selector=(pair,))])
    assert needs_spot([PodShape(gpu, affinity=((zone, only), (only,)))])
    assert needs_spot([PodShape(gpu), PodShape(gpu, selector=(pair,))])
    assert not needs_spot([PodShape(gpu)])
    assert not needs_spot([PodShape(gpu, selector=((pair[0], "on-demand"),))])
    assert not needs_spot([PodShape(gpu, affinity=((either,),))])
    assert not needs_spot([PodShape(gpu, affinity=((only,), (zone,)))])
    assert not needs_spot([])


def test_a_claim_that_ends_by_itself_is_an_interruption() -> None:
    nodes = [node("a", 8), node("b", 8), node("c", 8), node("d", 8, notice="told")]
    claims = [
        NodeClaim("ca", "hopper", 8, node="a", is_ending=True),
        NodeClaim("cb", "hopper", 8, node="b", is_ending=True, is_meant=True),
        NodeClaim("cc", "hopper", 8, node="c"),
        NodeClaim("cd", "hopper", 8, node="d", is_ending=True),
        NodeClaim("ce", "hopper", 8, is_ending=True),
    ]
    a, b, c, d = with_claims(nodes, claims)
    assert (a.notice, a.is_meant) == ("NodeClaim/ca is being deleted", False)
    assert (b.notice, b.is_meant) == ("", True)
    assert c == nodes[2]
    assert d.notice == "told"


def test_replicas_on_a_node_under_notice_are_leaving() -> None:
    notices = {"n1": "told"}
    replicas = [
        pod("serves"),
        pod("elsewhere", node="n2"),
        pod("starts", ready_s=None),
        pod("replaced", is_leaving=True),
        pod("unknown", node="n3"),
    ]
    found = leaving_of(replicas, notices)
    assert found == Leaving(1, ("n1 (told)",))
    assert found.words == "1 replica more in place of those on nodes about to go: n1 (told)"
    assert leaving_of(replicas, {}) == Leaving()


def test_replicas_on_spot_nodes_are_counted_with_their_nodes() -> None:
    nodes = {
        "n1": node("n1", 8, labels=SPOT),
        "n2": node("n2", 8, labels=SPOT),
        "n3": node("n3", 8),
        "n4": node("n4", 8, labels=SPOT, notice="told"),
    }
    replicas = [
        *(pod(f"one-{i}") for i in range(3)),
        pod("two", node="n2"),
        pod("on demand", node="n3"),
        pod("told", node="n4"),
        pod("starts", ready_s=None),
    ]
    spot = spot_names(nodes.values(), ())
    assert spot_use(replicas, spot, {"n4": "told"}) == SpotUse(4, 2, 1)
    assert spot_use(replicas, (), {"n4": "told"}) == SpotUse(0, 0, 1)
    assert spot_use(replicas, (), {}) == SpotUse()
