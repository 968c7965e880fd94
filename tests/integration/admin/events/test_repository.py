"""The order of events in a real database, and the rows that they are about."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, Engine, text

from services.admin.events.repository import (
    Position,
    listen,
    load_end,
    load_events,
    load_oldest,
    load_subjects,
    wait,
)
from services.kernel.db.operations import insert_operation

pytestmark = pytest.mark.integration
NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
START = Position(0, 0)
PATIENCE_S = 60.0


def note(connection: Connection, *refs: int) -> None:
    """An event about some decisions."""
    statement = text("INSERT INTO api_events (kind, refs) VALUES ('decision', :refs)")
    connection.execute(statement, {"refs": list(refs)})


def read(database: Engine, after: Position = START, limit: int = 100) -> list[list[int]]:
    """What the events after a position are about."""
    with database.connect() as connection:
        return [row["refs"] for row in load_events(connection, after, limit)]


def test_events_come_in_order_after_a_position(database: Engine) -> None:
    for k in range(3):
        with database.begin() as connection:
            note(connection, k)
            note(connection, k, k)
    assert read(database) == [[0], [0, 0], [1], [1, 1], [2], [2, 2]]
    assert read(database, limit=2) == [[0], [0, 0]]
    with database.connect() as connection:
        third = load_events(connection, START, 3)[-1]
        assert (third["kind"], third["refs"]) == ("decision", [1])
    assert read(database, Position(third["xact"], third["id"])) == [[1, 1], [2], [2, 2]]


def test_nothing_is_read_that_something_may_still_come_before(database: Engine) -> None:
    with database.begin() as slow:
        note(slow, 1)
        with database.begin() as fast:
            note(fast, 2)
        assert read(database) == []
    assert read(database) == [[1], [2]]


def test_the_end_is_behind_what_is_there_and_before_what_comes(database: Engine) -> None:
    with database.begin() as connection:
        note(connection, 1)
    with database.connect() as connection:
        end = load_end(connection)
    assert read(database, end) == []
    with database.begin() as connection:
        note(connection, 2)
    assert read(database, end) == [[2]]


def test_the_end_lies_before_what_is_still_running(database: Engine) -> None:
    with database.begin() as slow:
        note(slow, 1)
        with database.connect() as connection:
            end = load_end(connection)
    assert read(database, end) == [[1]]


def test_the_oldest_event_is_the_first_to_be_read(database: Engine) -> None:
    with database.connect() as connection:
        assert load_oldest(connection) is None
    for k in range(2):
        with database.begin() as connection:
            note(connection, k)
    with database.connect() as connection:
        first = load_events(connection, START, 1)[0]
        assert load_oldest(connection) == Position(first["xact"], first["id"])


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize(("kind", "table"), [("decision", "decisions"), ("action", "actions")])
def test_the_rows_of_events_are_found_by_id(database: Engine, kind: str, table: str) -> None:
    with database.connect() as connection:
        statement = text(f"SELECT * FROM {table} ORDER BY id LIMIT 3")
        first, second, _ = connection.execute(statement).mappings().all()
        found = load_subjects(connection, kind, [second["id"], first["id"], 2**62])
        assert load_subjects(connection, kind, []) == {}
    assert set(found) == {first["id"], second["id"]}
    for row in (first, second):
        subject = found[row["id"]]
        assert (subject["namespace"], subject["name"]) == ("llm-prod", "llama-70b-chat")
        assert subject["workload_id"] == row["workload_id"]
        assert subject["reason"] == row["reason"]


@pytest.mark.usefixtures("seeded")
def test_a_decision_comes_with_what_became_of_it_last(database: Engine) -> None:
    with database.begin() as connection:
        again = text(
            "INSERT INTO actions (id, origin_at, decision_id, workload_id, attempt, from_replicas,"
            " to_replicas, result, reason, applied_at) SELECT id + 50000, origin_at, decision_id,"
            " workload_id, 2, from_replicas, to_replicas, 'failed', 'refused', applied_at"
            " FROM actions ORDER BY id LIMIT 1 RETURNING decision_id"
        )
        decision_id = connection.execute(again).scalar_one()
        found = load_subjects(connection, "decision", [decision_id, decision_id + 1])
    assert found[decision_id]["action_result"] == "failed"
    assert found[decision_id + 1]["action_result"] != "failed"


def test_who_listens_is_woken_by_an_operation_and_finds_it(database: Engine) -> None:
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        listen(connection)
        started = time.monotonic()
        with database.begin() as writing:
            operation_id = insert_operation(writing, "backtest", {"hours": 1}, "ops", NOW)
        wait(connection, PATIENCE_S)
        assert time.monotonic() - started < PATIENCE_S
        (event,) = load_events(connection, START, 10)
        assert (event["kind"], event["refs"]) == ("operation", [operation_id])
        found = load_subjects(connection, "operation", event["refs"])[operation_id]
    assert (found["params"], found["created_by"]) == ({"hours": 1}, "ops")
    assert (found["status"], found["created_at"]) == ("queued", NOW)


def test_who_hears_nothing_goes_on_after_a_while(database: Engine) -> None:
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        listen(connection)
        started = time.monotonic()
        wait(connection, 0.01)
        assert time.monotonic() - started < PATIENCE_S
