"""Places for event streams: nobody takes those of all others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from services.admin.events import service
from services.admin.events.service import EventHub, Interest, Subscription
from services.kernel.errors import TooManyRequests
from tests.unit.platform.eventually import eventually

pytestmark = pytest.mark.integration


class Room:
    """Opens streams at a hub, and says how many found a place."""

    def __init__(self, hub: EventHub, loop: asyncio.AbstractEventLoop) -> None:
        self._hub = hub
        self._loop = loop
        self.held: list[Subscription] = []

    def open(self, wanted: int, *namespaces: str) -> int:
        """Streams that were opened of those wanted; twenty by each key, as an admin makes them."""
        interest = Interest(namespaces=frozenset(namespaces) if namespaces else None)
        before = len(self.held)
        for place in range(wanted):
            caller = f"{'+'.join(namespaces)} {place // 20}"
            try:
                self.held.append(self._hub.subscribe(interest, caller, self._loop))
            except TooManyRequests as error:
                self.refusal = str(error)
                break
        return len(self.held) - before

    def close(self) -> None:
        for one in self.held:
            self._hub.unsubscribe(one)
        self.held = []


@pytest.fixture
def room(database: Engine) -> Iterator[Room]:
    hub, loop = EventHub(database, poll_s=0.05), asyncio.new_event_loop()
    found = Room(hub, loop)
    yield found
    found.close()
    eventually(lambda: hub._thread is None, "the reader end")
    loop.close()


def test_callers_of_one_namespace_take_half_at_most(room: Room) -> None:
    assert room.open(service.MAX_STREAMS, "team-a") == service.MAX_STREAMS // 2
    assert "100 event streams of callers of namespace 'team-a' are open" in room.refusal
    assert room.open(1, "team-a", "team-c") == 0
    assert room.open(5, "team-b") == 5


def test_some_are_kept_for_callers_of_the_whole_fleet(room: Room) -> None:
    most = service.MAX_STREAMS - service.KEPT_FOR_FLEET
    opened = [room.open(service.MAX_STREAMS, f"team-{name}") for name in "abc"]
    assert opened == [100, most - 100, 0]
    assert "limited to namespaces" in room.refusal
    assert room.open(service.MAX_STREAMS) == service.KEPT_FOR_FLEET
    assert "in this process" in room.refusal


def test_callers_of_the_whole_fleet_may_take_all(room: Room) -> None:
    assert room.open(service.MAX_STREAMS + 1) == service.MAX_STREAMS


def test_a_place_comes_back(room: Room) -> None:
    room.open(service.MAX_STREAMS, "team-a")
    room.close()
    assert room.open(1, "team-a") == 1
