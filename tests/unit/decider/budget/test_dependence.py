"""What is learned of how much demands move together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import ndtri

from decider import FloatArray, forecast_score, learn_dependence
from decider.budget.dependence import MOST_DEPENDENCE

LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])


def scores(rho: float, n_steps: int, n_workloads: int, seed: int = 5) -> FloatArray:
    rng = np.random.default_rng(seed)
    common = rng.standard_normal((n_steps, 1))
    own = rng.standard_normal((n_steps, n_workloads))
    return np.asarray(np.sqrt(rho) * common + np.sqrt(1 - rho) * own)


@pytest.mark.parametrize("rho", [0.0, 0.2, 0.6, 0.9])
def test_the_truth_is_found_in_a_day(rho: float) -> None:
    found, n_steps = learn_dependence(scores(rho, 1440, 12))
    assert n_steps == 1440
    assert found == pytest.approx(rho, abs=0.08)


def test_before_anything_is_seen_it_is_cautious() -> None:
    assert learn_dependence(np.empty((0, 4))) == (0.5, 0)
    assert learn_dependence(np.full((20, 4), np.nan)) == (0.5, 0)
    alone, _ = learn_dependence(scores(0.0, 100, 1))
    assert alone == 0.5
    few, _ = learn_dependence(scores(0.0, 10, 6))
    assert 0.3 < few < 0.5


def test_steps_that_are_not_known_say_nothing() -> None:
    full = scores(0.6, 400, 6)
    holes = np.where(np.random.default_rng(2).random(full.shape) < 0.3, np.nan, full)
    assert learn_dependence(holes)[0] == pytest.approx(learn_dependence(full)[0], abs=0.08)


@settings(max_examples=60)
@given(arrays(float, (12, 3), elements=st.floats(-6, 6) | st.just(float("nan"))))
def test_it_is_a_correlation_whatever_was_seen(seen: FloatArray) -> None:
    found, n_steps = learn_dependence(seen)
    assert 0.0 <= found <= MOST_DEPENDENCE
    assert 0 <= n_steps <= 12


def test_a_score_says_where_an_outcome_fell() -> None:
    values = np.array([10.0, 20.0, 30.0, 40.0, 50.0])
    assert forecast_score(LEVELS, values, 30.0) == 0.0
    assert forecast_score(LEVELS, values, 50.0) == pytest.approx(ndtri(0.95))
    assert forecast_score(LEVELS, values, 25.0) == pytest.approx(ndtri(0.375))
    assert forecast_score(LEVELS, values, 1e9) == pytest.approx(ndtri(0.975))
    assert forecast_score(LEVELS, values, 0.0) == pytest.approx(ndtri(0.025))


def test_levels_with_one_value_share_what_falls_on_it() -> None:
    assert forecast_score(LEVELS, np.zeros(5), 0.0) == 0.0
    assert forecast_score(LEVELS, np.array([0.0, 0.0, 0.0, 1.0, 2.0]), 0.0) == pytest.approx(
        ndtri(0.275)
    )
