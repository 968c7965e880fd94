"""Pods and nodes as values, for tests of what is decided from them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.operator.cluster.placement import NodeState
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
        "gpus": 1,
        "created_at": NOW + timedelta(seconds=given.pop("created_s", -100)),
        "ready_at": None if ready_s is None else NOW + timedelta(seconds=ready_s),
        "is_leaving": False,
    }
    return PodState(**(values | given))


def node(name: str, gpus: int, **given: Any) -> NodeState:
    """A node of H100s."""
    product = given.pop("product", "NVIDIA-H100-80GB-HBM3")
    return NodeState(name, product, gpus, **given)
