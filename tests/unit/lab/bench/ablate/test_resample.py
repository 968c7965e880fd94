"""Resamples of days and workloads, and costs read off at another rate."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.bench.ablate.resample import Point, cost_at, draws, point

N = 200


def test_the_first_row_is_the_data_as_they_are() -> None:
    drawn = draws(3, 4, N, np.random.default_rng(0))
    out, known = np.array([[1.0, 0, 0, 0], [0, 0, 0, 2.0], [0, 0, 0, 0]]), np.full((3, 4), 5.0)
    held, oracle = np.full((3, 4), 8.0), np.full((3, 4), 4.0)
    found = point(drawn, {"out": out, "held": held}, {"known": known, "held": oracle})
    assert found.rate[0] == pytest.approx((1 / 20 + 2 / 20 + 0) / 3)
    assert found.ratio == pytest.approx(np.full(N + 1, 2.0))


def test_a_resample_counts_days_for_all_workloads_alike() -> None:
    drawn = draws(2, 5, N, np.random.default_rng(1))
    assert drawn.days.sum(axis=1) == pytest.approx(np.full(N + 1, 5.0))
    assert drawn.workloads.sum(axis=1) == pytest.approx(np.full(N + 1, 2.0))
    assert len(np.unique(drawn.days, axis=0)) > N // 4


def test_a_workload_without_known_steps_counts_nothing() -> None:
    drawn = draws(2, 3, 0, np.random.default_rng(2))
    part, whole = np.array([[1.0, 1, 1], [0, 0, 0]]), np.array([[2.0, 2, 2], [0, 0, 0]])
    assert drawn.mean_of_ratios(part, whole) == pytest.approx([0.5])
    assert drawn.share(part, whole) == pytest.approx([0.5])


def test_the_cost_at_a_rate_is_linear_in_its_logarithm_and_flat_beyond() -> None:
    trade = [
        Point(np.array([rate]), np.array([cost]))
        for rate, cost in ((0.01, 2.0), (0.001, 3.0), (0.1, 1.0))
    ]
    for rate, cost in ((0.01, 2.0), (np.sqrt(0.001 * 0.01), 2.5), (0.5, 1.0), (1e-4, 3.0)):
        assert cost_at(np.array([rate]), trade) == pytest.approx([cost])


def test_a_promise_that_costs_more_and_violates_more_is_not_on_the_trade() -> None:
    trade = [
        Point(np.array([rate]), np.array([cost]))
        for rate, cost in ((0.001, 3.0), (0.01, 3.5), (0.1, 1.0))
    ]
    assert cost_at(np.array([0.01]), trade) == pytest.approx([2.0])


def test_after_a_promise_that_was_never_broken_the_cost_is_linear_in_the_rate() -> None:
    trade = [Point(np.array([rate]), np.array([cost])) for rate, cost in ((0.0, 3.0), (0.02, 1.0))]
    for rate, cost in ((0.0, 3.0), (0.01, 2.0), (0.02, 1.0), (0.5, 1.0)):
        assert cost_at(np.array([rate]), trade) == pytest.approx([cost])
