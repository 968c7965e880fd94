"""One mix for each workload under budgets of GPUs: enough for all first, then at least cost.

Where the budgets allow every workload what its plan asks for, the mixes that do so at least cost
are taken: money never buys a broken promise. Where they do not, losses of SLA (weighted by class)
and the price of dearer GPUs are weighed against each other, by the shadow prices of
`decider.mix.knapsack`. What the least capacities take beyond the budget of one type is no reason to
take another type from anybody. Shapes: W claims, K mixes, T GPU types, Q prices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decider.budget.choice import Choices
from decider.budget.fleet import PRICES
from decider.mix.knapsack import choose_options
from decider.mix.options import MixOptions
from decider.types import BoolArray, FloatArray, IntArray

N_SEARCHED = 24
"""Workloads up to which the choice is searched for exchanges, and all mixes are looked at."""
_PRICES_PER_TYPE = (1, 86, 24, 10, 6, 4, 3, 2, 2)
"""Prices of each type, by the number of types, that find the extreme mixes of a large fleet."""


@dataclass(frozen=True, slots=True, eq=False)
class MixClaim:
    """Mixes that one workload may run, and their use of the budgets.

    Attributes:
        options: Its mixes.
        use: (K, T) GPUs of each type.
        held: (T,) GPUs that it holds.
    """

    options: MixOptions
    use: IntArray
    held: IntArray

    @property
    def cost(self) -> FloatArray:
        """(K,) cost of a mix where capacity may be given up."""
        return self.options.extra_usd_per_hour + self.options.loss_usd_per_hour


@dataclass(frozen=True, slots=True)
class JointChoice:
    """The mix chosen for every workload.

    Attributes:
        chosen: Index of each one's mix.
        prices: (T,) shadow prices in USD per GPU-hour.
        fits: (T,) the least capacities fit the budget of a type; if not, they have what they take
            of it, and nobody more.
    """

    chosen: tuple[int, ...]
    prices: FloatArray
    fits: tuple[bool, ...]

    @property
    def is_feasible(self) -> bool:
        """The least capacities fit all budgets."""
        return all(self.fits)


def choose_jointly(claims: Sequence[MixClaim], budgets: IntArray) -> JointChoice:
    """Choose one mix for each claim.

    Args:
        claims: W workloads; none is fine.
        budgets: (T,) GPUs that they may use together.
    """
    if not claims or budgets.size == 0:
        best = tuple(claim.options.best() for claim in claims)
        return JointChoice(best, np.zeros(budgets.size), (True,) * budgets.size)
    found = _within(claims, budgets)
    if found.is_met:
        return JointChoice(found.chosen, found.prices, (True,) * budgets.size)
    # The least comes first. What it takes beyond a budget makes no other type scarce: of each type
    # that is short everyone has the least, and the rest is shared out as ever.
    cheapest = tuple(_cheapest_least(claim, found.prices) for claim in claims)
    capacity = budgets
    for taken in (_least_use(claims), _use_of(claims, cheapest)):
        if (taken <= capacity).all():
            continue
        capacity = np.maximum(budgets, taken)
        found = _within(claims, capacity)
        if found.is_met:
            break
    chosen = found.chosen if found.is_met else cheapest
    return JointChoice(chosen, found.prices, tuple(bool(ok) for ok in capacity <= budgets))


@dataclass(frozen=True, slots=True)
class _Found:
    """Mixes within capacities, their prices (T,), and whether all have their least capacity."""

    chosen: tuple[int, ...]
    prices: FloatArray
    is_met: bool


def _within(claims: Sequence[MixClaim], capacity: IntArray) -> _Found:
    """Enough for all at least cost, or at least the least for all."""
    enough = [claim.options.is_enough for claim in claims]
    extra = [claim.options.extra_usd_per_hour for claim in claims]
    found = _solved(claims, extra, enough, capacity)
    if found.is_met:
        return found
    least = [claim.options.is_least for claim in claims]
    return _solved(claims, [claim.cost for claim in claims], least, capacity)


def _least_use(claims: Sequence[MixClaim]) -> IntArray:
    """(T,) GPUs of each type that the least capacities take whatever the other types give."""
    least = [claim.use[claim.options.is_least].min(axis=0) for claim in claims]
    return np.asarray(np.sum(least, axis=0), dtype=np.int64)


def _use_of(claims: Sequence[MixClaim], chosen: Sequence[int]) -> IntArray:
    """(T,) GPUs that mixes take."""
    used = [claim.use[at] for claim, at in zip(claims, chosen, strict=True)]
    return np.asarray(np.sum(used, axis=0), dtype=np.int64)


def _cheapest_least(claim: MixClaim, prices: FloatArray) -> int:
    options = claim.options
    priced = options.usd_per_hour + options.moves_usd_per_hour + claim.use @ prices
    more = np.maximum(claim.use - claim.held, 0).sum(axis=1)
    ranked = np.lexsort((np.round(priced, 9), more, ~options.is_least))
    return int(ranked[0])


def _solved(
    claims: Sequence[MixClaim],
    costs: Sequence[FloatArray],
    allowed: Sequence[BoolArray],
    budgets: IntArray,
) -> _Found:
    """A choice among the allowed mixes, the prices, and whether every mix is an allowed one.

    What is not allowed costs more than all that the others could save; the least of everything
    stays in the problem, so that there is always something that fits.
    """
    spread = sum(float(np.ptp(c[a])) for c, a in zip(costs, allowed, strict=True))
    penalty = 2.0 * spread + 1.0
    is_small = len(claims) <= N_SEARCHED
    kept, totals, uses = [], [], []
    for claim, cost, is_allowed in zip(claims, costs, allowed, strict=True):
        shifted = cost - cost[is_allowed].min()
        total = np.where(is_allowed, shifted, penalty)
        index = (_undominated if is_small else _extreme)(total, claim.use, is_allowed)
        kept.append(index)
        totals.append(total[index])
        uses.append(claim.use[index])
    chosen, prices, fits = choose_options(
        _padded(totals, uses, budgets), hopeless_usd=spread + 1e-6, is_searched=is_small
    )
    found = tuple(int(index[at]) for index, at in zip(kept, chosen, strict=True))
    is_met = all(bool(ok[at]) for ok, at in zip(allowed, found, strict=True))
    return _Found(found, prices, fits and is_met)


def _undominated(cost: FloatArray, use: IntArray, is_allowed: BoolArray) -> IntArray:
    """Mixes that no other one beats in cost and in every use; the least of everything is first."""
    order = [int(k) for k in np.argsort(cost, kind="stable") if is_allowed[k]]
    best: list[int] = []
    for k in order:
        if not best or not (use[best] <= use[k]).all(axis=1).any():
            best.append(k)
    return np.array([0, *(k for k in best if k != 0)], dtype=np.int64)


def _extreme(cost: FloatArray, use: IntArray, is_allowed: BoolArray) -> IntArray:
    """Mixes that are the best at some prices; the least of everything is first.

    In a large fleet hardly any workload has another one: what the prices leave over is shared out
    in what the extreme mixes of all of them differ by.
    """
    own = np.flatnonzero(np.ptp(use, axis=0))
    if own.size == 0:
        return np.unique([0, int(np.argmin(np.where(is_allowed, cost, np.inf)))])
    n = _PRICES_PER_TYPE[min(own.size, len(_PRICES_PER_TYPE) - 1)]
    steps = np.concatenate([[0.0], np.logspace(-2, 4, n - 1)]) if n > 1 else np.zeros(1)
    grid = np.array(np.meshgrid(*[steps] * own.size)).reshape(own.size, -1)
    priced = np.where(is_allowed, cost, np.inf)[:, None] + use[:, own].astype(float) @ grid
    best = np.unique(np.argmin(priced, axis=0))
    return np.array([0, *(int(k) for k in best if k != 0)], dtype=np.int64)


def _padded(costs: Sequence[FloatArray], uses: Sequence[IntArray], budgets: IntArray) -> Choices:
    """The problem of rows with different numbers of options; those added are not open."""
    size = max(own.size for own in costs)
    cost = np.full((len(costs), size), np.inf)
    use = np.zeros((len(costs), size, budgets.size), dtype=np.int64)
    for row, (own, taken) in enumerate(zip(costs, uses, strict=True)):
        cost[row, : own.size], use[row, : own.size] = own, taken
    return Choices(cost, use, budgets)


def demand_of(claim: MixClaim, prices: FloatArray, at: int) -> IntArray:
    """(Q,) GPUs of type `at` taken at `decider.budget.fleet.PRICES`, other types at `prices` (T,).

    At the highest price it is the least that any mix with the least capacity takes.
    """
    options = claim.options
    others = claim.use @ np.where(np.arange(prices.size) == at, 0.0, prices)
    cost = np.where(options.is_least, claim.cost + others, np.inf)
    use = claim.use[:, at]
    index = np.argmin(cost[:, None] + use[:, None] * PRICES, axis=0)
    demand = use[index]
    demand[-1] = use[options.is_least].min()
    return np.minimum.accumulate(demand)
