"""Where a CapacityBuffer has its room, and what its pods tolerate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from services.operator.cluster.accelerators import Accelerators
from services.operator.cluster.node_pools import GpuNodePool
from services.operator.cluster.placement import (
    NodeState,
    PodShape,
    Shape,
    Taint,
    Toleration,
)
from services.operator.cluster.pods import ClaimRef
from services.operator.headroom.buffer_pods import is_by_claims, pod_spec
from services.operator.plan.provisioning import Provisioning, learn_startup
from services.operator.plan.supply import GpusInUse, NewNodes, Resolved, TypeSupply
from tests.unit.operator.pods import node

GPU = "nvidia.com/gpu"
OWN_RESOURCE = Toleration(GPU, "", "", True)
TAINT = Taint("team", "research", "NoSchedule")
RESEARCH = Toleration("team", "research", "NoSchedule", False)


def labelled(
    name: str, gpus: int, product: str, plugin: tuple[str, str] = ("nvidia.com/gpu", "product")
) -> NodeState:
    """A node that names its product as its device plugin has it."""
    kind, label = plugin
    labels = {f"{kind}.{label}": product}
    return node(name, gpus, product=product, resource=kind, labels=labels)


NODES = [
    labelled("a", 8, "NVIDIA-H100-80GB-HBM3"),
    labelled("b", 4, "NVIDIA-H100-PCIe"),
    labelled("c", 16, "NVIDIA-L4"),
]


def pool(name: str, limit: int = 64, **changes: Any) -> GpuNodePool:
    given: dict[str, Any] = {
        "name": name, "limit": limit, "used": 0, "gpus_per_node": 8, "products": (),
        "labels": {"karpenter.sh/nodepool": name}, "requirements": (), "taints": (),
    }  # fmt: skip
    return GpuNodePool(**given | changes)


def supply(*pools: tuple[GpuNodePool, int]) -> TypeSupply:
    """A type with pools, each with what is left in it."""
    new = tuple(NewNodes(each, gpus, 8) for each, gpus in pools)
    resolved = Resolved(64, "Detected", "", new or (NewNodes(None, 64),))
    return TypeSupply("H100", resolved, GpusInUse(), Provisioning(), learn_startup(120.0))


def service(*tolerations: Toleration, **selector: str) -> Shape:
    """A replica of one pod that asks for eight GPUs."""
    pairs = tuple(sorted(selector.items()))
    return (PodShape((Accelerators(GPU, "", 8),), pairs, (OWN_RESOURCE, *tolerations)),)


def spec_of(
    found: TypeSupply, nodes: Iterable[NodeState] = NODES, shapes: Iterable[Shape] = ()
) -> dict[str, Any]:
    spec = pod_spec(found, list(nodes), list(shapes), 8)
    assert spec is not None
    return dict(spec)


def places(spec: dict[str, Any]) -> dict[str, list[str]]:
    affinity = spec["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    (expression,) = term["matchExpressions"]
    assert expression["operator"] == "In"
    return {expression["key"]: expression["values"]}


def test_its_pods_go_to_every_pool_whatever_is_left_in_each() -> None:
    one, other = pool("one"), pool("other")
    for left in ((8, 32), (32, 8), (0, 8)):
        spec = spec_of(supply((one, left[0]), (other, left[1])))
        assert places(spec) == {"karpenter.sh/nodepool": ["one", "other"]}
    (container,) = spec["containers"]
    amounts = {GPU: "8"}
    assert container["resources"] == {"requests": amounts, "limits": amounts}


def test_a_pool_that_is_not_ready_stays_named() -> None:
    found = supply((pool("one", problem="its NodeClass is gone"), 0), (pool("other"), 8))
    assert places(spec_of(found)) == {"karpenter.sh/nodepool": ["one", "other"]}


def test_a_pool_counts_where_the_pods_of_a_service_may_go() -> None:
    tainted = pool("tainted", limit=640, taints=(TAINT,))
    found = supply((pool("one"), 8), (tainted, 640))
    spec = spec_of(found, shapes=[service()])
    assert places(spec) == {"karpenter.sh/nodepool": ["one"]}
    spec = spec_of(found, shapes=[service(), service(RESEARCH)])
    assert places(spec) == {"karpenter.sh/nodepool": ["one", "tainted"]}
    zonal = service(**{"karpenter.sh/nodepool": "one"})
    assert places(spec_of(found, shapes=[zonal])) == {"karpenter.sh/nodepool": ["one"]}


def test_where_no_pool_takes_a_service_there_is_no_place() -> None:
    found = supply((pool("tainted", taints=(TAINT,)), 64))
    assert pod_spec(found, NODES, [service()], 8) is None


def test_its_pods_tolerate_what_those_of_the_services_do() -> None:
    found = supply((pool("one"), 8))
    assert spec_of(found, shapes=[service()])["tolerations"] == [{"key": GPU, "operator": "Exists"}]
    assert spec_of(found, shapes=[service(RESEARCH), service()])["tolerations"] == [
        {"key": GPU, "operator": "Exists"},
        {"key": "team", "value": "research", "effect": "NoSchedule"},
    ]
    assert spec_of(found)["tolerations"] == [{"operator": "Exists"}], "nothing is known of them"


def test_pools_of_one_resource_are_named() -> None:
    slices = pool("slices", limit=8, resource="nvidia.com/mig-1g.10gb")
    spec = spec_of(supply((slices, 8), (pool("whole", limit=64), 0)))
    assert places(spec) == {"karpenter.sh/nodepool": ["whole"]}
    (container,) = spec["containers"]
    assert container["resources"]["limits"] == {GPU: "8"}


def test_without_a_pool_they_go_where_nodes_of_the_type_are() -> None:
    products = ["NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-PCIe"]
    assert places(spec_of(supply())) == {"nvidia.com/gpu.product": products}
    assert pod_spec(supply(), NODES[2:], [], 8) is None
    pcie = service(**{"nvidia.com/gpu.product": products[1]})
    assert places(spec_of(supply(), shapes=[pcie])) == {"nvidia.com/gpu.product": products[1:]}


def test_a_node_under_notice_still_tells_its_product() -> None:
    noticed = node("a", 8, labels={"nvidia.com/gpu.product": "H100"}, taints=(TAINT,))
    spec = spec_of(supply(), [noticed], [service()])
    assert places(spec) == {"nvidia.com/gpu.product": ["H100"]}
    assert spec["tolerations"] == [{"key": GPU, "operator": "Exists"}]


def test_nodes_that_name_no_product_are_told_by_their_resource() -> None:
    spec = spec_of(supply(), [node("a", 8, product="H100")])
    assert "affinity" not in spec


CLAIMED = "deviceclass/gpu.nvidia.com"
"""As Harmony names devices of a DeviceClass; no node offers such a resource."""
DEVICES = node("claimed", 16, product="H100", resource=CLAIMED)


def claiming(*asked: Accelerators) -> Shape:
    """A replica of one pod that claims devices, and asks for others by name."""
    return (PodShape(asked, claims=(ClaimRef("two"),)),)


@pytest.mark.parametrize("shape", [claiming(Accelerators(CLAIMED, "", 2)), claiming()])
def test_devices_that_services_claim_have_no_place(shape: Shape) -> None:
    """Whether the devices of their claims are looked up or not."""
    assert pod_spec(supply(), [DEVICES], [shape], 2) is None
    assert pod_spec(supply(), [DEVICES, *NODES], [shape], 2) is None
    assert is_by_claims("H100", [DEVICES, *NODES], [shape])


def test_nodes_tell_that_devices_are_claimed_where_no_service_does() -> None:
    assert pod_spec(supply(), [DEVICES], [], 8) is None
    assert is_by_claims("H100", [DEVICES], [])
    assert not is_by_claims("H100", [DEVICES, *NODES], [])
    assert not is_by_claims("H100", [], [])
    found = supply((pool("one"), 8))
    assert places(spec_of(found, [DEVICES])) == {"karpenter.sh/nodepool": ["one"]}


def test_beside_services_that_claim_those_are_held_for_that_ask_by_name() -> None:
    claims = PodShape((Accelerators(CLAIMED, "", 2),), (), (RESEARCH,), claims=(ClaimRef("two"),))
    spec = spec_of(supply(), [DEVICES, *NODES], [(claims,), service()])
    assert spec["tolerations"] == [{"key": GPU, "operator": "Exists"}]
    both = claiming(Accelerators(CLAIMED, "", 2), Accelerators(GPU, "", 2))
    for shapes in ([(claims,), service()], [both], []):
        (container,) = spec_of(supply(), [DEVICES, *NODES], shapes)["containers"]
        assert container["resources"]["limits"] == {GPU: "8"}


def test_they_ask_for_what_nodes_of_the_type_offer() -> None:
    other = labelled("d", 8, "NVIDIA-H100-OF-AMD", ("amd.com/gpu", "product-name"))
    spec = spec_of(supply(), [other])
    assert places(spec) == {"amd.com/gpu.product-name": ["NVIDIA-H100-OF-AMD"]}
    (container,) = spec["containers"]
    assert container["resources"]["limits"] == {"amd.com/gpu": "8"}
