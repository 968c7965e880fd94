"""GPU budgets: within 1 % of an exact integer solution, and limits that hold."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from decider.fleet import Claims, allocate


def random_claims(seed: int, n: int, *, convex: bool) -> Claims:
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 4, n)
    span = rng.integers(1, 12, n)
    size = int(span.max()) + 1
    loss = np.zeros((n, size))
    for row in range(n):
        gains = rng.exponential(rng.uniform(0.5, 5.0), size - 1)
        gains = np.sort(gains)[::-1] if convex else gains
        loss[row] = gains.sum() - np.concatenate([[0.0], np.cumsum(gains)])
    return Claims(loss, low, low + span, rng.integers(1, 5, n))


def exact_loss(claims: Claims, budget: int) -> float:
    """One-of-K integer programme by HiGHS."""
    n, size = claims.loss.shape
    counts = claims.low[:, None] + np.arange(size)
    is_open = counts <= claims.wanted[:, None]
    choose = np.zeros((n, n * size))
    for row in range(n):
        choose[row, row * size : (row + 1) * size] = 1.0
    use = (counts * claims.gpus[:, None]).reshape(1, -1).astype(float)
    result = milp(
        claims.loss.ravel(),
        integrality=np.ones(n * size),
        bounds=Bounds(0, is_open.ravel().astype(float)),
        constraints=[LinearConstraint(choose, 1, 1), LinearConstraint(use, 0, budget)],
    )
    assert result.success
    return float(result.fun)


def loss_of(claims: Claims, granted: np.ndarray) -> float:
    return float(claims.loss[np.arange(granted.size), granted - claims.low].sum())


@pytest.mark.parametrize("convex", [True, False])
def test_allocation_is_close_to_the_exact_solution(convex: bool) -> None:
    gaps = []
    for seed in range(25):
        claims = random_claims(seed, 20, convex=convex)
        least = int((claims.low * claims.gpus).sum())
        most = int((claims.wanted * claims.gpus).sum())
        budget = least + (most - least) // 2
        found = allocate(claims, budget)
        best = exact_loss(claims, budget)
        worst = loss_of(claims, claims.low)
        gaps.append((loss_of(claims, found.granted) - best) / worst)
    assert np.mean(gaps) < 0.005
    assert max(gaps) < 0.01 if convex else max(gaps) < 0.02


@given(seed=st.integers(0, 10_000), n=st.integers(1, 12), share=st.floats(0, 1.2))
@settings(max_examples=150, deadline=None)
def test_budget_and_bounds_always_hold(seed: int, n: int, share: float) -> None:
    claims = random_claims(seed, n, convex=seed % 2 == 0)
    budget = int(share * (claims.wanted * claims.gpus).sum())
    found = allocate(claims, budget)
    assert (found.granted >= claims.low).all()
    assert (found.granted <= claims.wanted).all()
    if found.is_feasible:
        used = (found.granted * claims.gpus).sum()
        assert used <= budget
        left = budget - used
        wanting = found.granted < claims.wanted
        # Nothing is left over that someone could still use.
        assert not (wanting & (claims.gpus <= left)).any()
    else:
        assert (found.granted == claims.low).all()
        assert (claims.low * claims.gpus).sum() > budget


def test_a_budget_that_does_not_bind_changes_nothing() -> None:
    claims = random_claims(1, 5, convex=True)
    found = allocate(claims, 10_000)
    assert (found.granted == claims.wanted).all()
    assert found.shadow_price == 0.0


@given(seed=st.integers(0, 2000))
@settings(max_examples=40, deadline=None)
def test_a_larger_budget_never_raises_the_price(seed: int) -> None:
    claims = random_claims(seed, 8, convex=True)
    least = int((claims.low * claims.gpus).sum())
    most = int((claims.wanted * claims.gpus).sum())
    prices = [allocate(claims, b).shadow_price for b in range(least, most + 1, 3)]
    assert all(a >= b - 1e-9 for a, b in pairwise(prices))
