"""Many workloads, one GPU budget per type: shadow prices and an integral repair.

Each workload has a loss by count (its SLA risk and shortage, weighted by its class). For a price
`mu` per GPU every workload takes the count with the least `loss + mu * gpus * count`; `mu` is
bisected until the budget holds, what integrality leaves over goes, replica by replica, where it
averts most loss per GPU, and a bounded search (`decider.budget.choice`) exchanges what that missed.
Minimum replicas come first.

Workloads whose ranges are about as wide share a table: one that asks for thousands of replicas
makes no other's work larger. Shapes: W workloads, K counts, Q prices.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decider.budget.choice import Choices, improve
from decider.types import FloatArray, IntArray

N_BISECTIONS = 60
PRICES: FloatArray = np.concatenate([[0.0], np.logspace(-2, 5, 85)])
"""(Q,) prices in USD per GPU-hour at which workloads say what they would take; the last one is
beyond every loss that can be met."""
_ROUNDING = 1e-6
"""Share that a sum may be off by: a count more is looked at than need be, none less."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Workloads that share one GPU type.

    Attributes:
        loss: W losses, each by count from `low` to `wanted`; it must not rise.
        low: (W,) least count that may be given.
        wanted: (W,) count asked for, `low <= wanted`.
        gpus: (W,) GPUs per replica.
    """

    loss: tuple[FloatArray, ...]
    low: IntArray
    wanted: IntArray
    gpus: IntArray

    def held(self, counts: IntArray) -> int:
        """GPUs of counts (W,)."""
        return int((counts * self.gpus).sum())


@dataclass(frozen=True, slots=True, eq=False)
class LossTable:
    """Losses of the workloads whose ranges are about as wide: N of them.

    Attributes:
        rows: (N,) their rows.
        loss: (N, K) losses; infinite beyond the count asked for.
        use: (N, K) GPUs beyond those of the least count.
    """

    rows: IntArray
    loss: FloatArray
    use: IntArray

    @classmethod
    def of(cls, claims: Claims, rows: IntArray) -> LossTable:
        """The table of some workloads, as wide as the widest of them."""
        size = max(claims.loss[row].size for row in rows)
        loss = np.full((rows.size, size), np.inf)
        for table, row in zip(loss, rows, strict=True):
            table[: claims.loss[row].size] = claims.loss[row]
        return cls(rows, loss, claims.gpus[rows][:, None] * np.arange(size))

    def priced(self, price: float) -> FloatArray:
        """(N, K) losses with what the GPUs cost."""
        return np.asarray(self.loss + price * self.use)


def loss_tables(claims: Claims) -> tuple[LossTable, ...]:
    """Tables of all workloads, each less than twice as wide as any of its own ranges."""
    width = np.array([one.size.bit_length() for one in claims.loss], dtype=np.int64)
    return tuple(LossTable.of(claims, np.flatnonzero(width == one)) for one in np.unique(width))


@dataclass(frozen=True, slots=True)
class Allocation:
    """Counts that a budget allows.

    Attributes:
        granted: (W,) counts, `low <= granted <= wanted`.
        shadow_price: Loss averted by one more GPU; 0 when the budget does not bind.
        is_feasible: The least counts alone fit the budget.
    """

    granted: IntArray
    shadow_price: float
    is_feasible: bool


def allocate(claims: Claims, budget_gpus: int) -> Allocation:
    """Share a budget.

    Args:
        claims: What is asked for.
        budget_gpus: GPUs that may be used together.

    Returns:
        The counts. They keep the budget unless the least counts alone exceed it: then everyone
        has the least, and the allocation says so.
    """
    if claims.held(claims.wanted) <= budget_gpus:
        return Allocation(claims.wanted.copy(), 0.0, True)
    if claims.held(claims.low) > budget_gpus:
        return Allocation(claims.low.copy(), float("inf"), False)
    tables = loss_tables(claims)
    low, high = 0.0, _highest_price(claims)
    for _ in range(N_BISECTIONS):
        middle = 0.5 * (low + high)
        used = claims.held(_taken(claims, tables, middle))
        low, high = (low, middle) if used <= budget_gpus else (middle, high)
    granted = _repair(claims, _taken(claims, tables, high), budget_gpus)
    granted = _repair(claims, _exchange(claims, tables, granted, high, budget_gpus), budget_gpus)
    return Allocation(granted, high, True)


def demand_at(claims: Claims, prices: FloatArray) -> IntArray:
    """(W, Q) counts taken at prices (Q,) per GPU; the least at the highest price.

    What a workload would take at every price is all that the rest of the fleet must know of it.
    """
    tables = loss_tables(claims)
    counts = np.stack([_taken(claims, tables, float(price)) for price in prices[:-1]], axis=1)
    return np.concatenate([counts, claims.low[:, None]], axis=1)


def _highest_price(claims: Claims) -> float:
    """A price at which everyone takes the least."""
    return float(max(one[0] - one.min() for one in claims.loss) + 1.0)


def _taken(claims: Claims, tables: Sequence[LossTable], price: float) -> IntArray:
    """(W,) counts taken at a price per GPU; among equals the smaller."""
    counts = claims.low.copy()
    for one in tables:
        counts[one.rows] += np.argmin(one.priced(price), axis=1)
    return counts


def _exchange(
    claims: Claims,
    tables: Sequence[LossTable],
    granted: IntArray,
    price: float,
    budget_gpus: int,
) -> IntArray:
    """Move replicas between workloads where that averts more loss."""
    start = granted - claims.low
    options = _worth_a_look(claims, tables, start, price, budget_gpus)
    size = max(one.size for one in options)
    cost, offset = np.full((start.size, size), np.inf), np.zeros((start.size, size), dtype=np.int64)
    for row, one in enumerate(options):
        cost[row, : one.size], offset[row, : one.size] = claims.loss[row][one], one
    problem = Choices(
        cost,
        (claims.gpus[:, None] * offset)[:, :, None],
        np.array([budget_gpus - claims.held(claims.low)]),
    )
    at = np.array([np.searchsorted(one, n) for one, n in zip(options, start, strict=True)])
    chosen = improve(problem, np.array([price]), at)
    return claims.low + offset[np.arange(start.size), chosen]


def _worth_a_look(
    claims: Claims,
    tables: Sequence[LossTable],
    start: IntArray,
    price: float,
    budget_gpus: int,
) -> list[IntArray]:
    """By workload, offsets of the counts that a better choice than `start` can hold.

    What lies farther above the least priced loss than `start` does altogether is in none
    (`decider.budget.choice`).
    """
    excess = []
    for one in tables:
        priced = one.priced(price)
        excess.append(priced - priced.min(axis=1, keepdims=True))
    slack = budget_gpus - claims.held(claims.low + start)
    parts = zip(excess, tables, strict=True)
    gap = sum(float(e[np.arange(t.rows.size), start[t.rows]].sum()) for e, t in parts)
    limit = (gap + price * slack) * (1.0 + _ROUNDING)
    options: list[IntArray] = [np.zeros(0, dtype=np.int64)] * start.size
    for of_table, one in zip(excess, tables, strict=True):
        is_open = (of_table <= limit) | (of_table == 0)
        is_open[np.arange(one.rows.size), start[one.rows]] = True
        for row, mine in zip(one.rows, is_open, strict=True):
            options[row] = np.flatnonzero(mine)
    return options


def _best_step(claims: Claims, row: int, at: int, room: int) -> tuple[float, int]:
    """Most loss averted per GPU by adding 1.. replicas to `row`, and how many."""
    most = min(int(claims.wanted[row]) - at, room // int(claims.gpus[row]))
    if most <= 0:
        return 0.0, 0
    first = at - int(claims.low[row])
    loss = claims.loss[row]
    averted = loss[first] - loss[first + 1 : first + most + 1]
    rate = averted / (claims.gpus[row] * np.arange(1, most + 1))
    best = int(np.argmax(rate))
    return float(rate[best]), best + 1


def _repair(claims: Claims, taken: IntArray, budget_gpus: int) -> IntArray:
    """Hand out what integrality left over, best first."""
    granted = taken.copy()
    room = budget_gpus - claims.held(granted)
    queue: list[tuple[float, int, int]] = []
    for row in range(granted.size):
        rate, n = _best_step(claims, row, int(granted[row]), room)
        if n:
            heapq.heappush(queue, (-rate, row, n))
    while queue and room > 0:
        _, row, n = heapq.heappop(queue)
        fresh_rate, fresh_n = _best_step(claims, row, int(granted[row]), room)
        if fresh_n == 0:
            continue
        if fresh_n != n:  # it no longer fits as it was queued: queue what does
            heapq.heappush(queue, (-fresh_rate, row, fresh_n))
            continue
        granted[row] += n
        room -= n * int(claims.gpus[row])
        rate, n = _best_step(claims, row, int(granted[row]), room)
        if n:
            heapq.heappush(queue, (-rate, row, n))
    return granted
