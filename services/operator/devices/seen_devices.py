"""Dynamic resource allocation as it was read, and what claims ask for in it; pure.

What a claim asks for becomes a resource of its own, named after its DeviceClass, with as many of it
on each node as devices match. So room, placement and supply are counted as for device plugins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.operator.cluster.accelerators import Accelerators
from services.operator.cluster.placement import NodeState, PodShape, Shape
from services.operator.cluster.pods import ClaimRef
from services.operator.cluster.targets import ClaimProblem
from services.operator.devices.claims import (
    ClaimKey,
    ClaimTemplate,
    DeviceClass,
    DeviceKey,
    DeviceRequest,
    ResourceClaim,
)
from services.operator.devices.selectors import Equalities, read_selectors
from services.operator.devices.slices import Device

GROUP = "resource.k8s.io"
VERSIONS = ("v1", "v1beta2", "v1beta1")
"""The first that is served is read."""
_PREFIX = "deviceclass/"


@dataclass(frozen=True, slots=True)
class SeenDevices:
    """Devices and claims, as far as they were read.

    Attributes:
        is_on: They are looked for at all.
        is_served: The cluster serves them.
        problem: Why they could not be read, and what to do; empty: they could.
    """

    is_on: bool = False
    is_served: bool = False
    classes: Mapping[str, DeviceClass] = field(default_factory=dict)
    templates: Mapping[ClaimKey, ClaimTemplate] = field(default_factory=dict)
    claims: Mapping[ClaimKey, ResourceClaim] = field(default_factory=dict)
    devices: tuple[Device, ...] = ()
    problem: str = ""

    @property
    def allocated(self) -> frozenset[DeviceKey]:
        """Devices that some claim holds."""
        return frozenset(key for claim in self.claims.values() for key in claim.holds)


@dataclass(frozen=True, slots=True)
class AskedDevices:
    """Devices that one request of a claim asks for.

    Attributes:
        resource: Name of what would do.
        wanted: What a device must have.
        devices: Those that have it, allocated or not.
    """

    resource: str
    count: int
    wanted: Equalities
    devices: tuple[Device, ...]


class _Unknown(Exception):
    """A claim that cannot be told."""

    def __init__(self, message: str, *, is_hopeless: bool = False) -> None:
        super().__init__(message)
        self.problem = ClaimProblem(message, is_hopeless)


def is_claimed(resource: str) -> bool:
    """True where accelerators are asked for by claims."""
    return resource.startswith(_PREFIX)


def asked_by_claims(
    seen: SeenDevices, namespace: str, refs: Iterable[ClaimRef]
) -> tuple[AskedDevices, ...] | ClaimProblem:
    """Devices that a pod with these claims asks for, or why that cannot be told."""
    try:
        found = [each for ref in refs for each in _asked(seen, ref, _spec_of(seen, namespace, ref))]
        _check_apart(found)
    except _Unknown as error:
        return error.problem
    return tuple(found)


def with_claims(
    seen: SeenDevices, namespace: str, shape: Shape
) -> tuple[Shape, tuple[AskedDevices, ...]] | ClaimProblem:
    """The pods of a replica with the devices that their claims ask for, and which these are."""
    pods: list[PodShape] = []
    every: list[AskedDevices] = []
    for pod in shape:
        asked = asked_by_claims(seen, namespace, pod.claims)
        if isinstance(asked, ClaimProblem):
            return asked
        every += asked
        pods.append(replace(pod, asked=(*pod.asked, *_together(asked))))
    return tuple(pods), tuple(every)


def with_devices(
    nodes: Sequence[NodeState], seen: SeenDevices, asked: Iterable[AskedDevices]
) -> list[NodeState]:
    """The nodes with the devices that claims ask for, and how many of these are allocated."""
    views = {each.resource: each for each in asked}
    if not views:
        return list(nodes)
    offered: dict[str, list[Accelerators]] = defaultdict(list)
    taken: dict[str, dict[str, int]] = defaultdict(dict)
    which: dict[str, dict[str, frozenset[Hashable]]] = defaultdict(dict)
    allocated = seen.allocated
    for view in views.values():
        by_node: dict[str, list[Device]] = defaultdict(list)
        for device in view.devices:
            if not device.is_tainted or device.key in allocated:
                by_node[device.node].append(device)
        for node, devices in by_node.items():
            offered[node].append(Accelerators(view.resource, devices[0].product, len(devices)))
            taken[node][view.resource] = sum(device.key in allocated for device in devices)
            which[node][view.resource] = frozenset(device.key for device in devices)
    return [
        replace(
            node,
            accelerators=(*node.accelerators, *offered[node.name]),
            taken=taken[node.name],
            devices=which[node.name],
        )
        if node.name in offered
        else node
        for node in nodes
    ]


def _spec_of(seen: SeenDevices, namespace: str, ref: ClaimRef) -> Iterable[DeviceRequest]:
    key = namespace, ref.name
    found = seen.templates.get(key) if ref.is_template else seen.claims.get(key)
    if found is None:
        message = (
            f"{ref.label} does not exist in namespace {namespace}, so none of its pods can start: "
            "create it, or correct spec.resourceClaims of the pod template"
        )
        raise _Unknown(message, is_hopeless=True)
    if not ref.is_template:
        raise _Unknown(f"{ref.label} is shared by all pods: give each its own by a template")
    if found.spec.problem:
        raise _Unknown(f"{ref.label}: {found.spec.problem}")
    return found.spec.requests


def _asked(
    seen: SeenDevices, ref: ClaimRef, requests: Iterable[DeviceRequest]
) -> Iterator[AskedDevices]:
    for request in requests:
        if request.problem:
            raise _Unknown(f"{ref.label}: {request.problem}")
        own = seen.classes.get(request.device_class)
        if own is None:
            message = (
                f"{ref.label} names DeviceClass/{request.device_class}, which does not exist, so "
                "no device is ever allocated: create the class, or correct deviceClassName"
            )
            raise _Unknown(message, is_hopeless=True)
        wanted = read_selectors((*own.selectors, *request.selectors))
        if wanted is None:
            raise _Unknown(
                f"{ref.label} or DeviceClass/{own.name} selects devices by an expression that is "
                "not evaluated: equalities of device.driver and attributes, joined by &&, are"
            )
        yield _matching(seen, ref, request, wanted)


def _matching(
    seen: SeenDevices, ref: ClaimRef, request: DeviceRequest, wanted: Equalities
) -> AskedDevices:
    devices = tuple(each for each in seen.devices if each.matches(wanted))
    odd = next((each for each in devices if each.problem), None)
    if odd is not None:
        where = f"{odd.key.driver}/{odd.key.pool}/{odd.key.device}"
        raise _Unknown(f"{ref.label} may be given device {where}, and {odd.problem}")
    products: dict[str, set[str]] = defaultdict(set)
    for each in devices:
        products[each.node].add(each.product)
    mixed = next((node for node, names in sorted(products.items()) if len(names) > 1), None)
    if mixed is not None:
        raise _Unknown(
            f"{ref.label} may be given devices of several products on node {mixed}: select one by "
            "its productName"
        )
    name = f"{_PREFIX}{request.device_class}"
    if request.selectors:
        name += f"?{' && '.join(sorted(request.selectors))}"
    return AskedDevices(name, request.count, wanted, devices)


def _check_apart(asked: Sequence[AskedDevices]) -> None:
    """Two requests of a pod that the same device would do for are not counted apart."""
    seen: dict[DeviceKey, str] = {}
    for each in asked:
        for device in each.devices:
            other = seen.setdefault(device.key, each.resource)
            if other != each.resource:
                raise _Unknown(f"{other} and {each.resource} of one pod may be the same device")


def _together(asked: Iterable[AskedDevices]) -> tuple[Accelerators, ...]:
    counts: dict[str, int] = defaultdict(int)
    for each in asked:
        counts[each.resource] += each.count
    return tuple(Accelerators(resource, "", count) for resource, count in counts.items())
