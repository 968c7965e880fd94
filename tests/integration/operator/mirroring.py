"""Waiting for the copies that passes read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from services.operator.cluster.ownership import OwnedPod
from services.operator.kube.client import KubeClient
from services.operator.kube.mirrored import MirroredKube


def eventually(is_done: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)


def values(found: list[Any]) -> dict[str, Any]:
    return {each.state.name if isinstance(each, OwnedPod) else each.name: each for each in found}


def in_step(kube: MirroredKube, kind: str) -> Callable[[], bool]:
    """Test that the copy of a kind holds what the API server has."""
    plain = KubeClient(kube._http)
    return lambda: values(kube.list_objects(kind)) == values(plain.list_objects(kind))
