"""How CapacityBuffers are read, named and sized."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.operator.cluster.node_pools import GpuNodePool
from services.operator.cluster.placement import NodeState
from services.operator.plan.buffers import (
    Advised,
    buffer_name,
    buffer_of,
    chunks_to_hold,
    noted,
    owner_of,
    pod_spec,
    template_of,
    to_seen,
)
from services.operator.plan.provisioning import Provisioning, learn_startup
from services.operator.plan.supply import GpusInUse, NewNodes, Resolved, TypeSupply
from tests.unit.operator.examples import NOW
from tests.unit.operator.pods import node

PATIENCE_S = 300.0


def labelled(
    name: str, gpus: int, product: str, plugin: tuple[str, str] = ("nvidia.com/gpu", "product")
) -> NodeState:
    """A node that names its product as its device plugin has it."""
    kind, label = plugin
    labels = {f"{kind}.{label}": product}
    return node(name, gpus, product=product, resource=kind, labels=labels)


OWNER: dict[str, Any] = {"kind": "GPUBudget", "name": "h100", "uid": "u"}
NODES = [
    labelled("a", 8, "NVIDIA-H100-80GB-HBM3"),
    labelled("b", 4, "NVIDIA-H100-PCIe"),
    labelled("c", 16, "NVIDIA-L4"),
]


def supply(*pools: tuple[str, int]) -> TypeSupply:
    new = tuple(
        NewNodes(GpuNodePool(name, 64, 0, 8, (), {}, (), ()), gpus, 8) for name, gpus in pools
    )
    resolved = Resolved(64, "Detected", "", new)
    return TypeSupply("H100", resolved, GpusInUse(), Provisioning(), learn_startup(120.0, ()))


def resource(**status: Any) -> dict[str, Any]:
    made = buffer_of("H100", {"podTemplateRef": {"name": "t"}, "replicas": 2}, "a/v1", OWNER)
    metadata = {**made["metadata"], "creationTimestamp": f"{NOW:%Y-%m-%dT%H:%M:%SZ}"}
    return {**made, "metadata": metadata} | ({"status": status} if status else {})


def test_a_buffer_reads_back_as_it_was_made() -> None:
    seen = to_seen(resource())
    assert (seen.name, seen.gpu_type) == (buffer_name("H100"), "H100")
    assert (seen.replicas, seen.template, seen.created_at) == (2, "t", NOW)
    assert (seen.is_read, seen.problem) == (False, "")


def test_one_that_nothing_looks_at_is_unread_after_five_minutes() -> None:
    seen = to_seen(resource())
    assert not seen.is_unread(NOW + timedelta(minutes=4, seconds=59))
    assert seen.is_unread(NOW + timedelta(minutes=5))
    condition = {"type": "Provisioning", "status": "False"}
    assert not to_seen(resource(conditions=[condition])).is_unread(NOW + timedelta(hours=1))


def test_why_one_is_not_ready_is_told() -> None:
    condition = {"type": "ReadyForProvisioning", "status": "False", "reason": "NotFound",
                 "message": "no PodTemplate"}  # fmt: skip
    assert to_seen(resource(conditions=[condition])).problem == "NotFound: no PodTemplate"


@given(st.text(min_size=1, max_size=63), st.text(min_size=1, max_size=63))
def test_each_type_has_a_name_of_its_own_that_kubernetes_takes(one: str, other: str) -> None:
    name = buffer_name(one)
    assert len(name) <= 70
    assert name.replace("-", "").isalnum()
    assert name.isascii()
    assert name == name.lower()
    assert one == other or buffer_name(other) != name


def test_its_pods_go_to_the_pool_with_the_most_room() -> None:
    spec = pod_spec(supply(("small", 8), ("large", 32)), NODES, 8)
    assert spec is not None
    assert spec["nodeSelector"] == {"karpenter.sh/nodepool": "large"}
    (container,) = spec["containers"]
    amounts = {"nvidia.com/gpu": "8"}
    assert container["resources"] == {"requests": amounts, "limits": amounts}
    assert spec["tolerations"] == [{"operator": "Exists"}]


def test_without_a_pool_they_go_where_nodes_of_the_type_are() -> None:
    spec = pod_spec(supply(), NODES, 8)
    assert spec is not None
    assert spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    assert pod_spec(supply(), NODES[2:], 8) is None


def test_they_ask_for_what_nodes_of_the_type_offer() -> None:
    other = labelled("d", 8, "NVIDIA-H100-OF-AMD", ("amd.com/gpu", "product-name"))
    spec = pod_spec(supply(), [other], 8)
    assert spec is not None
    assert spec["nodeSelector"] == {"amd.com/gpu.product-name": "NVIDIA-H100-OF-AMD"}
    (container,) = spec["containers"]
    assert container["resources"]["limits"] == {"amd.com/gpu": "8"}


def test_a_template_is_named_for_what_is_in_it() -> None:
    one, same, other = (
        template_of("b", pod_spec(supply(), NODES, gpus) or {}, OWNER) for gpus in (8, 8, 4)
    )
    assert one == same
    assert one["metadata"]["name"] != other["metadata"]["name"]
    assert one["metadata"]["ownerReferences"] == [OWNER]


def test_the_budget_owns_what_is_kept_for_it() -> None:
    budget = {"metadata": {"name": "h100", "uid": "u"}}
    assert owner_of(budget, "g/v1") == {
        "apiVersion": "g/v1", "kind": "GPUBudget", "name": "h100", "uid": "u", "controller": True,
    }  # fmt: skip


ADVICE = st.lists(st.tuples(st.integers(1, 400), st.integers(0, 9)), min_size=1, max_size=20)


@given(ADVICE, st.integers(0, 9))
def test_it_rises_at_once_and_falls_to_no_less_than_was_advised(
    steps: list[tuple[int, int]], current: int
) -> None:
    now, advised, history = NOW, (), []
    for seconds, chunks in steps:
        now += timedelta(seconds=seconds)
        advised = noted(advised, chunks, now, PATIENCE_S)
        history.append((now, chunks))
        current = chunks_to_hold(current, advised, now, PATIENCE_S)
        since = now - timedelta(seconds=PATIENCE_S)
        assert current >= max(n for at, n in history if at > since)


def test_it_falls_once_less_was_advised_for_as_long_as_a_node_takes() -> None:
    advised: Advised = ()
    held = []
    for minute, chunks in enumerate([3, 1, 1, 1, 1, 1, 1, 1]):
        now = NOW + timedelta(minutes=minute)
        advised = noted(advised, chunks, now, PATIENCE_S)
        held.append(chunks_to_hold(held[-1] if held else 0, advised, now, PATIENCE_S))
    assert held == [3, 3, 3, 3, 3, 3, 1, 1]


def test_what_is_held_stays_until_enough_is_known() -> None:
    advised = noted((), 1, NOW, PATIENCE_S)
    assert chunks_to_hold(4, advised, NOW, PATIENCE_S) == 4


@pytest.mark.parametrize("gpu_type", ["H100", "A100 80GB", "ü"])
def test_the_type_is_kept_whole(gpu_type: str) -> None:
    made = buffer_of(gpu_type, {}, "a/v1", OWNER)
    metadata = {**made["metadata"], "creationTimestamp": "2026-01-05T00:00:00Z"}
    assert to_seen({**made, "metadata": metadata}).gpu_type == gpu_type
