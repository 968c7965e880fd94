"""One option for each row, at least cost, under several capacities at once.

The multiple-choice knapsack problem. Prices of the capacities split it into rows: an option's
*excess* is what it costs, priced use included, beyond the cheapest option of its row, and no choice
with a total excess above the gap between a known choice and the dual bound can be better. What is
left (the core: few rows, few options) is searched stage by stage. The idea of a core and of
reduction by bounds is Pisinger's (EJOR 83, 1995); the search keeps the states of least excess only
when there are too many, so it is exact on small problems and never worse than its start.

Shapes: W rows, K options, T capacities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decider.types import BoolArray, FloatArray, IntArray

MAX_STATES = 4096
MAX_CORE_ROWS = 192
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Choices:
    """The problem.

    Attributes:
        cost: (W, K) cost of an option; infinite: not open.
        use: (W, K, T) what it takes of each capacity, whole and >= 0.
        capacity: (T,) what there is.
    """

    cost: FloatArray
    use: IntArray
    capacity: IntArray

    def cost_of(self, chosen: IntArray) -> float:
        """Total cost of a choice (W,)."""
        return float(self.cost[np.arange(chosen.size), chosen].sum())

    def used_by(self, chosen: IntArray) -> IntArray:
        """(T,) total use of a choice (W,)."""
        return np.asarray(self.use[np.arange(chosen.size), chosen].sum(axis=0), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class _States:
    """Partial choices: their excess (N,), use (N, T), and where they came from."""

    excess: FloatArray
    use: IntArray
    parent: IntArray
    option: IntArray


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Use (T,) up to which, and excess below which a partial choice is kept."""

    room: IntArray
    excess: float


def dual_bound(problem: Choices, prices: FloatArray) -> float:
    """No choice that fits costs less than this, whatever the prices (T,) >= 0."""
    reduced = problem.cost + problem.use @ prices
    return float(reduced.min(axis=1).sum() - prices @ problem.capacity)


def improve(problem: Choices, prices: FloatArray, start: IntArray) -> IntArray:
    """Find a better choice than `start`, where there is one within reach.

    Args:
        problem: What is to be chosen.
        prices: (T,) price of each capacity, >= 0; the nearer to the dual optimum, the less is left
            to search.
        start: (W,) options that fit.

    Returns:
        (W,) options that fit and cost no more than `start`.
    """
    rows = np.arange(start.size)
    reduced = problem.cost + problem.use @ prices
    excess = reduced - reduced.min(axis=1, keepdims=True)
    slack = problem.capacity - problem.used_by(start)
    gap = float(excess[rows, start].sum() + prices @ slack)
    tolerance = _TINY * max(1.0, abs(problem.cost_of(start)))
    if gap <= tolerance:
        return start
    is_kept = excess < gap - tolerance
    is_open = is_kept.sum(axis=1) > 1
    core = _core(excess, is_open)
    chosen = np.where(is_open, start, np.argmin(excess, axis=1)).astype(np.int64)
    fixed = np.delete(rows, core)
    room = problem.capacity - problem.use[fixed, chosen[fixed]].sum(axis=0)
    spent = float(excess[fixed, chosen[fixed]].sum())
    stages = _search(problem.use, excess, is_kept, core, _Bounds(room, gap - spent - tolerance))
    if stages is None:
        return start
    last = stages[-1]
    total = last.excess + (room - last.use) @ prices
    best = int(np.argmin(total))
    if total[best] + spent >= gap - tolerance:
        return start
    for row, stage in zip(core[::-1], stages[::-1], strict=True):
        chosen[row] = stage.option[best]
        best = int(stage.parent[best])
    return chosen


def _core(excess: FloatArray, is_open: BoolArray) -> IntArray:
    """Rows worth searching, those first that are surest of their option."""
    open_rows = np.flatnonzero(is_open)
    if open_rows.size == 0:
        return open_rows
    second = np.partition(excess[open_rows], 1, axis=1)[:, 1]
    near = np.argsort(second, kind="stable")[:MAX_CORE_ROWS]
    return np.asarray(open_rows[near[::-1]], dtype=np.int64)


def _search(
    use: IntArray,
    excess: FloatArray,
    is_kept: BoolArray,
    core: IntArray,
    bounds: _Bounds,
) -> list[_States] | None:
    """States after each core row; None: nothing fits."""
    options = [np.flatnonzero(is_kept[row]) for row in core]
    least = np.array([use[row, o].min(axis=0) for row, o in zip(core, options, strict=True)])
    if core.size == 0 or np.any(least.sum(axis=0) > bounds.room):
        return None
    rest = np.concatenate(
        [np.cumsum(least[::-1], axis=0)[::-1][1:], np.zeros_like(bounds.room)[None]]
    )
    nothing = np.zeros(1, dtype=np.int64)
    state = _States(np.zeros(1), np.zeros((1, bounds.room.size), dtype=np.int64), nothing, nothing)
    stages = []
    for i, row in enumerate(core):
        left = _Bounds(bounds.room - rest[i], bounds.excess)
        state = _extended(state, use[row], excess[row], options[i], left)
        if state.excess.size == 0:
            return None
        stages.append(state)
    return stages


def _extended(
    state: _States,
    use: IntArray,
    excess: FloatArray,
    options: IntArray,
    bounds: _Bounds,
) -> _States:
    """Every state with every option of one more row, without what cannot win."""
    total = (state.excess[:, None] + excess[options]).ravel()
    used = (state.use[:, None, :] + use[options]).reshape(total.size, -1)
    fits = np.flatnonzero((total < bounds.excess) & (used <= bounds.room).all(axis=1))
    fits = fits[_undominated(total[fits], used[fits])]
    if fits.size > MAX_STATES:
        fits = fits[np.argpartition(total[fits], MAX_STATES)[:MAX_STATES]]
    return _States(total[fits], used[fits], fits // options.size, options[fits % options.size])


def _undominated(total: FloatArray, used: IntArray) -> IntArray:
    """Indices of the states of least excess among those of equal use."""
    order = np.lexsort((total, *used.T))
    ranked = used[order]
    is_first = np.ones(order.size, dtype=bool)
    is_first[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    return np.asarray(order[is_first], dtype=np.int64)
