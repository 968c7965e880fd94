"""What is expected of a response: where the stated capacity puts it, and its coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider.belief.miss_prior import (
    PRIOR_SHARE,
    MissPrior,
    prior_draws,
    to_coordinates,
    to_draws,
)
from decider.errors import InvalidRequest

STATED = 10.0
PRIOR = MissPrior.stated(STATED, 0.0, PRIOR_SHARE)


def test_a_response_is_told_by_its_knee_and_back() -> None:
    coordinates = np.array([[0.1, np.log(8.0), -5.0, 3.0], [-0.3, np.log(30.0), -3.0, 6.0]])
    draws = to_draws(coordinates, 10.0, PRIOR_SHARE)
    assert draws.load_within(PRIOR_SHARE) == pytest.approx(10.0 * np.exp([0.1, -0.3]))
    assert to_coordinates(draws, 10.0, PRIOR_SHARE) == pytest.approx(coordinates)
    # By hand: 19 = 1 / 0.05 - 1.
    assert draws.capacity[0] == pytest.approx(10.0 * np.exp(0.1) * 19 ** (1 / 8))


@given(st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=4))
def test_coordinates_however_far_are_a_response(values: list[float]) -> None:
    draws = to_draws(np.array([values]), 10.0, PRIOR_SHARE)
    assert np.isfinite(draws.miss(np.array([1e-6, 10.0, 1e6]))).all()


def test_the_prior_stands_where_the_stated_capacity_puts_it() -> None:
    draws = prior_draws(STATED, 0.0, PRIOR_SHARE, 4000)
    knee = np.log(draws.load_within(PRIOR_SHARE) / STATED)
    assert np.median(knee) == pytest.approx(0.0, abs=0.01)
    assert knee.std() == pytest.approx(0.356, rel=0.02)
    assert np.median(draws.slope) == pytest.approx(12.0, rel=0.02)
    assert np.log(draws.slope).std() == pytest.approx(0.63, rel=0.03)
    assert np.quantile(draws.floor, 0.9) < 0.03
    assert np.log(draws.concentration).std() == pytest.approx(1.2, rel=0.03)
    corr = np.corrcoef(PRIOR.draws(4000).to_array(), rowvar=False)
    assert abs(corr[2, 3]) < 0.05
    doubted = prior_draws(STATED, 0.5, PRIOR_SHARE, 4000).load_within(PRIOR_SHARE)
    assert np.log(doubted).std() > 1.2 * knee.std()


def test_the_law_of_draws_has_their_mean_and_spread() -> None:
    group = PRIOR.at(0.3 * np.random.default_rng(0).standard_normal((400, 4)))
    again = MissPrior.of_draws(group, STATED, PRIOR_SHARE).draws(1000)
    assert np.log(again.capacity).mean() == pytest.approx(np.log(group.capacity).mean(), abs=0.02)
    assert np.log(again.slope).std() == pytest.approx(np.log(group.slope).std(), rel=0.15)
    one = PRIOR.at(np.zeros((1, 4)))
    alone = MissPrior.of_draws(one, STATED, PRIOR_SHARE)
    assert alone.draws(5).capacity == pytest.approx(one.capacity[0], rel=0.01)


def test_impossible_priors_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="prior_capacity=0"):
        prior_draws(0.0, 0.1, 0.05, 10)
    with pytest.raises(InvalidRequest, match="prior_cv=-1"):
        MissPrior.stated(1.0, -1.0, 0.05)
    with pytest.raises(InvalidRequest, match="prior_share=1"):
        MissPrior.stated(1.0, 0.1, 1.0)
