"""Laws of a total of GPUs that cells share by telling prices."""

from __future__ import annotations

import math

from hypothesis import given, strategies as st

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


def test_a_lowered_total_is_taken_from_the_cheapest_first() -> None:
    cells = [BudgetCell(40, 40, 5.0), BudgetCell(40, 40, 1.0), BudgetCell(20, 20, None)]
    assert exchange(70, cells) == [40, 10, 20]


def test_a_cell_without_any_gets_what_is_free_by_its_price() -> None:
    assert exchange(100, [BudgetCell(60, 60, 1.0), BudgetCell(0, 0, 9.0)]) == [65, 5]
    assert exchange(100, [BudgetCell(60, 60, None), BudgetCell(0, 0, 9.0)]) == [60, 5]
