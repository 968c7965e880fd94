"""Prices of pools whose plans would together risk more than one decision may.

Pools are planned apart, each by tables of its own loads. Where small uses add up each may risk next
to nothing while together they break the promise, and the carried price of risk rises by a few per
cent a decision. So a decision whose joint risk is above its limit is made at the least price that
keeps it, the same for all pools of the service: each is still given what it needs by itself,
whatever is believed of the others (docs/decisions/0141-what-pools-risk-together-has-a-limit.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from decider.planning.plan import Program, first_charge, first_of_plan
from decider.planning.pool_risk import PoolRisk
from decider.types import FloatArray

_N_BISECTIONS = 10


def prices_within(
    program: Program,
    services: Sequence[PoolRisk],
    paid: FloatArray,
    largest: FloatArray,
    limit: FloatArray,
) -> FloatArray:
    """(W,) prices, raised where the pools of a service would risk more than their limit.

    Where even the largest price does not keep it, they are to risk no more than the limit above
    what they would there: nobody pays any price for what it does not cure.

    Args:
        program: The planning problem.
        services: Joint risks of the services that have pools.
        paid: (W,) prices of risk.
        largest: (W,) largest prices that may be paid.
        limit: (W,) bounds on the risk of the first action; infinite where there is none.
    """
    prices = paid.copy()
    for one in services:
        rows = np.array(one.rows)
        if not np.isfinite(limit[rows]).all():
            continue
        risk_at = _joint_risk(program.rows(rows), one, limit[rows])
        prices[rows] = _raised(risk_at, paid[rows], largest[rows], float(limit[rows].min()))
    return prices


def _joint_risk(part: Program, one: PoolRisk, limit: FloatArray) -> Callable[[FloatArray], float]:
    """What the first counts of a service risk together, by the prices (P,) that are paid."""
    charge, rows = first_charge(part), np.arange(limit.size)

    def risk_at(prices: FloatArray) -> float:
        index = first_of_plan(part, prices, limit)
        return one.charge(charge[rows, index], part.grid.counts[rows, index])

    return risk_at


def _raised(
    risk_at: Callable[[FloatArray], float], paid: FloatArray, largest: FloatArray, limit: float
) -> FloatArray:
    """(P,) least prices from `paid` to `largest` that keep the limit, or what is nearest to it."""
    risk = risk_at(paid)
    if risk <= limit:
        return paid
    most = np.maximum(paid, largest)
    least = risk_at(most)
    target = limit if least <= limit else least + limit
    if risk <= target:
        return paid
    low, high = 0.0, 1.0
    for _ in range(_N_BISECTIONS):
        middle = 0.5 * (low + high)
        if risk_at(_between(paid, most, middle)) <= target:
            high = middle
        else:
            low = middle
    return _between(paid, most, high)


def _between(paid: FloatArray, most: FloatArray, share: float) -> FloatArray:
    """Prices that far from `paid` to `most`, by their logarithms."""
    return np.asarray(paid ** (1.0 - share) * most**share)
