"""When a copy reads everything again, and how long it waits before it does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from services.operator.cluster.listed import ListedKind
from services.operator.kube.mirror import Mirror
from services.operator.wire.http import Call, KubeError

PODS = ListedKind("pods", "/api/v1", read=lambda found: str(found["metadata"]["name"]))
Watch = Callable[[], Iterator[bytes]]


class Over(BaseException):
    """There is nothing more to answer."""


class Clock:
    """Time of the test, and what was waited for."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.waited: list[float] = []

        self.has_ended = False

    def is_set(self) -> bool:
        return self.has_ended

    def set(self) -> None:
        self.has_ended = True

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        self.now_s += seconds
        return False


class Server:
    """Lists pods, and answers each watch as the test says."""

    def __init__(self, watches: list[Watch], *names: str) -> None:
        self.watches = watches
        self.names = names
        self.asked: list[str] = []

    def send(self, call: Call) -> Any:
        self.asked.append(call.verb)
        items = [{"metadata": {"name": n, "resourceVersion": "5"}} for n in self.names]
        return {"metadata": {"resourceVersion": "7"}, "items": items}

    def stream(self, call: Call, silence_s: float) -> Iterator[bytes]:
        self.asked.append(call.verb)
        if not self.watches:
            raise Over
        yield from self.watches.pop(0)()


def refused(status: int) -> Watch:
    def watch() -> Iterator[bytes]:
        raise KubeError(status, "Refused", f"watch pods: {status}")
        yield b""

    return watch


def told(*events: dict[str, Any]) -> Watch:
    return lambda: iter([b"", *(json.dumps(event).encode() for event in events)])


def event(kind: str, name: str, version: int) -> dict[str, Any]:
    return {"type": kind, "object": metadata(name, version)}


def metadata(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


def run(server: Server, clock: Clock) -> Mirror:
    """The copy after every watch was answered."""
    mirror = Mirror(server, PODS, lambda: clock.now_s)  # type: ignore[arg-type]
    mirror._is_ending = clock  # type: ignore[assignment]
    with pytest.raises(Over):
        mirror._run()
    return mirror


GONE = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}


def test_a_watch_that_is_refused_is_tried_ever_more_seldom() -> None:
    """Each time everything is listed: an API server in trouble has enough to do."""
    clock, server = Clock(), Server([refused(503)] * 6)
    run(server, clock)
    assert clock.waited == [0.2, 0.5, 1.0, 2.0, 5.0, 5.0]


def test_a_server_that_asks_for_fewer_requests_is_not_asked_for_everything_again() -> None:
    clock, server = Clock(), Server([refused(429)] * 3)
    run(server, clock)
    assert server.asked == ["list", "watch", "watch", "watch", "watch"]
    assert clock.waited == [0.2, 0.5, 1.0]


def test_a_watch_that_ends_at_once_and_told_nothing_is_not_begun_again_at_once() -> None:
    clock, server = Clock(), Server([told()] * 3)
    run(server, clock)
    assert clock.waited == [0.2, 0.5, 1.0]
    assert server.asked.count("list") == 1


def test_a_version_that_is_too_old_again_and_again_is_listed_ever_more_seldom() -> None:
    clock, server = Clock(), Server([told(GONE)] * 4)
    run(server, clock)
    assert clock.waited == [0.5, 1.0, 2.0], "the first time it is simply read again"
    assert server.asked.count("list") == 5


def test_a_watch_that_told_something_or_lasted_ends_the_row() -> None:
    clock = Clock()

    def lasting() -> Iterator[bytes]:
        yield b""
        clock.now_s += 60.0

    fresh = told(event("ADDED", "a", 8))
    watches = [refused(503), refused(503), fresh, refused(503), lasting, refused(503)]
    run(Server(watches), clock)
    assert clock.waited == [0.2, 0.5, 0.2, 0.2]


def test_what_was_deleted_does_not_come_back_by_the_answer_to_a_write() -> None:
    """The watch has told the deletion, and nothing else would until everything is listed again."""
    mirror = run(Server([told(event("DELETED", "a", 9))], "a", "b"), Clock())
    mirror.store(metadata("a", 8))
    mirror.store(metadata("b", 8))
    assert sorted(mirror.objects()) == ["b"]
    assert [version for version, _ in mirror._objects.values()] == ["8"]


class Removed(Server):
    """A server that no longer serves the kind."""

    def send(self, call: Call) -> Any:
        self.asked.append(call.verb)
        if len(self.asked) > 1000:
            raise Over
        raise KubeError(404, "NotFound", "the server could not find the requested resource")


def test_a_kind_that_is_served_no_longer_is_not_asked_for_without_end() -> None:
    """Its definition was removed, and no autoscaler names it: nobody asks for the copy."""
    clock, server = Clock(), Removed([])
    mirror = Mirror(server, PODS, lambda: clock.now_s, unused_s=300.0)  # type: ignore[arg-type]
    mirror._is_ending = clock  # type: ignore[assignment]
    mirror._run()
    assert mirror.has_ended
    assert 300.0 < clock.now_s < 310.0


def test_a_copy_that_is_asked_for_goes_on() -> None:
    clock, server = Clock(), Removed([])
    mirror = Mirror(server, PODS, lambda: clock.now_s, unused_s=300.0)  # type: ignore[arg-type]
    mirror._is_ending = clock  # type: ignore[assignment]

    def wait(seconds: float) -> bool:
        clock.now_s += seconds
        with pytest.raises(KubeError):
            mirror.objects()
        return False

    clock.wait = wait  # type: ignore[method-assign]
    with pytest.raises(Over):
        mirror._run()
    assert not mirror.has_ended
