"""One mix for each workload at least cost, under one budget for each GPU type.

The shadow prices that share one budget (`decider.budget.fleet`), one for each type, are found by
projected subgradient steps on the dual; then come a repair by raised prices and a bounded search
(`decider.budget.choice`).

Shapes: W workloads, K options, T GPU types.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from decider.budget.choice import Choices, dual_bound, improve
from decider.types import FloatArray, IntArray

N_PRICE_STEPS = 400
PRICE_RAISE, STEEP_RAISE = 1.02, 1.5
"""Factors by which the price of what is over its budget rises in a repair: at first, and after
`N_GENTLE` rises, where options that are ruled out by a penalty must be reached."""
N_GENTLE = 600


def choose_options(
    problem: Choices, *, hopeless_usd: float = math.inf, is_searched: bool = True
) -> tuple[IntArray, FloatArray, bool]:
    """One option for each row, within the capacities, at least cost.

    Args:
        problem: Option 0 of every row is the one that takes least of everything.
        hopeless_usd: A choice that costs more is of no use: once none can cost less, the search
            ends.
        is_searched: Exchange options after the repair; for large problems it takes long.

    Returns:
        (W,) options, (T,) shadow prices, and whether the least of everything fits and there is
        hope; if not, the least of everything is what is chosen.
    """
    start = np.zeros(problem.cost.shape[0], dtype=np.int64)
    prices = np.zeros(problem.capacity.size)
    if bool((problem.used_by(start) > problem.capacity).any()):
        return start, prices, False
    prices = _prices(problem, hopeless_usd)
    if dual_bound(problem, prices) > hopeless_usd:
        return start, prices, False
    chosen = _repaired(problem, prices)
    return (improve(problem, prices, chosen) if is_searched else chosen), prices, True


def _prices(problem: Choices, hopeless_usd: float) -> FloatArray:
    """(T,) prices near the dual optimum: Polyak steps towards the best choice known."""
    use = problem.use.astype(float)
    rows = np.arange(problem.cost.shape[0])
    best_prices = prices = np.zeros(problem.capacity.size)
    best = dual_bound(problem, prices)
    least = np.zeros(rows.size, dtype=np.int64)
    target, scale = problem.cost_of(least), 1.0
    patience = n_halved = 0
    for _ in range(N_PRICE_STEPS):
        if best > hopeless_usd:
            break
        reduced = problem.cost + use @ prices
        chosen = np.argmin(reduced, axis=1).astype(np.int64)
        over = problem.used_by(chosen) - problem.capacity
        value = float(reduced[rows, chosen].sum() - prices @ problem.capacity)
        if value > best + 1e-12 * abs(best):
            best, best_prices, patience = value, prices, 0
        else:
            patience += 1
        if patience >= 10:
            scale, patience, n_halved = 0.5 * scale, 0, n_halved + 1
            if n_halved & (n_halved - 1) == 0:  # at the 1st, 2nd, 4th, ...: a repair is dear
                target = min(target, problem.cost_of(_repaired(problem, best_prices)))
            prices = best_prices
            continue
        over = np.where((prices <= 0) & (over < 0), 0, over)  # along the border of prices >= 0
        norm = float(over @ over)
        if norm == 0 or target - value <= 0:
            break
        prices = np.maximum(0.0, prices + scale * (target - value) / norm * over)
    return best_prices


def _repaired(problem: Choices, prices: FloatArray) -> IntArray:
    """Options that fit: taken at prices raised until they do, then more where it pays.

    It ends, since at high prices everyone takes the least, which fits.
    """
    raised, use = prices.copy(), problem.use.astype(float)
    for n in itertools.count():
        chosen = np.argmin(problem.cost + use @ raised, axis=1).astype(np.int64)
        is_over = problem.used_by(chosen) > problem.capacity
        if not is_over.any():
            return _filled(problem, prices, chosen)
        raise_by = PRICE_RAISE if n < N_GENTLE else STEEP_RAISE
        raised = np.where(is_over, raised * raise_by + 1e-3, raised)
    raise AssertionError("unreachable: the least of everything fits")


def _filled(problem: Choices, prices: FloatArray, start: IntArray) -> IntArray:
    """Take what fits and saves most per priced GPU, until nothing does."""
    chosen = start.copy()
    worth = prices + 1e-6 * (1.0 + prices.max(initial=0.0))
    free = problem.capacity - problem.used_by(chosen)
    every = np.arange(start.size)
    rate, option = _savings(problem, chosen, free, worth, every)
    is_fresh = True
    while True:
        row = int(np.argmax(rate))
        if rate[row] <= 0:
            if is_fresh:
                return chosen
            # what was given back may have made room for what did not fit before
            rate, option = _savings(problem, chosen, free, worth, every)
            is_fresh = True
            continue
        more = problem.use[row, option[row]] - problem.use[row, chosen[row]]
        if (more <= free).all():
            chosen[row] = option[row]
            free = free - more
            is_fresh = False
        rate[row], option[row] = (
            x[0] for x in _savings(problem, chosen, free, worth, np.array([row]))
        )


def _savings(
    problem: Choices, chosen: IntArray, free: IntArray, worth: FloatArray, rows: IntArray
) -> tuple[FloatArray, IntArray]:
    """Most that each of `rows` saves per priced GPU by another option that fits, and which."""
    own = problem.cost[rows]
    more = problem.use[rows] - problem.use[rows, chosen[rows]][:, None, :]
    saved = problem.cost[rows, chosen[rows]][:, None] - own
    fits = (more <= free).all(axis=2) & (saved > 1e-9 * (1.0 + np.abs(own)))
    taken = np.maximum(more, 0) @ worth + 1e-9
    rate = np.where(fits, saved / taken, 0.0)
    best = np.argmax(rate, axis=1).astype(np.int64)
    return rate[np.arange(rows.size), best], best
