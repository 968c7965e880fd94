"""A backtest that was asked for: its row says what came of it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, Row, text

from services.backtest import service
from services.kernel.clock import FixedClock
from services.kernel.db.operations import insert_operation
from services.kernel.settings import Settings
from tests.integration.backtest.replayable import KEY, REPLAY_HOURS, add_replayable
from tests.integration.decision.stored_rows import NOW

pytestmark = pytest.mark.integration


def ask(database: Engine, key: str) -> int:
    params = {"workloads": [key], "replay_hours": REPLAY_HOURS, "policies": ["hpa"]}
    with database.begin() as connection:
        return insert_operation(connection, "backtest", params, "ada", NOW)


def stored(database: Engine, operation: int) -> Row[Any]:
    query = text("SELECT status, message, result, heartbeat_at FROM operations WHERE id = :id")
    with database.connect() as connection:
        return connection.execute(query, {"id": operation}).one()


def test_a_backtest_ends_with_the_clock_of_the_data_and_beats_with_the_wall_clock(
    database: Engine,
) -> None:
    add_replayable(database)
    operation = ask(database, KEY)
    wall = FixedClock(NOW.replace(year=2027))
    service.carry_out(database, FixedClock(NOW), wall, operation)
    row = stored(database, operation)
    assert (row.status, row.message) == ("succeeded", "done")
    assert row.result["workload_keys"] == [KEY]
    assert row.result["replay_until_s"] == NOW.timestamp()
    assert row.heartbeat_at == wall.now()


def test_a_process_carries_out_with_its_settings_and_stores_why_it_could_not(
    database: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "get_settings", lambda: settings)
    operation = ask(database, "demo/gone")
    service.run_stored(operation)
    row = stored(database, operation)
    assert (row.status, row.result) == ("failed", None)
    assert "demo/gone does not exist" in row.message


@pytest.mark.parametrize("has_prior", [True, False])
def test_a_process_forecasts_with_what_its_settings_have(
    database: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch, has_prior: bool
) -> None:
    """A back-test judged `smoothed` for every workload, which serves only where nothing else can.

    The history before this replay does not repeat itself by the day, so the prior is the better.
    """
    own = settings.model_copy(update={"has_prior": has_prior})
    monkeypatch.setattr(service, "get_settings", lambda: own)
    monkeypatch.setattr(service, "make_clock", lambda *_: FixedClock(NOW))
    add_replayable(database)
    operation = ask(database, KEY)
    service.run_stored(operation)
    forecaster = stored(database, operation).result["forecaster"]
    begins = "the prior, " if has_prior else "the best simple forecaster of each workload, "
    assert forecaster == f"{begins}chosen on the history's end; nothing was trained"
