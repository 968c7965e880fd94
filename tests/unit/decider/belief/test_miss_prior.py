"""What is expected of a response: where the stated capacity puts it, and its coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider.belief.miss_prior import (
    PRIOR_SHARE,
    WORTH_SIGMA,
    GroupLaw,
    MissPrior,
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
    draws = MissPrior.stated(STATED, 0.0, PRIOR_SHARE).draws(4000)
    knee = np.log(draws.load_within(PRIOR_SHARE) / STATED)
    assert np.median(knee) == pytest.approx(0.0, abs=0.01)
    assert knee.std() == pytest.approx(0.356, rel=0.02)
    assert np.median(draws.slope) == pytest.approx(12.0, rel=0.02)
    assert np.log(draws.slope).std() == pytest.approx(0.63, rel=0.03)
    assert np.quantile(draws.floor, 0.9) < 0.03
    assert np.log(draws.concentration).std() == pytest.approx(1.2, rel=0.03)
    corr = np.corrcoef(PRIOR.draws(4000).to_array(), rowvar=False)
    assert abs(corr[2, 3]) < 0.05
    doubted = MissPrior.stated(STATED, 0.5, PRIOR_SHARE).draws(4000).load_within(PRIOR_SHARE)
    assert np.log(doubted).std() > 1.2 * knee.std()


def test_the_law_of_draws_has_their_mean_and_spread() -> None:
    group = PRIOR.at(0.3 * np.random.default_rng(0).standard_normal((400, 4)))
    again = MissPrior.of_draws(group, STATED, PRIOR_SHARE).draws(1000)
    assert np.log(again.capacity).mean() == pytest.approx(np.log(group.capacity).mean(), abs=0.02)
    assert np.log(again.slope).std() == pytest.approx(np.log(group.slope).std(), rel=0.15)
    one = PRIOR.at(np.zeros((1, 4)))
    alone = MissPrior.of_draws(one, STATED, PRIOR_SHARE)
    assert alone.draws(5).capacity == pytest.approx(one.capacity[0], rel=0.01)


LAW = GroupLaw(np.array([-0.3, np.log(20.0)]), np.array([[0.01, 0.004], [0.004, 0.04]]))


def test_a_new_workload_takes_the_law_of_its_group() -> None:
    """And its own error beside it; floor and scatter are its own, so as expected of any."""
    draws = PRIOR.of_group(LAW, 0.0).draws(4000)
    coordinates = to_coordinates(draws, STATED, PRIOR_SHARE)
    assert coordinates[:, :2].mean(axis=0) == pytest.approx(LAW.mean, abs=0.01)
    assert np.cov(coordinates[:, :2], rowvar=False) == pytest.approx(LAW.covariance, rel=0.1)
    own = to_coordinates(PRIOR.draws(4000), STATED, PRIOR_SHARE)[:, 2:]
    assert coordinates[:, 2:].std(axis=0) == pytest.approx(own.std(axis=0), rel=0.02)
    doubted = PRIOR.of_group(LAW, 0.3)
    spread = np.diag(doubted.root @ doubted.root.T)
    assert spread[:2] == pytest.approx([0.01 + np.log1p(0.3**2), 0.04])


def test_a_new_workload_of_several_loads_takes_the_ratios_of_its_group() -> None:
    law = GroupLaw(np.array([0.1, np.log(9.0), 0.3]), np.diag([0.01, 0.04, 0.01]))
    stated = MissPrior.stated(20.0, 0.0, PRIOR_SHARE, (80.0,), n_variants=1)
    draws = stated.of_group(law, 0.0).draws(4000)
    log_ratio = np.log(draws.further[:, 0] / draws.capacity / 4.0)
    assert log_ratio.mean() == pytest.approx(0.3, abs=0.01)
    assert log_ratio.std() == pytest.approx(0.1, rel=0.05)
    assert np.median(draws.sharing) == pytest.approx(2.0, rel=0.1)
    assert np.log(draws.worth).std() == pytest.approx(WORTH_SIGMA, rel=0.05)
    with pytest.raises(InvalidRequest, match="a group of 1 further loads, it has 0"):
        PRIOR.of_group(law, 0.0)


@pytest.mark.parametrize(
    ("mean", "covariance", "words"),
    [
        ([0.0, 1.0], np.eye(3), r"covariance \(3, 3\) must be \(2\+F, 2\+F\)"),
        ([0.0], np.eye(1), r"covariance \(1, 1\) must be"),
        ([0.0, np.nan], np.eye(2), "must be finite"),
        ([0.0, 1.0], np.diag([1.0, 0.0]), "positive definite: its least eigenvalue is 0.0"),
    ],
)
def test_what_is_no_law_is_refused(mean: list[float], covariance: np.ndarray, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        GroupLaw(np.array(mean), covariance)


def test_impossible_priors_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="prior_capacity=0"):
        MissPrior.stated(0.0, 0.1, 0.05).draws(10)
    with pytest.raises(InvalidRequest, match="prior_cv=-1"):
        MissPrior.stated(1.0, -1.0, 0.05)
    with pytest.raises(InvalidRequest, match="prior_share=1"):
        MissPrior.stated(1.0, 0.1, 1.0)
