"""Several loads learned from steps: calibrated, covering mixes and loads that were never seen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from decider.belief.miss_learning import learn_misses
from decider.belief.miss_prior import PRIOR_SHARE, RATIO, SHARING, MissPrior, to_draws
from decider.belief.miss_steps import MAX_STEPS, steps_across_loads
from decider.belief.miss_update import MissUpdate, miss_log_likelihood
from decider.miss_draws import MissDraws
from decider.types import FloatArray
from tests.unit.decider.belief.miss_truth import (
    FURTHER,
    LOADS_PRIOR,
    N_DRAWS,
    STATED,
    count,
    mixed_loads,
)


def truth_of(*, sharing: float = 2.0, ratios: tuple[float, ...] = (0.1, -0.2, 0.0)) -> MissDraws:
    excess = np.log(max(sharing - 1.0, 1e-3))
    at = [-0.1, np.log(14.0), -6.2, np.log(80.0), excess, *ratios]
    return to_draws(np.array([at]), STATED, PRIOR_SHARE, FURTHER[: len(ratios)])


def learn(truth: MissDraws, load: FloatArray, n: float = 400, seed: int = 0) -> MissUpdate:
    prior = MissPrior.stated(STATED, 0.0, PRIOR_SHARE, FURTHER[: truth.n_further])
    return learn_misses(prior, *count(truth, load, n, seed), n_draws=N_DRAWS)


@pytest.mark.slow
@pytest.mark.parametrize("n_further", [1, 3])
def test_the_ranks_of_truths_are_uniform(n_further: int) -> None:
    """Simulation-based calibration of all coordinates, as of one load."""
    prior = MissPrior.stated(STATED, 0.0, PRIOR_SHARE, FURTHER[:n_further])
    rng = np.random.default_rng(6)
    ranks, is_short = [], []
    for seed in range(80):
        truth = prior.at(rng.standard_normal((1, prior.mean.size)))
        update = learn(truth, mixed_loads(50, n_further, 1.1, seed), 300, seed)
        draws = update.draws.to_array()
        noise = 1e-9 * rng.standard_normal(draws.shape)  # ties: a draw may be taken twice
        ranks.append((draws * (1 + noise) < truth.to_array()).mean(axis=0))
        is_short.append(update.needs_refit)
    assert np.mean(is_short) < 0.1
    for at, of in enumerate(np.array(ranks).T):
        counts = np.histogram(of, bins=5, range=(0, 1))[0]
        assert chisquare(counts).pvalue > 0.001, (at, counts)


@pytest.mark.slow
def test_another_mix_and_loads_beyond_any_seen_are_covered() -> None:
    """Steps bound by the demand mostly; then the others, and 1.3 times the highest loads."""
    hits = []
    rng = np.random.default_rng(2)
    for seed in range(30):
        truth = LOADS_PRIOR.at(rng.standard_normal((1, LOADS_PRIOR.mean.size)))
        load = mixed_loads(80, 3, 0.9, seed) * np.array([1.2, 0.6, 0.6, 0.6])
        draws = learn(truth, load, 400, seed).draws
        changed = mixed_loads(6, 3, 0.9, seed + 100) * np.array([0.5, 1.2, 1.0, 1.0])
        beyond = 1.3 * load[np.argsort(load[:, 0])[-6:]]
        for asked in (changed, beyond):
            low, high = np.quantile(draws.miss(asked), (0.05, 0.95), axis=0)
            share = truth.miss(asked)[0]
            hits.append(((low <= share) & (share <= high)).mean())
    changed_mix, further_on = np.mean(hits[::2]), np.mean(hits[1::2])
    assert 0.78 <= changed_mix <= 0.99, changed_mix
    assert 0.78 <= further_on <= 0.99, further_on


@pytest.mark.parametrize("sharing", [1.0, 12.0])
def test_whether_loads_share_a_resource_is_learned_from_mixes(sharing: float) -> None:
    truth = truth_of(sharing=sharing, ratios=(0.1,))
    found = np.median(learn(truth, mixed_loads(150, 1, 1.2), 1000).draws.sharing)
    assert (found < 1.4) if sharing == 1.0 else (found > 3.0)


def test_a_load_that_never_binds_is_bounded_from_one_side_only() -> None:
    """That it binds at a quarter of its stated capacity is ruled out, not where beyond."""
    load = mixed_loads(120, 1, 1.1)
    load[:, 1] = 0.5 * FURTHER[0] * np.random.default_rng(0).uniform(0.8, 1.0, 120)
    load[:, 0] = STATED * np.linspace(0.4, 1.05, 120)
    draws = learn(truth_of(ratios=(0.4,), sharing=8.0), load, 1000).draws
    ratio = np.log(draws.further[:, 0] / draws.capacity / (FURTHER[0] / STATED))
    assert ratio.std() > 0.2
    assert np.quantile(ratio, 0.02) > -0.65
    assert np.quantile(ratio, 0.9) > 0.3


def test_the_loads_of_a_stated_prior_stand_at_their_stated_ratios() -> None:
    draws = LOADS_PRIOR.draws(4000)
    ratio = np.log(draws.further / draws.capacity[:, None] / (np.array(FURTHER) / STATED))
    assert ratio.mean(axis=0) == pytest.approx(0.0, abs=0.01)
    assert np.median(draws.sharing) == pytest.approx(2.0, rel=0.02)
    assert draws.sharing.min() >= 1.0
    again = MissPrior.of_draws(draws, STATED, PRIOR_SHARE, FURTHER)
    assert again.mean == pytest.approx(LOADS_PRIOR.mean, abs=0.05)
    spread = np.sqrt(np.diag(again.root @ again.root.T))
    assert spread[[SHARING, RATIO]] == pytest.approx(
        np.diag(LOADS_PRIOR.root)[[SHARING, RATIO]], rel=0.05
    )


def test_the_order_of_steps_changes_no_likelihood() -> None:
    draws, load = LOADS_PRIOR.draws(20), mixed_loads(40, 3, 1.0)
    load, missed, total = count(truth_of(), load, 300)
    order = np.random.default_rng(0).permutation(40)
    first = miss_log_likelihood(draws, load, missed, total)
    second = miss_log_likelihood(draws, load[order], missed[order], total[order])
    assert first.tobytes() == second.tobytes()


def test_steps_are_chosen_across_every_load() -> None:
    rng = np.random.default_rng(0)
    load = rng.uniform(1.0, 2.0, (6000, 3)) * np.array([10.0, 1e5, 0.01])
    for g, at in enumerate((3000, 3001, 3002)):
        load[at, g] *= 5.0
    load[3003] *= 1.9
    chosen = steps_across_loads(load)
    assert chosen.size == MAX_STEPS
    assert {3000, 3001, 3002, 3003} <= set(chosen)
    assert (np.diff(chosen) > 0).all()
    assert np.median(chosen) > 5500
