"""Measured coverage: a tie counts as the level, and what was long ago fades."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecaster.online.calibration import Calibration
from forecaster.online.coverage import COVERAGE_MEMORY_S, running_coverage
from forecaster.online.learner import Outcome
from forecaster.online.offsets import CalibrationState
from tests.unit.forecaster.online.records import LEVELS, forecast_of

CALIBRATION = Calibration(LEVELS, centre_rate=0.0, tail_rate=0.0, extreme_rate=0.0)
NORMAL = np.quantile(np.random.default_rng(0).normal(size=100_000), LEVELS)
DAY = 1440
"""Steps of a minute."""
Q50, Q99 = (int(np.argmin(np.abs(LEVELS - level))) for level in (0.5, 0.99))


def observed(
    state: CalibrationState, quantiles: np.ndarray, actual: np.ndarray
) -> CalibrationState:
    """The state after a forecast of two steps and what came of it."""
    forecast = forecast_of(np.tile(quantiles[None, :, None], (1, 1, 2)), ("w",))
    outcome = Outcome(actual[None].astype(np.float32), np.ones((1, 2), dtype=bool))
    return CALIBRATION.observe(state, forecast, outcome)


@pytest.mark.slow
def test_a_service_that_sleeps_at_night_and_is_forecast_perfectly_is_calibrated() -> None:
    rng, state = np.random.default_rng(1), CALIBRATION.empty_state(("w",))
    for t in range(3 * DAY):
        if t % DAY >= 480:
            state = observed(state, np.zeros(LEVELS.size), np.zeros(2))
        else:
            state = observed(state, 100 + 10 * NORMAL, 100 + 10 * rng.normal(size=2))
    assert np.allclose(state.coverage()[0], LEVELS, atol=0.02)


def test_the_share_is_the_plain_mean_at_first() -> None:
    state = CALIBRATION.empty_state(("w",))
    assert np.isnan(state.coverage()).all()
    for value in (-9.0, 9.0, 9.0, 9.0):
        state = observed(state, NORMAL, np.full(2, value))
    assert state.coverage()[0] == pytest.approx(np.full(LEVELS.size, 0.25))


def days_until_off(share: float) -> float:
    """Days until a 99 % quantile is seen to cover less than 95 %, after a good month."""
    ratio, n_seen, n_steps = np.array([[0.99]]), np.array([30 * DAY * 12]), 0
    while ratio[0, 0] >= 0.95:
        ratio = running_coverage(ratio, n_seen, np.full((1, 1, 12), share), 60)
        n_seen, n_steps = n_seen + 12, n_steps + 1
    return n_steps / DAY


@pytest.mark.parametrize(("share", "days"), [(0.9, 2.0), (0.5, 0.3), (0.0, 0.15)])
def test_a_quantile_that_breaks_after_a_good_month_is_seen(share: float, days: float) -> None:
    assert days / 2 < days_until_off(share) < days


@pytest.mark.parametrize("step_s", [5, 60, 900, 3600])
def test_what_is_older_than_the_memory_counts_a_third_whatever_the_step(step_s: int) -> None:
    ratio, n_seen = np.array([[1.0]]), np.array([10**9])
    for _ in range(COVERAGE_MEMORY_S // step_s):
        ratio = running_coverage(ratio, n_seen, np.zeros((1, 1, 12)), step_s)
    assert ratio[0, 0] == pytest.approx(np.exp(-1), abs=0.005)


def test_what_is_not_observed_changes_nothing() -> None:
    ratio = np.array([[0.9], [0.9]])
    below = np.array([[[np.nan, np.nan]], [[0.0, np.nan]]])
    after = running_coverage(ratio, np.array([9, 9]), below, 60)
    assert after[:, 0].tolist() == pytest.approx([0.9, 0.81])


def test_a_state_of_counts_goes_on_from_their_share() -> None:
    (old,) = CALIBRATION.empty_state(("w",)).to_dicts()
    del old["below_ratio"]
    old |= {"n_seen": 600_000, "n_below": [round(600_000 * level) for level in LEVELS]}
    state = CALIBRATION.from_dicts(("w",), {"w": old})
    assert state.coverage()[0] == pytest.approx(LEVELS)
    (stored,) = observed(state, NORMAL, np.full(2, -9.0)).to_dicts()
    assert "n_below" not in stored
    again = CALIBRATION.from_dicts(("w",), {"w": stored})
    assert again.coverage()[0, Q50] == pytest.approx(0.5, abs=0.001)


@pytest.mark.parametrize("n_below", ["many", [["x"]], [1, 2]])
def test_counts_that_are_none_start_empty(n_below: object) -> None:
    (old,) = CALIBRATION.empty_state(("w",)).to_dicts()
    del old["below_ratio"]
    state = CALIBRATION.from_dicts(("w",), {"w": old | {"n_seen": 7, "n_below": n_below}})
    assert (state.below_ratio == 0).all()


@pytest.mark.parametrize("step_s", [1, 60])
def test_what_is_stored_each_step_loses_nothing_by_rounding(step_s: int) -> None:
    state = CALIBRATION.empty_state(("w",))
    state = replace(state, n_seen=np.array([10**9]), below_ratio=np.full((1, LEVELS.size), 0.9))
    below = np.zeros((1, LEVELS.size, 2))
    below += 0.9001
    exact = state.below_ratio
    for _ in range(2000):
        ratio = running_coverage(state.below_ratio, state.n_seen, below, step_s)
        exact = running_coverage(exact, state.n_seen, below, step_s)
        (stored,) = replace(state, below_ratio=ratio).to_dicts()
        state = CALIBRATION.from_dicts(("w",), {"w": stored})
    assert state.below_ratio[0, Q99] == pytest.approx(exact[0, Q99], abs=2e-6)
