"""Devices that claims ask for, counted per node; what cannot be told is said, never zero."""

from __future__ import annotations

from typing import Any

import pytest

from services.operator.cluster.accelerators import Accelerators
from services.operator.cluster.free_gpus import free_gpus
from services.operator.cluster.placement import NodeState, PodShape, nodes_of_type
from services.operator.cluster.pods import ClaimRef
from services.operator.cluster.targets import ClaimProblem
from services.operator.devices.claims import to_claim, to_class, to_template
from services.operator.devices.seen_devices import (
    AskedDevices,
    SeenDevices,
    asked_by_claims,
    is_claimed,
    with_claims,
    with_devices,
)
from services.operator.devices.slices import devices_of, to_slice
from tests.unit.operator.allocation import (
    claim,
    device,
    device_class,
    request,
    resource_slice,
    template,
)
from tests.unit.operator.pods import gpus, pod

NODES = [NodeState("n1", ()), NodeState("n2", ()), NodeState("cpu", ())]
RESOURCE = "deviceclass/gpu.nvidia.com"
ONE, TWO = (PodShape((), claims=(ClaimRef(name),)) for name in ("one", "two"))


def seen(*more: dict[str, Any], **changes: Any) -> SeenDevices:
    """Two nodes, of four and of two H100, one of which is held; templates for one and for two."""
    slices = [
        resource_slice("n1", [device(f"gpu-{i}") for i in range(4)]),
        resource_slice("n2", [device(f"gpu-{i}") for i in range(2)]),
    ]
    templates = [template("one", request()), template("two", request(count=2))]
    given = {"slices": slices, "claims": [claim("held", ("n1", "gpu-0"))]} | changes
    every = [to_template(each) for each in (*templates, *more)]
    claims = [to_claim(each) for each in given["claims"]]
    classes = [to_class(each) for each in given.get("classes", [device_class()])]
    return SeenDevices(
        True,
        True,
        {each.name: each for each in classes},
        {each.key: each for each in every},
        {each.key: each for each in claims},
        tuple(devices_of(to_slice(each) for each in given["slices"])),
    )


def room(devices: SeenDevices, pods: tuple[PodShape, ...], size: int) -> int | None:
    found = with_claims(devices, "serving", pods)
    assert not isinstance(found, ClaimProblem)
    shape, asked = found
    nodes = [node for node in with_devices(NODES, devices, asked) if node.accelerators]
    return free_gpus(nodes, [pod("p", node="n1", gpus=3)]).schedulable("H100", size, shape)


def problem(devices: SeenDevices, *refs: ClaimRef) -> ClaimProblem:
    found = asked_by_claims(devices, "serving", refs)
    assert isinstance(found, ClaimProblem)
    return found


def test_free_devices_in_whole_replicas() -> None:
    devices = seen()
    assert room(devices, (ONE,), 1) == 5
    assert room(devices, (TWO,), 2) == 4


def test_a_node_has_its_devices_beside_what_it_offers_by_name() -> None:
    devices = seen()
    found = with_claims(devices, "serving", (ONE,))
    assert not isinstance(found, ClaimProblem)
    (first, second, third) = with_devices(NODES, devices, found[1])
    assert first.accelerators == (Accelerators(RESOURCE, "NVIDIA-H100-80GB-HBM3", 4),)
    assert (first.taken, second.taken, third.taken) == ({RESOURCE: 1}, {RESOURCE: 0}, {})
    assert third.accelerators == ()
    assert is_claimed(RESOURCE)
    assert not is_claimed("nvidia.com/gpu")


def test_claims_of_other_classes_hold_the_same_devices() -> None:
    """What is free depends on the device, not on the class that it was claimed by."""
    held = [claim("theirs", ("n2", "gpu-0"), ("n2", "gpu-1")), claim("mine", ("n1", "gpu-3"))]
    assert room(seen(claims=held), (ONE,), 1) == 3


def test_pods_that_ask_by_name_too_need_both() -> None:
    devices = seen()
    mixed = PodShape(gpus(1), claims=(ClaimRef("one"),))
    found = with_claims(devices, "serving", (mixed,))
    assert not isinstance(found, ClaimProblem)
    ((shape,), _) = found
    assert [each.resource for each in shape.asked] == ["nvidia.com/gpu", RESOURCE]


