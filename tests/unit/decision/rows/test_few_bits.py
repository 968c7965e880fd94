"""Draws in few bits are near what they were, and take few bytes of a decision's inputs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from decider import MissDraws
from services.decision.rows.few_bits import few_bits, response_in_few_bits


@given(arrays(np.float64, (3, 8), elements=st.floats(1e-9, 1e12)))
def test_draws_are_off_by_a_two_thousandth_at_most(draws: np.ndarray) -> None:
    found = few_bits(draws)
    assert (np.abs(found - draws) <= draws / 2048).all()
    assert (found > 0).all()
    assert (np.diff(np.sort(found, axis=1), axis=1) >= 0).all()
    np.testing.assert_array_equal(few_bits(found), found)


def test_what_is_certain_is_kept_to_the_last_digit() -> None:
    stated = np.full((1, 8), 2401.3)
    np.testing.assert_array_equal(few_bits(stated), stated)


@given(st.integers(0, 10_000))
def test_a_response_fits_half_precision_and_is_still_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = MissDraws(
        rng.lognormal(7, 0.1, 64),
        rng.lognormal(2.6, 0.2, 64),
        np.minimum(rng.beta(0.5, rng.choice([0.5, 20_000.0]), 64), 1 - 1e-12),
        rng.lognormal(4, 0.5, 64),
        1 + rng.exponential(0.3, 64),
        rng.lognormal(3, 0.1, (64, 2)),
    )
    found = response_in_few_bits(drawn)
    assert found is not None
    array = found.to_array()
    np.testing.assert_array_equal(array.astype(np.float16).astype(float), array)
    np.testing.assert_allclose(found.capacity, drawn.capacity, rtol=5e-4)
    np.testing.assert_allclose(found.further, drawn.further, rtol=5e-4)
    np.testing.assert_allclose(found.floor, drawn.floor, rtol=5e-4, atol=2**-24)


def test_no_response_stays_none() -> None:
    assert response_in_few_bits(None) is None
