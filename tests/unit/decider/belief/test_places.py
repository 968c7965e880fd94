"""How likely a start finds a GPU that is free."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from decider import InvalidRequest, placed_share

PLACES = st.integers(0, 12)
SIZES = st.lists(st.integers(1, 6), max_size=6)


@given(PLACES, PLACES, SIZES)
def test_more_places_never_lower_it(one: int, other: int, sizes: list[int]) -> None:
    less, more = sorted((one, other))
    assert 0.0 <= placed_share(sizes, less) <= placed_share(sizes, more) <= 1.0


@given(PLACES, st.integers(1, 6), st.integers(1, 4))
def test_of_a_larger_decision_no_larger_share_finds_one(places: int, size: int, more: int) -> None:
    assert placed_share([size + more], places) <= placed_share([size], places)


@given(PLACES, SIZES)
def test_it_is_the_share_of_starts_whose_place_in_their_decision_is_free(
    places: int, sizes: list[int]
) -> None:
    positions = [at for size in sizes or [1] for at in range(size)]
    placed = sum(at < places for at in positions)
    assert placed_share(sizes, places) == pytest.approx(placed / len(positions))


def test_without_a_place_none_is_found() -> None:
    assert placed_share([2], 0) == placed_share([2], -3) == 0.0
    with pytest.raises(InvalidRequest, match=r"sizes=\[0\]"):
        placed_share([0], 1)
