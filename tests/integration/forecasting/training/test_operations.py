"""A fit that was asked for through the API: its operation says how it ended."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Row, text

from services.forecasting.forecast.service import Forecasting
from services.forecasting.registry import repository as registry
from services.forecasting.training.operations import train_as_asked
from services.kernel.db.operations import insert_operation
from tests.integration.forecasting.fitted_fleet import FITTED_AT, add_workload, rows_of

pytestmark = pytest.mark.integration


def ask(app: Forecasting) -> int:
    with app.engine.begin() as connection:
        return insert_operation(connection, "train", {"is_fresh": True}, "ada", FITTED_AT)


def the_operation(app: Forecasting) -> Row[Any]:
    with app.engine.connect() as connection:
        return connection.execute(text("SELECT * FROM operations")).one()


def test_the_result_is_that_of_the_registered_fit(app: Forecasting) -> None:
    add_workload(app.engine, "new")
    train_as_asked(app, ask(app), app.clock)
    (model,) = rows_of(app.engine, "SELECT version, status, reason FROM models")
    row = the_operation(app)
    assert (row.status, row.finished_at) == ("succeeded", FITTED_AT)
    assert row.result == {"version": model.version, "status": "failed", "reason": model.reason}
    assert "HistoryTooShort" in row.result["reason"]


def test_it_fails_while_another_fit_runs(app: Forecasting) -> None:
    with registry.fit_lock(app.engine) as is_mine:
        assert is_mine
        train_as_asked(app, ask(app), app.clock)
    row = the_operation(app)
    assert (row.status, row.result) == ("failed", None)
    assert "another fit is running" in row.message
