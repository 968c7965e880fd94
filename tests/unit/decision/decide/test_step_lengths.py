"""Steps of another length than before: what was counted is counted once."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from services.decision.decide.step_lengths import (
    early_enough,
    to_step_lengths,
    to_step_since,
    uncounted,
    with_step_since,
)
from services.decision.rows.inputs import ShardRows
from tests.unit.decision.rows.measured_workloads import STEP_S, member

FIRST = datetime(2026, 1, 6, 12, tzinfo=UTC)


def test_steps_of_one_length_are_made_where_there_are_none() -> None:
    assert uncounted([0.0, 60.0, 120.0, 180.0], {60.0}, 60.0) == [0.0, 120.0, 180.0]


def test_steps_begin_where_the_last_of_the_length_before_ended() -> None:
    grid_s = [30.0 * i for i in range(8)]
    assert uncounted(grid_s, {0.0, 60.0}, 30.0, 120.0) == [120.0, 150.0, 180.0, 210.0]


def test_a_step_off_the_grid_leaves_no_time_to_two() -> None:
    """It was made for a forecast of before the change, of the length after it."""
    assert uncounted([0.0, 60.0, 120.0, 180.0], {90.0}, 60.0) == [0.0, 180.0]


@given(
    st.sets(st.integers(0, 40)),
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(0, 12),
    st.integers(0, 5),
)
def test_no_time_is_counted_twice(
    before: set[int], was_s: int, now_s: int, more: int, offset: int
) -> None:
    old = sorted({float(each * was_s) for each in before})
    since_s = old[-1] + was_s if old else -math.inf
    grid_s = [offset + float(now_s * i) for i in range(more)]
    made = uncounted(grid_s, set(old), float(now_s), since_s)
    spans = sorted([(at, at + was_s) for at in old] + [(at, at + now_s) for at in made])
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert uncounted(grid_s, {*old, *made}, float(now_s), since_s) == []


def test_the_memory_says_how_long_steps_were_and_since_when() -> None:
    states = {1: {"step_s": 60.0, "step_since_s": 120.0}, 2: {"step_s": 60.0}, 3: {}}
    assert to_step_lengths(states) == {1: 60.0, 2: 60.0}
    assert to_step_since(states) == {1: 120.0}


@pytest.mark.parametrize("step_s", [60.0, 900.0])
def test_a_change_is_known_from_the_last_step_of_before(step_s: float) -> None:
    members, rows = {1: member()}, ShardRows(counted_step_s={1: step_s})
    assert early_enough(members, rows, FIRST) == FIRST - timedelta(seconds=step_s)
    assert with_step_since(members, rows, {1: {0.0, 900.0}}).step_since_s == {1: 900.0 + step_s}
    assert with_step_since(members, rows, {1: set()}).step_since_s == {}, "there is none to cover"


@pytest.mark.parametrize("rows", [ShardRows(), ShardRows(counted_step_s={1: float(STEP_S)})])
def test_without_a_change_all_stays_as_it_is(rows: ShardRows) -> None:
    members = {1: member()}
    assert early_enough(members, rows, FIRST) == FIRST
    assert with_step_since(members, rows, {1: {0.0}}).step_since_s == {}