def test_selectors_choose_among_the_devices_of_a_class() -> None:
    slices = [
        resource_slice("n1", [device("gpu-0"), device("gpu-1")]),
        resource_slice("n2", [device("gpu-0", productName="NVIDIA L4")]),
    ]
    own = "device.attributes['gpu.nvidia.com'].productName == 'NVIDIA H100 80GB HBM3'"
    chosen = template("chosen", request(selectors=[{"cel": {"expression": own}}]))
    devices = seen(chosen, slices=slices, claims=[])
    assert room(devices, (PodShape((), claims=(ClaimRef("chosen"),)),), 1) == 2
    assert room(devices, (ONE,), 1) == 2  # an L4 is no H100


def test_a_device_that_services_select_differently_is_one_gpu() -> None:
    """Each service has a view of its own to be placed by, and all of them see the same four."""
    product = "device.attributes['gpu.nvidia.com'].productName == 'NVIDIA H100 80GB HBM3'"
    kind = "device.attributes['gpu.nvidia.com'].type == 'gpu'"
    more = [
        template(name, request(selectors=[{"cel": {"expression": each}}]))
        for name, each in (("product", product), ("kind", kind))
    ]
    devices = seen(*more)
    asked: list[AskedDevices] = []
    for name in ("one", "product", "kind"):
        found = with_claims(devices, "serving", (PodShape((), claims=(ClaimRef(name),)),))
        assert not isinstance(found, ClaimProblem)
        asked += found[1]
    first, second, _ = with_devices(NODES, devices, asked)
    assert len(first.accelerators) == 3
    assert [each.gpus for each in nodes_of_type([first, second], "H100")] == [4, 2]
    assert len(first.claimable & devices.allocated) == 1


def test_a_tainted_device_is_not_free() -> None:
    taint = {"taints": [{"key": "unhealthy", "effect": "NoSchedule"}]}
    sick = resource_slice("n1", [device("gpu-0") | taint, device("gpu-1")])
    assert room(seen(slices=[sick], claims=[]), (ONE,), 1) == 1
    assert room(seen(slices=[sick], claims=[claim("c", ("n1", "gpu-0"))]), (ONE,), 1) == 1


@pytest.mark.parametrize(
    ("changes", "name", "words"),
    [
        ({"classes": []}, "one", "DeviceClass/gpu.nvidia.com, which does not exist"),
        ({}, "none", "ResourceClaimTemplate/none does not exist in namespace serving"),
    ],
)
def test_a_claim_that_can_never_be_allocated(
    changes: dict[str, Any], name: str, words: str
) -> None:
    found = problem(seen(**changes), ClaimRef(name))
    assert found.is_hopeless
    assert words in found.message


@pytest.mark.parametrize(
    ("more", "changes", "ref", "words"),
    [
        (template("x", request(allocationMode="All")), {}, ClaimRef("x"), "allocationMode All"),
        (
            template("x", request(count=2), constraints=[{"matchAttribute": "a/b"}]),
            {},
            ClaimRef("x"),
            "constraints",
        ),
        (
            template("x", request(selectors=[{"cel": {"expression": "true"}}])),
            {},
            ClaimRef("x"),
            "an expression that is not evaluated",
        ),
        (
            template("x", request()),
            {"slices": [resource_slice("", [device("gpu-0")], allNodes=True)]},
            ClaimRef("x"),
            "may be given device gpu.nvidia.com/fabric/gpu-0, and it is not at one node",
        ),
        (
            template("x", request()),
            {"slices": [resource_slice("n1", [device("a"), device("b", productName="NVIDIA L4")])]},
            ClaimRef("x"),
            "several products on node n1",
        ),
        (template("x", request()), {}, ClaimRef("held", is_template=False), "shared by all pods"),
        (
            template(
                "x",
                request(),
                request(
                    name="more",
                    selectors=[{"cel": {"expression": "device.driver == 'gpu.nvidia.com'"}}],
                ),
            ),
            {},
            ClaimRef("x"),
            "may be the same device",
        ),
    ],
)
def test_what_cannot_be_told_is_not_hopeless(
    more: dict[str, Any], changes: dict[str, Any], ref: ClaimRef, words: str
) -> None:
    found = problem(seen(more, **changes), ref)
    assert not found.is_hopeless
    assert words in found.message


def test_no_device_anywhere_is_no_room() -> None:
    devices = seen(slices=[], claims=[])
    found = with_claims(devices, "serving", (ONE,))
    assert not isinstance(found, ClaimProblem)
    assert with_devices(NODES, devices, found[1]) == NODES
    assert room(devices, (ONE,), 1) is None  # nor is it known what a node of the type would have
