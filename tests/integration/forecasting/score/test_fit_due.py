"""When the scheduled fit is due: after a verdict, a failure, and a process that died."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from services.forecasting.deps import make_forecasting
from services.forecasting.forecast.service import Forecasting
from services.forecasting.rows.translate import forecaster_config
from services.forecasting.score.drift import fit_as_requested, is_fit_due
from services.forecasting.training import fit as fits
from services.forecasting.training.attempt import begin_attempt
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from services.kernel.operation import OperationStopped
from services.kernel.settings import Settings
from tests.integration.forecasting.simple_fleet import N_STEPS, START, STEP, STEP_S, fill, rows_of

pytestmark = pytest.mark.integration

END = START + N_STEPS * STEP
HOUR = timedelta(hours=1)


@pytest.fixture
def app(database: Engine, settings: Settings) -> Forecasting:
    small = settings.model_copy(update={"n_paths": 20, "step_s": STEP_S})
    return make_forecasting(small, RecordingSender(), FixedClock(END))


def hours_later(app: Forecasting, n: float) -> Forecasting:
    return replace(app, clock=FixedClock(END + n * HOUR))


def fails_with(error: BaseException) -> Callable[..., Any]:
    def fit(*_: object, **__: object) -> None:
        raise error

    return fit


@pytest.mark.slow
def test_a_fit_without_any_history_is_tried_again_after_an_hour_and_ever_more_seldom(
    app: Forecasting,
) -> None:
    """The first tick after an installation finds nothing; the next one was due after a day."""
    tried = []
    for hour in range(48):
        now = hours_later(app, hour)
        if is_fit_due(now):
            assert fit_as_requested(now, None).status == "failed"
            tried.append(hour)
    assert tried == [0, 1, 3, 7, 14, 28]


def test_a_defect_is_a_failed_fit_with_its_reason(
    app: Forecasting, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(app.engine, 1)
    monkeypatch.setattr(fits, "fit", fails_with(RuntimeError("CUDA out of memory")))
    outcome = fit_as_requested(app, None)
    assert (outcome.status, outcome.reason) == ("failed", "RuntimeError: CUDA out of memory")
    (row,) = rows_of(app.engine, "SELECT * FROM models")
    assert (row.status, row.reason) == ("failed", outcome.reason)
    assert not is_fit_due(hours_later(app, 0.5))
    assert is_fit_due(hours_later(app, 1))


@pytest.mark.parametrize(
    ("error", "n_counted"), [(OperationStopped(), 0), (OperationalError("", {}, Exception()), 1)]
)
def test_a_fit_that_was_stopped_or_lost_the_database_goes_on_later(
    app: Forecasting, monkeypatch: pytest.MonkeyPatch, error: Exception, n_counted: int
) -> None:
    fill(app.engine, 1)
    monkeypatch.setattr(fits, "fit", fails_with(error))
    with pytest.raises(type(error)):
        fit_as_requested(app, None)
    (row,) = rows_of(app.engine, "SELECT * FROM models")
    assert (row.status, row.metrics["n_attempts"]) == ("training", n_counted)


def test_a_fit_whose_process_died_keeps_no_other_from_being_made(app: Forecasting) -> None:
    begin_attempt(app, forecaster_config(app.settings), is_fresh=True)
    assert is_fit_due(hours_later(app, 1))
    assert fit_as_requested(hours_later(app, 1), None).status == "failed"
    assert rows_of(app.engine, "SELECT FROM models WHERE status = 'training'") == []
