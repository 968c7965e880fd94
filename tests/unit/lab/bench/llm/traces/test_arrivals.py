"""Arrivals follow the rate and are as bursty as asked."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.arena.requests import Shape, lognormal_mix
from services.lab.bench.llm.traces.arrivals import arrivals_s, poisson_s, with_lengths


@pytest.mark.parametrize("cv", [0.5, 1.0, 2.0])
def test_gaps_have_the_variation_asked_for(cv: float) -> None:
    times = arrivals_s(np.full(4000, 5.0), np.full(4000, cv), np.random.default_rng(1))
    gaps = np.diff(times)
    assert gaps.mean() == pytest.approx(0.2, rel=0.05)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.06)


def test_the_rate_is_followed_and_may_be_zero() -> None:
    rate = np.repeat([4.0, 0.0, 12.0], 1000)
    times = poisson_s(rate, np.random.default_rng(2))
    n_each = np.histogram(times, [0, 1000, 2000, 3000])[0]
    assert n_each[0] == pytest.approx(4000, rel=0.06)
    assert n_each[1] == 0
    assert n_each[2] == pytest.approx(12_000, rel=0.04)
    assert (np.diff(times) >= 0).all()


def test_a_change_of_variation_keeps_the_count() -> None:
    cv = np.repeat([1.0, 3.0, 1.0], 600)
    times = arrivals_s(np.full(1800, 10.0), cv, np.random.default_rng(3))
    assert times.size == pytest.approx(18_000, rel=0.1)
    assert times.max() < 1800.0


def test_lengths_are_drawn_about_their_means_and_cut() -> None:
    times = np.arange(20_000, dtype=float)
    shape = Shape(1000.0, 100.0, max_input=3000)
    found = with_lengths(times, shape, lognormal_mix(), np.random.default_rng(4))
    assert found.output_tokens.mean() == pytest.approx(100, rel=0.05)
    assert found.input_tokens.max() == 3000
    assert found.input_tokens.min() >= 1
