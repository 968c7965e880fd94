"""The multiple-choice search: exact on what can be enumerated, never worse than its start."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from decider.budget import choice
from decider.budget.choice import Choices, dual_bound, improve


def random_problem(seed: int, n_rows: int = 5, n_types: int = 2) -> Choices:
    rng = np.random.default_rng(seed)
    use = rng.integers(0, 9, (n_rows, 4, n_types))
    use[:, 0] = 0  # the first option always fits
    cost = rng.exponential(10.0, (n_rows, 4))
    cost[:, 3][rng.random(n_rows) < 0.3] = np.inf
    cost[:, 0] += 20.0
    return Choices(cost, use, rng.integers(0, 25, n_types))


def best_cost(problem: Choices) -> float:
    """By looking at every choice."""
    n_rows, n_options = problem.cost.shape
    costs = [
        problem.cost_of(np.array(chosen))
        for chosen in itertools.product(range(n_options), repeat=n_rows)
        if (problem.used_by(np.array(chosen)) <= problem.capacity).all()
    ]
    return min(costs)


@given(seed=st.integers(0, 100_000), n_types=st.integers(1, 3), price=st.floats(0, 5))
@settings(max_examples=60, deadline=None)
def test_the_search_is_exact_whatever_the_prices(seed: int, n_types: int, price: float) -> None:
    problem = random_problem(seed, n_types=n_types)
    prices = np.full(n_types, price)
    found = improve(problem, prices, np.zeros(5, dtype=np.int64))
    assert (problem.used_by(found) <= problem.capacity).all()
    assert problem.cost_of(found) == pytest.approx(best_cost(problem))
    assert dual_bound(problem, prices) <= best_cost(problem) + 1e-9


def test_by_hand_an_exchange_beats_two_steps() -> None:
    """6 + 6 GPUs of 10 do not fit; 4 + 6 do, for 3 + 1 instead of 1 + 9."""
    problem = Choices(
        np.array([[9.0, 3.0, 1.0], [9.0, 3.0, 1.0]]),
        np.array([[0, 4, 6], [0, 4, 6]])[:, :, None],
        np.array([10]),
    )
    found = improve(problem, np.array([1.0]), np.array([2, 0]))
    assert sorted(found.tolist()) == [1, 2]
    assert problem.cost_of(found) == 4.0


@pytest.mark.parametrize("limit", ["MAX_STATES", "MAX_CORE_ROWS"])
def test_a_search_cut_short_is_never_worse_than_its_start(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, limit, 3)
    n_better = 0
    for seed in range(40):
        problem = random_problem(seed, n_rows=8)
        start = np.zeros(8, dtype=np.int64)
        found = improve(problem, np.full(2, 0.5), start)
        assert (problem.used_by(found) <= problem.capacity).all()
        assert problem.cost_of(found) <= problem.cost_of(start)
        n_better += problem.cost_of(found) < problem.cost_of(start)
    assert n_better > 10


def test_the_best_start_is_returned_as_it_is() -> None:
    problem = random_problem(3)
    best = improve(problem, np.full(2, 0.5), np.zeros(5, dtype=np.int64))
    assert improve(problem, np.full(2, 0.5), best).tolist() == best.tolist()
