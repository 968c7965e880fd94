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
    excess = sum(parts) - total
    if excess > 0:  # the total was lowered: the cheapest give first, whatever they hold
        for i in _cheapest(cells):
            given = min(parts[i], excess)
            parts[i] -= given
            excess -= given
        return parts
    free = total - sum(cell.bound for cell in cells)
    if free < step:
        _give_up(cells, parts, step)
    for i in reversed(_cheapest(cells)):
        price = cells[i].price
        if free <= 0 or price is None or price <= 0:
            continue
        taken = min(free, _most(max(parts[i], free), step))
        parts[i] += taken
        free -= taken
    return parts


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
