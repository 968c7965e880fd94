"""What adds nodes, and what nodes and their pools tell of each other."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from services.operator.cluster.node_pools import POOL_LABEL, GpuNodePool, NodeClaim
from services.operator.cluster.node_sources import (
    SeenSources,
    ToldPool,
    awaited,
    coming_gpus,
    learn_pools,
    with_products,
    with_told,
)
from services.operator.cluster.placement import NodeState, Requirement
from tests.unit.operator.examples import NOW
from tests.unit.operator.pods import node

H100 = "NVIDIA-H100-80GB-HBM3"
P5 = Requirement("node.kubernetes.io/instance-type", "In", ("p5.48xlarge",))


def pool(name: str = "p5", **given: Any) -> GpuNodePool:
    """A pool that states instance types alone."""
    return GpuNodePool(
        name,
        64,
        0,
        given.get("gpus_per_node", 0),
        given.get("products", ()),
        {"karpenter.sh/nodepool": name},
        given.get("requirements", (P5,)),
        (),
    )


def of_pool(name: str = "p5", product: str = H100, n_gpus: int = 8) -> NodeState:
    labels = {"karpenter.sh/nodepool": name}
    return node(f"{name}-1", n_gpus, product=product, labels=labels)


def products(told: tuple[ToldPool, ...], own: GpuNodePool) -> tuple[tuple[str, ...], int]:
    (found,) = with_told(SeenSources(True, (own,)), told).pools or ()
    return found.products, found.gpus_per_node


def test_what_was_not_looked_for_is_off_and_empty() -> None:
    seen = SeenSources()
    assert not seen.is_on
    assert (seen.pools, seen.claims, seen.problems) == ((), (), ())
    assert seen.groups == {}


def test_what_could_not_be_read_is_not_empty() -> None:
    assert SeenSources(True, None, groups=None).pools is None


def test_what_a_node_told_of_its_pool_is_kept_when_the_node_is_gone() -> None:
    own = pool()
    told = learn_pools((), [own], [of_pool()])
    told = learn_pools(told, [own], [])
    assert products(told, own) == ((H100,), 8)


def test_a_pool_of_which_nothing_was_told_stays_unknown() -> None:
    own = pool()
    told = learn_pools((), [own], [of_pool("other"), of_pool(product="")])
    assert told == ()
    assert products(told, own) == ((), 0)


def test_a_pool_whose_nodes_had_several_products_may_have_each() -> None:
    own = pool()
    told = learn_pools((), [own], [of_pool()])
    told = learn_pools(told, [own], [of_pool(product="NVIDIA-L4", n_gpus=1)])
    assert products(told, own) == ((H100, "NVIDIA-L4"), 8)


def test_a_pool_that_is_changed_is_not_what_its_nodes_told() -> None:
    told = learn_pools((), [pool()], [of_pool()])
    other = pool(requirements=(Requirement(P5.key, "In", ("g6.48xlarge",)),))
    assert learn_pools(told, [other], []) == ()


def test_what_a_pool_states_needs_no_node() -> None:
    own = pool(products=("h100",), gpus_per_node=4)
    assert learn_pools((), [own], [of_pool()]) == ()
    assert products((), own) == (("h100",), 4)


def test_pools_that_cannot_be_read_stay_so() -> None:
    unread = SeenSources(True, None)
    assert with_told(unread, learn_pools((), [pool()], [of_pool()])) == unread


def test_a_node_without_a_label_has_the_product_of_its_pool() -> None:
    nodes = [of_pool(product=""), of_pool("mixed", ""), node("n", 8, product=""), of_pool()]
    pools = [pool(products=("h100",)), pool("mixed", products=("h100", "a100"))]
    found = with_products(nodes, pools)
    assert [each.accelerators[0].product for each in found] == ["h100", "", "", H100]
    assert with_products(nodes, None) == nodes


def test_a_node_that_was_given_long_ago_is_awaited_no_longer() -> None:
    """Its device plugin does not work, say: else it would be promised for ever."""
    ages_s = {"new": 100, "old": 1000}
    claims = [
        NodeClaim(name, "hopper", 8, launched_at=NOW - timedelta(seconds=age_s))
        for name, age_s in ages_s.items()
    ]
    asked = NodeClaim("asked", "hopper", 8)
    found = awaited(SeenSources(True, (), (*claims, asked)), NOW - timedelta(seconds=500))
    assert [each.name for each in found.claims] == ["new"]


def test_what_a_pool_was_given_and_is_not_there_is_on_its_way() -> None:
    own = replace(pool(), used=24)
    there = [node("a", 8, labels={POOL_LABEL: "p5"}), node("other", 8)]
    a, b, c = (NodeClaim(name, "p5", 8, node=name, launched_at=NOW) for name in "abc")
    assert coming_gpus(own, [a], there) == (0, 0)
    assert coming_gpus(own, [a, b], there) == (8, 8)
    assert coming_gpus(own, [a, b, c], there) == (16, 8)
    assert coming_gpus(own, [replace(c, gpus=64)], there) == (16, 64), "of several resources"
    assert coming_gpus(own, [replace(c, pool="other")], there) == (0, 0)
