"""A worker whose clock is wrong fits and scores by the database's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from services.forecasting.deps import make_forecasting
from services.forecasting.forecast.service import Forecasting
from services.forecasting.registry import repository as registry
from services.forecasting.registry.repository import NewModel
from services.forecasting.rows import repository
from services.forecasting.rows.translate import forecaster_config
from services.forecasting.score.drift import is_fit_due
from services.forecasting.score.service import score_forecasts
from services.forecasting.training.attempt import begin_attempt
from services.forecasting.training.fit import fit_models, promote
from services.kernel.clock import SystemClock
from services.kernel.db.session import unit_of_work
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.forecasting.fitted_fleet import rows_of

pytestmark = pytest.mark.integration
MONTH = timedelta(days=30)
SOON = timedelta(seconds=2)


class ClockAhead(SystemClock):
    """A month ahead of all others."""

    def now(self) -> datetime:
        return super().now() + MONTH


@pytest.fixture
def ahead(database: Engine, settings: Settings) -> Forecasting:
    few = settings.model_copy(update={"has_prior": False})
    return make_forecasting(few, RecordingSender(), ClockAhead())


def test_a_fit_by_a_clock_that_is_ahead_keeps_no_later_one_from_being_made(
    ahead: Forecasting,
) -> None:
    right = replace(ahead, clock=SystemClock())
    attempt = begin_attempt(ahead, forecaster_config(ahead.settings), is_fresh=True)
    assert attempt.at <= SystemClock().now() + SOON, "it reads what there is, of no time to come"
    assert fit_models(ahead, is_fresh=True).status == registry.FAILED  # there is no history
    (fitted,) = rows_of(ahead.engine, "SELECT created_at FROM models")
    assert fitted.created_at <= SystemClock().now() + SOON
    assert not is_fit_due(right)
    interval = timedelta(seconds=right.settings.fit_interval_s)
    with unit_of_work(right.engine) as work:
        older = text("UPDATE models SET created_at = created_at - CAST(:by AS interval)")
        work.connection.execute(older, {"by": interval})
    assert is_fit_due(right)


def test_a_model_is_promoted_at_the_time_of_all(ahead: Forecasting) -> None:
    with unit_of_work(ahead.engine) as work:
        model = NewModel("m1", registry.SHADOW, "fit", {}, {"picks": {}}, b"none")
        registry.insert_model(work.connection, model, SystemClock().now())
    promote(ahead, "m1", "by hand")
    (row,) = rows_of(ahead.engine, "SELECT promoted_at FROM models")
    assert row.promoted_at <= SystemClock().now() + SOON


def test_no_forecast_is_scored_before_its_horizon_has_passed(
    ahead: Forecasting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is scored without its outcomes teaches nothing, and is never looked at again."""
    asked: list[datetime] = []

    def due(_: Connection, now: datetime, *_given: Any) -> Sequence[Any]:
        asked.append(now)
        return ()

    monkeypatch.setattr(repository, "load_due", due)
    assert score_forecasts(ahead) == 0
    assert asked[0] <= SystemClock().now() + SOON
