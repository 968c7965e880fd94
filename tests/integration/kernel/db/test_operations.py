"""Claims of operations: one worker at a time, and an end after three deaths."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from services.kernel.db.operations import (
    MAX_ATTEMPTS,
    SILENT_AFTER,
    OperationEnd,
    claim_operation,
    drop_old_events,
    finish_operation,
    insert_operation,
    load_lost,
    report_operation,
)

pytestmark = pytest.mark.integration
AT = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def operation_id(database: Engine) -> int:
    with database.begin() as connection:
        return insert_operation(connection, "backtest", {"n": 1}, "ann", AT)


def test_a_silent_worker_loses_its_claim(database: Engine, operation_id: int) -> None:
    later = AT + SILENT_AFTER + timedelta(seconds=1)
    with database.begin() as connection:
        first = claim_operation(connection, operation_id, AT)
        assert first is not None
        assert (first.kind, first.params, first.n_attempts) == ("backtest", {"n": 1}, 1)
        assert claim_operation(connection, operation_id, AT + SILENT_AFTER) is None
        second = claim_operation(connection, operation_id, later)
        assert second is not None
        assert second.n_attempts == 2
        assert not report_operation(connection, first, 0.5, "late", later)
        assert not finish_operation(connection, first, OperationEnd("failed", "late"), later)
        assert report_operation(connection, second, 7.0, "on", later)
        progress = connection.execute(text("SELECT progress FROM operations")).scalar_one()
        assert progress == 1.0
        assert finish_operation(connection, second, OperationEnd("succeeded", "done", {}), later)
        assert load_lost(connection, ["backtest"], later + SILENT_AFTER * 2) == []


def test_after_its_last_attempt_it_is_given_up(database: Engine, operation_id: int) -> None:
    with database.begin() as connection:
        for attempt in range(MAX_ATTEMPTS + 1):
            now = AT + attempt * (SILENT_AFTER + timedelta(seconds=1))
            claimed = claim_operation(connection, operation_id, now)
            assert (claimed is None) == (attempt == MAX_ATTEMPTS)
        found = connection.execute(text("SELECT status, message FROM operations")).one()
    assert tuple(found) == ("failed", "given up: its worker died 3 times")


def test_old_events_are_dropped(database: Engine) -> None:
    add = text(
        "INSERT INTO api_events (kind, refs, created_at) "
        "VALUES (:kind, '{}', clock_timestamp() - CAST(:age AS interval))"
    )
    with database.begin() as connection:
        for kind, age in (("old", timedelta(days=2)), ("new", timedelta(hours=1))):
            connection.execute(add, {"kind": kind, "age": age})
        drop_old_events(connection)
        kinds = connection.execute(text("SELECT kind FROM api_events WHERE kind IN ('old', 'new')"))
        assert kinds.scalars().all() == ["new"]
