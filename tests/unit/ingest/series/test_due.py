"""When a step is due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.due import CursorRow, DueRange, DueRules, due_ranges
from services.ingest.series.samples import from_us

T0 = datetime(2026, 1, 5, tzinfo=UTC)
RULES = DueRules(grace_s=10, oldest_s=3600, max_rows=10_000)
INDICATORS = {"load_rps": IndicatorRef("load_rps", False, False, "")}


def row(until_s: float | None, newest_s: float | None) -> CursorRow:
    def at(offset_s: float | None) -> datetime | None:
        return None if offset_s is None else T0 + timedelta(seconds=offset_s)

    return CursorRow(WorkloadRef(1, "shop", "w", 0, 60, INDICATORS), at(until_s), at(newest_s))


def n_steps(ranges: Sequence[DueRange]) -> list[int]:
    return [(found.end_us - found.start_us) // 60_000_000 for found in ranges]


def due(found: CursorRow, now_s: float, rules: DueRules = RULES) -> tuple[float, float]:
    ((only,), _) = due_ranges([found], T0 + timedelta(seconds=now_s), rules)
    start, end = from_us(only.start_us) - T0, from_us(only.end_us) - T0
    return start.total_seconds(), end.total_seconds()


@pytest.mark.parametrize(
    ("until_s", "newest_s", "now_s", "expected"),
    [
        (0, 50, 59.9, (0, 0)),  # the step has not ended
        (0, 50, 60, (0, 60)),  # it has ended and there is a sample of it
        (0, 75, 61, (0, 60)),  # a sample of a later step will do
        (0, -5, 69, (0, 0)),  # nothing of it yet: wait
        (0, -5, 70, (0, 60)),  # until the grace is over
        (0, None, 70, (0, 60)),
        (60, 59, 65, (60, 60)),  # done already
        (0, 50, 185, (0, 120)),  # the last one still has its grace
        (None, None, 65, (0, 0)),  # a new workload without samples
        (None, None, 70, (0, 60)),
        (-7200, 50, 65, (-3540, 60)),  # raw samples from before are gone
    ],
)
def test_due(
    until_s: float | None, newest_s: float | None, now_s: float, expected: tuple[float, float]
) -> None:
    assert due(row(until_s, newest_s), now_s) == expected


def test_without_grace_a_complete_step_is_due_at_once() -> None:
    assert due(row(0, None), 60, DueRules(grace_s=0, oldest_s=3600, max_rows=10_000)) == (0, 60)


@pytest.mark.parametrize(
    ("newest_s", "now_s", "expected"),
    [
        (65, 89, (0, 0)),  # what was pushed beside does not close it
        (50, 90, (0, 60)),
        (-5, 99, (0, 0)),  # the grace comes after
        (-5, 100, (0, 60)),
    ],
)
def test_a_step_that_is_pulled_waits_for_samples_that_reach_the_source_late(
    newest_s: float, now_s: float, expected: tuple[float, float]
) -> None:
    rules = DueRules(grace_s=10, oldest_s=3600, max_rows=10_000, source_late_s=30)
    pushed = row(0, newest_s)
    pulled = {"load_rps": IndicatorRef("load_rps", False, False, "sum(load)")}
    workload = WorkloadRef(
        1, "shop", "w", 0, 60, {**pulled, "x": IndicatorRef("x", False, False, "")}
    )
    assert due(CursorRow(workload, T0, pushed.last_sample_at), now_s, rules) == expected
    assert due(pushed, now_s, rules) == due(pushed, now_s)


def test_a_long_backlog_is_done_in_bounded_runs() -> None:
    rows = [row(-1800, 50), row(0, 50)]
    rules = DueRules(grace_s=10, oldest_s=3600, max_rows=20)
    ranges, is_partial = due_ranges(rows, T0 + timedelta(seconds=60), rules)
    assert is_partial
    assert n_steps(ranges) == [20, 0]
    ranges, is_partial = due_ranges(rows, T0 + timedelta(seconds=60), RULES)
    assert not is_partial
    assert n_steps(ranges) == [31, 1]


def test_after_an_outage_a_run_has_a_stretch_of_all_of_them() -> None:
    rules = DueRules(grace_s=10, oldest_s=3600, max_rows=20)
    rows = [row(-1800, 50), row(-1800, 50), row(-1740, 50)]
    ranges, is_partial = due_ranges(rows, T0 + timedelta(seconds=60), rules)
    assert is_partial
    assert n_steps(ranges) == [6, 6, 5]


def test_one_that_is_far_behind_is_there_after_one_run_however_many_wait() -> None:
    others = [row(0, 50) for _ in range(255)]
    rules = DueRules(grace_s=10, oldest_s=3600, max_rows=1_000)
    ranges, is_partial = due_ranges([*others, row(-1800, 50)], T0 + timedelta(seconds=60), rules)
    assert is_partial
    assert n_steps(ranges) == [0] * 255 + [30]
    ranges, is_partial = due_ranges([*others, row(0, 50)], T0 + timedelta(seconds=60), rules)
    assert not is_partial
    assert n_steps(ranges) == [1] * 256


@given(
    behind=st.lists(st.integers(0, 59), min_size=1, max_size=12),
    max_rows=st.integers(1, 200),
)
def test_a_run_goes_on_and_holds_no_more_rows_than_it_may(behind: list[int], max_rows: int) -> None:
    """Or one step of all of them, where even that is more."""
    rules = DueRules(grace_s=10, oldest_s=3600, max_rows=max_rows)
    rows = [row(-60 * n, 50) for n in behind]
    ranges, is_partial = due_ranges(rows, T0 + timedelta(seconds=60), rules)
    taken = [found for found in ranges if found.end_us > found.start_us]
    assert taken
    stretch_us = max(found.end_us for found in taken) - min(found.start_us for found in taken)
    assert len(taken) * stretch_us // 60_000_000 <= max(max_rows, len(rows))
    assert is_partial == any(from_us(found.end_us) < T0 + timedelta(seconds=60) for found in ranges)
