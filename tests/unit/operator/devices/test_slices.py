"""Devices as drivers publish them, with the product that each is."""

from __future__ import annotations

from typing import Any

import pytest

from services.operator.cluster.gpu_types import is_product
from services.operator.devices.claims import DeviceKey
from services.operator.devices.selectors import Equality
from services.operator.devices.slices import Device, devices_of, to_slice
from tests.unit.operator.allocation import device, resource_slice
from tests.unit.operator.devices.test_claims import VERSIONS, valid


def only(given: dict[str, Any], **spec: Any) -> Device:
    (found,) = to_slice(resource_slice("n1", [given], **spec)).devices
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_a_device_of_a_node(version: str) -> None:
    published = valid(resource_slice("n1", [device("gpu-0", version, index=3)], version))
    (found,) = to_slice(published).devices
    assert found.key == DeviceKey("gpu.nvidia.com", "n1", "gpu-0")
    assert (found.node, found.problem, found.is_tainted) == ("n1", "", False)
    assert found.attributes["gpu.nvidia.com/index"] == 3
    assert found.product == "NVIDIA-H100-80GB-HBM3"
    assert is_product(found.product, "H100")
    assert found.matches((Equality("", "gpu.nvidia.com"), Equality("gpu.nvidia.com/type", "gpu")))
    assert not found.matches((Equality("gpu.nvidia.com/index", 4),))


@pytest.mark.parametrize(
    ("driver", "attributes", "product"),
    [
        (
            "gpu.nvidia.com",
            {"type": "mig", "productName": "NVIDIA A100-SXM4-40GB", "profile": "1g.5gb"},
            "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb",
        ),
        ("gpu.nvidia.com", {"type": "mig", "profile": None}, ""),
        ("gpu.nvidia.com", {"type": "vfio"}, ""),
        (
            "gpu.amd.com",
            {"type": "amdgpu", "productName": "AMD_Instinct_MI300X_OAM"},
            "AMD_Instinct_MI300X_OAM",
        ),
        ("gpu.amd.com", {"type": "amdgpu-partition", "productName": "AMD_Instinct_MI300X_OAM"}, ""),
        ("gpu.example.com", {"type": "gpu"}, ""),
    ],
)
def test_products_by_driver(driver: str, attributes: dict[str, Any], product: str) -> None:
    assert only(device("gpu-0", **attributes), driver=driver).product == product


def test_an_attribute_of_another_domain_keeps_it() -> None:
    given = device("gpu-0")
    given["attributes"]["resource.kubernetes.io/pcieRoot"] = {"string": "pci0000:00"}
    assert only(given).attributes["resource.kubernetes.io/pcieRoot"] == "pci0000:00"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            {"consumesCounters": [{"counterSet": "c", "counters": {"slices": {"value": "1"}}}]},
            "consumesCounters",
        ),
        ({"allowMultipleAllocations": True}, "allowMultipleAllocations"),
    ],
)
def test_a_device_that_cannot_be_counted_says_why(more: dict[str, Any], words: str) -> None:
    valid(resource_slice("n1", [device("gpu-0") | more]))
    assert words in only(device("gpu-0") | more).problem


def test_a_device_that_is_not_at_one_node() -> None:
    everywhere = valid(resource_slice("", [device("gpu-0")], allNodes=True))
    (found,) = to_slice(everywhere).devices
    assert "not at one node" in found.problem
    own = device("gpu-0") | {"nodeName": "n2"}
    (found,) = to_slice(valid(resource_slice("", [own], perDeviceNodeSelection=True))).devices
    assert (found.node, found.problem) == ("n2", "")


def test_a_taint_keeps_claims_away() -> None:
    taint = {"key": "gpu.nvidia.com/unhealthy", "effect": "NoExecute"}
    assert only(device("gpu-0") | {"taints": [taint]}).is_tainted
    noted = {"key": "gpu.nvidia.com/warm", "effect": "None"}
    assert not only(device("gpu-0") | {"taints": [noted]}).is_tainted


def test_only_whole_pools_of_the_newest_generation_count() -> None:
    old = to_slice(resource_slice("n1", [device("gpu-0"), device("gpu-1")], generation=1))
    new = to_slice(resource_slice("n1", [device("gpu-0")], generation=2))
    assert [each.key.device for each in devices_of([old, new])] == ["gpu-0"]
    half = to_slice(resource_slice("n2", [device("gpu-7")], n_slices=2))
    assert devices_of([half]) == []
    assert len(devices_of([half, half, new])) == 3
