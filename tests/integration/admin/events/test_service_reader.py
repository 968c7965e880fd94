"""The one reader of a process: it goes on whatever happens, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import TimeoutError as PoolTimeout

from services.admin.events import repository, service
from services.admin.events.service import Event, EventHub, Interest, Subscription
from services.kernel.db.operations import insert_operation
from tests.integration.admin.events.event_stream import DEADLINE_S
from tests.integration.admin.seeded_fleet import NOW
from tests.unit.platform.eventually import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    found = asyncio.new_event_loop()
    yield found
    found.close()


@pytest.fixture
def hub(database: Engine, monkeypatch: pytest.MonkeyPatch) -> EventHub:
    monkeypatch.setattr(service, "RETRY_S", 0.01)
    return EventHub(database, poll_s=0.05)


@contextmanager
def subscribed(hub: EventHub, loop: asyncio.AbstractEventLoop) -> Iterator[Subscription]:
    subscription = hub.subscribe(Interest(), "ann", loop)
    yield subscription
    hub.unsubscribe(subscription)
    eventually(lambda: hub._thread is None, "the reader end")


def next_event(subscription: Subscription) -> Event:
    waited = asyncio.wait_for(subscription.queue.get(), DEADLINE_S)
    found = subscription.loop.run_until_complete(waited)
    assert found is not None
    return found


def ask(database: Engine, kind: str = "backtest") -> int:
    with database.begin() as connection:
        return insert_operation(connection, kind, {"workloads": ["prod/a"]}, "ann", NOW)


def seen(event: Event) -> tuple[str, int]:
    return event.kind, event.body.model_dump()["id"]


def end_other_sessions(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND backend_type = 'client backend'"
            )
        )


def is_waiting(hub: EventHub) -> bool:
    """The reader waits for a notification, in the driver itself."""
    thread = hub._thread
    frame = sys._current_frames().get(thread.ident or 0) if thread else None
    names = {one.name for one in traceback.extract_stack(frame)} if frame else set()
    return "notifies" in names


def test_a_session_that_the_server_ends_while_it_is_listened_to_is_made_again(
    database: Engine, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "RETRY_S", 0.01)
    hub = EventHub(database, poll_s=2 * DEADLINE_S)
    with subscribed(hub, loop) as subscription:
        first = ask(database)
        assert seen(next_event(subscription)) == ("operation", first)
        eventually(lambda: is_waiting(hub), "the reader wait")
        end_other_sessions(database)
        second = ask(database)
        assert seen(next_event(subscription)) == ("operation", second)
        hub.unsubscribe(subscription)
        ask(database)  # wakes it, and it ends


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("the driver's own, while it listens"),
        PoolTimeout("all connections are in use"),
        KeyError("a defect"),
    ],
)
def test_whatever_fails_it_reads_on(
    database: Engine,
    hub: EventHub,
    loop: asyncio.AbstractEventLoop,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    errors = [error]

    def listen(connection: Connection) -> None:
        if errors:
            raise errors.pop()
        listened(connection)

    listened = repository.listen
    monkeypatch.setattr(repository, "listen", listen)
    with subscribed(hub, loop) as subscription:
        first = ask(database)
        assert seen(next_event(subscription)) == ("operation", first)


def test_what_a_later_release_stores_holds_up_no_other(
    database: Engine, hub: EventHub, loop: asyncio.AbstractEventLoop
) -> None:
    with subscribed(hub, loop) as subscription:
        ask(database, "of_a_later_release")
        with database.begin() as connection:
            connection.execute(text("INSERT INTO api_events (kind, refs) VALUES ('news', '{1}')"))
        known = ask(database)
        assert seen(next_event(subscription)) == ("operation", known)


def test_no_connection_goes_on_listening_for_others(
    database: Engine, hub: EventHub, loop: asyncio.AbstractEventLoop
) -> None:
    """It would keep each notification of its life in the memory of the process."""
    with subscribed(hub, loop) as subscription:
        ask(database)
        next_event(subscription)
    with ExitStack() as stack:
        pooled = [stack.enter_context(database.connect()) for _ in range(5)]
        heard = text("SELECT count(*) FROM pg_listening_channels()")
        assert [connection.execute(heard).scalar_one() for connection in pooled] == [0] * 5
