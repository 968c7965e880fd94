"""The tighter of two limits holds, and names itself."""

from __future__ import annotations

from hypothesis import given, strategies as st

from services.operator.plan.gpus_to_grow import NODES, GpusToGrow


def test_the_tighter_limit_holds() -> None:
    room = GpusToGrow(8, NODES, on_new_nodes=4, warm=2)
    assert room.within(8, "ResourceQuota/q") == room
    assert room.within(9, "ResourceQuota/q") == room
    assert room.within(5, "ResourceQuota/q") == GpusToGrow(5, "ResourceQuota/q", 1, 2)
    assert room.within(3, "ResourceQuota/q") == GpusToGrow(3, "ResourceQuota/q", 0, 2)


def test_a_limit_leaves_free_gpus_before_those_of_nodes_to_come() -> None:
    """As the scheduler does, which fills nodes that are there first."""
    room = GpusToGrow(80, NODES, on_new_nodes=64)
    left = [room.within(gpus, "ClusterQueue/a").on_new_nodes for gpus in (24, 16, 8, 0)]
    assert left == [8, 0, 0, 0]
    assert GpusToGrow(8, NODES).within(4, "ClusterQueue/a").on_new_nodes is None


def test_of_the_free_gpus_that_a_limit_leaves_as_many_are_warm_in_proportion() -> None:
    room = GpusToGrow(160, NODES, on_new_nodes=80, warm=8)
    left = [room.within(gpus, "ResourceQuota/q").warm for gpus in (100, 80, 40, 8, 0)]
    assert left == [8, 8, 4, 1, 0]
    assert GpusToGrow(8, NODES, on_new_nodes=8, warm=0).within(4, "ResourceQuota/q").warm == 0
    assert GpusToGrow(8, NODES).within(4, "ResourceQuota/q").warm is None


@given(st.integers(0, 64), st.integers(0, 64), st.integers(0, 64), st.lists(st.integers(0, 130)))
def test_what_is_left_is_made_of_what_there_is(
    here: int, new: int, warm: int, limits: list[int]
) -> None:
    """Whatever the limits are, and the tightest alone says how many are on which nodes."""
    room = GpusToGrow(here + new, NODES, new, min(warm, here))
    left = room
    for gpus in limits:
        left = left.within(gpus, "ResourceQuota/q")
    assert left.gpus == min([here + new, *limits])
    assert left.on_new_nodes == max(0, left.gpus - here)
    assert left.warm is not None
    assert 0 <= left.warm <= left.gpus - left.on_new_nodes


def test_what_is_not_known_is_as_much_as_the_limit_leaves() -> None:
    assert GpusToGrow(None).within(3, "ClusterQueue/a") == GpusToGrow(3, "ClusterQueue/a")
