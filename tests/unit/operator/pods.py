"""Pods and nodes as values, for tests of what is decided from them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.operator.cluster.accelerators import NVIDIA_GPU, Accelerators
from services.operator.cluster.free_gpus import NodeRoom
from services.operator.cluster.placement import NodeState, PodShape
from services.operator.cluster.pods import PodState
from tests.unit.operator.examples import NOW


def pod(name: str, **given: Any) -> PodState:
    """A pod on node `n1` that has been ready for 50 seconds, unless told otherwise."""
    ready_s = given.pop("ready_s", -50)
    values: dict[str, Any] = {
        "uid": name,
        "namespace": "serving",
        "name": name,
        "node": "n1",
        "asked": gpus(given.pop("gpus", 1), given.pop("resource", NVIDIA_GPU)),
        "created_at": NOW + timedelta(seconds=given.pop("created_s", -100)),
        "ready_at": None if ready_s is None else NOW + timedelta(seconds=ready_s),
        "is_leaving": False,
    }
    return PodState(**(values | given))


def node(name: str, n_gpus: int, **given: Any) -> NodeState:
    """A node of H100s."""
    product = given.pop("product", "NVIDIA-H100-80GB-HBM3")
    resource = given.pop("resource", NVIDIA_GPU)
    return NodeState(name, (Accelerators(resource, product, n_gpus),), **given)


def gpus(count: int, resource: str = NVIDIA_GPU) -> tuple[Accelerators, ...]:
    """What a pod asks for that selects no product."""
    return (Accelerators(resource, "", count),) if count else ()


def shape(n_gpus: int, resource: str = NVIDIA_GPU, **given: Any) -> PodShape:
    """A pod that asks for GPUs."""
    return PodShape(gpus(n_gpus, resource), **given)


def room(node: NodeState, n_free: int) -> NodeRoom:
    """A node of one resource, of which so many are free."""
    return NodeRoom(node, {node.accelerators[0].resource: n_free})


def listed(name: str, gpus: int, **given: Any) -> dict[str, Any]:
    """A node as the API server lists it."""
    return {
        "metadata": {
            "name": name,
            "labels": {"nvidia.com/gpu.product": given.get("product", "NVIDIA-H100-80GB-HBM3")},
        },
        "spec": {
            "unschedulable": given.get("is_cordoned", False),
            "taints": given.get("taints", []),
        },
        "status": {
            "allocatable": {"nvidia.com/gpu": str(gpus)},
            "conditions": [{"type": "Ready", "status": given.get("ready", "True")}],
        },
    }
