"""Offsets: what one of them is worth, and how quantiles are moved by them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from forecaster.errors import ShapeError
from forecaster.online.offsets import (
    SPREADS_PER_ERROR,
    CalibrationState,
    horizon_groups,
    level_index,
    moved_by,
    spread_of,
)
from tests.unit.forecaster.online.records import LEVELS

N_LEVELS, N_GROUPS, N_STEPS = LEVELS.size, 3, 12
LAST = N_LEVELS - 1
MIDDLE = level_index(LEVELS, 0.5)
RAW = np.tile((100 + 20 * (LEVELS - 0.5))[None, :, None], (1, 1, N_STEPS)).astype(np.float32)
"""Quantiles of one workload: 90 to 110, spread 18."""


def state_of(offset: float, error: float = 0.0, usual: float = 0.0) -> CalibrationState:
    """One workload whose last level and median have this offset; error 0: none is known."""
    offsets = np.zeros((1, N_LEVELS, N_GROUPS))
    offsets[0, [MIDDLE, LAST]] = offset
    scale = np.ones((1, N_GROUPS))
    return CalibrationState(
        ("a",),
        LEVELS,
        offsets,
        error * scale,
        usual * scale,
        np.array([12]),
        np.zeros((1, N_LEVELS)),
    )


def moved(state: CalibrationState, level: int = LAST, raw: np.ndarray = RAW) -> float:
    """By how much a quantile of the first step is raised."""
    return float((moved_by(state, raw) - raw)[0, level, 0])


def test_before_an_error_is_known_an_offset_is_worth_the_forecasts_spread() -> None:
    assert np.allclose(spread_of(RAW, LEVELS), 18)
    assert moved(state_of(0.5)) == pytest.approx(0.5 * 18, rel=1e-5)


def test_it_is_worth_the_running_error_in_the_ratio_of_the_demand_now_to_the_usual_one() -> None:
    upper = 100 + 20 * 0.45
    assert moved(state_of(0.5, 30, upper)) == pytest.approx(15, rel=1e-3)
    twice = (2 * upper + 30) / (upper + 30)
    assert moved(state_of(0.5, 30, upper), raw=2 * RAW) == pytest.approx(15 * twice, rel=1e-3)
    assert moved(state_of(0.5, 30, 1e6)) == pytest.approx(15 * 0.1, rel=1e-2)
    assert moved(state_of(0.5, 0.1, 0.1), raw=100 * RAW) == pytest.approx(0.5, rel=2e-2)


def test_at_the_centre_it_is_worth_two_spreads_at_most_and_at_the_extremes_hardly_held() -> None:
    state = state_of(0.1, 1000, 109)
    assert moved(state, MIDDLE) == pytest.approx(0.1 * SPREADS_PER_ERROR * 18, rel=1e-5)
    assert moved(state) > 10 * moved(state, MIDDLE)


@given(seed=st.integers(0, 2**32 - 1), size=st.floats(0.01, 20))
def test_quantiles_stay_in_order_and_are_never_negative(seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    state = replace(
        state_of(0.0, rng.gamma(1, 50), rng.gamma(1, 100)),
        offsets=rng.normal(0, size, (1, N_LEVELS, N_GROUPS)),
    )
    found = moved_by(state, np.sort(rng.gamma(1, 50, RAW.shape), axis=1).astype(np.float32))
    assert (np.diff(found, axis=1) >= 0).all()
    assert (found >= 0).all()


def test_offsets_of_nothing_move_nothing() -> None:
    assert np.array_equal(moved_by(state_of(0.0, 30, 50), RAW), RAW)


def test_each_group_of_steps_ahead_has_offsets_of_its_own() -> None:
    state = state_of(0.0, 30, 109)
    state.offsets[0, LAST] = [0.1, 0.2, 0.3]
    by_step = (moved_by(state, RAW) - RAW)[0, LAST]
    assert np.allclose(
        by_step, 30 * np.array([0.1, 0.2, 0.3])[horizon_groups(N_STEPS, 3)], rtol=1e-3
    )


def test_groups_grow_with_the_horizon() -> None:
    assert horizon_groups(12, 3).tolist() == [0] * 2 + [1] * 3 + [2] * 7
    assert set(horizon_groups(1, 3)) <= {0, 1, 2}


def test_coverage_is_unknown_before_the_first_outcome() -> None:
    state = state_of(0.0)
    assert np.array_equal(state.coverage(), state.below_ratio)
    assert np.isnan(replace(state, n_seen=np.array([0])).coverage()).all()


def test_a_state_of_another_shape_is_refused() -> None:
    state = state_of(0.0)
    with pytest.raises(ShapeError, match=r"error_scale has shape \(1, 2\); \(1, 3\) is right"):
        replace(state, error_scale=state.error_scale[:, 1:])
