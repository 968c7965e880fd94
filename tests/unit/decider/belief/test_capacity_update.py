"""Particle update: order, support, concentration on the truth, and the guard."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import norm

from decider.belief.capacity import capacity_draws
from decider.belief.capacity_update import (
    effective_ratio,
    latency_log_likelihood,
    update_capacity,
)
from decider.belief.response_model import CurveDraws
from decider.errors import InvalidRequest
from decider.types import FloatArray

N = 4000
BASE_MS, QUEUEING, SHARPNESS, NOISE = 100.0, 0.5, 2.0, 0.2


def curves(kappa: FloatArray) -> CurveDraws:
    columns = (np.full(kappa.size, v) for v in (BASE_MS, QUEUEING, SHARPNESS))
    return CurveDraws(*columns, kappa, np.full(kappa.size, NOISE))


def steps(kappa: float, n: int, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    load = rng.uniform(0.4, 0.9, n) * kappa
    mean = curves(np.array([kappa])).log_latency(load)[0]
    return load, np.exp(mean + NOISE * rng.standard_normal(n))


def test_likelihood_of_one_step_by_hand() -> None:
    load, latency = np.array([5.0]), np.array([150.0])
    found = latency_log_likelihood(curves(np.array([10.0, 20.0])), load, latency)
    # At kappa 10, rho = 0.5: 100 * (1 + 0.5 * 0.5) = 125 ms; at 20, rho = 0.25: 104.17 ms.
    by_hand = norm.logpdf(np.log(150.0), np.log([125.0, 100 * (1 + 0.5 * 0.0625 / 0.75)]), NOISE)
    assert found - found[0] == pytest.approx(by_hand - by_hand[0])


@given(st.permutations(range(12)))
def test_the_order_of_steps_does_not_matter(order: list[int]) -> None:
    draws = capacity_draws(12.0, 0.2, 50)
    load, latency = steps(12.0, 12)
    first, second = (
        latency_log_likelihood(curves(draws), load[at], latency[at])
        for at in (np.arange(12), np.array(order))
    )
    assert first.tobytes() == second.tobytes()


@given(st.integers(0, 2**31), st.integers(1, 40))
def test_draws_stay_among_those_stored(seed: int, n: int) -> None:
    draws = capacity_draws(12.0, 0.3, 64)
    load, latency = steps(12.0, n, seed)
    update = update_capacity(draws, latency_log_likelihood(curves(draws), load, latency))
    assert set(update.draws) <= set(draws)
    assert update.draws.size == draws.size
    assert 0 < update.effective_ratio <= 1


def test_no_evidence_changes_nothing() -> None:
    draws = capacity_draws(12.0, 0.3, 64)
    none = np.zeros(0)
    update = update_capacity(draws, latency_log_likelihood(curves(draws), none, none))
    np.testing.assert_array_equal(update.draws, draws)
    assert update.effective_ratio == pytest.approx(1.0)


def grid_posterior(
    prior: tuple[float, float], log_likelihood: FloatArray, grid: FloatArray
) -> tuple:
    """Mean and standard deviation of log kappa on a fine grid."""
    log_weight = norm.logpdf(grid, *prior) + log_likelihood
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    mean = float((weight * grid).sum())
    return mean, float(np.sqrt((weight * (grid - mean) ** 2).sum()))


def test_the_update_agrees_with_a_grid_computation() -> None:
    cv, truth = 0.15, 11.0
    draws = capacity_draws(12.0, cv, N)
    sigma = np.sqrt(np.log1p(cv**2))
    grid = np.linspace(np.log(5.0), np.log(25.0), 5001)
    load, latency = steps(truth, 8, seed=4)

    def log_likelihood(kappa: FloatArray) -> FloatArray:
        return latency_log_likelihood(curves(kappa), load, latency)

    update = update_capacity(draws, log_likelihood(draws))
    prior = (np.log(12.0) - sigma**2 / 2, sigma)
    mean, sd = grid_posterior(prior, log_likelihood(np.exp(grid)), grid)
    logs = np.log(update.draws)
    assert not update.needs_refit
    assert logs.mean() == pytest.approx(mean, abs=0.1 * sd)
    assert logs.std() == pytest.approx(sd, rel=0.1)
    assert sd < 0.8 * sigma


def test_more_steps_concentrate_on_the_truth() -> None:
    draws = capacity_draws(12.0, 0.15, N)
    errors, spreads = [], []
    for n in (5, 40, 320):
        load, latency = steps(10.5, n, seed=1)
        update = update_capacity(draws, latency_log_likelihood(curves(draws), load, latency), 0.0)
        errors.append(abs(update.draws.mean() - 10.5))
        spreads.append(float(update.draws.std()))
    assert spreads[0] > spreads[1] > spreads[2]
    assert errors[2] < 3 * spreads[2] + 0.02


def test_draws_that_steps_contradict_are_kept_and_a_refit_is_asked_for() -> None:
    draws = capacity_draws(12.0, 0.05, 256)
    load, latency = steps(7.0, 100)  # the service became slower than any stored draw
    update = update_capacity(draws, latency_log_likelihood(curves(draws), load, latency))
    assert update.needs_refit
    np.testing.assert_array_equal(update.draws, draws)
    assert update.effective_ratio < 0.1


def test_effective_share_by_hand() -> None:
    assert effective_ratio(np.zeros(8)) == pytest.approx(1.0)
    assert effective_ratio(np.log([1.0, 1.0, 1e-300, 1e-300])) == pytest.approx(0.5)
    assert effective_ratio(np.array([0.0, -1e6, -1e6, -1e6])) == pytest.approx(0.25)


def test_impossible_evidence_is_refused() -> None:
    one, draws = np.ones(1), np.ones(4)
    with pytest.raises(InvalidRequest, match="latency_ms must be finite"):
        latency_log_likelihood(curves(draws), one, one * 0)
    with pytest.raises(InvalidRequest, match="load must be finite"):
        latency_log_likelihood(curves(draws), one * np.nan, one)
    with pytest.raises(InvalidRequest, match="both must be"):
        latency_log_likelihood(curves(draws), one, np.ones(2))
    with pytest.raises(InvalidRequest, match="must be one"):
        update_capacity(draws, np.zeros(3))
    with pytest.raises(InvalidRequest, match="log_likelihood must be finite"):
        update_capacity(draws, np.full(4, np.nan))
