"""Pods and nodes by the resource of their device plugin."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.controllers.devices import (
    limited_by,
    product_label,
    quota_key,
    resource_asked_by,
    resource_of,
)


def pod(*limits: dict[str, str]) -> dict[str, Any]:
    return {"containers": [*({"resources": {"limits": each}} for each in limits), {"name": "b"}]}


def test_a_pod_has_one_resource() -> None:
    assert resource_asked_by(pod({"cpu": "1", "amd.com/gpu": "2"}, {"amd.com/gpu": "1"})) == (
        "amd.com/gpu"
    )
    assert resource_asked_by(pod({"cpu": "1"})) == "nvidia.com/gpu"
    with pytest.raises(ValueError, match=r"amd\.com/gpu and nvidia\.com/gpu"):
        resource_asked_by(pod({"amd.com/gpu": "2"}, {"nvidia.com/gpu": "1"}))


def test_a_node_has_one_resource() -> None:
    assert resource_of({"cpu": "1", "google.com/tpu": "4"}) == "google.com/tpu"
    with pytest.raises(ValueError, match="one for each pod and node"):
        resource_of({"nvidia.com/gpu": "2", "nvidia.com/mig-1g.5gb": "7"})


def test_quotas_name_resources() -> None:
    hard = {"requests.amd.com/gpu": "2", "requests.cpu": "8", "amd.com/gpu": "1", "pods": "9"}
    assert limited_by(hard) == ["amd.com/gpu"]
    assert quota_key("amd.com/gpu") == "requests.amd.com/gpu"


@pytest.mark.parametrize(
    ("resource", "label"),
    [
        ("nvidia.com/gpu", "nvidia.com/gpu.product"),
        ("amd.com/gpu", "amd.com/gpu.product-name"),
        ("habana.ai/gaudi", ""),
        ("cpu", ""),
    ],
)
def test_products_have_the_label_of_their_resource(resource: str, label: str) -> None:
    assert product_label(resource) == label
