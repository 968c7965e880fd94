"""Stored draws reweighted: the likelihood by hand, whole rows, and the guard."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import betabinom

from decider.belief.miss_prior import PRIOR_SHARE, MissPrior
from decider.belief.miss_update import miss_log_likelihood, update_misses
from decider.errors import InvalidRequest
from decider.miss_draws import inside
from tests.unit.decider.belief.miss_truth import N_DRAWS, PRIOR, STATED, count, ramp, response

PRIOR_NEAR = PRIOR.at(
    np.array([0.0, 0.2, 0.0, 0.2]) + 0.05 * np.random.default_rng(0).standard_normal((N_DRAWS, 4))
)
"""Draws of a fit: narrow."""


def test_likelihood_is_that_of_the_beta_binomial() -> None:
    draws = MissPrior.stated(STATED, 0.2, PRIOR_SHARE).draws(20)
    load, missed, total = np.array([4.0, 9.0, 14.0]), np.array([0, 3, 90]), np.array([7, 50, 100])
    share, near = inside(draws.miss(load)), draws.concentration[:, None]
    by_hand = betabinom.logpmf(missed, total, share * near, (1 - share) * near).sum(axis=1)
    found = miss_log_likelihood(draws, load, missed.astype(float), total.astype(float))
    assert found - found[0] == pytest.approx(by_hand - by_hand[0], rel=1e-5, abs=1e-5)


@given(st.permutations(range(12)))
def test_the_order_of_steps_does_not_matter(order: list[int]) -> None:
    draws = MissPrior.stated(STATED, 0.2, PRIOR_SHARE).draws(50)
    steps = count(response(0.1), np.linspace(4, 12, 12), 200)
    first, second = (
        miss_log_likelihood(draws, *(column[at] for column in steps))
        for at in (np.arange(12), np.array(order))
    )
    assert first.tobytes() == second.tobytes()


def test_steps_that_no_response_expects_are_unlikely_and_never_impossible() -> None:
    draws = MissPrior.stated(STATED, 1.0, PRIOR_SHARE).draws(500)
    load = np.array([1e-9, 1e9])
    found = miss_log_likelihood(draws, load, np.array([5000.0, 0.0]), np.array([5000.0, 5000.0]))
    assert np.isfinite(found).all()


def test_stored_draws_are_taken_row_by_row() -> None:
    draws = PRIOR_NEAR
    newer = count(response(0.0), ramp(10.5, seed=9)[-10:], 100, seed=9)
    update = update_misses(draws, miss_log_likelihood(draws, *newer))
    assert not update.needs_refit
    stored = {tuple(row) for row in draws.to_array()}
    assert {tuple(row) for row in update.draws.to_array()} <= stored
    same = update_misses(draws, np.zeros(N_DRAWS)).draws
    assert sorted(same.capacity) == sorted(draws.capacity)


def test_stored_draws_that_steps_contradict_are_kept_and_a_refit_is_asked_for() -> None:
    draws = PRIOR_NEAR
    worse = count(response(-0.3), ramp(9.0), 1000, seed=5)
    update = update_misses(draws, miss_log_likelihood(draws, *worse))
    assert update.needs_refit
    assert np.array_equal(update.draws.to_array(), draws.to_array())


def test_impossible_evidence_is_refused() -> None:
    one = np.ones(1)
    with pytest.raises(InvalidRequest, match="missed must be finite and >= 0"):
        miss_log_likelihood(response(0.0), one, one * np.nan, one)
    with pytest.raises(InvalidRequest, match="log_likelihood must be finite"):
        update_misses(response(0.0), np.array([np.nan]))
