"""Limits, rates and the budget, held against what was seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.lab.bench.faults.bounds import changes, check_bounds
from services.lab.bench.faults.fleet import BUDGETED, FaultFleet, RiseLimit, make_fleet
from tests.unit.lab.bench.faults.seen_scales import seen

FLEET = make_fleet(6)
FREE = next(one for one in FLEET.members if one.gpu_type != BUDGETED)
LIMITED = replace(FREE, rate=RiseLimit(1, 60))
ONE = FaultFleet((LIMITED,), budget_gpus=4)


def test_what_is_allowed_is_no_violation() -> None:
    moves = seen(LIMITED.key, (0, 1), (10, 2), (80, 3), (150, 4), (160, 1))
    assert check_bounds(ONE, moves, 2.0) == []


@pytest.mark.parametrize(
    ("replicas", "said"), [(0, "zero unasked"), (7, "outside 1 to 6"), (99, "outside 1 to 6")]
)
def test_replicas_outside_their_limits_are_found(replicas: int, said: str) -> None:
    (found,) = check_bounds(FLEET, seen(FREE.key, (0, replicas)), 0.0)
    assert found.invariant == "out_of_bounds"
    assert said in found.text
    assert FREE.key in found.text


def test_a_rise_too_soon_is_found() -> None:
    (found,) = check_bounds(ONE, seen(LIMITED.key, (0, 1), (10, 2), (60, 3)), 2.0)
    assert "1 to 3 within about 60 s; allowed are 1" in found.text


def test_a_rise_after_a_fall_comes_back_to_where_the_period_began() -> None:
    moves = seen(LIMITED.key, (0, 4), (10, 2), (20, 4), (30, 5))
    assert check_bounds(ONE, moves, 2.0) == []
    (found,) = check_bounds(ONE, [*moves, *seen(LIMITED.key, (40, 6))], 2.0)
    assert "4 to 6" in found.text


def test_a_fall_counts_where_the_period_may_have_begun_before_it() -> None:
    moves = seen(LIMITED.key, (0, 4), (10, 1), (72, 4))
    assert len(check_bounds(ONE, moves, 1.0)) == 1
    assert check_bounds(ONE, moves, 7.0) == []


def test_the_tolerance_is_what_a_clock_may_be_wrong_by() -> None:
    moves = seen(LIMITED.key, (0, 1), (10, 2), (65, 3))
    assert len(check_bounds(ONE, moves, 2.0)) == 1
    assert check_bounds(ONE, moves, 7.0) == []


def test_each_time_that_the_budget_is_overrun_is_found_once() -> None:
    fleet = replace(FLEET, budget_gpus=5)
    one, other = [member.key for member in FLEET.budgeted()][:2]
    start = [*seen(one, (0, 2)), *seen(other, (0, 2))]
    over = [*seen(one, (1, 4)), *seen(other, (2, 3)), *seen(one, (3, 2))]
    again = seen(other, (4, 4))
    found = check_bounds(fleet, [*start, *over, *again], 0.0)
    assert ["6 GPUs of 5" in one.text for one in found] == [True, True]


def test_pods_that_are_still_there_hold_their_gpus() -> None:
    fleet = replace(FLEET, budget_gpus=4)
    one, other = [member.key for member in FLEET.budgeted()][:2]
    moves = [*seen(one, (0, 3)), *seen(other, (0, 1)), *seen(one, (1, 1), pods=3)]
    assert check_bounds(fleet, moves, 0.0) == []
    assert len(check_bounds(fleet, [*moves, *seen(other, (2, 2))], 0.0)) == 1


def test_what_stays_is_no_change() -> None:
    moves = changes(seen("a/b", (0, 2), (1, 2), (2, 3), (3, 3), (4, 1)))
    assert [(one.before, one.after) for one in moves] == [(2, 3), (3, 1)]
