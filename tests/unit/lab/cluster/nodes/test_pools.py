"""Pools as NodePools and node groups state them."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.nodes.pools import of_node_group, of_node_pool
from services.simulator.engine.needs import NodeLabel, NodeTaint


def node_pool(**given: Any) -> dict[str, Any]:
    annotations = {f"lab.harmony.dev/{k}": v for k, v in given.get("annotations", {}).items()}
    requirement = {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["H100", "A100"]}
    template = {
        "metadata": {"labels": {"tier": "gold"}},
        "spec": {"requirements": [requirement], "taints": given.get("taints", [])},
    }
    return {
        "metadata": {"name": "hopper", "annotations": annotations},
        "spec": {"template": template, **given.get("spec", {})},
    }


def test_a_node_pool_states_its_nodes_and_how_many_they_may_be() -> None:
    annotations = {
        "node-gpus": "4",
        "node-startup-median": "3m",
        "node-startup-sigma": "0.5",
        "node-capacity": "2",
        "node-interruptions": "0.25",
    }
    spec = {"limits": {"nvidia.com/gpu": "18"}, "disruption": {"consolidateAfter": "30s"}}
    found = of_node_pool(node_pool(annotations=annotations, spec=spec))
    assert (found.node.gpu_type, found.node.gpus, found.most_nodes) == ("H100", 4, 4)
    assert (found.startup.median_s, found.startup.sigma) == (180.0, 0.5)
    assert (found.capacity, found.empty_after_s) == (2, 30.0)
    assert found.interruptions == 0.25
    labels = dict(found.node.labels)
    assert labels["karpenter.sh/nodepool"] == "hopper"
    assert NodeLabel("tier", "gold") in found.node.labels


def test_what_is_left_out_has_a_usual_value() -> None:
    found = of_node_pool(node_pool(spec={"disruption": {"consolidateAfter": "Never"}}))
    assert (found.node.gpus, found.most_nodes, found.capacity) == (8, None, None)
    assert (found.startup.median_s, found.empty_after_s) == (120.0, None)
    taint = {"key": "gpu", "effect": "NoSchedule"}
    assert of_node_pool(node_pool(taints=[taint])).node.taints == (
        NodeTaint("gpu", "", "NoSchedule"),
    )


def test_a_node_group_states_the_same_in_json() -> None:
    text = (
        '{"product": "L4", "gpus": 4, "min": 1, "max": 5, "startupMedian": "1m", "capacity": 3, '
        '"interruptions": 0.5}'
    )
    found = of_node_group("group", text)
    assert (found.name, found.node.gpu_type, found.node.gpus) == ("group", "L4", 4)
    assert (found.least_nodes, found.most_nodes, found.capacity) == (1, 5, 3)
    assert (found.startup.median_s, found.empty_after_s) == (60.0, 600.0)
    assert found.interruptions == 0.5


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        of_node_pool(node_pool(annotations={"node-startup-median": "soon"}))


def test_a_node_pool_is_of_the_resource_that_it_limits() -> None:
    pool = node_pool(spec={"limits": {"cpu": "1000", "amd.com/gpu": "16"}})
    pool["spec"]["template"]["metadata"]["labels"]["amd.com/gpu.product-name"] = "MI300X"
    found = of_node_pool(pool)
    assert (found.node.resource, found.node.gpu_type) == ("amd.com/gpu", "MI300X")
    assert found.most_nodes == 2


def test_nodes_are_labelled_when_they_are_there_where_the_pool_does_not_state_the_product() -> None:
    pool = node_pool(annotations={"node-product": "NVIDIA-B200"})
    pool["spec"]["template"]["metadata"]["labels"].pop("nvidia.com/gpu.product", None)
    pool["spec"]["template"]["spec"]["requirements"] = []
    found = of_node_pool(pool)
    assert found.node.gpu_type == "NVIDIA-B200"
    assert ("nvidia.com/gpu.product", "NVIDIA-B200") in [
        (each.key, each.value) for each in found.node.labels
    ]
