"""StreamIsActive: at once, then at each change, and never out of ignorance."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from sqlalchemy import text

from services.kernel import telemetry
from services.kernel.db.session import unit_of_work
from tests.integration.scaler.conftest import PATIENCE_S, Caller, Rows, Server

pytestmark = pytest.mark.integration

Heard = bool | grpc.StatusCode


class Listening:
    """A stream read in a thread; its end is the last thing heard: OK, or the error's code."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._heard: queue.Queue[Heard] = queue.Queue()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        try:
            for response in self._call:
                self._heard.put(response.result)
            self._heard.put(grpc.StatusCode.OK)
        except grpc.RpcError as error:
            self._heard.put(error.code())

    def hear(self) -> Heard:
        return self._heard.get(timeout=PATIENCE_S)

    @property
    def is_silent(self) -> bool:
        return self._heard.empty()

    def close(self) -> None:
        self._call.cancel()
        self._thread.join(PATIENCE_S)


@pytest.fixture
def listening(caller: Caller, rows: Rows) -> Iterator[Listening]:
    rows.decide(rows.register(min_replicas=0), 3)
    stream = Listening(caller.stream())
    assert stream.hear() is True
    yield stream
    stream.close()


def test_a_change_is_pushed_and_nothing_else(listening: Listening, rows: Rows) -> None:
    llama = rows.register(min_replicas=0)
    for desired, channel in ((0, "harmony_decisions"), (4, "harmony_tick")):
        rows.clock.advance(rows.step_s)
        rows.decide(llama, desired)
        rows.notify(channel)
        assert listening.hear() is (desired > 0)
    rows.clock.advance(rows.step_s)
    rows.decide(llama, 9)
    rows.notify()
    rows.decide(llama, 0, origin_at=rows.clock.now())
    rows.notify()
    assert listening.hear() is False, "from 4 to 9 is no news"


def test_a_broken_listener_connects_again(listening: Listening, rows: Rows) -> None:
    llama = rows.register(min_replicas=0)
    with unit_of_work(rows.engine) as work:
        work.connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' "
                "AND datname = current_database()"
            )
        )
    rows.clock.advance(rows.step_s)
    rows.decide(llama, 0)
    assert listening.hear() is False, "a new connection looks at once"


def test_a_failed_look_says_nothing_and_ends_nothing(listening: Listening, rows: Rows) -> None:
    llama = rows.register(min_replicas=0)
    with unit_of_work(rows.engine) as work:
        work.connection.execute(text("ALTER TABLE workloads RENAME TO elsewhere"))
    failures = telemetry.scaler_refresh_errors_total.labels("default", "database")
    before, deadline = failures._value.get(), time.monotonic() + PATIENCE_S
    rows.notify()
    while failures._value.get() == before:
        assert time.monotonic() < deadline, "no look failed"
        time.sleep(0.01)
    with unit_of_work(rows.engine) as work:
        work.connection.execute(text("ALTER TABLE elsewhere RENAME TO workloads"))
    assert listening.is_silent
    rows.decide(llama, 0, origin_at=rows.clock.now())
    rows.notify()
    assert listening.hear() is False


def test_a_deleted_workload_ends_the_stream(listening: Listening, rows: Rows) -> None:
    rows.deactivate()
    rows.notify("harmony_states")
    assert listening.hear() is grpc.StatusCode.NOT_FOUND


def test_the_servers_end_ends_the_stream_in_order(listening: Listening, server: Server) -> None:
    server.stop()
    assert listening.hear() is grpc.StatusCode.OK


def test_no_database_at_the_beginning_is_unavailable(caller: Caller, rows: Rows) -> None:
    rows.register()
    with unit_of_work(rows.engine) as work:
        work.connection.execute(text("ALTER TABLE workloads RENAME TO elsewhere"))
    stream = Listening(caller.stream())
    assert stream.hear() is grpc.StatusCode.UNAVAILABLE
    stream.close()
