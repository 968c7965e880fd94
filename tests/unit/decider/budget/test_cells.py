"""Laws of a total of GPUs that cells share by telling prices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider import PRICES as GRID
from decider.budget.cells import MARGIN, SMALL, STEP_SHARE, BudgetCell, exchange, first_parts

PRICES = st.one_of(
    st.none(), st.just(0.0), st.just(math.inf), st.floats(0.01, 1e5, allow_nan=False)
)
CELLS = st.lists(
    st.builds(BudgetCell, st.integers(0, 400), st.integers(0, 400), PRICES), min_size=1, max_size=6
)


@given(st.integers(0, 1000), CELLS)
def test_never_more_is_bound_than_the_total_or_than_before(
    total: int, cells: list[BudgetCell]
) -> None:
    parts = exchange(total, cells)
    assert all(part >= 0 for part in parts)
    before = sum(cell.bound for cell in cells)
    after = sum(max(part, cell.held) for part, cell in zip(parts, cells, strict=True))
    assert after <= max(total, before)
    if sum(cell.part for cell in cells) > total:
        assert sum(parts) == total


@given(st.integers(0, 1000), CELLS)
def test_an_unknown_price_moves_nothing(total: int, cells: list[BudgetCell]) -> None:
    parts = exchange(total, cells)
    if sum(cell.part for cell in cells) <= total:
        for part, cell in zip(parts, cells, strict=True):
            assert cell.price is not None or part == cell.part


@given(st.integers(0, 1000), CELLS)
def test_what_is_given_up_is_taken_at_a_later_exchange_only(
    total: int, cells: list[BudgetCell]
) -> None:
    parts = exchange(total, cells)
    free = max(0, total - sum(cell.bound for cell in cells))
    taken = sum(max(0, part - cell.part) for part, cell in zip(parts, cells, strict=True))
    assert taken <= free


@given(st.integers(1, 1000), st.integers(1, 6), st.floats(0.01, 1e5))
def test_equal_prices_leave_everything_where_it_is(total: int, n: int, price: float) -> None:
    parts = first_parts(total, [0] * n)
    assert sum(parts) == total
    assert exchange(total, [BudgetCell(part, part, price) for part in parts]) == parts


@given(st.integers(1, 1000), st.lists(st.integers(0, 400), min_size=1, max_size=6))
def test_first_parts_are_within_the_total_and_leave_what_runs(total: int, held: list[int]) -> None:
    parts = first_parts(total, held)
    assert sum(parts) <= total
    if sum(held) <= total:
        assert sum(parts) == total
        assert all(part >= each for part, each in zip(parts, held, strict=True))


def worth(scale: float, gpus: int) -> float:
    """What one GPU more is worth to a cell that has some: less and less."""
    return scale / (1 + gpus)


@given(st.integers(20, 400), st.lists(st.floats(1.0, 1000.0), min_size=2, max_size=5))
def test_prices_come_together(total: int, scales: list[float]) -> None:
    parts = first_parts(total, [0] * len(scales))
    for _ in range(400):  # each holds what it may at the next exchange
        cells = [BudgetCell(p, p, worth(s, p)) for p, s in zip(parts, scales, strict=True)]
        parts = exchange(total, cells)
        assert sum(parts) <= total
    prices = [worth(s, p) for p, s in zip(parts, scales, strict=True)]
    for part, price in zip(parts, prices, strict=True):
        given = min(max(1, math.floor(total * STEP_SHARE)), max(1, part // SMALL))
        # nobody would still give: what is left to it would then be worth more than to the dearest
        assert part <= 1 or max(prices) * (part - given) < MARGIN * price * part


@given(st.integers(20, 400), st.lists(st.floats(1.0, 1000.0), min_size=2, max_size=5))
def test_nothing_goes_back_and_forth(total: int, scales: list[float]) -> None:
    parts = first_parts(total, [0] * len(scales))
    seen = []
    for _ in range(400):
        cells = [BudgetCell(p, p, worth(s, p)) for p, s in zip(parts, scales, strict=True)]
        parts = exchange(total, cells)
        seen.append(parts)
    assert seen[-1] == seen[-2]


def told(scale: float, gpus: int) -> float:
    """The same as a cell tells it: the least price of the grid at which no more is taken."""
    return float(GRID[np.searchsorted(GRID, worth(scale, gpus))])


@given(st.integers(20, 400), st.lists(st.sampled_from([1.0, 1.05, 30.0, 800.0]), min_size=2,
                                      max_size=5))  # fmt: skip
def test_prices_that_tie_send_nothing_back_and_forth(total: int, scales: list[float]) -> None:
    parts = first_parts(total, [0] * len(scales))
    seen = []
    for _ in range(400):
        cells = [BudgetCell(p, p, told(s, p)) for p, s in zip(parts, scales, strict=True)]
        parts = exchange(total, cells)
        seen.append(parts)
    assert seen[-1] == seen[-2]


def steep(most: int, gpus: int) -> float:
    """Price told by a cell that would use so many: ten GPUs fewer of fifty are worth four times."""
    if gpus >= most:
        return 0.0
    return float(GRID[np.searchsorted(GRID, 1000.0 ** (1.0 - gpus / most))])


@pytest.mark.parametrize(
    ("most", "parts"),
    [
        (50, [28, 29]),
        (88, [22, 23, 24, 27]),
        (58, [46, 52, 49]),
        (60, [41, 44, 47]),
        (69, [44, 40, 45]),
        (91, [76, 84]),
        (84, [60, 66, 69, 61]),
    ],
)
def test_equals_of_which_each_gpu_counts_come_to_rest(most: int, parts: list[int]) -> None:
    """What one gives up, since it is the cheapest, makes it the dearest: it took all of it back."""
    n, total = len(parts), sum(parts) + (-sum(parts)) % len(parts)
    seen = []
    for _ in range(100):
        parts = exchange(total, [BudgetCell(p, p, steep(most, p)) for p in parts])
        seen.append(parts)
    assert seen[-1] == seen[-2]
    assert sum(parts) == total
    assert max(parts) - min(parts) <= max(2, total // n // 8)


def test_what_is_free_is_split_among_equals() -> None:
    assert exchange(60, [BudgetCell(28, 28, 21.5), BudgetCell(28, 28, 21.5)]) == [30, 30]
    assert exchange(60, [BudgetCell(28, 28, 21.5), BudgetCell(29, 29, 21.5)]) == [29, 31]
    assert exchange(60, [BudgetCell(20, 20, 9.0), BudgetCell(37, 37, 21.5)]) == [20, 40]
    assert exchange(20, [BudgetCell(4, 4, math.inf), BudgetCell(15, 15, 9.0)]) == [5, 15]


def test_of_a_lowered_total_each_gives_the_more_the_less_a_gpu_is_worth_to_it() -> None:
    """40 at 1 USD are guessed to be worth 4 USD where ten are left."""
    cells = [BudgetCell(40, 40, 5.0), BudgetCell(40, 40, 1.0), BudgetCell(20, 20, None)]
    assert exchange(70, cells) == [40, 10, 20]
    assert exchange(50, cells) == [25, 5, 20]
    assert exchange(15, cells) == [0, 0, 15], "who told no price gives last"


def test_a_lowered_total_is_taken_from_no_cell_alone_where_all_are_equal() -> None:
    """Both use all that they have, and would take no more: a price of zero."""
    assert exchange(60, [BudgetCell(50, 50, 0.0), BudgetCell(50, 50, 0.0)]) == [30, 30]
    assert exchange(60, [BudgetCell(80, 80, 2.0), BudgetCell(40, 40, 2.0)]) == [40, 20]
    assert exchange(60, [BudgetCell(50, 50, 0.0), BudgetCell(50, 50, 2.0)]) == [30, 30]


def test_of_a_lowered_total_what_nobody_uses_goes_first() -> None:
    assert exchange(80, [BudgetCell(50, 20, 0.0), BudgetCell(50, 50, 2.0)]) == [30, 50]
    assert exchange(60, [BudgetCell(50, 20, 0.0), BudgetCell(50, 50, 2.0)]) == [17, 43]


@given(st.integers(2, 300), st.lists(st.floats(1.0, 100.0), min_size=2, max_size=5))
def test_after_a_total_was_lowered_prices_are_equal(total: int, scales: list[float]) -> None:
    """Where a GPU is worth the more the fewer there are, in proportion, one exchange is enough."""
    parts = [int(60 * scale) for scale in scales]
    if sum(parts) <= total:
        return
    cells = [BudgetCell(p, p, s / p) for p, s in zip(parts, scales, strict=True)]
    now = exchange(total, cells)
    assert sum(now) == total
    for part, before, scale in zip(now, parts, scales, strict=True):
        assert part <= before
        fair = total * scale / sum(scales)
        assert abs(part - fair) <= 1 or part == before


def test_a_cell_without_any_gets_what_is_free_by_its_price() -> None:
    assert exchange(100, [BudgetCell(60, 60, 1.0), BudgetCell(0, 0, 9.0)]) == [65, 5]
    assert exchange(100, [BudgetCell(60, 60, None), BudgetCell(0, 0, 9.0)]) == [60, 5]
