"""The stream of forecasts of a replay, corrected by earlier outcomes."""

from __future__ import annotations

import numpy as np
import pytest

from services.backtest.forecasts import ForecastStream
from services.backtest.predictors import Trained
from services.backtest.series import MeasuredFleet
from services.simulator import HistoryRun, simulate_history
from services.simulator.fleet import Fleet
from services.simulator.fleet.meters import ServiceMeters


@pytest.fixture(scope="module")
def history(fleet: Fleet) -> HistoryRun:
    return simulate_history(fleet)


def streams(fleet: Fleet, history: HistoryRun, trained: Trained) -> tuple[ForecastStream, ...]:
    """One that is corrected and one that is not, over the same measurements."""
    found = []
    for is_calibrated in (True, False):
        measured = MeasuredFleet(fleet, ServiceMeters(fleet, history.ready_mean))
        for step in range(fleet.n_history, fleet.n_steps):
            measured.read(step, history.last_spec)
        found.append(
            ForecastStream(
                measured,
                trained.ladder,
                trained.config.window,
                n_paths=20,
                seed=7,
                is_calibrated=is_calibrated,
            )
        )
    return tuple(found)


def test_forecasts_are_corrected_once_an_outcome_is_known(
    fleet: Fleet, history: HistoryRun, simple: Trained
) -> None:
    corrected, plain = streams(fleet, history, simple)
    horizon = simple.config.window.horizon
    for step in range(fleet.n_history, fleet.n_history + horizon):
        a, b = corrected.at(step), plain.at(step)
        assert a.paths.shape[:2] == (fleet.n_workloads, 20)
    before = np.abs(a.quantiles - b.quantiles).max()
    a, b = (stream.at(fleet.n_history + horizon) for stream in (corrected, plain))
    assert np.abs(a.quantiles - b.quantiles).max() > before


def test_an_uncorrected_forecast_depends_on_its_step_and_seed_alone(
    fleet: Fleet, history: HistoryRun, simple: Trained
) -> None:
    _, one = streams(fleet, history, simple)
    _, other = streams(fleet, history, simple)
    one.at(fleet.n_history)
    step = fleet.n_history + 3
    np.testing.assert_array_equal(one.at(step).paths, other.at(step).paths)
