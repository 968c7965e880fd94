"""The event stream as a client on a socket sees it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, insert, text

from services.kernel.db import schema
from services.kernel.db.operations import insert_operation
from services.kernel.db.partitions import ensure_partitions
from tests.integration.admin.events.event_stream import Stream
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


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


def test_what_is_kept_no_longer_is_said(client: httpx.Client, database: Engine) -> None:
    decide(database, "llama-70b-chat", 0)
    with database.begin() as connection:
        connection.execute(text("DELETE FROM api_events"))
    decide(database, "llama-70b-chat", 1)
    answer = client.get("/v1/events", headers={"Last-Event-ID": "3-1-0"})
    assert (answer.status_code, "kept" in answer.json()["detail"]) == (422, True)
