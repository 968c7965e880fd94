"""Fitted tails: what they learn, from whom, when, and where they put quantiles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import genpareto

from services.lab.bench.ablate.tails import (
    BEYOND,
    TailPrior,
    excess_at,
    exponential_scale,
    fitted_tails,
    with_tail,
)
from services.lab.bench.forecast.arm import LEVELS

PRIOR = TailPrior()


def forecasts(n_steps: int, n: int = 1, horizon: int = 1) -> np.ndarray:
    """(T, W, Q, H) of one law at all steps."""
    one = 20.0 * np.exp(0.2 * ndtri(LEVELS))
    return np.broadcast_to(one[:, None], (n_steps, n, LEVELS.size, horizon)).copy()


def demand_above(quantiles: np.ndarray, excess: np.ndarray) -> np.ndarray:
    """(T, W) demand that lies by excesses (T, W), in scales, above the last quantile."""
    return quantiles[:, :, -1, 0] + excess * exponential_scale(quantiles)[:, :, 0]


def test_before_the_first_excess_the_tail_is_nearly_exponential_at_its_scale() -> None:
    quantiles = forecasts(50)
    tails = fitted_tails(quantiles, np.full((50, 1), 10.0), PRIOR)
    assert np.ptp(tails, axis=0).max() == 0
    assert tails[0, 0] == pytest.approx([0.0, 0.15], abs=0.1)


@pytest.mark.parametrize(("scale", "shape"), [(1.0, 0.0), (4.0, 0.0), (1.0, 0.7)])
def test_many_excesses_tell_scale_and_shape(scale: float, shape: float) -> None:
    drawn = genpareto.rvs(shape, scale=scale, size=(2000, 1), random_state=0)
    quantiles = forecasts(2000)
    tails = fitted_tails(quantiles, demand_above(quantiles, drawn), PRIOR)
    assert tails[-1, 0] == pytest.approx([np.log(scale), shape], abs=0.15)


def test_a_workload_without_excesses_learns_a_little_from_the_others() -> None:
    quantiles = forecasts(300, n=3)
    excess = np.full((300, 3), 6.0)
    excess[:, 2] = -1.0
    tails = fitted_tails(quantiles, demand_above(quantiles, excess), PRIOR)
    assert tails[0, 2, 0] + 0.1 < tails[-1, 2, 0] < tails[-1, 0, 0] - 0.1


def test_an_excess_is_learned_only_once_the_horizon_has_passed() -> None:
    quantiles = forecasts(40, horizon=4)
    actual = np.full((43, 1), 10.0)
    actual[20] = 1000.0
    moved = np.flatnonzero(np.abs(np.diff(fitted_tails(quantiles, actual, PRIOR)[:, 0, 0])) > 0)
    assert moved[0] + 1 == 17 + 4  # the first forecast that was for step 20 is that of step 17


def test_an_unknown_demand_and_a_flat_forecast_teach_nothing() -> None:
    quantiles = forecasts(20)
    quantiles[10:] = 5.0
    actual = np.full((20, 1), np.nan)
    actual[10:] = 9.0
    tails = fitted_tails(quantiles, actual, PRIOR)
    assert np.ptp(tails, axis=0).max() == 0


@pytest.mark.parametrize("shape", [0.0, 0.4])
def test_quantiles_beyond_the_last_level_are_those_of_the_tail(shape: float) -> None:
    tails = np.array([[[np.log(2.0), shape]]])
    survival = (1.0 - np.array(BEYOND)) / (1.0 - LEVELS[-1])
    expected = genpareto.isf(survival, shape, scale=2.0)
    assert excess_at(tails, BEYOND)[0, 0] == pytest.approx(expected)
    quantiles = forecasts(1, horizon=2)
    wide = with_tail(quantiles, tails)
    assert wide.shape == (1, 1, LEVELS.size + len(BEYOND), 2)
    assert (np.diff(wide, axis=2) > 0).all()
    assert np.array_equal(wide[:, :, : LEVELS.size], quantiles)
