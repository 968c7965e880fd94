"""The event stream as a client on a socket sees it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import Engine, insert, text

from services.admin.app import make_app
from services.admin.decisions.service import AdminDeps
from services.admin.events import api as api_events
from services.kernel.db import schema
from services.kernel.db.operations import insert_operation
from services.kernel.db.partitions import ensure_partitions
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]

DEADLINE_S = 20.0


@pytest.fixture
def address(deps: AdminDeps) -> Iterator[str]:
    """The application on a socket of loopback."""
    # it listens at once, so that who comes before the server has started waits for it
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(make_app(deps), log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=DEADLINE_S)
        assert not thread.is_alive()


class Stream:
    """An open stream, read event by event."""

    def __init__(self, response: httpx.Response) -> None:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        self._lines = response.iter_lines()
        self.ids: list[str] = []

    def block(self) -> dict[str, str]:
        """The next block of lines: an event, a comment (under ``""``) or `retry`."""
        found: dict[str, str] = {}
        for line in self._lines:
            if not line:
                return found
            name, _, value = line.partition(":")
            found[name] = value.removeprefix(" ")
        raise AssertionError("the stream ended")

    def next(self) -> dict[str, Any]:
        """The next event."""
        while "event" not in (found := self.block()):
            pass
        self.ids.append(found["id"])
        return {"kind": found["event"], "body": json.loads(found["data"])}


@pytest.fixture
def client(address: str, database: Engine) -> Iterator[httpx.Client]:
    """A client with a viewer's key of the namespaces diffusion and llm-prod."""
    with database.begin() as connection:
        names = ["diffusion", "llm-prod"]
        token = create_key(connection, "reader", Role.VIEWER, NOW, None, names).token
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=address, headers=headers, timeout=DEADLINE_S) as found:
        yield found


def decide(engine: Engine, name: str, place: int) -> int:
    """Store a decision of a workload as the decision service would; its id."""
    decision = 9_000_000 + place
    origin = NOW + timedelta(seconds=place)
    with engine.begin() as connection:
        ensure_partitions(connection, "decisions", origin, origin)
        workload = connection.execute(
            text("SELECT id FROM workloads WHERE name = :name"), {"name": name}
        ).scalar_one()
        row = {
            "id": decision,
            "origin_at": origin,
            "workload_id": workload,
            "forecast_id": decision,
            "policy_version": "harmony-1",
            "decided_at": origin,
            "valid_until": origin,
            "current_replicas": 2,
            "raw_replicas": 3,
            "desired_replicas": 3,
            "direction": "up",
            "reason": "scale_up_risk",
            "rung": "forecast",
            "risk_target": 0.01,
            "cost_delta_usd_per_h": 1.0,
            "explanation": {},
        }
        connection.execute(insert(schema.decisions).values(row))
    return decision


def test_decisions_arrive_and_a_broken_stream_goes_on_without_a_gap(
    client: httpx.Client, database: Engine
) -> None:
    with client.stream("GET", "/v1/events", params={"kind": "decision"}) as response:
        stream = Stream(response)
        assert stream.block() == {"retry": "3000"}
        ids = [decide(database, "llama-70b-chat", place) for place in range(3)]
        seen = [stream.next()["body"]["id"] for _ in ids]
        assert seen == ids
    missed = [decide(database, "sdxl-turbo", place) for place in range(3, 6)]
    headers = {"Last-Event-ID": stream.ids[1]}
    query = {"kind": "decision"}
    with client.stream("GET", "/v1/events", params=query, headers=headers) as response:
        again = Stream(response)
        later = decide(database, "llama-70b-chat", 6)
        seen = [again.next()["body"]["id"] for _ in range(5)]
    assert seen == [ids[2], *missed, later]
    assert again.ids[0] == stream.ids[2], "an event keeps its id"


def test_a_late_commit_is_not_overtaken(client: httpx.Client, database: Engine) -> None:
    """The event with the smaller id commits last; nobody may have read past it."""
    with client.stream("GET", "/v1/events", params={"kind": "operation"}) as response:
        stream = Stream(response)
        stream.block()
        params = {"workloads": ["llm-prod/llama-70b-chat"]}
        with database.begin() as slow:
            first = insert_operation(slow, "backtest", params, "ada", NOW)
            with database.begin() as quick:
                second = insert_operation(quick, "backtest", params, "ada", NOW)
        seen = [stream.next()["body"]["id"] for _ in range(2)]
    assert seen == [first, second]


def test_progress_of_one_operation_and_only_what_may_be_seen(
    client: httpx.Client, database: Engine
) -> None:
    mine = {"workloads": ["llm-prod/llama-70b-chat"]}
    with database.begin() as connection:
        operation = insert_operation(connection, "backtest", mine, "ada", NOW)
    query = {"kind": "operation", "operation_id": operation}
    with client.stream("GET", "/v1/events", params=query) as response:
        stream = Stream(response)
        stream.block()
        hidden: list[dict[str, Any]] = [{"workloads": ["vision/detector-edge"]}, {}]
        for params in hidden:
            with database.begin() as connection:
                insert_operation(connection, "backtest", params, "ada", NOW)
        for progress in (0.25, 0.5):
            with database.begin() as connection:
                statement = text("UPDATE operations SET progress = :p, status = 'running'")
                connection.execute(statement, {"p": progress})
            found = stream.next()
            assert (found["kind"], found["body"]["id"]) == ("operation", operation)
            assert found["body"]["progress"] == progress


def test_a_silent_stream_beats_and_ends_in_time(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_events, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(api_events, "LIFE_S", 0.3)
    with client.stream("GET", "/v1/events") as response:
        lines = [line for line in response.iter_lines() if line]
    assert lines[0] == "retry: 3000"
    assert set(lines[1:]) == {": heartbeat"}
    assert len(lines) >= 3


def test_streams_are_bounded_and_their_places_come_back(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.admin.events.service.MAX_STREAMS_PER_CALLER", 1)
    with client.stream("GET", "/v1/events") as response:
        held = Stream(response)  # a stream that nobody holds is closed
        held.block()
        refused = client.get("/v1/events")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert refused.headers["Retry-After"] == "10"
        del held
    deadline = time.monotonic() + DEADLINE_S
    while True:
        with client.stream("GET", "/v1/events") as response:
            if response.status_code == 200:
                break
        assert time.monotonic() < deadline, "the place did not come back"


def test_what_cannot_be_streamed_is_said(client: httpx.Client, address: str) -> None:
    assert httpx.get(f"{address}/v1/events").status_code == 401
    cases = [
        ({"kind": "forecast"}, {}, 422),
        ({}, {"Last-Event-ID": "tomorrow"}, 422),
        ({}, {"Last-Event-ID": f"{2**70}-1-0"}, 422),
        ({"workload": "vision/detector-edge"}, {}, 403),
    ]
    for query, headers, status in cases:
        answer = client.get("/v1/events", params=query, headers=headers)
        assert answer.status_code == status, (query, headers, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"


def test_what_is_kept_no_longer_is_said(client: httpx.Client, database: Engine) -> None:
    decide(database, "llama-70b-chat", 0)
    with database.begin() as connection:
        connection.execute(text("DELETE FROM api_events"))
    decide(database, "llama-70b-chat", 1)
    answer = client.get("/v1/events", headers={"Last-Event-ID": "3-1-0"})
    assert (answer.status_code, "kept" in answer.json()["detail"]) == (422, True)
