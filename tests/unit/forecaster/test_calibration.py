"""Online calibration: coverage is reached, ranks are kept, state is passed in and out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from forecaster.calibration import (
    CalibrationConfig,
    calibrate,
    empty_state,
    from_dicts,
    horizon_groups,
    observe,
    to_dicts,
)
from forecaster.config import QUANTILE_LEVELS
from forecaster.errors import ShapeError
from forecaster.metrics import pinball
from forecaster.types import Forecast

LEVELS = np.array(QUANTILE_LEVELS)


def normal_forecast(rng: np.random.Generator, width: float, n_paths: int = 40) -> Forecast:
    """Two workloads, four steps; the truth has width 1."""
    grid = np.quantile(np.random.default_rng(0).normal(0, width, 100_000), LEVELS)
    quantiles = np.repeat(20 + grid[None, :, None], 2, axis=0).repeat(4, axis=2)
    paths = 20 + rng.normal(0, width, (2, n_paths, 4))
    return Forecast(
        ("a", "b"),
        np.zeros(2, dtype=np.int64),
        60,
        LEVELS,
        quantiles.astype(np.float32),
        paths.astype(np.float32),
        "m",
        ("model",) * 2,
        ("",) * 2,
    )


def issue_and_learn(width: float, n_steps: int, n_burned: int) -> tuple[np.ndarray, np.ndarray]:
    """Share below each level and the tail's mean pinball, after and before calibration."""
    rng = np.random.default_rng(1)
    raw = normal_forecast(rng, width, n_paths=0)
    state = empty_state(raw.workloads, LEVELS)
    hits, losses = np.zeros(LEVELS.size), np.zeros(2)
    for t in range(n_steps):
        issued = calibrate(raw, state)
        actual = rng.normal(20, 1, (2, 4)).astype(np.float32)
        state = observe(state, issued, actual, np.ones((2, 4), dtype=bool))
        if t >= n_burned:
            hits += (actual[:, None] <= issued.quantiles).mean(axis=(0, 2))
            for k, forecast in enumerate((issued, raw)):
                losses[k] += pinball(forecast.quantiles, LEVELS, actual)[:, -3:].mean()
    assert state.n_seen.tolist() == [4 * n_steps] * 2
    return hits / (n_steps - n_burned), losses


@pytest.mark.parametrize("width", [0.6, 1.0])
def test_narrow_and_right_forecasts_reach_their_nominal_coverage(width: float) -> None:
    share, losses = issue_and_learn(width, 1300, 600)
    is_tail = (LEVELS >= 0.9) | (LEVELS <= 0.1)
    assert np.allclose(share[is_tail], LEVELS[is_tail], atol=0.012)
    assert abs(share[-2] - 0.99) < 0.005
    assert losses[0] < 1.05 * losses[1]


def test_wide_forecasts_narrow_slowly_and_stay_on_the_safe_side() -> None:
    share, losses = issue_and_learn(2.5, 900, 300)
    upper = LEVELS >= 0.9
    assert (share[upper] >= LEVELS[upper] - 0.01).all()
    assert losses[0] < losses[1]


def test_an_empty_state_changes_nothing_and_order_is_kept() -> None:
    rng = np.random.default_rng(2)
    raw = normal_forecast(rng, 1.0)
    same = calibrate(raw, empty_state(raw.workloads, LEVELS))
    assert np.allclose(same.quantiles, raw.quantiles)
    assert np.allclose(same.paths, raw.paths, atol=1e-4)
    state = empty_state(raw.workloads, LEVELS)
    offsets = rng.normal(0, 0.3, state.offsets.shape)
    moved = calibrate(raw, replace(state, offsets=offsets))
    assert (np.diff(moved.quantiles, axis=1) >= 0).all()
    order = np.argsort(raw.paths, axis=1)
    carried = np.take_along_axis(moved.paths, order, axis=1)
    assert (np.diff(carried, axis=1) >= -1e-4).all()


def test_unobserved_outcomes_teach_nothing() -> None:
    raw = normal_forecast(np.random.default_rng(3), 1.0)
    state = empty_state(raw.workloads, LEVELS)
    seen = np.zeros((2, 4), dtype=bool)
    seen[1, :2] = True
    after = observe(state, raw, np.full((2, 4), 1e6, dtype=np.float32), seen)
    assert (after.offsets[0] == 0).all()
    assert (after.offsets[1, :, 0] > 0).all()
    assert (after.offsets[1, :, 2] == 0).all()
    assert after.n_seen.tolist() == [0, 2]
    assert np.isnan(after.coverage()[0]).all()
    assert (after.coverage()[1] == 0).all()


def test_a_demand_that_is_often_exactly_zero_stays_calibrated() -> None:
    """Right forecasts with an atom must not be moved away: ties count as spread, not as low."""
    rng = np.random.default_rng(7)
    grid = np.maximum(LEVELS - 0.6, 0) * 100
    raw = replace(
        normal_forecast(rng, 1.0),
        quantiles=np.tile(grid[None, :, None], (2, 1, 4)).astype(np.float32),
    )
    state = empty_state(raw.workloads, LEVELS)
    for _ in range(800):
        actual = (np.maximum(rng.random((2, 4)) - 0.6, 0) * 100).astype(np.float32)
        state = observe(state, calibrate(raw, state), actual, np.ones((2, 4), dtype=bool))
    moved = calibrate(raw, state).quantiles
    at = LEVELS >= 0.7
    assert np.abs(moved[:, at] - raw.quantiles[:, at]).mean() < 3
    assert np.allclose(moved[:, at], raw.quantiles[:, at], atol=10)


def test_limits_hold() -> None:
    raw = normal_forecast(np.random.default_rng(4), 1.0)
    state = empty_state(raw.workloads, LEVELS)
    setting = CalibrationConfig(centre_rate=0.5, limit=1.0)
    for _ in range(20):
        state = observe(
            state, raw, np.full((2, 4), 1e6, np.float32), np.ones((2, 4), bool), setting
        )
    assert state.offsets.max() == 1.0


def test_state_survives_json_and_other_levels_start_empty() -> None:
    raw = normal_forecast(np.random.default_rng(5), 1.0)
    state = observe(
        empty_state(raw.workloads, LEVELS), raw, raw.paths[:, 0], np.ones((2, 4), dtype=bool)
    )
    stored = dict(zip(state.workloads, json.loads(json.dumps(to_dicts(state))), strict=True))
    again = from_dicts(("b", "c", "a"), LEVELS, stored)
    assert np.allclose(again.offsets[[2, 0]], state.offsets, atol=1e-6)
    assert (again.offsets[1] == 0).all()
    assert again.n_seen.tolist() == [4, 0, 4]
    assert (from_dicts(("a",), LEVELS[1:], stored).offsets == 0).all()


def test_a_foreign_state_is_refused() -> None:
    raw = normal_forecast(np.random.default_rng(6), 1.0)
    with pytest.raises(ShapeError, match="same workloads"):
        calibrate(raw, empty_state(("b", "a"), LEVELS))


def test_groups_grow_with_the_horizon() -> None:
    groups = horizon_groups(12, 3)
    assert (np.diff(groups) >= 0).all()
    assert set(groups) == {0, 1, 2}
    assert set(horizon_groups(1, 3)) <= {0, 1, 2}
