"""What nodes offer and pods ask for, by the resource names of device plugins."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.operator.cluster.accelerators import (
    PLUGINS,
    Accelerators,
    asked_by,
    offered,
    plugin_of,
    product_of,
    total,
    whole,
)

CARD = "nvidia.com/gpu.product"
A100 = "NVIDIA-A100-SXM4-40GB"
GKE = "cloud.google.com/gke-accelerator"
PART = "cloud.google.com/gke-gpu-partition-size"
SHARING = "cloud.google.com/gke-gpu-sharing-strategy"


@pytest.mark.parametrize(
    ("resource", "labels", "product"),
    [
        ("nvidia.com/gpu", {CARD: A100}, A100),
        ("nvidia.com/gpu", {CARD: f"{A100}-SHARED"}, f"{A100}-SHARED"),
        ("nvidia.com/gpu.shared", {CARD: A100}, f"{A100}-SHARED"),
        ("nvidia.com/gpu.shared", {CARD: f"{A100}-SHARED"}, f"{A100}-SHARED"),
        ("nvidia.com/mig-1g.5gb", {CARD: A100}, f"{A100}-MIG-1g.5gb"),
        ("nvidia.com/mig-1g.5gb", {CARD: f"{A100}-SHARED"}, f"{A100}-MIG-1g.5gb"),
        ("nvidia.com/mig-1g.5gb.shared", {CARD: A100}, f"{A100}-MIG-1g.5gb-SHARED"),
        ("nvidia.com/mig-1g.5gb.me", {}, "MIG-1g.5gb.me"),
        (
            "nvidia.com/mig-1g.5gb",
            {CARD: A100, "nvidia.com/mig-1g.5gb.product": f"{A100}-MIG-1g.5gb-SHARED"},
            f"{A100}-MIG-1g.5gb-SHARED",
        ),
        (
            "amd.com/gpu",
            {"amd.com/gpu.product-name": "a", "beta.amd.com/gpu.product-name": "b"},
            "a",
        ),
        ("amd.com/gpu", {"beta.amd.com/gpu.product-name": "b"}, "b"),
        ("amd.com/gpu", {CARD: A100}, ""),
        ("gpu.intel.com/xe", {"gpu.intel.com/product": "Max_1550"}, "Max_1550"),
        ("google.com/tpu", {"cloud.google.com/gke-tpu-accelerator": "tpu7x"}, "tpu7x"),
        ("habana.ai/gaudi", {CARD: A100}, ""),
        ("nvidia.com/gpu", {"karpenter.k8s.aws/instance-gpu-name": "h100"}, "h100"),
        ("nvidia.com/gpu", {"eks.amazonaws.com/instance-gpu-name": "h100"}, "h100"),
        ("nvidia.com/gpu", {"karpenter.azure.com/sku-gpu-name": "H100"}, "H100"),
        ("nvidia.com/gpu", {"kubernetes.azure.com/accelerator": "nvidia"}, ""),
        ("nvidia.com/gpu", {GKE: "nvidia-h100-80gb"}, "nvidia-h100-80gb"),
        ("nvidia.com/gpu", {CARD: A100, "karpenter.k8s.aws/instance-gpu-name": "a100"}, A100),
        ("nvidia.com/gpu", {GKE: "nvidia-l4", SHARING: "time-sharing"}, "nvidia-l4-SHARED"),
        ("nvidia.com/gpu", {GKE: "nvidia-a100", PART: "1g.5gb"}, "nvidia-a100-MIG-1g.5gb"),
        (
            "nvidia.com/gpu",
            {GKE: "nvidia-a100", PART: "1g.5gb", SHARING: "mps"},
            "nvidia-a100-MIG-1g.5gb-SHARED",
        ),
        ("amd.com/gpu", {"karpenter.azure.com/sku-gpu-name": "MI300X"}, "MI300X"),
    ],
)
def test_labels_name_the_product(resource: str, labels: dict[str, str], product: str) -> None:
    assert product_of(resource, labels) == product


def test_a_node_offers_each_resource_apart() -> None:
    amounts = {"cpu": "96", "memory": "1Ti", "nvidia.com/gpu": "0", "amd.com/gpu": "8"}
    labels = {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"}
    assert offered(amounts, labels) == (Accelerators("amd.com/gpu", labels.popitem()[1], 8),)


@pytest.mark.parametrize("name", ["cpu", "nvidia.com/gpu.product", "gpu.intel.com/i915_monitoring"])
def test_what_is_no_accelerator(name: str) -> None:
    assert plugin_of(name) is None


def spec(*limits: dict[str, Any], **selector: str) -> dict[str, Any]:
    containers = [{"resources": {"limits": each}} for each in limits]
    return {"containers": [*containers, {"name": "sidecar"}], "nodeSelector": selector}


def test_a_pod_asks_for_the_sum_of_its_containers() -> None:
    found = asked_by(spec({"amd.com/gpu": "2"}, {"amd.com/gpu": 1, "google.com/tpu": "4"}))
    assert found == (Accelerators("amd.com/gpu", "", 3), Accelerators("google.com/tpu", "", 4))
    assert total(found) == 7


def limited(count: int, **more: Any) -> dict[str, Any]:
    return {"resources": {"limits": {"nvidia.com/gpu": str(count)}}, **more}


@pytest.mark.parametrize(
    ("before", "asked"),
    [
        ([limited(1)], 2),
        ([limited(4), limited(3)], 4),
        ([limited(1, restartPolicy="Always")], 3),
        ([limited(1, restartPolicy="Always"), limited(4)], 5),
        ([limited(4), limited(1, restartPolicy="Always")], 4),
        ([{"name": "wait"}], 2),
    ],
)
def test_a_pod_asks_for_what_its_init_containers_ask_for(
    before: list[dict[str, Any]], asked: int
) -> None:
    """They run one after the other, and those that are started again go on beside the rest."""
    found = asked_by({"initContainers": before, "containers": [limited(2)]})
    assert found == (Accelerators("nvidia.com/gpu", "", asked),)


def test_a_pod_whose_sidecar_alone_has_gpus_asks_for_them() -> None:
    found = asked_by({"initContainers": [limited(8, restartPolicy="Always")], "containers": [{}]})
    assert total(found) == 8


def test_a_pod_asks_for_the_product_that_it_selects() -> None:
    (whole_gpu,) = asked_by(spec({"nvidia.com/gpu": "1"}, **{CARD: A100}))
    assert whole_gpu.product == A100
    (slice_,) = asked_by(spec({"nvidia.com/mig-1g.5gb": "1"}, **{CARD: A100}))
    assert slice_.product == f"{A100}-MIG-1g.5gb"
    (anywhere,) = asked_by(spec({"nvidia.com/mig-1g.5gb": "1"}))
    assert anywhere.product == "", "it may come to be on any card"


resources = st.sampled_from(
    [*(plugin.resource for plugin in PLUGINS), "nvidia.com/gpu.shared", "nvidia.com/mig-2g.10gb"]
)


@given(st.lists(st.dictionaries(resources, st.integers(0, 64)), max_size=4))
def test_nothing_that_is_asked_for_is_lost_or_counted_twice(asked: list[dict[str, int]]) -> None:
    found = {each.resource: each.count for each in asked_by(spec(*asked))}
    for resource in {name for each in asked for name in each}:
        assert found.pop(resource, 0) == sum(each.get(resource, 0) for each in asked)
    assert found == {}


@pytest.mark.parametrize(
    ("amount", "found"),
    [
        ("8", 8),
        (8, 8),
        ("2k", 2000),
        ("", None),
        (None, None),
        ("8.5", 8),
        ("6.4e1", 64),
        ("64000m", 64),
        ("1Ki", 1024),
        ("9223372036854775807", 10**9),
        ("9999999999k", 10**9),
        ("1e999999999", 10**9),
        ("0e999999999", 0),
        ("1e-999999999", 0),
        ("-1", 0),
        ("-1e999999999", 0),
        ("64 GPUs", None),
        (True, None),
        ("²", None),
        ("²k", None),
        ("9" * 5000, None),
    ],
)
def test_whole_quantities(amount: object, found: int | None) -> None:
    assert whole(amount) == found
