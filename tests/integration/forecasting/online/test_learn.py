"""The hedge in service: learned from scores, stored beside the calibration, read by forecasts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sqlalchemy import Engine, text

from forecaster import BestSimple, Hedge
from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service
from services.forecasting.forecast.service import Forecasting
from services.forecasting.online.learn import HEDGE
from services.forecasting.registry import store
from services.forecasting.score import service as service_score
from services.kernel.clock import FixedClock
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.exported import exported
from tests.integration.forecasting.simple_fleet import (
    N_STEPS,
    START,
    STEP,
    STEP_S,
    add_indicators,
    add_workload,
    demand,
    rows_of,
)

CHANGE = N_STEPS - 80
"""Step from which on the demand is a tenth of what it was."""


@pytest.fixture
def app(database: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Forecasting:
    # a forecaster that does not find the new level by itself, as a network would not
    monkeypatch.setattr(store, "BestSimple", partial(BestSimple, default="blend"))
    small = settings.model_copy(update={"n_paths": 20, "step_s": STEP_S})
    clock = FixedClock(START + N_STEPS * STEP)
    return make_forecasting(small, RecordingSender(), clock)


def _change(app: Forecasting) -> None:
    values = demand(1)
    values[CHANGE:] *= 0.1
    add_indicators(app.engine, add_workload(app.engine, "moved"), values)


def _live_until(app: Forecasting, last: int, first: int = CHANGE - 4, every: int = 1) -> None:
    for step in range(first, last, every):
        # those that are not gold have their turn apart where origins are passed over
        service.forecast_shard(app, 0, START + step * STEP, is_rest=every > 1)
    while service_score.score_forecasts(app):
        pass


def _newest(app: Forecasting) -> np.ndarray:
    service.forecast_shard(app, 0, START + (N_STEPS - 1) * STEP)
    row = rows_of(app.engine, "SELECT quantiles FROM forecasts ORDER BY origin_at DESC LIMIT 1")
    return np.array(row[0].quantiles)


def _weight(app: Forecasting) -> float | None:
    at = START + (N_STEPS - 1) * STEP
    return exported(app.engine, at, "forecast_hedge_weight", workload="moved")


@pytest.mark.slow
def test_after_a_change_of_level_the_last_value_weighs_more(app: Forecasting) -> None:
    _change(app)
    _live_until(app, N_STEPS - 12)
    (row,) = rows_of(app.engine, "SELECT state FROM calibration_states")
    stride = Hedge().stride
    newest = int((START + (N_STEPS - 13) * STEP).timestamp()) // STEP_S
    assert 0 <= newest - row.state[HEDGE]["learned_step"] < stride
    assert row.state[HEDGE]["weight"].keys() == {"body", "tail"}
    assert 0 < row.state[HEDGE]["weight"]["tail"] < 1
    assert row.state["n_seen"] > 0
    hedged = _newest(app)
    assert (_weight(app) or 0.0) > 0.3

    with app.engine.begin() as connection:
        connection.execute(text(f"UPDATE calibration_states SET state = state - '{HEDGE}'"))
        connection.execute(text("DELETE FROM forecasts"))
    unhedged = _newest(app)
    assert _weight(app) is None, "nothing is learned yet"
    tail = -1
    assert (hedged[tail] < unhedged[tail]).all()


@pytest.mark.slow
@pytest.mark.parametrize("first", [CHANGE - 4, CHANGE - 3])
def test_it_learns_where_forecasts_come_every_other_step(app: Forecasting, first: int) -> None:
    """It learned at multiples of four steps alone, which one of the two phases never meets."""
    _change(app)
    _live_until(app, N_STEPS - 12, first, every=2)
    (row,) = rows_of(app.engine, "SELECT state FROM calibration_states")
    newest = int((START + (N_STEPS - 13) * STEP).timestamp()) // STEP_S
    assert 0 <= newest - row.state[HEDGE]["learned_step"] <= Hedge().stride
    _newest(app)
    assert (_weight(app) or 0.0) > 0.3


@pytest.mark.slow
def test_a_hedge_is_kept_by_origins_that_it_does_not_learn_from(app: Forecasting) -> None:
    _change(app)
    _live_until(app, N_STEPS - 14)
    query = "SELECT state FROM calibration_states"
    (before,) = rows_of(app.engine, query)
    step = int((START + (N_STEPS - 13) * STEP).timestamp()) // STEP_S
    assert 0 < step - before.state[HEDGE]["learned_step"] < Hedge().stride
    # an origin is passed over, after which those that are not gold have their turn apart
    assert service.forecast_shard(app, 0, START + (N_STEPS - 13) * STEP, is_rest=True) == 1
    late = FixedClock(START + (N_STEPS + 2) * STEP)
    assert service_score.score_forecasts(replace(app, clock=late)) == 1
    (after,) = rows_of(app.engine, query)
    assert after.state["n_seen"] > before.state["n_seen"]
    assert after.state[HEDGE] == before.state[HEDGE]


def test_a_stored_state_that_is_none_keeps_no_workload_from_its_forecast(app: Forecasting) -> None:
    _change(app)
    _live_until(app, CHANGE + 20)
    with app.engine.begin() as connection:
        found = connection.execute(text("UPDATE calibration_states SET state = '\"none\"'"))
    assert found.rowcount
    _newest(app)
    assert rows_of(app.engine, "SELECT FROM workload_errors") == []
