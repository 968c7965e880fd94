"""Capacity draws, replicas for a load, and particles reweighted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider.belief.capacity import capacity_draws, needed, replicas_needed, reweight
from decider.errors import InvalidRequest


@given(st.floats(1, 1e5), st.floats(0, 0.5))
def test_draws_have_the_stated_mean_and_spread(mean: float, cv: float) -> None:
    draws = capacity_draws(mean, cv, 512)
    assert draws.mean() == pytest.approx(mean, rel=0.01)
    assert draws.std() / draws.mean() == pytest.approx(cv, abs=0.02)


def test_a_capacity_of_zero_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="mean=0"):
        capacity_draws(0.0, 0.1, 8)


@given(st.integers(0, 500), st.floats(0.01, 1e4))
def test_a_load_of_whole_replicas_needs_exactly_those(n: int, capacity: float) -> None:
    assert needed(n * capacity, capacity) == n
    assert replicas_needed(np.array([n * capacity]), np.array([capacity]))[0] == n


def test_reweighting_moves_particles_to_the_evidence() -> None:
    draws = capacity_draws(10.0, 0.3, 2000)
    evidence = -0.5 * ((draws - 8.0) / 0.5) ** 2
    moved = reweight(draws, evidence)
    assert moved.size == draws.size
    assert moved.mean() == pytest.approx(8.1, abs=0.15)
    np.testing.assert_array_equal(reweight(draws, np.zeros(2000)), draws)
    with pytest.raises(InvalidRequest, match="shapes differ"):
        reweight(draws, np.zeros(3))
