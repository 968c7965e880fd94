"""What of a load is out of the promise, given a response."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import beta, betabinom

from decider.belief.misses import (
    bad_probability,
    effective_concentration,
    equivalent_capacity,
)
from decider.errors import InvalidRequest
from decider.miss_draws import MissDraws
from decider.types import RISK_KINDS, Sla
from tests.unit.decider.tables.soft_cases import response, sla


@given(phi=st.floats(0.05, 1e5), n=st.floats(2.0, 1e6), share=st.floats(0.001, 0.5))
@settings(max_examples=50, deadline=None)
def test_the_scatter_is_that_of_a_beta_binomial(phi: float, n: float, share: float) -> None:
    """Mean and variance of the share missed of n requests."""
    total = float(effective_concentration(np.array([phi]), n)[0])
    whole = round(n)
    total_whole = float(effective_concentration(np.array([phi]), whole)[0])
    exact = betabinom(whole, share * phi, (1 - share) * phi).var() / whole**2
    assert beta(share * total_whole, (1 - share) * total_whole).var() == pytest.approx(exact)
    assert total <= phi * (1 + 1e-9)


def test_endless_requests_leave_the_concentration_and_one_leaves_none() -> None:
    phi = np.array([3.0, 100.0])
    assert effective_concentration(phi) == pytest.approx(phi)
    one = effective_concentration(phi, 1.0)
    assert bad_probability(np.full(2, -3.0), one, 0.05) == pytest.approx(0.0474, abs=5e-4)


def test_a_step_is_bad_as_often_as_the_tail_says() -> None:
    rng = np.random.default_rng(1)
    share, phi, n = 0.04, 60.0, 200
    missed = rng.binomial(n, rng.beta(share * phi, (1 - share) * phi, 200_000))
    total = effective_concentration(np.array([phi]), n)
    found = bad_probability(np.log([share / (1 - share)]), total, 0.05)[0]
    assert found == pytest.approx((missed > 0.05 * n).mean(), abs=0.02)


@pytest.mark.parametrize("tolerance", [0.001, 0.05, 0.5, 0.95])
def test_it_rises_from_never_to_always(tolerance: float) -> None:
    log_odds = np.concatenate([[-np.inf], np.linspace(-50, 50, 301), [np.inf]])
    for phi in (1e-3, 1.0, 1e4, 1e10):
        tail = bad_probability(log_odds, np.array(phi), tolerance)
        assert tail[0] == 0.0
        assert tail[-1] == pytest.approx(1.0)
        assert (np.diff(tail) >= -1e-12).all()


@given(
    seed=st.integers(0, 100),
    n=st.sampled_from([1.0, 20.0, 1000.0, np.inf]),
    phi=st.sampled_from([0.01, 1.0, 50.0, 1e6, 1e12]),
    good_share=st.sampled_from([0.5, 0.9, 0.95, 0.999]),
)
@settings(max_examples=40, deadline=None)
def test_at_the_equivalent_capacity_a_step_is_as_often_bad_as_good(
    seed: int, n: float, phi: float, good_share: float
) -> None:
    draws = response(seed, concentration=phi)
    load = equivalent_capacity(draws, Sla(0.01, "TimeFraction", good_share=good_share), n)
    log_odds = draws.slope * np.log(load / draws.capacity)
    total = effective_concentration(draws.concentration, n)
    assert bad_probability(log_odds, total, 1.0 - good_share) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.slow
@given(log_total=st.floats(-6.0, 22.0), tolerance=st.floats(0.001, 0.999))
@settings(max_examples=60, deadline=None)
def test_the_table_says_what_a_search_finds(log_total: float, tolerance: float) -> None:
    total = np.exp(np.array([log_total]))
    draws = MissDraws(np.ones(1), np.ones(1), np.full(1, 0.01), total)
    load = equivalent_capacity(draws, Sla(0.01, "TimeFraction", good_share=1.0 - tolerance))
    found = bad_probability(np.log(load), total, 1.0 - (1.0 - tolerance))
    assert found[0] == pytest.approx(0.5, abs=1e-6)


def test_at_the_equivalent_capacity_epsilon_of_the_requests_miss() -> None:
    draws = response()
    for epsilon, share in ((0.003, 0.003), (None, 0.05)):
        load = equivalent_capacity(draws, sla("DemandFraction", epsilon))
        assert np.diag(draws.curable(load)) == pytest.approx(share)


@pytest.mark.parametrize("kind", RISK_KINDS)
def test_an_endless_slope_leaves_the_capacity(kind: str) -> None:
    draws = response(slope=1e7)
    assert equivalent_capacity(draws, sla(kind)) == pytest.approx(draws.capacity, rel=1e-5)


def test_what_is_missing_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="good_share"):
        equivalent_capacity(response(), Sla(0.01))
    with pytest.raises(InvalidRequest, match="requests_per_step=0"):
        effective_concentration(np.ones(1), 0.0)
