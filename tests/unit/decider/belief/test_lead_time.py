"""Lead times: censored starts, conditional remaining time, landing weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import truncnorm

from decider import ReplicaState
from decider.belief.lead_time import (
    LeadTimeBelief,
    latin_levels,
    predictive_draws,
    residual_draws,
    truncated_moments,
    update_belief,
)
from decider.errors import InvalidRequest
from decider.planning.landing import landing_weights
from tests.unit.decider.shards import STEP_S, noisy, shard, workload

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


@given(
    lead_s=st.lists(st.floats(0, 2000), min_size=8, max_size=8),
    ages=st.lists(st.floats(0, 500), max_size=30),
    elapsed=st.floats(0, 0.99),
)
@settings(max_examples=80, deadline=None)
def test_weights_are_shares_of_time(lead_s: list[float], ages: list[float], elapsed: float) -> None:
    state = ReplicaState(5 + len(ages), 5, tuple(ages))
    request = shard(noisy(50.0, n_paths=3), [workload(replicas=state)], lead_s=np.array(lead_s))
    weights = landing_weights(request, np.array([elapsed]))
    # A decision owns exactly one step of time; a drop acts for the lead time before it.
    assert weights.own_first.sum() == pytest.approx(1.0)
    assert weights.drop_first.sum() == pytest.approx(np.mean(lead_s) / STEP_S)
    assert weights.own_later.sum() == pytest.approx(1.0)
    assert weights.drop_later.sum() == pytest.approx(np.mean(lead_s) / STEP_S)
    np.testing.assert_allclose(weights.arrival.sum(axis=2), 1.0, atol=1e-9)
    assert weights.landed.max() == len(ages)


def test_capacity_that_lands_part_way_leaves_the_first_part_uncovered() -> None:
    """Lead time 90 s of a 300 s step: 30 % of the first step cannot be helped."""
    request = shard(noisy(50.0), [workload()], lead_s=90.0)
    weights = landing_weights(request, np.zeros(1))
    assert weights.own_first[0, :2, 0].tolist() == pytest.approx([0.7, 0.3])
    assert weights.drop_first[0, 0, 0] == pytest.approx(0.3)


def test_a_start_that_lands_soon_does_not_wait_for_many_made_later() -> None:
    replicas = ReplicaState(32, 0, starting_age_s=(2 * STEP_S,) + 31 * (STEP_S,))
    request = shard(noisy(10.0), [workload(replicas=replicas)], lead_s=2.5 * STEP_S)
    weights = landing_weights(request, np.zeros(1))
    landed = (weights.landed[0] * weights.arrival[0]).sum(axis=1)
    np.testing.assert_allclose(landed[:3], [0.5, 1.0 + 31 / 2, 32.0], rtol=0.01)
