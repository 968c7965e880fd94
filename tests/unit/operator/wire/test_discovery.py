"""Kinds are looked up once, and again when they were not there."""

from __future__ import annotations

from typing import Any

import pytest

from services.operator.wire.discovery import Discovery
from services.operator.wire.http import Call, KubeError

LWS = "leaderworkerset.x-k8s.io/v1"
RESOURCES = {
    "resources": [
        {"name": "leaderworkersets", "kind": "LeaderWorkerSet", "namespaced": True},
        {"name": "leaderworkersets/scale", "kind": "Scale", "verbs": ["get", "patch", "update"]},
        {"name": "leaderworkersets/status", "kind": "LeaderWorkerSet"},
        {"name": "plans", "kind": "Plan", "namespaced": False},
        {"name": "looks", "kind": "Look", "namespaced": True},
        {"name": "looks/scale", "kind": "Scale", "verbs": ["get"]},
    ]
}


class Server:
    """Answers discovery, or fails to."""

    def __init__(self) -> None:
        self.answer: Any = RESOURCES
        self.paths: list[str] = []

    def send(self, call: Call) -> Any:
        self.paths.append(call.path)
        if isinstance(self.answer, KubeError):
            raise self.answer
        return self.answer


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def discovery(server: Server, clock: Clock) -> Discovery:
    return Discovery(server, clock)  # type: ignore[arg-type]  # only `send` is used


def test_well_known_kinds_cost_nothing(server: Server, discovery: Discovery) -> None:
    found = discovery.find("apps/v1", "Deployment")
    assert found is not None
    assert (found.root, found.resource, found.qualified) == (
        "/apis/apps/v1",
        "deployments",
        "deployments.apps",
    )
    assert server.paths == []


def test_a_kind_is_found_with_its_plural_and_scale(server: Server, discovery: Discovery) -> None:
    found = discovery.find(LWS, "LeaderWorkerSet")
    assert found is not None
    assert (found.resource, found.has_scale, found.is_namespaced) == (
        "leaderworkersets",
        True,
        True,
    )
    discovery.find(LWS, "LeaderWorkerSet")
    assert server.paths == [f"/apis/{LWS}"]


def test_a_scale_that_cannot_be_patched_is_none(discovery: Discovery) -> None:
    look, plan = discovery.find(LWS, "Look"), discovery.find(LWS, "Plan")
    assert look is not None
    assert plan is not None
    assert (look.has_scale, plan.has_scale, plan.is_namespaced) == (False, False, False)


def test_the_core_group_has_a_path_of_its_own(server: Server, discovery: Discovery) -> None:
    discovery.find("v1", "Pod")
    assert server.paths == ["/api/v1"]


def test_what_is_missing_is_asked_for_again_after_half_a_minute(
    server: Server, clock: Clock, discovery: Discovery
) -> None:
    server.answer = KubeError(404, "NotFound", "no such group")
    assert discovery.find(LWS, "LeaderWorkerSet") is None
    clock.now_s = 29.0
    server.answer = RESOURCES
    assert discovery.find(LWS, "LeaderWorkerSet") is None
    clock.now_s = 31.0
    assert discovery.find(LWS, "LeaderWorkerSet") is not None


def test_what_was_found_outlives_a_server_that_cannot_tell(
    server: Server, clock: Clock, discovery: Discovery
) -> None:
    assert discovery.find(LWS, "LeaderWorkerSet") is not None
    clock.now_s = 601.0
    server.answer = KubeError(503, "ServiceUnavailable", "later")
    assert discovery.find(LWS, "LeaderWorkerSet") is not None
    with pytest.raises(KubeError):
        discovery.find(LWS, "Unknown")
