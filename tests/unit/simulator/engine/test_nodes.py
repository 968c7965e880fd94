"""Placement of gangs of GPUs on nodes."""

from __future__ import annotations

import pytest

from services.simulator.engine.needs import Needs, NodeLabel, NodeTaint
from services.simulator.engine.nodes import Nodes
from services.simulator.engine.specs import ANY_GPU_TYPE, NodeSpec


@pytest.fixture
def nodes() -> Nodes:
    return Nodes([NodeSpec("a", "L4", 2), NodeSpec("b", "H100", 8)])


def test_the_first_node_that_fits_is_taken(nodes: Nodes) -> None:
    assert nodes.take(ANY_GPU_TYPE, 2) == "a"
    assert nodes.take(ANY_GPU_TYPE, 1) == "b"
    assert nodes.take("L4", 1) is None
    assert (nodes.free_gpus("a"), nodes.free_gpus("b")) == (0, 7)
    nodes.give_back("a", 2)
    assert nodes.take("L4", 2) == "a"


def test_a_cordoned_node_takes_nothing_until_that_is_lifted(nodes: Nodes) -> None:
    nodes.cordon("a")
    assert nodes.take("L4", 1) is None
    nodes.cordon("a", is_cordoned=False)
    assert nodes.take("L4", 1) == "a"


def test_labels_and_taints_decide_who_may_come(nodes: Nodes) -> None:
    taint = NodeTaint("gpu", "", "NoSchedule")
    nodes.update(NodeSpec("a", "L4", 99, labels=(NodeLabel("zone", "x"),), taints=(taint,)))
    assert nodes.free_gpus("a") == 2
    assert nodes.take("L4", 1) is None
    nodes.update(NodeSpec("a", "L4", 2, labels=(NodeLabel("zone", "x"),)))
    assert nodes.take("L4", 1, Needs((("zone", "y"),))) is None
    assert nodes.take("L4", 1, Needs((("zone", "x"),))) == "a"


def test_a_node_that_is_gone_is_unknown_and_takes_nothing_back(nodes: Nodes) -> None:
    nodes.remove("a")
    nodes.give_back("a", 2)
    assert [node.name for node in nodes.all()] == ["b"]
    with pytest.raises(KeyError, match="no node 'a'"):
        nodes.require("a")
    with pytest.raises(ValueError, match="exists already"):
        nodes.add(NodeSpec("b", "L4", 1))


def test_pods_are_placed_where_their_own_resource_is(nodes: Nodes) -> None:
    nodes.add(NodeSpec("c", "MI300X", 8, resource="amd.com/gpu"))
    amd = Needs(resource="amd.com/gpu")
    assert nodes.take(ANY_GPU_TYPE, 8, amd) == "c"
    assert nodes.take(ANY_GPU_TYPE, 1, amd) is None
    assert nodes.take(ANY_GPU_TYPE, 0, amd) == "a", "a pod without GPUs may go anywhere"
