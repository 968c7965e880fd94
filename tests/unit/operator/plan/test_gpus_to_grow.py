"""The tighter of two limits holds, and names itself."""

from __future__ import annotations

from services.operator.plan.gpus_to_grow import NODES, GpusToGrow


def test_the_tighter_limit_holds() -> None:
    room = GpusToGrow(8, NODES, on_new_nodes=4, warm=2)
    assert room.within(8, "ResourceQuota/q") == room
    assert room.within(9, "ResourceQuota/q") == room
    assert room.within(3, "ResourceQuota/q") == GpusToGrow(3, "ResourceQuota/q", 3, 2)
    assert room.within(5, "ResourceQuota/q").on_new_nodes == 4


def test_what_is_not_known_is_as_much_as_the_limit_leaves() -> None:
    assert GpusToGrow(None).within(3, "ClusterQueue/a") == GpusToGrow(3, "ClusterQueue/a")
