"""What a variant carries beside the first, learned from steps in which the mix differs."""

from __future__ import annotations

import numpy as np
import pytest

from decider.belief.miss_learning import learn_misses
from decider.belief.miss_prior import (
    PRIOR_SHARE,
    WORTH_SIGMA,
    MissPrior,
    to_coordinates,
    to_draws,
    worth_in_force,
    worth_sigma,
)
from decider.belief.miss_steps import MAX_STEPS, steps_across_loads
from decider.belief.miss_update import MissUpdate, miss_log_likelihood
from decider.miss_draws import MissDraws
from decider.types import FloatArray
from tests.unit.decider.belief.miss_truth import N_DRAWS, STATED

PRIOR = MissPrior.stated(STATED, 0.0, PRIOR_SHARE, (), 1)
WORTH = 0.6


def truth_of(worth: float = WORTH) -> MissDraws:
    at = np.array([[-0.05, np.log(14.0), -6.2, np.log(80.0), np.log(worth)]])
    return to_draws(at, STATED, PRIOR_SHARE)


def varied(n_steps: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).uniform(0.05, 0.9, (n_steps, 1))


def learn(truth: MissDraws, mix: FloatArray, seed: int = 0, n: float = 400.0) -> MissUpdate:
    """Steps whose true loads rise to a little above the knee, whatever the mix."""
    rng = np.random.default_rng(seed)
    n_steps = mix.shape[0]
    carried = 1.0 + mix @ (truth.worth[0] - 1.0)
    noise = np.exp(0.05 * rng.standard_normal(n_steps))
    load = STATED * np.linspace(0.4, 1.1, n_steps) * noise * carried
    total = rng.poisson(n, n_steps).astype(float)
    share, near = np.clip(truth.miss(load, mix)[0], 1e-9, 1 - 1e-6), truth.concentration[0]
    missed = rng.binomial(total.astype(int), rng.beta(share * near, (1 - share) * near))
    return learn_misses(PRIOR, load, missed.astype(float), total, N_DRAWS, mix)


@pytest.mark.parametrize("seed", range(4))
def test_a_variant_of_six_tenths_is_learned_within_a_tenth(seed: int) -> None:
    update = learn(truth_of(), varied(80, seed), seed)
    assert not update.needs_refit
    assert worth_in_force(update.draws, 0.0) == pytest.approx([WORTH], rel=0.1)
    knee = np.median(update.draws.load_within(PRIOR_SHARE))
    assert knee == pytest.approx(STATED * np.exp(-0.05), rel=0.05), "and not at the first's expense"


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_mix_that_never_varies_leaves_it_as_stated(share: float) -> None:
    """All that the steps show is what the mix carries, and that is learned and kept."""
    truth, mix = truth_of(), np.full((80, 1), share)
    draws = learn(truth, mix).draws
    assert np.log(draws.worth).std() > 0.5 * WORTH_SIGMA
    assert worth_in_force(draws, 0.0).tolist() == [1.0]
    of_mix = draws.at_mix(mix[0], np.ones(1)).load_within(PRIOR_SHARE)
    expected = truth.at_mix(mix[0], np.ones(1)).load_within(PRIOR_SHARE)
    assert np.median(of_mix) == pytest.approx(expected[0], rel=0.05)
    if share:
        alone = draws.load_within(PRIOR_SHARE)
        assert np.log(of_mix).std() < 0.5 * np.log(alone).std(), "the mix is known, no variant is"


def test_intervals_cover_variants_drawn_from_the_prior() -> None:
    hits, rng = [], np.random.default_rng(1)
    for seed in range(20):
        truth = PRIOR.at(rng.standard_normal((1, PRIOR.mean.size)))
        low, high = np.quantile(learn(truth, varied(40, seed), seed).draws.worth, (0.05, 0.95))
        hits.append(low <= truth.worth[0, 0] <= high)
    assert np.mean(hits) >= 0.75


def test_a_prior_stands_at_the_stated_ratio_and_as_wide_as_it_says() -> None:
    draws = MissPrior.stated(STATED, 0.3, PRIOR_SHARE, (400.0,), 2).draws(4000)
    log_worth = np.log(draws.worth)
    assert log_worth.shape == (4000, 2)
    assert log_worth.mean(axis=0) == pytest.approx(0.0, abs=0.01)
    assert log_worth.std(axis=0) == pytest.approx(worth_sigma(0.3), rel=0.02)
    at = to_coordinates(draws, STATED, PRIOR_SHARE, (400.0,))
    assert to_draws(at, STATED, PRIOR_SHARE, (400.0,)).to_array() == pytest.approx(draws.to_array())


def test_the_order_of_steps_changes_no_likelihood() -> None:
    rng, mix = np.random.default_rng(0), varied(30)
    load, total = rng.uniform(5.0, 12.0, 30), np.full(30, 100.0)
    load[:10], missed = 8.0, np.repeat([3.0, 5.0], 15)
    order, draws = rng.permutation(30), PRIOR.draws(20)
    first = miss_log_likelihood(draws, load, missed, total, mix)
    second = miss_log_likelihood(draws, load[order], missed[order], total[order], mix[order])
    assert first.tobytes() == second.tobytes()


def test_the_few_steps_of_another_mix_are_kept() -> None:
    load, mix = np.random.default_rng(0).uniform(5.0, 9.0, 3000), np.full((3000, 1), 0.2)
    mix[[1000, 1001]] = 0.9
    chosen = steps_across_loads(load, mix)
    assert chosen.size == MAX_STEPS
    assert {1000, 1001} <= set(chosen)
