"""What templates, nodes and options say."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.__main__ import parse_nodes, parse_start
from services.lab.cluster.controllers.manifests import (
    deployment_spec,
    node_body,
    node_spec,
    parse_duration,
    startup_spec,
)
from services.simulator.engine.engine import ANY_GPU_TYPE, NodeSpec


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45s", 45), ("1m30s", 90), ("2h", 7_200), ("250ms", 0.25), ("1.5s", 1.5), ("0s", 0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "45", "s", "1d", "-3s", "3 s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("startup-median", "45"),
        ("startup-sigma", "wide"),
        ("startup-fail-probability", "often"),
        ("startup-restart", "soon"),
    ],
)
def test_a_wrong_annotation_is_named(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"lab.harmony.dev/{key}"):
        startup_spec({f"lab.harmony.dev/{key}": value})


def template(**changes: Any) -> dict[str, Any]:
    containers = [
        {"name": "a", "resources": {"limits": {"nvidia.com/gpu": "2"}}},
        {"name": "b", "resources": {"limits": {"nvidia.com/gpu": 1}}},
        {"name": "c"},
    ]
    return {"metadata": {}, "spec": {"containers": containers, **changes}}


def test_a_pod_holds_the_gpus_of_all_its_containers() -> None:
    spec = deployment_spec("ns/a", template(), is_warm=False)
    assert (spec.gpus_per_pod, spec.gpu_type) == (3, ANY_GPU_TYPE)
    selector = {"nvidia.com/gpu.product": "L4"}
    assert deployment_spec("ns/a", template(nodeSelector=selector), is_warm=False).gpu_type == "L4"


def test_a_fraction_of_a_gpu_is_refused() -> None:
    part = [{"name": "a", "resources": {"limits": {"nvidia.com/gpu": "0.5"}}}]
    with pytest.raises(ValueError, match="whole number of GPUs"):
        deployment_spec("ns/a", template(containers=part), is_warm=False)


def test_node_pools() -> None:
    assert parse_nodes("H100=2x8, L4=1x4") == [
        NodeSpec("h100-000", "H100", 8),
        NodeSpec("h100-001", "H100", 8),
        NodeSpec("l4-000", "L4", 4),
    ]
    assert parse_nodes("MI300X=1x8:amd.com/gpu") == [
        NodeSpec("mi300x-000", "MI300X", 8, resource="amd.com/gpu")
    ]
    assert parse_nodes("") == []


def test_nodes_of_what_is_no_gpu_are_refused() -> None:
    with pytest.raises(ValueError, match="must be the resource of a GPU"):
        parse_nodes("H100=1x8:cpu")


def test_a_node_has_its_own_resource_and_the_label_of_its_product() -> None:
    for node, label in (
        (NodeSpec("a", "MI300X", 8, resource="amd.com/gpu"), "amd.com/gpu.product-name"),
        (NodeSpec("b", "H100", 4), "nvidia.com/gpu.product"),
    ):
        body = node_body(node)
        assert body["status"]["allocatable"][node.resource] == str(node.gpus)
        assert body["metadata"]["labels"][label] == node.gpu_type
        found = node_spec(body)
        assert (found.gpu_type, found.gpus, found.resource) == (
            node.gpu_type,
            node.gpus,
            node.resource,
        )


def test_a_node_without_a_product_is_told_by_its_resource() -> None:
    gaudi = NodeSpec("a", "", 8, resource="habana.ai/gaudi")
    assert "" not in node_body(gaudi)["metadata"]["labels"]
    assert node_spec(node_body(gaudi)).resource == "habana.ai/gaudi"


def test_a_pod_holds_its_own_resource() -> None:
    part = [{"name": "a", "resources": {"limits": {"cpu": "4", "amd.com/gpu": "2"}}}]
    selector = {"amd.com/gpu.product-name": "MI300X", "zone": "a"}
    spec = deployment_spec("ns/a", template(containers=part, nodeSelector=selector), is_warm=False)
    assert (spec.gpus_per_pod, spec.gpu_type) == (2, "MI300X")
    assert (spec.needs.resource, dict(spec.needs.labels)) == ("amd.com/gpu", {"zone": "a"})


@pytest.mark.parametrize("text", ["H100", "H100=8", "H100=x8", "=1x1"])
def test_node_pools_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="TYPE=NODESxGPUS"):
        parse_nodes(text)


def test_a_start_without_a_time_zone_is_refused() -> None:
    assert parse_start("2026-01-05T00:00:00Z") == 1_767_571_200.0
    with pytest.raises(ValueError, match="time zone"):
        parse_start("2026-01-05T00:00:00")
