"""How likely a start finds a GPU that is free."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from decider import InvalidRequest, placed_share

PLACES = st.integers(0, 12)
SIZES = st.lists(st.integers(1, 6), max_size=6)
OTHERS = st.floats(0.0, 20.0)


@given(PLACES, PLACES, SIZES, OTHERS, OTHERS)
def test_more_places_and_fewer_others_never_lower_it(
    one: int, other: int, sizes: list[int], few: float, many: float
) -> None:
    less, more = sorted((one, other))
    few, many = sorted((few, many))
    found = placed_share(sizes, less, many)
    assert 0.0 <= found <= 1.0
    assert found <= placed_share(sizes, more, many) + 1e-12
    assert found <= placed_share(sizes, less, few) + 1e-12


@given(PLACES, st.integers(1, 6), st.integers(1, 4), OTHERS)
def test_of_a_larger_decision_no_larger_share_finds_one(
    places: int, size: int, more: int, others: float
) -> None:
    larger = placed_share([size + more], places, others)
    assert larger <= placed_share([size], places, others) + 1e-12


@given(PLACES, SIZES)
def test_alone_the_first_find_what_is_free(places: int, sizes: list[int]) -> None:
    wanted = sizes or [1]
    expected = sum(min(size, places) for size in wanted) / sum(wanted)
    assert placed_share(sizes, places, 0.0) == pytest.approx(expected)


@pytest.mark.parametrize("others", [0.5, 2.0, 6.0])
def test_it_is_what_happens_where_others_come_in_any_order(others: float) -> None:
    """Decisions of one or three starts; others' starts fall before or after as a coin says."""
    rng = np.random.default_rng(3)
    placed = total = 0
    for size in rng.choice([1, 3], size=40_000):
        left = max(0, 4 - rng.binomial(rng.poisson(others), 0.5))
        placed += min(int(size), left)
        total += int(size)
    assert placed_share([1, 3], 4, others) == pytest.approx(placed / total, abs=0.01)


def test_without_a_place_none_is_found() -> None:
    assert placed_share([2], 0, 0.0) == placed_share([2], -3, 1.0) == 0.0
    with pytest.raises(InvalidRequest, match=r"sizes=\[0\]"):
        placed_share([0], 1, 0.0)
