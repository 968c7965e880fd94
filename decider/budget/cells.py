"""A total of GPUs over cells that tell each other prices alone.

Each cell has a part of the total, within which it decides for itself, and says what one GPU more
would be worth to it: its price. Parts move toward the higher price. What one cell gives up is
another's only once nobody holds it any longer: first the decrease, then, at a later exchange, the
increase. So what cells hold and may take together is never beyond the total on the way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

STEP_SHARE = 0.05
"""Share of the total that changes hands in one exchange at most."""
SMALL = 4
"""A part changes by at most one of so many of its GPUs at once, but by one at least."""
MARGIN = 1.25
"""A price must be so many times another for a cell that uses its GPUs to give some up: prices come
in steps, and nothing is to go back and forth."""

STEEPNESS = 7.0
"""Power of its part by which a price falls at most: of a GPU that hardly helps the next one helps
less by so much."""


@dataclass(frozen=True, slots=True)
class BudgetCell:
    """What a cell tells.

    Attributes:
        part: GPUs that it may hold now; 0: it has none of the total yet.
        held: GPUs that its workloads run or were granted.
        price: USD per hour that one GPU more would be worth to it; 0: it has enough; infinite: what
            nobody may take away exceeds its part; None: not known, so nothing moves for it.
    """

    part: int
    held: int
    price: float | None

    @property
    def bound(self) -> int:
        """GPUs that nobody else may take now."""
        return max(self.part, self.held)


def exchange(total: int, cells: Sequence[BudgetCell]) -> list[int]:
    """The parts after one exchange.

    Args:
        total: GPUs that the cells may hold together.
        cells: Any number of them.

    Returns:
        A part for each; with those, no more than before is bound where more than the total was,
        and no more than the total where it was not.
    """
    parts = [cell.part for cell in cells]
    step = max(1, math.floor(total * STEP_SHARE))
    if sum(parts) > total:
        return _lowered(cells, total)
    free = total - sum(cell.bound for cell in cells)
    if free < step:
        _give_up(cells, parts, step)
    _shared_out(cells, parts, free, step)
    return parts


def _shared_out(cells: Sequence[BudgetCell], parts: list[int], free: int, step: int) -> None:
    """Give what is free, each time to the cell to which a GPU more is worth most by then.

    What one of them has more is worth the less to it, at a guess with `STEEPNESS`. So equals share
    what is free, and who gave too much does not take all of it back, for ever. Among equals the one
    with the smallest part comes first.
    """
    prices = {i: cell.price for i, cell in enumerate(cells) if cell.price}
    first = {i: parts[i] for i in prices}
    most = {i: _most(max(parts[i], free), step) for i in prices}

    def order(i: int) -> tuple[float, int, int]:
        worth = prices[i] * ((first[i] + 1) / (parts[i] + 1)) ** STEEPNESS
        return (-worth, parts[i], i)

    for _ in range(max(0, free)):
        waiting = [i for i in prices if parts[i] < first[i] + most[i]]
        if not waiting:
            return
        parts[min(waiting, key=order)] += 1


def _lowered(cells: Sequence[BudgetCell], total: int) -> list[int]:
    """Parts within a total that was lowered below them.

    First goes what cells that have enough do not use. Then each gives as much as makes all prices
    equal, at the guess that what is left to a cell is worth more in proportion. A price of zero
    says nothing of what is used: it counts as the lowest of the others. Who is at its minimum, or
    has not told a price, gives last.
    """
    parts = [cell.part for cell in cells]
    unused = [max(0, cell.part - cell.held) if cell.price == 0 else 0 for cell in cells]
    for i, given in enumerate(_split(min(sum(unused), sum(parts) - total), unused, unused)):
        parts[i] -= given
    known = [cell.price for cell in cells if cell.price and cell.price < math.inf]
    lowest = min(known, default=1.0)
    weights = [
        0.0 if cell.price is None or cell.price == math.inf else (cell.price or lowest) * part
        for cell, part in zip(cells, parts, strict=True)
    ]
    kept = sum(part for part, weight in zip(parts, weights, strict=True) if not weight)
    rest = _split(max(0, total - kept), weights, parts)
    if kept <= total:
        return [new if w else old for new, old, w in zip(rest, parts, weights, strict=True)]
    last = [0 if weight else part for part, weight in zip(parts, weights, strict=True)]
    return _split(total, last, last)


def _split(amount: int, weights: Sequence[float], most: Sequence[int]) -> list[int]:
    """Whole shares of an amount in proportion to weights, each of at most so many.

    What bounds leave over goes to the others; what is left of a whole to the largest fractions.
    """
    shares = [0] * len(weights)
    is_open = [weight > 0 for weight in weights]
    while True:
        left = amount - sum(shares)
        scale = sum(weight for weight, ok in zip(weights, is_open, strict=True) if ok)
        exact = {i: left * weights[i] / scale for i, ok in enumerate(is_open) if ok}
        over = [i for i, value in exact.items() if value >= most[i]]
        if not over:
            break
        for i in over:
            shares[i], is_open[i] = most[i], False
    for i, value in exact.items():
        shares[i] = math.floor(value)
    by_rest = sorted(exact, key=lambda i: (math.floor(exact[i]) - exact[i], i))
    for i in by_rest[: amount - sum(shares)]:
        shares[i] += 1
    return shares


def _cheapest(cells: Sequence[BudgetCell]) -> list[int]:
    """Cells by price; of equals the one with most to spare first; those without a price last."""

    def order(i: int) -> tuple[float, int, int]:
        cell = cells[i]
        return (math.inf if cell.price is None else cell.price, cell.held - cell.part, i)

    return sorted(range(len(cells)), key=order)


def _give_up(cells: Sequence[BudgetCell], parts: list[int], step: int) -> None:
    """Lower the part of the cheapest cell that may give, for the dearest to have later."""
    prices = {i: price for i in _cheapest(cells) if (price := cells[i].price) is not None}
    if not prices:
        return
    *others, dearest = prices
    high = prices[dearest]
    for i in others if high > 0 else ():
        given = _given(cells[i], prices[i], high, step)
        if given:
            parts[i] -= given
            return


def _given(cell: BudgetCell, price: float, high: float, step: int) -> int:
    """GPUs that a cell gives up for one to which they are worth `high`."""
    if price <= 0:  # what it does not use, and then what is worth nothing to it
        return min(step, cell.part, max(cell.part - cell.held, 1))
    most = _most(cell.part, step)
    # what is left is worth more by then, at a guess in proportion: the last GPU all there is
    is_better = high * (cell.part - most) >= MARGIN * price * cell.part
    return most if price < high and cell.part > most and is_better else 0


def _most(part: int, step: int) -> int:
    """GPUs by which a part may change at once: of a small one few.

    A price holds for one GPU more. For the first few GPUs of a cell it falls fast, so a whole step
    would turn the order of prices round, and come back at the next exchange, for ever.
    """
    return min(step, max(1, part // SMALL))


def first_parts(total: int, held: Sequence[int]) -> list[int]:
    """Parts of a total that is new: what each cell holds, and an even share of the rest."""
    n, used = len(held), sum(held)
    if n == 0:
        return []
    if used > total:
        return [total * each // used for each in held]
    rest, more = divmod(total - used, n)
    return [each + rest + (i < more) for i, each in enumerate(held)]
