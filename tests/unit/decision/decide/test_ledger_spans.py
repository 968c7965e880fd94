"""The time of each ledger: what was stored, what passed, and what was counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from decider import LedgerSpan, RiskState
from services.decision.decide.ledger_spans import (
    BELIEVED,
    ENDS,
    MEASURED,
    forget,
    from_spans,
    newest_ends,
    to_spans,
    with_steps,
)
from services.decision.decide.ledger_terms import in_terms_of
from services.decision.decide.ledgers import Finality, SettledStep
from services.decision.rows.inputs import ShardRows
from services.decision.rows.sli_series import SliGrid
from services.decision.rows.translate import EndLedgers
from tests.unit.decision.decide.test_ledgers import BAD
from tests.unit.decision.rows.measured_workloads import ORIGIN_S, STEP_S, measured_member, member

KNOWN = {"observed_steps": 20.0, "measured_steps": 10.0, "low_steps": 5.0, "high_steps": 5.0}
WINDOW_S = 28 * 86_400.0


def test_ledgers_of_before_are_taken_to_hold_the_last_steps() -> None:
    assert to_spans(KNOWN, measured_member(), ORIGIN_S) == {
        BELIEVED: LedgerSpan(ORIGIN_S - 20 * STEP_S, ORIGIN_S),
        MEASURED: LedgerSpan(ORIGIN_S - 10 * STEP_S, ORIGIN_S),
        ENDS: LedgerSpan(ORIGIN_S - 5 * STEP_S, ORIGIN_S),
    }
    assert to_spans({}, measured_member(), ORIGIN_S) == {}


def test_what_is_stored_is_read_again_of_an_empty_ledger_too() -> None:
    spans = {BELIEVED: LedgerSpan(0.0, 600.0), MEASURED: LedgerSpan(900.0, 900.0)}
    state = {"observed_steps": 2.0, "measured_steps": 0.0} | from_spans(spans)
    assert to_spans(state, measured_member(), ORIGIN_S) == spans


def test_a_time_that_lies_ahead_is_not_believed() -> None:
    ahead = from_spans({BELIEVED: LedgerSpan(0.0, ORIGIN_S + 1e7)})
    found = to_spans(KNOWN | ahead, measured_member(), ORIGIN_S)
    assert found[BELIEVED] == LedgerSpan(ORIGIN_S - 20 * STEP_S, ORIGIN_S)


def test_a_ledger_that_begins_anew_has_no_time() -> None:
    one = measured_member()
    spans = {name: LedgerSpan(0.0, 600.0) for name in (BELIEVED, MEASURED, ENDS)}
    stored: dict[str, Any] = KNOWN | from_spans(spans)
    of_requests = stored | {"measured_unit": "requests"}
    assert to_spans(of_requests, one, ORIGIN_S).keys() == {BELIEVED}
    other_goals = stored | {"measured_for": {"goals": [["ttft", 9.0]], "share": 0.95}}
    assert to_spans(in_terms_of(other_goals, one), one, ORIGIN_S).keys() == {BELIEVED}


@pytest.mark.parametrize("late_s", [0.0, 600.0, 1e9])
def test_each_ledger_counts_up_to_its_newest_step(late_s: float) -> None:
    grid = SliGrid(ORIGIN_S, float(STEP_S), 12)
    now = datetime.fromtimestamp(ORIGIN_S, UTC) + timedelta(seconds=STEP_S)
    found = newest_ends(grid, Finality(now, late_s))
    assert found[BELIEVED] == ORIGIN_S + STEP_S
    final_s = None if late_s > 1e6 else ORIGIN_S - late_s
    assert found.get(MEASURED) == found.get(ENDS) == final_s


def test_what_is_longer_ago_than_the_window_goes_of_every_ledger() -> None:
    one = measured_member()
    span = LedgerSpan(ORIGIN_S - WINDOW_S, ORIGIN_S)
    state = RiskState(
        log_level=0.3, spent_steps=8.0, observed_steps=40.0,
        measured_missed=2.0, measured_total=20.0, measured_steps=20.0,
    )  # fmt: skip
    end = RiskState(measured_missed=4.0, measured_total=20.0, measured_steps=20.0)
    rows = ShardRows(
        risk={1: state, 2: state},
        ends={1: EndLedgers(end, end)},
        spans={1: dict.fromkeys((BELIEVED, MEASURED, ENDS), span)},
    )
    later_s = ORIGIN_S + WINDOW_S / 4
    found = forget(one, rows, {BELIEVED: later_s, MEASURED: later_s, ENDS: later_s})
    assert found.risk[1] == replace(
        state, spent_steps=6.0, observed_steps=30.0,
        measured_missed=1.5, measured_total=15.0, measured_steps=15.0,
    )  # fmt: skip
    assert found.risk[2] is state
    assert found.ends[1].low == found.ends[1].high
    assert (found.ends[1].low.measured_missed, found.ends[1].low.measured_steps) == (3.0, 15.0)
    assert found.spans[1][BELIEVED] == LedgerSpan(later_s - WINDOW_S, ORIGIN_S)
    assert forget(one, found, {BELIEVED: later_s}).risk == found.risk, "the same time, once"
    assert forget(one, found, {BELIEVED: ORIGIN_S}).risk == found.risk, "an earlier one"


def test_a_workload_without_a_memory_has_nothing_to_forget() -> None:
    found = forget(member(), ShardRows(), {BELIEVED: ORIGIN_S})
    assert (dict(found.risk), dict(found.ends), found.spans[1]) == ({}, {}, {})


def test_each_step_is_in_the_time_of_the_ledgers_that_count_it() -> None:
    steps = [
        SettledStep(0.0, 1.0, None, True, False, ()),  # believed, not final
        SettledStep(300.0, None, BAD, True, False, ()),  # not final
        SettledStep(600.0, None, None, True, True, ()),  # nothing is known of it
        SettledStep(900.0, 0.0, BAD, False, True, ()),  # final now; what is believed was counted
    ]
    assert with_steps({}, steps, 300.0) == {
        BELIEVED: LedgerSpan(0.0, 300.0),
        MEASURED: LedgerSpan(900.0, 1200.0),
        ENDS: LedgerSpan(900.0, 1200.0),
    }
    before = {MEASURED: LedgerSpan(-300.0, 0.0), BELIEVED: LedgerSpan(-900.0, -900.0)}
    after = with_steps(before, steps, 300.0)
    assert after[MEASURED] == LedgerSpan(-300.0, 1200.0)
    assert after[BELIEVED] == LedgerSpan(0.0, 300.0), "it was empty"
