"""Devices as drivers publish them in ResourceSlices, with the product that each is; pure.

| driver | product by | source |
|---|---|---|
| `gpu.nvidia.com` | `productName`; of the `type` `mig` with its `profile` | NVIDIA/k8s-dra-driver-gpu, cmd/gpu-kubelet-plugin/deviceinfo.go |
| `gpu.amd.com` | `productName`, of the `type` `amdgpu` alone | ROCm/k8s-gpu-dra-driver, docs/driver-attributes.md |

Devices of other drivers have no product: their class is their type.
"""  # noqa: E501 - a table has its rows on one line

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.operator.cluster.accelerators import sliced
from services.operator.devices.claims import DeviceKey
from services.operator.devices.selectors import Equalities, Value

Object = Mapping[str, Any]

NVIDIA, AMD = "gpu.nvidia.com", "gpu.amd.com"
_REPELLING = ("NoSchedule", "NoExecute")
_VALUES = ("string", "int", "bool")


@dataclass(frozen=True, slots=True)
class Device:
    """One device.

    Attributes:
        node: Where it is; empty: not at one node.
        attributes: By `DOMAIN/NAME`.
        problem: Why it cannot be told whether it is free; empty: it can.
        is_tainted: Nothing is allocated on it.
    """

    key: DeviceKey
    node: str
    attributes: Mapping[str, Value] = field(default_factory=dict)
    problem: str = ""
    is_tainted: bool = False

    def matches(self, wanted: Equalities) -> bool:
        """True where it has all that is demanded."""
        return all(each.holds(self.key.driver, self.attributes) for each in wanted)

    @property
    def product(self) -> str:
        """What it is, as labels of nodes name products; empty: its driver does not say."""
        driver = self.key.driver
        name = self.attributes.get(f"{driver}/productName")
        kind = self.attributes.get(f"{driver}/type")
        card = "" if name is None else str(name).strip().replace(" ", "-")
        if driver == NVIDIA and kind == "mig":
            profile = self.attributes.get(f"{driver}/profile")
            return sliced(f"nvidia.com/mig-{profile}", card) if card and profile else ""
        is_whole = (driver, kind) in ((NVIDIA, "gpu"), (AMD, "amdgpu"))
        return card if is_whole else ""


@dataclass(frozen=True, slots=True)
class Slice:
    """A ResourceSlice.

    Attributes:
        pool: Driver and name of its pool.
        generation: Of the pool; slices of an older one are out of date.
        n_slices: How many the pool has in that generation.
    """

    pool: tuple[str, str]
    generation: int
    n_slices: int
    devices: tuple[Device, ...]


def to_slice(resource: Object) -> Slice:
    """A ResourceSlice; in `v1beta1` what a device is stands below `basic`."""
    spec = resource["spec"]
    pool, driver = spec["pool"], str(spec["driver"])
    name = str(pool["name"])
    node = str(spec.get("nodeName") or "")
    devices = tuple(
        _device(DeviceKey(driver, name, str(each["name"])), each.get("basic") or each, node)
        for each in spec.get("devices") or ()
    )
    return Slice(
        (driver, name),
        int(pool.get("generation", 0)),
        int(pool.get("resourceSliceCount", 1)),
        devices,
    )


def _device(key: DeviceKey, written: Object, node: str) -> Device:
    problem = ""
    if written.get("consumesCounters"):
        problem = "it is a part of a device that may be cut in other ways (consumesCounters)"
    elif written.get("allowMultipleAllocations"):
        problem = "it may be allocated several times (allowMultipleAllocations)"
    own = str(written.get("nodeName") or node)
    if not problem and not own:
        problem = "it is not at one node (allNodes, nodeSelector)"
    taints = (each.get("effect") for each in written.get("taints") or ())
    return Device(
        key,
        own,
        dict(_attributes(key.driver, written.get("attributes") or {})),
        problem,
        any(effect in _REPELLING for effect in taints),
    )


def _attributes(driver: str, written: Object) -> Iterator[tuple[str, Value]]:
    for name, value in written.items():
        full = name if "/" in name else f"{driver}/{name}"
        for kind in _VALUES:
            if value.get(kind) is not None:
                yield full, value[kind]


def devices_of(slices: Iterable[Slice]) -> list[Device]:
    """All devices of pools that are there as a whole, in their newest generation."""
    by_pool: dict[tuple[str, str], list[Slice]] = defaultdict(list)
    for each in slices:
        by_pool[each.pool].append(each)
    found: list[Device] = []
    for own in by_pool.values():
        newest = max(each.generation for each in own)
        current = [each for each in own if each.generation == newest]
        if len(current) == current[0].n_slices:
            found += [device for each in current for device in each.devices]
    return found
