"""An advisory report that was asked for: its row has the figures that `harmony advise` prints."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, Row, text

from services.advisory import operation
from services.advisory.page import to_result
from services.advisory.service import AdvisoryQuery, load_report
from services.kernel.clock import FixedClock
from services.kernel.db.operations import insert_operation
from services.kernel.settings import Settings
from tests.integration.advisory.watched import SINCE, add_decided, add_ran, add_watched
from tests.integration.decision.stored_rows import NOW

pytestmark = pytest.mark.integration

HOURS = SINCE.total_seconds() / 3600.0
NEEDED = [2] * 12 + [5] * 12


def ask(database: Engine, **params: Any) -> int:
    given = {"since_hours": HOURS, "namespace": None} | params
    with database.begin() as connection:
        return insert_operation(connection, "advise", given, "ada", NOW)


def stored(database: Engine, asked: int) -> Row[Any]:
    query = text("SELECT status, message, result, heartbeat_at FROM operations WHERE id = :id")
    with database.connect() as connection:
        return connection.execute(query, {"id": asked}).one()


@pytest.fixture
def watched(database: Engine) -> Engine:
    """A service of four replicas that nobody scales, and what Harmony had decided."""
    workload = add_watched(database, "chat")
    add_ran(database, workload, 4, NEEDED)
    add_decided(database, workload, NEEDED)
    return database


@pytest.mark.parametrize("namespace", [None, "demo"])
def test_a_report_ends_with_the_clock_of_the_data_and_beats_with_the_wall_clock(
    watched: Engine, namespace: str | None
) -> None:
    asked = ask(watched, namespace=namespace)
    wall = FixedClock(NOW.replace(year=2027))
    operation.carry_out(watched, FixedClock(NOW), wall, asked)
    row = stored(watched, asked)
    assert (row.status, row.heartbeat_at) == ("succeeded", wall.now())
    with watched.connect() as connection:
        report = load_report(connection, AdvisoryQuery(SINCE, namespace or ""), NOW)
    assert row.result == to_result(report)
    (service,) = row.result["services"]
    assert (service["workload"], service["scaled_by"]) == ("demo/chat", "nobody: fixed at 4")
    assert service["today"]["cost_usd"] == pytest.approx(48.0)


def test_a_process_carries_out_with_its_settings_and_stores_why_it_could_not(
    watched: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation, "get_settings", lambda: settings)
    asked = ask(watched, namespace="gone")
    operation.run_stored(asked)
    row = stored(watched, asked)
    assert (row.status, row.result) == ("failed", None)
    assert "no active workload has namespace=gone" in row.message
