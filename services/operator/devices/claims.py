"""Claims of devices, as their templates and classes state them; pure.

Fields are those of `resource.k8s.io` `v1` and `v1beta2`, where a request states its devices below
`exactly`, and of `v1beta1`, where it does so itself (kubernetes/kubernetes,
staging/src/k8s.io/api/resource).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]
ClaimKey = tuple[str, str]
"""Namespace and name of a ResourceClaim or a ResourceClaimTemplate."""

_EXACT = "ExactCount"


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """Devices that a claim asks for.

    Attributes:
        device_class: Name of the DeviceClass.
        selectors: CEL expressions beside those of the class.
        count: How many.
        problem: Why it cannot be told which or how many devices that is; empty: it can.
    """

    device_class: str
    selectors: tuple[str, ...] = ()
    count: int = 1
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ClaimSpec:
    """What one claim asks for.

    Attributes:
        problem: Why it cannot be told which devices would do; empty: it can.
    """

    requests: tuple[DeviceRequest, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True, order=True)
class DeviceKey:
    """Identity of one device."""

    driver: str
    pool: str
    device: str


@dataclass(frozen=True, slots=True)
class ResourceClaim:
    """A ResourceClaim.

    Attributes:
        holds: Devices that are allocated for it.
        is_allocated: It has an allocation at all.
    """

    key: ClaimKey
    spec: ClaimSpec
    holds: tuple[DeviceKey, ...] = ()
    is_allocated: bool = False


@dataclass(frozen=True, slots=True)
class ClaimTemplate:
    """A ResourceClaimTemplate."""

    key: ClaimKey
    spec: ClaimSpec


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """A DeviceClass.

    Attributes:
        selectors: CEL expressions that its devices satisfy.
    """

    name: str
    selectors: tuple[str, ...] = ()


def to_template(resource: Object) -> ClaimTemplate:
    """A ResourceClaimTemplate."""
    spec = (resource.get("spec") or {}).get("spec") or {}
    return ClaimTemplate(_key(resource), to_claim_spec(spec))


def to_claim(resource: Object) -> ResourceClaim:
    """A ResourceClaim with what is allocated for it."""
    allocation = (resource.get("status") or {}).get("allocation") or {}
    results = (allocation.get("devices") or {}).get("results") or ()
    holds = tuple(
        DeviceKey(str(each["driver"]), str(each["pool"]), str(each["device"]))
        for each in results
        if not each.get("adminAccess")
    )
    spec = to_claim_spec(resource.get("spec") or {})
    return ResourceClaim(_key(resource), spec, holds, bool(allocation))


def to_class(resource: Object) -> DeviceClass:
    """A DeviceClass."""
    return DeviceClass(str(resource["metadata"]["name"]), _selectors(resource.get("spec") or {}))


def to_claim_spec(spec: Object) -> ClaimSpec:
    """What a claim asks for."""
    devices = spec.get("devices") or {}
    problem = ""
    if devices.get("constraints"):
        problem = "its constraints tie devices together, which is not evaluated"
    return ClaimSpec(tuple(_requests(devices)), problem)


def _requests(devices: Object) -> Iterator[DeviceRequest]:
    for each in devices.get("requests") or ():
        if each.get("firstAvailable"):
            yield DeviceRequest("", problem=f"request {each['name']} has alternatives")
            continue
        exact = each.get("exactly") or each
        if exact.get("adminAccess"):
            continue  # it watches devices that others use, and holds none
        yield _request(str(each.get("name")), exact)


def _request(name: str, exact: Object) -> DeviceRequest:
    mode = str(exact.get("allocationMode") or _EXACT)
    problem = ""
    if mode != _EXACT:
        problem = f"request {name} has allocationMode {mode}, so how many it takes is not known"
    elif exact.get("capacity"):
        problem = f"request {name} asks for a part of a device's capacity"
    elif exact.get("tolerations"):
        problem = f"request {name} tolerates taints of devices, which is not evaluated"
    count = int(exact.get("count") or 1)
    return DeviceRequest(str(exact.get("deviceClassName")), _selectors(exact), count, problem)


def _selectors(spec: Object) -> tuple[str, ...]:
    return tuple(
        str((each.get("cel") or {}).get("expression") or "") for each in spec.get("selectors") or ()
    )


def _key(resource: Object) -> ClaimKey:
    metadata = resource["metadata"]
    return str(metadata.get("namespace", "")), str(metadata["name"])
