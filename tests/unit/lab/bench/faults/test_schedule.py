"""Laws of the schedule."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, strategies as st

from services.lab.bench.faults.kinds import KINDS
from services.lab.bench.faults.schedule import PlannedFault, make_schedule

SEEDS = st.integers(0, 2**31)
NUMBERS = st.integers(1, 120)
LENGTHS = st.floats(10.0, 7200.0)


def overlapping(schedule: tuple[PlannedFault, ...]) -> list[PlannedFault]:
    return [
        one
        for one in schedule
        if any(one.overlaps(other) for other in schedule if other is not one)
    ]


@given(SEEDS, NUMBERS, LENGTHS)
def test_the_same_seed_gives_the_same_schedule(seed: int, n: int, length_s: float) -> None:
    assert make_schedule(seed, n, length_s) == make_schedule(seed, n, length_s)


@given(SEEDS, st.integers(len(KINDS), 2 * len(KINDS)), LENGTHS)
def test_an_upgrade_comes_before_all_else(seed: int, n: int, length_s: float) -> None:
    assert make_schedule(seed, n, length_s)[0].kind.act == "upgrade"


@given(SEEDS, NUMBERS, LENGTHS)
def test_there_are_as_many_as_asked_for_in_order_and_in_time(
    seed: int, n: int, length_s: float
) -> None:
    schedule = make_schedule(seed, n, length_s)
    assert len(schedule) == n
    assert all(one.at_s <= other.at_s for one, other in pairwise(schedule))
    assert all(0 <= one.at_s <= one.end_s <= length_s for one in schedule)
    assert all(one.duration_s <= one.kind.longest_s for one in schedule)


@given(SEEDS, NUMBERS, LENGTHS)
def test_half_of_them_overlap(seed: int, n: int, length_s: float) -> None:
    assert len(overlapping(make_schedule(seed, n, length_s))) == 2 * (n // 4)


@given(SEEDS, NUMBERS)
def test_no_kind_comes_again_before_all_had_their_turn(seed: int, n: int) -> None:
    kinds = [one.kind for one in make_schedule(seed, n, 900.0)]
    assert len(set(kinds)) == min(n, len(KINDS))


@given(st.lists(SEEDS, min_size=2, max_size=2, unique=True))
def test_another_seed_gives_another_schedule(seeds: list[int]) -> None:
    one, other = (make_schedule(seed, 40, 900.0) for seed in seeds)
    assert one != other
