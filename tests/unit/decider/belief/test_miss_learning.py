"""A prior narrowed by steps: exact against brute force, close to the truth, deterministic."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from decider.belief.miss_learning import learn_misses
from decider.belief.miss_prior import PRIOR_SHARE, MissPrior
from decider.belief.miss_update import MissUpdate, miss_log_likelihood
from decider.errors import InvalidRequest
from decider.miss_draws import MissDraws
from tests.unit.decider.belief.miss_truth import (
    N_DRAWS,
    N_STEPS,
    PRIOR,
    STATED,
    WITHIN,
    Steps,
    count,
    ramp,
    response,
)


def learn(steps: Steps) -> MissUpdate:
    return learn_misses(PRIOR, *steps, n_draws=N_DRAWS)


def off_by(update: MissUpdate, truth: MissDraws) -> float:
    """Relative error of the median load within 1 %."""
    found = float(np.median(update.draws.load_within(WITHIN)))
    return abs(found / float(truth.load_within(WITHIN)[0]) - 1.0)


@pytest.mark.parametrize("error", [-0.3, -0.15, 0.0, 0.15, 0.3])
@pytest.mark.parametrize("n", [50, 500, 3000])
def test_two_hours_that_reach_the_knee_tell_the_capacity(error: float, n: float) -> None:
    off = []
    for slope in (8.0, 14.0, 25.0):
        truth = response(error, slope)
        update = learn(count(truth, ramp(1.05 * STATED * (1 + error)), n, seed=int(slope)))
        assert not update.needs_refit
        off.append(off_by(update, truth))
    assert np.mean(off) < 0.06  # 0.011 to 0.018 on average over all; the prior's is 0.2
    assert max(off) < 0.2


def test_loads_far_below_the_knee_leave_the_prior_on_the_far_side() -> None:
    update = learn(count(response(0.0), ramp(0.5 * STATED), 500))
    knee = np.log(update.draws.load_within(PRIOR_SHARE) / STATED)
    assert not update.needs_refit
    assert knee.std() > 0.2
    assert np.quantile(knee, 0.05) > np.log(0.5)
    assert np.quantile(knee, 0.9) > 0.35


@pytest.mark.parametrize("outage", [0.05, 0.2])
def test_misses_at_a_constant_low_load_raise_the_floor_and_not_the_need(outage: float) -> None:
    load = np.full(N_STEPS, 3.0) * (1 + 0.02 * np.random.default_rng(1).standard_normal(N_STEPS))
    ill = learn(count(response(0.0, floor=outage), load, 500)).draws
    well = learn(count(response(0.0), load, 500)).draws
    assert np.quantile(ill.floor, 0.2) > 0.6 * outage
    assert np.quantile(well.floor, 0.9) < 0.01
    # Some of them might be a very gentle slope's; most draws say that no replica cures them.
    assert np.median(ill.load_within(PRIOR_SHARE)) > 0.85 * STATED


def test_a_capacity_learned_first_survives_an_outage() -> None:
    rise = count(response(0.0), ramp(10.5), 500)
    bad = count(response(0.0, floor=0.1), np.full(40, 4.0), 500, seed=3)
    before = learn(rise).draws.load_within(PRIOR_SHARE)
    both = learn(tuple(np.concatenate(pair) for pair in zip(rise, bad, strict=True)))  # type: ignore[arg-type]
    after = both.draws.load_within(PRIOR_SHARE)
    assert np.median(both.draws.floor) > 0.005
    assert np.median(after) > 0.9 * np.median(before)


def test_coverage_of_what_is_learned() -> None:
    """True loads within 1 % lie in the 90 % interval about 90 % of the time."""
    rng = np.random.default_rng(4)
    hits = []
    for seed in range(60):
        truth = PRIOR.at(rng.standard_normal((1, 4)))
        steps = count(truth, rng.uniform(4.0, 11.0, 60), 300, seed)
        draws = learn(steps).draws.load_within(WITHIN)
        low, high = np.quantile(draws, (0.05, 0.95))
        hits.append(low <= truth.load_within(WITHIN)[0] <= high)
    assert 0.78 <= np.mean(hits) <= 0.99  # 54 of 60 expected, sd 2.3


def test_it_agrees_with_many_draws_of_the_prior_weighted_at_once() -> None:
    steps = count(response(0.1), np.linspace(6.0, 11.0, 12), 100)
    many = PRIOR.at(np.random.default_rng(0).standard_normal((60_000, 4)))
    log_weight = miss_log_likelihood(many, *steps)
    weight = np.exp(log_weight - log_weight.max())
    logs = np.log(many.load_within(WITHIN))
    mean = float(np.average(logs, weights=weight))
    sd = float(np.sqrt(np.average((logs - mean) ** 2, weights=weight)))
    found = np.log(learn(steps).draws.load_within(WITHIN))
    assert found.mean() == pytest.approx(mean, abs=0.2 * sd)
    assert found.std() == pytest.approx(sd, rel=0.2)


def test_the_same_steps_give_the_same_draws() -> None:
    steps = count(response(-0.2), ramp(8.0), 300)
    first, second = learn(steps), learn(steps)
    assert first.draws.to_array().tobytes() == second.draws.to_array().tobytes()


@pytest.mark.parametrize("n_steps", [0, 1, 50])
def test_steps_without_requests_leave_the_prior(n_steps: int) -> None:
    none = np.zeros(n_steps)
    update = learn((np.full(n_steps, 5.0), none, none))
    assert update.effective_ratio == 1.0
    assert np.array_equal(update.draws.to_array(), PRIOR.draws(N_DRAWS).to_array())


def test_one_step_of_one_request_hardly_moves_the_prior() -> None:
    update = learn((np.array([5.0]), np.zeros(1), np.ones(1)))
    before = np.log(PRIOR.draws(N_DRAWS).load_within(PRIOR_SHARE))
    after = np.log(update.draws.load_within(PRIOR_SHARE))
    assert after.mean() == pytest.approx(before.mean(), abs=0.05)
    assert after.std() == pytest.approx(before.std(), rel=0.1)


def test_weeks_of_steps_are_learned_from_as_from_some_of_them() -> None:
    load = np.tile(ramp(10.5), 30)
    truth = response(0.0)
    update = learn(count(truth, load, 300))
    assert off_by(update, truth) < 0.06


def test_the_law_of_a_group_is_a_prior_like_any() -> None:
    """What a group says of a new workload is narrowed by its steps, too."""
    group = PRIOR.at(0.3 * np.random.default_rng(0).standard_normal((400, 4)))
    prior = MissPrior.of_draws(group, STATED, PRIOR_SHARE)
    truth = response(-0.1, slope=12.0)
    update = learn_misses(prior, *count(truth, ramp(9.5), 300), n_draws=N_DRAWS)
    assert off_by(update, truth) < 0.06


@pytest.mark.slow
def test_the_ranks_of_truths_are_uniform() -> None:
    """Simulation-based calibration (Talts et al., arXiv 1804.06788) of all four coordinates."""
    rng = np.random.default_rng(6)
    ranks = []
    for seed in range(200):
        z = rng.standard_normal((1, 4))
        truth = PRIOR.at(z)
        draws = learn(count(truth, rng.uniform(4.0, 12.0, 40), 300, seed)).draws.to_array()
        noise = 1e-9 * rng.standard_normal(draws.shape)  # ties: a draw may be taken twice
        ranks.append((draws * (1 + noise) < truth.to_array()).mean(axis=0))
    for name, of in zip(("capacity", "slope", "floor", "near"), np.array(ranks).T, strict=True):
        counts = np.histogram(of, bins=5, range=(0, 1))[0]
        assert chisquare(counts).pvalue > 0.001, (name, counts)


def test_impossible_steps_are_refused() -> None:
    one = np.ones(1)
    with pytest.raises(InvalidRequest, match="load must be finite and > 0"):
        learn((one * 0, one, one))
    with pytest.raises(InvalidRequest, match="all must be"):
        learn((one, one, np.ones(2)))
