"""Lead times: censored starts, conditional remaining time, landing weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.special import ndtri
from scipy.stats import truncnorm

from decider.belief.lead_time import (
    LeadTimeBelief,
    draws_of_either,
    latin_levels,
    predictive_draws,
    residual_draws,
    stuck_age_s,
    truncated_moments,
    update_belief,
)
from decider.errors import InvalidRequest

VAGUE = LeadTimeBelief.from_median(60.0, 0.5, 0.5)


NONE = np.zeros(0)


def test_moments_of_the_truncated_normal() -> None:
    bounds = np.array([-3.0, 0.0, 2.0, 6.0])
    first, second = truncated_moments(bounds)
    law = truncnorm(bounds, np.inf)
    np.testing.assert_allclose(first, law.mean(), rtol=1e-6)
    np.testing.assert_allclose(second, law.var() + law.mean() ** 2, rtol=1e-4)


def test_without_data_the_belief_stays() -> None:
    assert update_belief(VAGUE, NONE, NONE) == VAGUE


def test_finished_starts_are_learned() -> None:
    rng = np.random.default_rng(0)
    seconds = np.exp(np.log(200) + 0.3 * rng.standard_normal(500))
    belief = update_belief(VAGUE, seconds, NONE)
    assert belief.median_s == pytest.approx(200, rel=0.05)
    assert belief.sigma == pytest.approx(0.3, rel=0.1)
    assert belief.n_mean == pytest.approx(500.5)


def test_censored_starts_are_data_and_dropping_them_biases() -> None:
    """Half of the starts are cut off at 200 s; only counting them recovers the law."""
    rng = np.random.default_rng(1)
    seconds = np.exp(np.log(200) + 0.5 * rng.standard_normal(2000))
    done, running = seconds[seconds < 200], np.full((seconds >= 200).sum(), 200.0)
    kept = update_belief(VAGUE, done, running, n_iterations=200)
    dropped = update_belief(VAGUE, done, NONE)
    assert kept.median_s == pytest.approx(200, rel=0.04)
    assert kept.sigma == pytest.approx(0.5, rel=0.06)
    assert dropped.median_s < 150


@pytest.mark.parametrize("age_s", [3600.0, 86_400.0, 30 * 86_400.0])
def test_a_start_that_never_ends_does_not_own_the_law(age_s: float) -> None:
    """Of twelve starts of 90 s and one stuck for a day nine in ten were expected within 23 min."""
    quick = 90.0 * np.exp(0.1 * np.random.default_rng(0).standard_normal(12))
    found = update_belief(LeadTimeBelief.from_median(90, 0.4), quick, np.array([age_s]))
    assert float(np.quantile(predictive_draws(found, 64), 0.9)) < 300.0
    older = update_belief(LeadTimeBelief.from_median(90, 0.4), quick, np.array([2 * age_s]))
    assert older == found


def test_starts_that_all_take_far_longer_than_stated_are_learned_as_they_end() -> None:
    stated = LeadTimeBelief.from_median(60, 0.4)
    waiting = update_belief(stated, NONE, np.full(8, 550.0))
    assert waiting.median_s > 150.0
    ended = update_belief(stated, np.full(80, 600.0), NONE)
    assert ended.median_s == pytest.approx(600.0, rel=0.2)


def test_a_start_that_has_just_begun_says_nothing() -> None:
    belief = update_belief(LeadTimeBelief.from_median(60, 0.4, 20), NONE, np.full(5, 0.5))
    assert belief.median_s == pytest.approx(60, rel=0.01)
    assert belief.n_mean == pytest.approx(20, abs=0.01)


@given(st.floats(1, 5000), st.floats(0.05, 1.5), st.floats(2, 200))
def test_predictive_draws_are_ascending_and_centred(median: float, sigma: float, n: float) -> None:
    draws = predictive_draws(LeadTimeBelief.from_median(median, sigma, n), 64)
    assert (np.diff(draws) > 0).all()
    assert np.sqrt(draws[31] * draws[32]) == pytest.approx(median, rel=1e-6)


def test_less_data_means_wider_draws() -> None:
    few = predictive_draws(LeadTimeBelief.from_median(60, 0.5, 3), 64)
    many = predictive_draws(LeadTimeBelief.from_median(60, 0.5, 300), 64)
    assert few[-1] > many[-1]


def test_impossible_beliefs_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="median_s=0"):
        LeadTimeBelief.from_median(0.0, 0.5)


def test_latin_levels_are_a_hypercube_without_correlation() -> None:
    levels = latin_levels(64, 12)
    np.testing.assert_allclose(np.sort(levels, axis=0)[:, 0], (np.arange(64) + 0.5) / 64)
    correlation = np.corrcoef(levels.T) - np.eye(12)
    assert np.abs(correlation).max() < 0.45
    assert np.abs(correlation[np.triu_indices(12, 1)].mean()) < 0.05


def test_remaining_time_is_the_conditional_law() -> None:
    draws = np.exp(np.log(100) + 0.4 * latin_normal(4000))
    left = residual_draws(draws, np.array([120.0]))[:, 0]
    truth = draws[draws > 120] - 120
    assert np.median(left) == pytest.approx(np.median(truth), rel=0.1)


def latin_normal(n: int) -> np.ndarray:
    from scipy.special import ndtri

    return np.asarray(ndtri((np.arange(n) + 0.5) / n))


@given(st.floats(0.0, 5000.0))
@settings(max_examples=60)
def test_remaining_time_is_positive_and_finite_at_any_age(age: float) -> None:
    left = residual_draws(np.exp(np.log(60) + 0.5 * latin_normal(64)), np.array([age, age]))
    assert (left > 0).all()
    assert np.isfinite(left).all()


def test_a_start_stuck_far_beyond_its_law_is_not_expected_at_once() -> None:
    left = residual_draws(np.exp(np.log(60) + 0.3 * latin_normal(64)), np.array([3600.0]))
    assert np.median(left) > 1000


DRAWS = st.lists(st.floats(1.0, 1e4), min_size=1, max_size=80).map(np.array)


@given(DRAWS, DRAWS, st.floats(0.0, 1.0))
def test_a_time_of_either_law_is_drawn_from_both_as_their_chances_are(
    one: np.ndarray, other: np.ndarray, chance: float
) -> None:
    found = draws_of_either(one, other, chance)
    assert found.size == one.size
    assert (np.diff(found) >= 0).all()
    for at in np.concatenate([one, other]):
        below = chance * (one <= at).mean() + (1.0 - chance) * (other <= at).mean()
        assert (found <= at).mean() == pytest.approx(below, abs=0.5 / one.size + 1e-9)


@given(DRAWS, DRAWS)
def test_a_certain_law_is_drawn_as_it_is(one: np.ndarray, other: np.ndarray) -> None:
    assert np.array_equal(draws_of_either(one, other, 1.0), np.sort(one))
    assert np.isin(draws_of_either(one, other, 0.0), other).all()


@given(DRAWS, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_likelier_the_slower_law_the_later(one: np.ndarray, p: float, q: float) -> None:
    low, high = sorted((p, q))
    later = draws_of_either(one, 2.0 * one, low)
    assert (later >= draws_of_either(one, 2.0 * one, high)).all()


def test_a_chance_beyond_one_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"chance=1\.5"):
        draws_of_either(np.ones(2), np.ones(2), 1.5)


def test_a_start_is_stuck_beyond_what_practically_any_takes() -> None:
    one = 180.0 * np.exp(0.3 * ndtri((np.arange(64) + 0.5) / 64))
    assert stuck_age_s(one) == pytest.approx(180.0 * np.exp(4 * 0.3), rel=0.05)
    kinds = np.concatenate([np.full(32, 20.0), np.full(32, 600.0)])
    assert stuck_age_s(kinds) == pytest.approx(600.0 * np.exp(4 * 0.02), rel=1e-6)
