"""Demand made up within steps keeps their means and tells nothing of steps to come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from services.lab.bench.race.bridge import MOST_SIGMA, Bridge, bridged, roughness

KINDS = (Bridge.WALK, Bridge.JUMP)


def means(seed, n_steps=40):
    rng = np.random.default_rng(seed)
    demand = 20.0 * np.exp(np.cumsum(0.5 * rng.standard_normal((2, n_steps)), axis=1))
    demand[rng.random(demand.shape) < 0.1] = np.nan
    demand[rng.random(demand.shape) < 0.05] = 0.0
    return demand


def made(demand, n, kind, seed=1):
    return bridged(demand, n, kind, 10, np.random.default_rng(seed))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.sampled_from([2, 5, 10]))
def test_means_and_gaps_of_steps_are_kept(kind, seed, n):
    demand = means(seed)
    fine = made(demand, n, kind, seed)
    assert np.nanmin(fine) >= 0.0
    np.testing.assert_allclose(fine.reshape(2, -1, n).mean(axis=2), demand, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), step=st.integers(12, 39))
def test_nothing_of_a_later_step_is_shown(kind, seed, step):
    demand = means(seed)
    other = demand.copy()
    other[:, step:] *= 7.0
    before = slice(0, step * 10)
    np.testing.assert_array_equal(
        made(demand, 10, kind)[:, before], made(other, 10, kind)[:, before]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_sub_steps_differ_and_another_seed_is_another_path(kind):
    demand = means(3)
    fine = made(demand, 10, kind)
    assert np.nanmax(np.ptp(fine.reshape(2, -1, 10), axis=2)) > 1.0
    assert not np.array_equal(fine, made(demand, 10, kind, seed=2), equal_nan=True)


def test_without_a_bridge_demand_is_constant_within_a_step():
    demand = means(4)
    np.testing.assert_array_equal(made(demand, 3, Bridge.NONE), np.repeat(demand, 3, axis=1))


def test_roughness_is_that_of_the_usual_change():
    steady = np.exp(0.1 * np.random.default_rng(0).standard_normal(500).cumsum())
    steady[200] *= 50.0
    nothing = np.full(500, np.nan)
    found = roughness(np.stack([steady, nothing, np.tile([1.0, 1e9], 250)]))
    assert found[0] == pytest.approx(0.1, rel=0.1)
    assert found[1] == 0.0
    assert (found <= MOST_SIGMA).all()
