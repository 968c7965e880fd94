"""Mode and ceiling of a GPU type, from what is stated and what is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.operator.cluster.node_groups import GroupOfType, NodeGroup
from services.operator.cluster.node_pools import GpuNodePool, NodeClaim, NodeRefusal
from services.operator.cluster.node_sources import SeenSources
from services.operator.cluster.placement import Requirement
from services.operator.plan.supply import Resolved
from services.operator.plan.supply_sources import StatedSupply, resolve
from tests.unit.operator.examples import NOW
from tests.unit.operator.pods import node, shape

NODES = [node("n1", 8, labels={"karpenter.sh/nodepool": "hopper"}), node("n2", 4)]
"""Eight GPUs in the pool and four beside it."""
OFF = SeenSources()
REFUSED = NodeRefusal(NOW, "no capacity")


def pool(name: str = "hopper", limit: int | None = 64, **given: Any) -> GpuNodePool:
    products = given.pop("products", ("H100",))
    return GpuNodePool(name, limit, given.pop("used", 8), 8, products, {}, (), (), **given)


def on(*pools: GpuNodePool, **given: Any) -> SeenSources:
    return SeenSources(True, pools, **given)


def resolved(stated: StatedSupply, sources: SeenSources = OFF) -> Resolved:
    return resolve("H100", stated, sources, NODES)


def test_nothing_stated_and_nothing_looked_for_is_fixed() -> None:
    found = resolved(StatedSupply())
    assert (found.ceiling, found.reason) == (None, "DetectionOff")
    assert "HARMONY_OPERATOR_SUPPLY" in found.message


def test_a_stated_ceiling_needs_no_detection() -> None:
    found = resolved(StatedSupply("provisioned", 40))
    assert (found.ceiling, found.reason) == (40, "CeilingSet")
    assert [(new.gpus, new.gpus_per_node) for new in found.new] == [(28, 8)]


def test_what_is_set_fixed_stays_fixed() -> None:
    assert resolved(StatedSupply("fixed"), on(pool())).reason == "SetFixed"


def test_the_limits_of_pools_and_the_nodes_beside_them_are_the_ceiling() -> None:
    found = resolved(StatedSupply(), on(pool(), pool("second", 16, used=0)))
    assert (found.ceiling, found.reason) == (64 + 16 + 4, "Detected")
    assert [new.gpus for new in found.new] == [56, 16]
    assert "NodePool/hopper and NodePool/second may have 80 GPUs" in found.message


@pytest.mark.parametrize(("ceiling", "reason"), [(100, "LowerLimitHolds"), (30, "CeilingSet")])
def test_the_lower_of_what_is_stated_and_what_is_found_holds(ceiling: int, reason: str) -> None:
    found = resolved(StatedSupply("auto", ceiling), on(pool()))
    assert (found.ceiling, found.reason) == (min(ceiling, 68), reason)


def test_a_ceiling_in_mode_auto_needs_something_that_adds_nodes() -> None:
    found = resolved(StatedSupply("auto", 40), on())
    assert (found.ceiling, found.reason) == (None, "NoSource")


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        (StatedSupply("fixed", 40), "SetFixed"),
        (StatedSupply("auto", 40), "NoSource"),
        (StatedSupply("auto", 40, problem="annotation x"), "InvalidSupply"),
    ],
)
def test_a_stated_ceiling_is_a_cap_where_no_pod_may_wait_for_a_node(
    stated: StatedSupply, reason: str
) -> None:
    found = resolved(stated, on())
    assert (found.ceiling, found.cap, found.most, found.reason) == (None, 40, 40, reason)
    assert found.message.endswith("no more than spec.supply.ceiling=40 is asked for")
    assert resolved(replace(stated, ceiling=None), on()).most is None


def by_instance_type(**given: Any) -> GpuNodePool:
    """A pool that states no product."""
    types = Requirement("node.kubernetes.io/instance-type", "In", ("p5.48xlarge",))
    return replace(pool("p5", products=(), **given), requirements=(types,))


def test_pools_of_an_unknown_product_are_named_with_what_to_do() -> None:
    found = resolve("H100", StatedSupply("auto", 16), on(by_instance_type()), [])
    assert (found.ceiling, found.cap, found.reason) == (None, 16, "ProductUnknown")
    assert "nothing tells which GPUs NodePool/p5 may have" in found.message
    assert "nvidia.com/gpu.product" in found.message
    assert "set spec.supply.mode to provisioned with a ceiling" in found.message
    stated = resolve("H100", StatedSupply("provisioned", 16), on(by_instance_type()), [])
    assert (stated.ceiling, stated.reason) == (16, "CeilingSet")
    assert [new.gpus for new in stated.new] == [16]


def test_a_pool_of_which_nodes_of_another_type_told_is_not_unknown() -> None:
    l4 = node("l4", 1, product="NVIDIA-L4", labels={"karpenter.sh/nodepool": "p5"})
    found = resolve("H100", StatedSupply(), on(by_instance_type()), [l4])
    assert found.reason == "NoSource"


def test_where_nothing_adds_nodes_the_message_says_what_would() -> None:
    found = resolved(StatedSupply(), on())
    assert found.reason == "NoSource"
    for remedy in ("spec.template", "scaling.harmony.dev/node-groups", "spec.supply.mode"):
        assert remedy in found.message


def test_a_limited_pool_is_no_bound_beside_one_without_a_limit() -> None:
    sources = on(pool("reserved", 8), pool("on-demand", None, used=0))
    for mode in ("auto", "provisioned"):
        found = resolved(StatedSupply(mode, 64), sources)
        assert (found.ceiling, found.reason) == (64, "CeilingSet")
        assert found.message == "spec.supply.ceiling is 64"
        new = {each.pool.name: each.gpus for each in found.new if each.pool is not None}
        assert new == {"reserved": 0, "on-demand": 64 - 12}, "twelve are there"
    unstated = resolved(StatedSupply(), sources)
    assert (unstated.ceiling, unstated.reason) == (8 + 12, "Detected")


def test_a_limited_pool_is_no_bound_beside_one_of_several_types() -> None:
    mixed = pool("mixed", 32, used=8, products=("H100", "A100"))
    found = resolved(StatedSupply("auto", 64), on(pool("reserved", 8), mixed))
    assert (found.ceiling, found.message) == (64, "spec.supply.ceiling is 64")
    assert [each.gpus for each in found.new] == [0, 24]
    low = resolved(StatedSupply("auto", 20), on(pool("reserved", 8), mixed))
    assert [each.gpus for each in low.new] == [0, 8]


def test_a_pool_without_a_limit_that_adds_no_nodes_opens_nothing() -> None:
    sources = on(pool("reserved", 8), pool("broken", None, used=0, problem="no NodeClass"))
    found = resolved(StatedSupply("auto", 64), sources)
    assert (found.ceiling, found.reason) == (20, "LowerLimitHolds")
    assert "NodePool/broken adds no nodes: no NodeClass" in found.message
    assert "or spec.supply.ceiling" not in found.message, "it is set"


def test_a_limit_that_cannot_be_read_is_not_taken_for_none() -> None:
    found = resolved(StatedSupply(), on(pool(limit=None, unread="64 GPUs")))
    assert (found.ceiling, found.reason) == (None, "CeilingUnknown")
    assert found.message == (
        "NodePool/hopper: spec.limits[\"nvidia.com/gpu\"]='64 GPUs' must be a quantity, e.g. 64, "
        "so nothing is asked of it: correct it, or set spec.supply.ceiling"
    )


def test_a_group_that_cannot_be_seen_is_no_bound_either() -> None:
    stated = StatedSupply("auto", 64, groups=(GroupOfType("b", 8),))
    unread = on(pool("reserved", 8), groups=None, problems=("the ConfigMap cannot be read",))
    for sources in (unread, on(pool("reserved", 8))):
        found = resolved(stated, sources)
        assert (found.ceiling, found.reason) == (64, "CeilingSet")
        assert [each.gpus for each in found.new] == [0, 52]


def test_a_pool_without_a_limit_is_not_asked_but_a_stated_ceiling_will_do() -> None:
    open_ended = on(pool(limit=None))
    found = resolved(StatedSupply(), open_ended)
    assert (found.ceiling, found.reason) == (None, "CeilingUnknown")
    assert 'set its spec.limits["nvidia.com/gpu"], or spec.supply.ceiling' in found.message
    assert resolved(StatedSupply("provisioned"), open_ended).reason == "CeilingUnknown"
    assert resolved(StatedSupply("auto", 40), open_ended).ceiling == 40


def test_a_pool_of_several_types_does_not_count() -> None:
    mixed = pool(products=("H100", "A100"))
    found = resolved(StatedSupply(), on(mixed))
    assert found.ceiling is None
    assert "give it one GPU type" in found.message
    assert resolved(StatedSupply(), on(mixed, pool("own", 16))).ceiling == 16 + 12


def test_a_pool_that_is_not_ready_keeps_its_nodes_and_adds_none() -> None:
    found = resolved(StatedSupply(), on(pool(problem="no NodeClass")))
    assert found.ceiling == 68
    assert found.new[0].gpus == 0
    assert "adds no nodes: no NodeClass" in found.message


@pytest.mark.parametrize(
    ("limit", "used", "smaller", "left"),
    [
        (12, 0, (), 8),
        (12, 8, (), 0),
        (4, 0, (), 0),
        (20, 8, (), 8),
        (16, 8, (), 8),
        (20, 8, (4,), 12),
    ],
)
def test_of_a_limit_whole_nodes_alone_count(
    limit: int, used: int, smaller: tuple[int, ...], left: int
) -> None:
    """Else services would share out GPUs at the patch that no node can bring."""
    nodes = [node("n1", 8, labels={"karpenter.sh/nodepool": "hopper"})] if used else []
    given = pool(limit=limit, used=used, smaller=smaller)
    found = resolve("H100", StatedSupply(), on(given), nodes)
    assert found.ceiling == found.limit == used + left
    assert [new.gpus for new in found.new] == [left]
    is_told = "of the limit of NodePool/hopper only whole nodes of 8 count" in found.message
    assert is_told is (used + left < limit)


def test_where_no_size_is_known_all_of_a_limit_counts() -> None:
    found = resolve(
        "H100", StatedSupply(), on(replace(pool(limit=12, used=0), gpus_per_node=0)), []
    )
    assert (found.ceiling, found.new[0].gpus) == (12, 12)


def test_a_node_that_lost_a_gpu_does_not_make_those_to_come_smaller() -> None:
    nodes = [node("n1", 7, labels={"karpenter.sh/nodepool": "hopper"})]
    found = resolve("H100", StatedSupply(), on(pool(limit=24, used=8)), nodes)
    assert (found.new[0].gpus, found.new[0].gpus_per_node) == (16, 8)


def test_a_limit_that_was_lowered_below_what_is_there_takes_nothing_away() -> None:
    found = resolved(StatedSupply(), on(pool(limit=4, used=8)))
    assert found.ceiling == 8 + 4
    assert found.new[0].gpus == 0


@pytest.mark.parametrize(("target", "n_there"), [(0, 0), (4, 0), (4, 4), (4, 2), (2, 4), (0, 4)])
def test_nodes_that_come_or_go_do_not_move_the_ceiling_of_a_group(
    target: int, n_there: int
) -> None:
    """Ten nodes of eight at most, beside four that are of no group."""
    nodes = [node(f"static-{n}", 8) for n in range(4)] + [node(f"a-{n}", 8) for n in range(n_there)]
    groups = {"a": NodeGroup("a", 10, target, registered=n_there)}
    stated = StatedSupply(groups=(GroupOfType("a", 8),))
    found = resolve("H100", stated, on(groups=groups), nodes)
    assert found.ceiling == 32 + 80


def test_node_groups_are_those_that_the_budget_names() -> None:
    groups = {"a": NodeGroup("a", 6, 1), "other": NodeGroup("other", 100, 0)}
    stated = StatedSupply(groups=(GroupOfType("a", 8),))
    found = resolved(stated, on(groups=groups))
    assert found.ceiling == 48 + 4
    assert found.new[0].gpus == 40
    unknown = resolved(StatedSupply(groups=(GroupOfType("b", 8),)), on(groups=groups))
    assert (unknown.ceiling, unknown.reason) == (None, "CeilingUnknown")
    assert "has no node group 'b'; it has: a, other" in unknown.message


def test_a_status_that_is_not_there_is_named() -> None:
    stated = StatedSupply(groups=(GroupOfType("asg-h100", 8),))
    found = resolved(stated, on(groups={}))
    assert (found.ceiling, found.reason) == (None, "CeilingUnknown")
    assert "ConfigMap/kube-system/cluster-autoscaler-status does not exist" in found.message
    for remedy in ("asg-h100", "--write-status-configmap=true", "spec.supply.mode"):
        assert remedy in found.message
    empty = resolved(stated, on(groups={}, has_status=True))
    assert "has no node group 'asg-h100'; it has: none" in empty.message


def test_what_cannot_be_read_is_fixed_and_says_what_to_do() -> None:
    sources = SeenSources(True, None, (), None, ("nodepools cannot be listed; grant it",))
    found = resolved(StatedSupply(), sources)
    assert (found.ceiling, found.reason) == (None, "SupplyUnreadable")
    assert "grant it" in found.message
    assert resolved(StatedSupply("provisioned", 40), sources).ceiling == 40
    assert resolved(StatedSupply("provisioned"), sources).reason == "CeilingUnknown"


def test_limits_are_no_ceiling_where_nodes_cannot_be_listed() -> None:
    """What is on nodes beside pools and groups counts too, and nobody knows how much that is."""
    stated = StatedSupply(groups=(GroupOfType("a", 8),))
    sources = on(pool(limit=4), groups={"a": NodeGroup("a", 10, 2)})
    assert resolve("H100", stated, sources, []).ceiling == 8 + 80, "there is none beside them"
    found = resolve("H100", stated, sources, None)
    assert (found.ceiling, found.most, found.reason) == (None, None, "SupplyUnreadable")
    assert found.message == (
        "nodes cannot be listed, so how many GPUs of H100 are there is not known, and that "
        "NodePool/hopper and node group a may have 88 is no ceiling: grant the operator list and "
        "watch on nodes, or set spec.supply.ceiling"
    )
    alone = resolve("H100", replace(stated, mode="provisioned"), sources, None)
    assert (alone.most, alone.reason) == (None, "CeilingUnknown")
    assert found.message in alone.message
    assert resolve("H100", StatedSupply("fixed", 16), sources, None).cap == 16
    assert resolve("H100", StatedSupply("auto", 16), on(), None).cap == 16


@pytest.mark.parametrize("mode", ["auto", "provisioned"])
def test_a_stated_ceiling_leaves_what_limits_do_not_where_nodes_cannot_be_listed(mode: str) -> None:
    """GPUs may be free on nodes that are there, though the pool may have no more of them."""
    found = resolve("H100", StatedSupply(mode, 64), on(pool(limit=16, used=16)), None)
    assert (found.ceiling, found.limit, found.reason) == (64, None, "CeilingSet")
    assert [(new.source, new.gpus) for new in found.new] == [("NodePool/hopper", 0), ("", 64)]


def test_an_annotation_that_cannot_be_read_is_named() -> None:
    found = resolved(StatedSupply(problem="annotation x"), on(pool()))
    assert (found.ceiling, found.reason, found.message) == (None, "InvalidSupply", "annotation x")


AMD, MI300X = "amd.com/gpu", "AMD_Instinct_MI300X_OAM"


def test_a_pool_of_another_resource_has_its_own_limit_and_nodes() -> None:
    """The NVIDIA GPUs of the same pool are no MI300X, and are not among those that it may have."""
    labels = {"karpenter.sh/nodepool": "hopper"}
    nodes = [*NODES, node("n3", 8, product=MI300X, resource=AMD, labels=labels)]
    own = pool(limit=32, products=(MI300X,), resource=AMD)
    found = resolve("MI300X", StatedSupply(), on(own, pool("nvidia", 64)), nodes)
    assert (found.ceiling, found.reason) == (32, "Detected")
    assert [(new.gpus, new.gpus_per_node) for new in found.new] == [(24, 8)]
    assert found.new[0].schedulable("MI300X", 8, (shape(8, AMD),)) == 24
    assert found.new[0].schedulable("MI300X", 8, (shape(8),)) == 0, "its pods ask for another"
    no_limit = resolve("MI300X", StatedSupply(), on(replace(own, limit=None)), nodes)
    assert 'set its spec.limits["amd.com/gpu"]' in no_limit.message


def test_pools_and_groups_do_not_count_for_pods_with_claims() -> None:
    """What adds nodes may not look at claims; only a person can say that it does."""
    nodes = [node("n", 8)]
    found = resolve("H100", StatedSupply(), SeenSources(True), nodes, is_claimed=True)
    assert (found.ceiling, found.reason) == (None, "ClaimsIgnored")
    assert "--enable-dynamic-resource-allocation" in found.message
    auto = StatedSupply("auto", 40)
    assert resolve("H100", auto, SeenSources(True), nodes, is_claimed=True).ceiling is None
    stated = StatedSupply("provisioned", 40)
    found = resolve("H100", stated, SeenSources(True), nodes, is_claimed=True)
    assert (found.ceiling, found.reason) == (40, "CeilingSet")
    unknown = resolve("H100", StatedSupply("provisioned"), SeenSources(), nodes, is_claimed=True)
    assert unknown.reason == "CeilingUnknown"
    assert "settings.enableDRA" in unknown.message


def claim(name: str, **given: Any) -> NodeClaim:
    return NodeClaim(name, "hopper", given.pop("gpus", 8), **({"launched_at": NOW} | given))


@pytest.mark.parametrize(
    ("claims", "used", "left", "coming"),
    [
        ([claim("a", node="n1")], 8, 56, []),
        ([claim("a", node="n1"), claim("b")], 16, 48, [8]),
        ([claim("b"), claim("c", node="no-gpus-yet")], 24, 40, [16]),
        ([claim("b", launched_at=None)], 8, 56, []),
        ([claim("b", is_ending=True)], 16, 48, []),
        ([claim("b"), claim("c")], 16, 48, [8]),
        ([claim("b")], 8, 56, []),
        ([claim("b", gpus=0)], 16, 48, [8]),
    ],
)
def test_nodes_that_were_given_and_offer_no_gpus_yet_come_beside_what_the_limit_leaves(
    claims: list[NodeClaim], used: int, left: int, coming: list[int]
) -> None:
    """Of what the pool has been given, less what is there."""
    found = resolved(StatedSupply(), on(pool(used=used), claims=tuple(claims)))
    assert [new.gpus for new in found.new if not new.is_coming] == [left]
    assert [new.gpus for new in found.new if new.is_coming] == coming
    assert found.ceiling == 64 + 4


def test_a_node_that_is_not_ready_yet_is_on_its_way() -> None:
    """Its device plugin may be there before the rest of it; a node that broke comes no more."""
    labels = {"karpenter.sh/nodepool": "hopper"}
    claims = (claim("a", node="n1"),)
    for given, coming in (({}, [8]), ({"karpenter.sh/initialized": "true"}, [])):
        nodes = [node("n1", 8, labels=labels | given, takes_pods=False)]
        found = resolve("H100", StatedSupply(), on(pool(), claims=claims), nodes)
        assert found.ceiling == 64
        assert [new.gpus for new in found.new if new.is_coming] == coming
        assert [new.gpus for new in found.new if not new.is_coming] == [56]


def test_what_is_on_its_way_is_not_known_where_nodes_cannot_be_listed() -> None:
    given = on(pool(used=16), claims=(claim("a", node="n1"), claim("b")))
    found = resolve("H100", StatedSupply("provisioned", 100), given, None)
    assert not [new for new in found.new if new.is_coming]


@pytest.mark.parametrize(
    ("target", "n_there", "n_starting", "refused", "left", "coming"),
    [
        (4, 4, 0, None, 48, []),
        (6, 4, 0, None, 32, [16]),
        (6, 4, 2, None, 32, [32]),
        (6, 4, 1, REFUSED, 32, [8]),
        (3, 4, 0, None, 56, []),
    ],
)
def test_nodes_of_a_group_that_are_on_their_way(
    target: int, n_there: int, n_starting: int, refused: Any, left: int, coming: list[int]
) -> None:
    """Those that start offer no GPUs yet, and take none from the nodes beside the group."""
    n_nodes = n_there - n_starting
    nodes = [node(f"a-{n}", 8) for n in range(n_nodes)] + [node(f"static-{n}", 8) for n in (1, 2)]
    group = NodeGroup("a", 10, target, refused, registered=n_there, starting=n_starting)
    stated = StatedSupply(groups=(GroupOfType("a", 8),))
    found = resolve("H100", stated, on(groups={"a": group}), nodes)
    assert found.ceiling == 80 + 16
    assert [new.gpus for new in found.new if not new.is_coming] == [left]
    assert [new.gpus for new in found.new if new.is_coming] == coming
