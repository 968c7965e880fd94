"""Claims, templates and classes as they are read, in each version of their API."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest

from services.operator.cluster.pods import ClaimRef, claims_of
from services.operator.devices.claims import (
    ClaimSpec,
    DeviceClass,
    DeviceKey,
    DeviceRequest,
    to_claim,
    to_class,
    to_template,
)
from tests.unit.operator.allocation import NVIDIA_CLASS, claim, device_class, request, template

SERVERS = {"v1": "1.34.0", "v1beta2": "1.33.0", "v1beta1": "1.32.0"}
"""A release of Kubernetes that serves each version."""
VERSIONS = tuple(SERVERS)


def valid(resource: dict[str, Any]) -> dict[str, Any]:
    """The object, which Kubernetes' own schema of its version knows."""
    version = str(resource["apiVersion"]).rpartition("/")[2]
    kubernetes_validate.validate(resource, SERVERS[version], strict=True)
    return resource


@pytest.mark.parametrize("version", VERSIONS)
def test_a_template_asks_for_devices_of_a_class(version: str) -> None:
    found = to_template(valid(template("two", request(version, count=2), version=version)))
    assert found.key == ("serving", "two")
    assert found.spec == ClaimSpec((DeviceRequest("gpu.nvidia.com", count=2),))


@pytest.mark.parametrize("version", VERSIONS)
def test_selectors_stand_beside_those_of_the_class(version: str) -> None:
    own = [{"cel": {"expression": "device.attributes['gpu.nvidia.com'].index == 1"}}]
    found = to_template(valid(template("one", request(version, selectors=own), version=version)))
    (asked,) = found.spec.requests
    assert asked.selectors == ("device.attributes['gpu.nvidia.com'].index == 1",)
    assert asked.count == 1
    of_class = to_class(valid(device_class(version=version)))
    assert of_class == DeviceClass("gpu.nvidia.com", (NVIDIA_CLASS,))


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_allocated_is_held(version: str) -> None:
    found = to_claim(valid(claim("c", ("n1", "gpu-0"), ("n1", "gpu-1"), version=version)))
    assert found.holds == tuple(
        DeviceKey("gpu.nvidia.com", "n1", each) for each in ("gpu-0", "gpu-1")
    )
    assert found.is_allocated
    waiting = to_claim(valid(claim("c", version=version)))
    assert (waiting.holds, waiting.is_allocated) == ((), False)
    watcher = to_claim(valid(claim("c", ("n1", "gpu-0"), version=version, adminAccess=True)))
    assert (watcher.holds, watcher.is_allocated) == ((), True)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (request(allocationMode="All"), "allocationMode All"),
        (
            {"name": "gpu", "firstAvailable": [{"name": "a", "deviceClassName": "a"}]},
            "has alternatives",
        ),
        (request(capacity={"requests": {"memory": "10Gi"}}), "a part of a device's capacity"),
        (request(tolerations=[{"operator": "Exists"}]), "tolerates taints"),
    ],
)
def test_what_cannot_be_told_says_why(asked: dict[str, Any], words: str) -> None:
    (found,) = to_template(valid(template("odd", asked))).spec.requests
    assert words in found.problem


def test_devices_that_are_tied_together_cannot_be_told() -> None:
    tied = [{"requests": ["gpu"], "matchAttribute": "gpu.nvidia.com/numa"}]
    found = to_template(valid(template("near", request(count=2), constraints=tied)))
    assert "constraints" in found.spec.problem


def test_a_watcher_takes_no_device() -> None:
    asked = request(adminAccess=True)
    assert to_template(valid(template("watch", asked))).spec.requests == ()


def test_claims_of_pods() -> None:
    spec = {
        "resourceClaims": [
            {"name": "gpu", "resourceClaimTemplateName": "one-gpu"},
            {"name": "shared", "resourceClaimName": "mine"},
            {"name": "none"},
        ]
    }
    found = claims_of(spec)
    assert found == (ClaimRef("one-gpu"), ClaimRef("mine", is_template=False))
    assert [each.label for each in found] == ["ResourceClaimTemplate/one-gpu", "ResourceClaim/mine"]
    assert claims_of({"containers": []}) == ()
