"""An operation is carried out once, and its row says how it ended."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from services.kernel import operation
from services.kernel.clock import FixedClock
from services.kernel.db.operations import (
    SILENT_AFTER,
    Claimed,
    insert_operation,
    whose_turn,
)
from services.kernel.errors import InvalidInput
from services.kernel.jobs import BACKTEST, Job, RecordingSender
from services.kernel.operation import Tell, resend_lost, run_operation
from tests.unit.platform.eventually import eventually

pytestmark = pytest.mark.integration
AT = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def operation_id(database: Engine) -> int:
    with database.begin() as connection:
        return insert_operation(connection, "backtest", {"n": 1}, "ann", AT)


def row(database: Engine, operation_id: int) -> tuple[str, str, Any]:
    with database.connect() as connection:
        statement = text("SELECT status, message, result FROM operations WHERE id = :id")
        found = connection.execute(statement, {"id": operation_id}).one()
    return found.status, found.message, found.result


def test_work_is_done_once_and_its_result_stored(database: Engine, operation_id: int) -> None:
    claims: list[Claimed] = []

    def work(claimed: Claimed, report: Tell) -> dict[str, Any]:
        claims.append(claimed)
        report("half", 0.5)
        assert row(database, operation_id) == ("running", "half", None)
        return {"answer": claimed.params["n"] + 1}

    for _ in range(2):
        run_operation(database, FixedClock(AT), operation_id, work)
    assert [claimed.n_attempts for claimed in claims] == [1]
    assert row(database, operation_id) == ("succeeded", "done", {"answer": 2})


def test_a_wrong_input_is_its_message_and_a_defect_is_raised(database: Engine) -> None:
    def run(error: Exception) -> int:
        with database.begin() as connection:
            operation_id = insert_operation(connection, "backtest", {}, "ann", AT)

        def work(claimed: Claimed, report: Tell) -> dict[str, Any]:
            raise error

        if isinstance(error, InvalidInput):
            run_operation(database, FixedClock(AT), operation_id, work)
        else:
            with pytest.raises(type(error)):
                run_operation(database, FixedClock(AT), operation_id, work)
        return operation_id

    assert row(database, run(InvalidInput("n: too many"))) == ("failed", "n: too many", None)
    assert row(database, run(KeyError("x"))) == ("failed", "KeyError: 'x'", None)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT CAST(:value AS int)", "DataError: a defect; the worker's log says more"),
        (
            "SELECT :value FROM nowhere",
            "the database failed meanwhile; ask for it once more when it is well",
        ),
    ],
)
def test_what_failed_in_the_database_shows_nobody_its_values(
    database: Engine, operation_id: int, statement: str, said: str
) -> None:
    def work(claimed: Claimed, report: Tell) -> dict[str, Any]:
        with database.begin() as connection:
            connection.execute(text(statement), {"value": "other-tenant/plans"})
        return {}

    with pytest.raises(SQLAlchemyError, match="other-tenant/plans"):
        run_operation(database, FixedClock(AT), operation_id, work)
    assert row(database, operation_id) == ("failed", said, None)


def test_a_cancelled_operation_stops_at_its_next_report(
    database: Engine, operation_id: int
) -> None:
    def work(claimed: Claimed, report: Tell) -> dict[str, Any]:
        with database.begin() as connection:
            connection.execute(text("UPDATE operations SET is_cancel_requested = true"))
        report("on", 0.1)
        raise AssertionError("it went on")

    run_operation(database, FixedClock(AT), operation_id, work)
    assert row(database, operation_id) == ("cancelled", "cancelled", None)


def test_an_operation_whose_job_was_lost_is_sent_again(database: Engine, operation_id: int) -> None:
    sender, clock = RecordingSender(), FixedClock(AT)
    assert resend_lost(database, clock, sender) == 0
    clock.advance(SILENT_AFTER.total_seconds() + 1)
    assert resend_lost(database, clock, sender) == 1
    assert sender.sent == [Job(BACKTEST, {"operation_id": operation_id})]


def test_an_operation_of_a_later_release_holds_up_no_other(
    database: Engine, operation_id: int
) -> None:
    """As after a roll-back: the others are sent again, and old events are dropped."""
    with database.begin() as connection:
        insert_operation(connection, "of_a_later_release", {}, "ann", AT)
        event = "INSERT INTO api_events (kind, refs, created_at) VALUES ('tick', '{}', :at)"
        connection.execute(text(event), {"at": AT})
    sender, clock = RecordingSender(), FixedClock(AT + 2 * SILENT_AFTER)
    assert resend_lost(database, clock, sender) == 1
    assert sender.sent == [Job(BACKTEST, {"operation_id": operation_id})]
    with database.connect() as connection:
        left = text("SELECT count(*) FROM api_events WHERE created_at = :at")
        assert connection.execute(left, {"at": AT}).scalar() == 0


def ask(database: Engine, *namespaces: str) -> list[int]:
    with database.begin() as connection:
        return [
            insert_operation(connection, "backtest", {"workloads": [f"{name}/w"]}, "ann", AT)
            for name in namespaces
        ]


def test_namespaces_that_wait_take_turns(database: Engine) -> None:
    """Whoever asks for many first holds up the others by one each."""
    ids = ask(database, "busy", "busy", "busy", "busy", "shop", "shop", "tiny")
    done: list[str] = []

    def work(claimed: Claimed, report: Tell) -> dict[str, Any]:
        done.append(claimed.params["workloads"][0])
        return {}

    for number, operation_id in enumerate(ids):
        clock = FixedClock(AT + timedelta(seconds=number))
        run_operation(database, clock, operation_id, work)
    order = ["busy/w", "shop/w", "tiny/w", "busy/w", "shop/w", "busy/w", "busy/w"]
    assert done == order
    assert all(row(database, id_)[0] == "succeeded" for id_ in ids)


def test_a_turn_that_another_worker_has_is_passed_over(database: Engine) -> None:
    first, second = ask(database, "busy", "shop")
    with database.begin() as one, database.begin() as two:
        assert whose_turn(one, second) == first
        assert whose_turn(two, first) == second


def heartbeat(database: Engine, operation_id: int) -> datetime:
    with database.connect() as connection:
        statement = text("SELECT heartbeat_at FROM operations WHERE id = :id")
        found: datetime = connection.execute(statement, {"id": operation_id}).scalar_one()
        return found


def test_a_stage_that_takes_long_is_not_begun_by_another_worker(
    database: Engine, operation_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a training's epoch or a back-test of a week: minutes without a report."""
    monkeypatch.setattr(operation, "BEAT_S", 0.01, raising=False)
    clock = FixedClock(AT)
    n_begun = 0

    def work(claimed: Claimed, report: Tell) -> dict[str, Any]:
        nonlocal n_begun
        n_begun += 1
        report("a long stage", 0.1)
        clock.advance(2 * SILENT_AFTER.total_seconds())
        eventually(lambda: heartbeat(database, operation_id) == clock.now(), "a heartbeat")
        assert resend_lost(database, clock, RecordingSender()) == 0
        run_operation(database, clock, operation_id, work)
        report("on", 0.5)
        return {}

    run_operation(database, clock, operation_id, work)
    assert n_begun == 1
    assert row(database, operation_id) == ("succeeded", "done", {})


def test_work_that_is_stuck_is_left_to_another_worker(
    database: Engine, operation_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation, "BEAT_S", 0.01)
    monkeypatch.setattr(operation, "LONGEST_STAGE_S", -1.0)
    clock = FixedClock(AT)

    def work(claimed: Claimed, report: Tell) -> dict[str, Any]:
        clock.advance(2 * SILENT_AFTER.total_seconds())
        eventually(
            lambda: "heart" not in {one.name for one in threading.enumerate()}, "its heart stop"
        )
        assert heartbeat(database, operation_id) == AT
        assert resend_lost(database, clock, RecordingSender()) == 1
        return {}

    run_operation(database, clock, operation_id, work)
