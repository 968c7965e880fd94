"""Attempts at a fit: what is taken up, what begins anew, and what counts against a fit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from forecaster import FitProgress
from services.forecasting.forecast.service import Forecasting
from services.forecasting.registry import repository as registry
from services.forecasting.registry.repository import TrainingRow
from services.forecasting.rows.translate import forecaster_config
from services.forecasting.training.attempt import (
    MAX_AGE,
    MAX_ATTEMPTS,
    Attempt,
    begin_attempt,
    forgive_attempt,
    save_epoch,
)
from services.kernel.clock import FixedClock
from tests.integration.forecasting.fitted_fleet import FITTED_AT

pytestmark = pytest.mark.integration
LINE = FitProgress("marginals", 2, 3, 0.5, float("nan"))


def begin(app: Forecasting, *, is_fresh: bool = False) -> Attempt:
    return begin_attempt(app, forecaster_config(app.settings), is_fresh=is_fresh)


def training(app: Forecasting) -> TrainingRow:
    with app.engine.connect() as connection:
        row = registry.load_training(connection)
    assert row is not None
    return row


def later(app: Forecasting, by: timedelta) -> Forecasting:
    return replace(app, clock=FixedClock(FITTED_AT + by))


def test_the_first_attempt_starts_from_nothing(app: Forecasting) -> None:
    attempt = begin(app)
    row = training(app)
    assert attempt == Attempt(row.id, FITTED_AT, 1, 0.0, None, "nothing")
    assert (row.state, row.created_at) == (None, FITTED_AT)
    assert row.metrics["seed"] == app.settings.seed


def test_the_next_goes_on_from_the_last_epoch_at_the_time_of_the_first(app: Forecasting) -> None:
    first = begin(app)
    save_epoch(app, first, LINE, b"state", 12.5)
    row = training(app)
    assert (row.metrics["train_loss"], row.metrics["validation_loss"]) == (0.5, None)
    second = begin(later(app, timedelta(hours=1)))
    assert second == Attempt(first.row_id, FITTED_AT, 2, 12.5, b"state", "marginals 2/3")
    assert training(app).metrics["n_attempts"] == 2
    assert begin(app).number == 3


def test_a_fit_is_given_up_after_its_last_attempt(app: Forecasting) -> None:
    attempts = [begin(app) for _ in range(MAX_ATTEMPTS + 1)]
    assert [attempt.is_last for attempt in attempts] == [False] * MAX_ATTEMPTS + [True]


def test_an_attempt_that_was_stopped_in_order_does_not_count(app: Forecasting) -> None:
    begin(app)
    second = begin(app)
    save_epoch(app, second, LINE, b"state", 1.0)
    forgive_attempt(app, second)
    again = begin(app)
    assert (again.number, again.state) == (2, b"state")


def test_another_fits_row_is_not_forgiven(app: Forecasting) -> None:
    old = begin(app)
    begin(app, is_fresh=True)
    forgive_attempt(app, old)
    assert training(app).metrics["n_attempts"] == 1


def test_a_fresh_fit_replaces_the_unfinished_one(app: Forecasting) -> None:
    old = begin(app)
    new = begin(app, is_fresh=True)
    assert (new.number, new.state) == (1, None)
    assert new.row_id != old.row_id
    assert training(app).id == new.row_id


def test_histories_of_a_day_ago_are_just_young_enough(app: Forecasting) -> None:
    first = begin(app)
    assert begin(later(app, MAX_AGE)).row_id == first.row_id
    new = begin(later(app, MAX_AGE + timedelta(seconds=1)))
    assert (new.number, new.at) == (1, FITTED_AT + MAX_AGE + timedelta(seconds=1))


@pytest.mark.parametrize("change", [{"seed": 99}, {"horizon_steps": 5}])
def test_a_fit_of_other_settings_is_not_taken_up(app: Forecasting, change: dict[str, int]) -> None:
    first = begin(app)
    other = begin(replace(app, settings=app.settings.model_copy(update=change)))
    assert other.row_id != first.row_id
    assert other.number == 1
