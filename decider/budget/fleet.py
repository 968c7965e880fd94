"""Many workloads, one GPU budget per type: shadow prices and an integral repair.

Each workload has a loss by count (its SLA risk and shortage, weighted by its class). For a price
`mu` per GPU every workload takes the count with the least `loss + mu * gpus * count`; `mu` is
bisected until the budget holds, what integrality leaves over goes, replica by replica, where it
averts most loss per GPU, and a bounded search (`decider.budget.choice`) exchanges what that missed.
Minimum replicas come first. Shapes: W workloads, K candidates, Q prices.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from decider.budget.choice import Choices, improve
from decider.types import FloatArray, IntArray

N_BISECTIONS = 60
PRICES: FloatArray = np.concatenate([[0.0], np.logspace(-2, 5, 85)])
"""(Q,) prices in USD per GPU-hour at which workloads say what they would take; the last one is
beyond every loss that can be met."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Workloads that share one GPU type.

    Attributes:
        loss: (W, K) loss of count `low + i`; it must not rise with i.
        low: (W,) least count that may be given.
        wanted: (W,) count asked for, `low <= wanted < low + K`.
        gpus: (W,) GPUs per replica.
    """

    loss: FloatArray
    low: IntArray
    wanted: IntArray
    gpus: IntArray


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
    if int((claims.wanted * claims.gpus).sum()) <= budget_gpus:
        return Allocation(claims.wanted.copy(), 0.0, True)
    if int((claims.low * claims.gpus).sum()) > budget_gpus:
        return Allocation(claims.low.copy(), float("inf"), False)
    low, high = 0.0, _highest_price(claims)
    for _ in range(N_BISECTIONS):
        middle = 0.5 * (low + high)
        used = int((_taken(claims, middle) * claims.gpus).sum())
        low, high = (low, middle) if used <= budget_gpus else (middle, high)
    granted = _repair(claims, _taken(claims, high), budget_gpus)
    granted = _repair(claims, _exchange(claims, granted, high, budget_gpus), budget_gpus)
    return Allocation(granted, high, True)


def demand_at(claims: Claims, prices: FloatArray) -> IntArray:
    """(W, Q) counts taken at prices (Q,) per GPU; the least at the highest price.

    What a workload would take at every price is all that the rest of the fleet must know of it.
    """
    counts = np.stack([_taken(claims, float(price)) for price in prices[:-1]], axis=1)
    return np.concatenate([counts, claims.low[:, None]], axis=1)


def _highest_price(claims: Claims) -> float:
    """A price at which everyone takes the least."""
    return float((claims.loss[:, 0] - claims.loss.min(axis=1)).max() + 1.0)


def _taken(claims: Claims, price: float) -> IntArray:
    """(W,) counts taken at a price per GPU; among equals the smaller."""
    cost = _open_loss(claims) + price * claims.gpus[:, None] * np.arange(claims.loss.shape[1])
    return np.asarray(claims.low + np.argmin(cost, axis=1), dtype=np.int64)


def _open_loss(claims: Claims) -> FloatArray:
    """(W, K) losses; infinite beyond the count asked for."""
    counts = claims.low[:, None] + np.arange(claims.loss.shape[1])
    return np.where(counts <= claims.wanted[:, None], claims.loss, np.inf)


def _exchange(claims: Claims, granted: IntArray, price: float, budget_gpus: int) -> IntArray:
    """Move replicas between workloads where that averts more loss."""
    offset = np.arange(claims.loss.shape[1])
    problem = Choices(
        _open_loss(claims),
        (claims.gpus[:, None] * offset)[:, :, None],
        np.array([budget_gpus - int((claims.low * claims.gpus).sum())]),
    )
    return claims.low + improve(problem, np.array([price]), granted - claims.low)


def _best_step(claims: Claims, row: int, at: int, room: int) -> tuple[float, int]:
    """Most loss averted per GPU by adding 1.. replicas to `row`, and how many."""
    most = min(int(claims.wanted[row]) - at, room // int(claims.gpus[row]))
    if most <= 0:
        return 0.0, 0
    first = at - int(claims.low[row])
    averted = claims.loss[row, first] - claims.loss[row, first + 1 : first + most + 1]
    rate = averted / (claims.gpus[row] * np.arange(1, most + 1))
    best = int(np.argmax(rate))
    return float(rate[best]), best + 1


def _repair(claims: Claims, taken: IntArray, budget_gpus: int) -> IntArray:
    """Hand out what integrality left over, best first."""
    granted = taken.copy()
    room = budget_gpus - int((granted * claims.gpus).sum())
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
