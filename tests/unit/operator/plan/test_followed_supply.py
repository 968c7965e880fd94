"""Supplies of several pools or node groups, followed from what is read of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from services.operator.cluster.accelerators import NVIDIA_GPU, Accelerators
from services.operator.cluster.node_groups import GroupOfType, NodeGroup
from services.operator.cluster.node_pools import GpuNodePool, NodeClaim, NodeRefusal
from services.operator.cluster.node_sources import SeenSources
from services.operator.cluster.placement import NodeState
from services.operator.plan.followed_supply import TypeSigns, followed, source_signs
from services.operator.plan.provisioning import Provisioning, ProvisioningSigns, learn_startup
from services.operator.plan.supply import GpusInUse, TypeSupply
from services.operator.plan.supply_sources import StatedSupply, resolve
from tests.unit.operator.examples import NOW

LAW = learn_startup(120.0)
AUTO = StatedSupply()
WAITS = ProvisioningSigns(NOW - timedelta(seconds=5))


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def pool(name: str, limit: int | None = 64, **given: Any) -> GpuNodePool:
    return GpuNodePool(name, limit, 0, 8, ("H100",), {}, (), (), **given)


def claim(pool_name: str, **given: Any) -> NodeClaim:
    return NodeClaim(f"{pool_name}-1", pool_name, 8, **given)


def look(
    seen: SeenSources,
    seconds: float,
    before: TypeSupply | None = None,
    stated: StatedSupply = AUTO,
    nodes: tuple[NodeState, ...] = (),
) -> TypeSupply:
    state = Provisioning() if before is None else before.state
    resolved = resolve("H100", stated, seen, nodes)
    supply = TypeSupply("H100", resolved, GpusInUse(), state, LAW)
    states = {} if before is None else {each.name: each.state for each in before.sources}
    return followed(supply, states, seen, TypeSigns(WAITS, stated.groups, nodes), at(seconds))


REFUSED = NodeRefusal(at(0), "no spot capacity")
SPOT_IS_DRY = SeenSources(True, (pool("spot"), pool("steady")), refused={"spot": REFUSED})


def test_the_refusal_of_one_pool_is_its_own() -> None:
    found = look(SPOT_IS_DRY, 10)
    assert (found.state.is_refused, found.may_ask) == (False, True)
    assert [each.name for each in found.closed] == ["NodePool/spot"]
    assert (found.resolved.ceiling, found.most_asked) == (128, 64)
    later = look(SPOT_IS_DRY, 200, found)
    assert (later.closed, later.most_asked) == ((), 128), "it may be tried again"


def test_a_pool_that_launches_ends_its_own_refusal() -> None:
    found = look(SPOT_IS_DRY, 10)
    given = replace(SPOT_IS_DRY, claims=(claim("spot", launched_at=at(12)),))
    assert look(given, 20, found).closed == ()
    other = replace(SPOT_IS_DRY, claims=(claim("steady", launched_at=at(12)),))
    assert look(other, 20, found).closed == found.closed


def test_all_pools_refuse_and_one_launches_before_anybody_looks() -> None:
    dry = replace(SPOT_IS_DRY, refused={"spot": REFUSED, "steady": NodeRefusal(at(1), "none")})
    assert look(dry, 10).state.is_refused
    one_came = replace(dry, claims=(claim("steady", launched_at=at(3)),))
    found = look(one_came, 10)
    assert not found.state.is_refused
    assert [each.name for each in found.closed] == ["NodePool/spot"]
    assert not look(one_came, 20, look(dry, 10)).state.is_refused


def test_a_pool_that_adds_none_at_present_keeps_nothing_open() -> None:
    for other in (pool("steady", problem="not ready"), pool("steady", None, problem="not ready")):
        seen = replace(SPOT_IS_DRY, pools=(pool("spot"), other))
        assert look(seen, 10, stated=StatedSupply("provisioned", 64)).state.is_refused


def test_a_pool_without_a_limit_keeps_the_type_open_under_a_stated_ceiling() -> None:
    seen = replace(SPOT_IS_DRY, pools=(pool("spot", None), pool("steady", None)))
    found = look(seen, 10, stated=StatedSupply("provisioned", 64))
    assert (found.state.is_refused, found.most_asked) == (False, 64)


GROUPS = (GroupOfType("spot", 8), GroupOfType("steady", 8))
OF_GROUPS = StatedSupply(groups=GROUPS)


def groups(*found: NodeGroup) -> SeenSources:
    return SeenSources(True, groups={each.name: each for each in found})


def test_a_group_that_rises_keeps_the_type_open_while_another_one_backs_off() -> None:
    seen = groups(
        NodeGroup("spot", 8, 2, NodeRefusal(at(0), "backs off from node group spot")),
        NodeGroup("steady", 8, 3, rising_since=at(2)),
    )
    found = look(seen, 10, stated=OF_GROUPS)
    assert (found.state.is_refused, found.may_ask) == (False, True)
    assert (found.resolved.ceiling, found.most_asked) == (128, 80)


def test_a_group_that_rises_after_its_refusal_ends_it() -> None:
    dry = groups(*(NodeGroup(each.name, 8, 0, NodeRefusal(at(0), "none")) for each in GROUPS))
    found = look(dry, 10, stated=OF_GROUPS)
    assert found.state.is_refused
    rising = NodeGroup("steady", 8, 3, rising_since=at(30))
    seen = groups(NodeGroup("spot", 8, 0, NodeRefusal(at(0), "none")), rising)
    assert not look(seen, 40, found, OF_GROUPS).state.is_refused


def node(name: str, seconds: float, **labels: str) -> NodeState:
    return NodeState(
        name, (Accelerators(NVIDIA_GPU, "H100", 8),), labels=labels, created_at=at(seconds)
    )


def test_a_node_counts_for_its_pool_and_each_for_one_that_is_alone() -> None:
    nodes = [node("a", 5, **{"karpenter.sh/nodepool": "spot"}), node("b", 9)]
    found = source_signs(SPOT_IS_DRY, "H100", (), nodes)
    assert found["NodePool/spot"].node_at == at(5)
    assert found["NodePool/steady"].node_at is None
    alone = replace(SPOT_IS_DRY, pools=(pool("spot"),))
    assert source_signs(alone, "H100", (), nodes)["NodePool/spot"].node_at == at(9)


def test_a_node_from_nobody_knows_where_opens_a_type_with_all_its_sources() -> None:
    dry = replace(SPOT_IS_DRY, refused={"spot": REFUSED, "steady": NodeRefusal(at(1), "none")})
    refused = look(dry, 10)
    signs = TypeSigns(replace(WAITS, node_at=at(15)), (), ())
    states = {each.name: each.state for each in refused.sources}
    opened = followed(replace(refused, sources=()), states, dry, signs, at(20))
    assert not opened.state.is_refused
    assert opened.closed == ()
