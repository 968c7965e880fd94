"""Whose counts the past is asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.ingest.pull.past_asked import (
    MOST_AT_ONCE,
    corrected,
    counts_of,
    in_turn,
    is_outdated,
    is_silent,
    is_unasked,
    known_until,
    needs_history,
    note_of_counts,
    note_of_past,
    note_of_queries,
    unasked_of,
)
from services.ingest.series.catalog import IndicatorRef, WorkloadRef
from services.ingest.series.due import CursorRow
from services.kernel.clock import make_rng

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
LATE_S = 600.0


def _workload(**queries: str) -> WorkloadRef:
    refs = {
        name: IndicatorRef(name, False, False, query, is_sli=name.startswith("sli_"))
        for name, query in queries.items()
    }
    return WorkloadRef(1, "shop", "w", 0, 60, refs)


def test_counts_are_told_apart_by_their_queries_alone() -> None:
    one = counts_of(_workload(load="load", sli_total="total", sli_good="good"))
    assert one == counts_of(_workload(sli_good="good", sli_total="total", other="x"))
    assert one != counts_of(_workload(load="load", sli_total="total", sli_good="better"))
    assert one is not None


def test_what_is_pushed_is_not_asked_for() -> None:
    assert counts_of(_workload(load="load", sli_total="")) is None
    assert not is_unasked(CursorRow(_workload(load="load"), None, None))


def test_the_past_is_asked_once_for_each_objective() -> None:
    workload = _workload(load="load", sli_total="total")
    row = CursorRow(workload, None, None)
    assert is_unasked(row)
    asked = replace(row, counts_asked=counts_of(workload))
    assert not is_unasked(asked)
    assert is_unasked(replace(asked, workload=_workload(load="load", sli_total="other")))


def _silent(newest_at: datetime | None, number: int = 1) -> CursorRow:
    """A workload whose past since its newest sample was answered with nothing."""
    workload = replace(_workload(load="load", sli_total="total"), id=number)
    row = CursorRow(workload, NOW, newest_at)
    return replace(row, counts_asked=note_of_past(row, newest_at))


@pytest.mark.parametrize("newest_at", [None, NOW - timedelta(hours=3)])
def test_the_past_of_the_silent_is_asked_for_now_and_then(newest_at: datetime | None) -> None:
    row = _silent(newest_at)
    assert is_silent(row)
    minutes = [NOW + timedelta(minutes=n) for n in range(20)]
    assert sum(needs_history(row, at, LATE_S) for at in minutes) == 2
    again = [needs_history(replace(row, counts_asked=None), at, LATE_S) for at in minutes]
    assert sum(again) == (2 if newest_at is None else 20)


def test_the_silent_do_not_all_have_the_same_turn() -> None:
    rows = [_silent(NOW - timedelta(hours=3), number) for number in range(20)]
    assert sum(needs_history(row, NOW, LATE_S) for row in rows) == 2


@pytest.mark.parametrize("newest_at", [None, NOW - timedelta(hours=3)])
def test_who_is_back_lacks_what_came_since_it_was_silent(newest_at: datetime | None) -> None:
    back = replace(_silent(newest_at), last_sample_at=NOW)
    assert not is_silent(back)
    assert is_outdated(back, NOW, LATE_S)
    assert needs_history(back, NOW, LATE_S)
    assert known_until(back) == newest_at
    filled = replace(back, counts_asked=note_of_past(back, NOW + timedelta(minutes=1)))
    assert not needs_history(filled, NOW, LATE_S)
    assert known_until(filled) == NOW


def test_a_past_that_could_not_be_read_is_not_that_of_a_silent_workload() -> None:
    row = replace(_silent(NOW - timedelta(hours=3)), is_history_missing=True)
    assert not is_silent(row)
    assert needs_history(row, NOW, LATE_S)


def test_a_correction_of_a_silent_workload_is_asked_for_at_once() -> None:
    row = replace(_silent(NOW - timedelta(hours=3)), workload=_workload(load="other"))
    assert corrected(row) == {"load"}
    assert not is_silent(row)
    assert all(needs_history(row, NOW + timedelta(minutes=n), LATE_S) for n in range(10))


def test_other_notes_leave_a_silent_workload_silent() -> None:
    row = _silent(NOW - timedelta(hours=3))
    assert note_of_queries(row) is None
    counted = replace(row, counts_asked=note_of_counts(row))
    assert is_silent(counted)
    assert not is_unasked(counted)
    assert note_of_past(counted, counted.last_sample_at) is None


def test_who_could_not_be_asked_for_comes_before_a_few_of_the_silent() -> None:
    silent = [_silent(None, number) for number in range(10)]
    new = CursorRow(replace(_workload(load="load"), id=20), None, None)
    missing = replace(new, workload=replace(new.workload, id=21), is_history_missing=True)
    found = in_turn([*silent, missing, new], make_rng(7, "turn"))
    assert found[:2] == [new, missing]
    assert len(found) == 2 + MOST_AT_ONCE


def test_the_objective_of_a_silent_workload_is_asked_for_when_its_past_is() -> None:
    """Where the source does not give it, the same few would come first in each pull."""
    silent = [_silent(NOW - timedelta(hours=3), number) for number in range(MOST_AT_ONCE)]
    live = CursorRow(replace(_workload(load="load", sli_total="total"), id=20), NOW, NOW)
    assert unasked_of([*silent, live], []) == [live]
