"""The invariants on values: what is found, what is not, and how long recovery takes."""

from __future__ import annotations

import math
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from services.lab.bench.faults.bounds import ScaleChange, Violation
from services.lab.bench.faults.invariants import (
    OriginGrid,
    check_blast,
    check_intents,
    check_origins,
    check_records,
    check_turns,
    recovery_s,
    told,
)
from services.lab.bench.faults.kinds import KINDS, UNASKED
from services.lab.bench.faults.outside.repository import OpenIntent, PassedOrigin, StoredAction
from services.lab.bench.faults.outside.row_log import FailingWorkload, Settled
from services.lab.bench.faults.schedule import PlannedFault, StruckFault
from tests.unit.lab.bench.faults.seen_scales import START

INTENT = OpenIntent("a/b", 1, 1)
WALK = st.lists(st.integers(1, 6), min_size=2, max_size=12)


def moves(*counts: int) -> list[ScaleChange]:
    return [
        ScaleChange(START + timedelta(seconds=i), "a/b", before, after)
        for i, (before, after) in enumerate(pairwise(counts))
        if before != after
    ]


def records(*counts: int, result: str = "applied") -> list[StoredAction]:
    return [
        StoredAction(one.key, i, result, one.before, one.after, one.at)
        for i, one in enumerate(moves(*counts))
    ]


def struck(began_s: float, ended_s: float | None, kind: str = KINDS[0].name) -> StruckFault:
    planned = PlannedFault(next(one for one in KINDS if one.name == kind), 0.0, 0.0)
    ended = None if ended_s is None else START + timedelta(seconds=ended_s)
    return StruckFault(planned, START + timedelta(seconds=began_s), ended)


@given(WALK)
def test_what_was_recorded_as_it_was_seen_is_right(counts: list[int]) -> None:
    assert check_records(moves(*counts), records(*counts)) == []


@given(WALK, st.data())
def test_each_record_that_is_missing_is_found(counts: list[int], data: st.DataObject) -> None:
    whole = records(*counts)
    kept = data.draw(st.lists(st.booleans(), min_size=len(whole), max_size=len(whole)))
    left = [one for one, is_kept in zip(whole, kept, strict=True) if is_kept]
    found = check_records(moves(*counts), left)
    assert [one.invariant for one in found] == ["unrecorded"] * (len(whole) - len(left))


@given(WALK, st.data())
def test_each_record_of_nothing_is_found(counts: list[int], data: st.DataObject) -> None:
    whole = moves(*counts)
    kept = data.draw(st.lists(st.booleans(), min_size=len(whole), max_size=len(whole)))
    left = [one for one, is_kept in zip(whole, kept, strict=True) if is_kept]
    found = check_records(left, records(*counts))
    assert [one.invariant for one in found] == ["duplicated"] * (len(whole) - len(left))


def test_a_record_of_unknown_outcome_may_be_of_a_scaling_or_not() -> None:
    unknown = [StoredAction("a/b", 1, "unknown", 1, 5, START)]
    assert check_records(moves(1, 2), unknown) == []
    assert check_records([], unknown) == []
    open_intent = [StoredAction("a/b", 1, "intended", 1, 2, START)]
    assert check_records(moves(1, 2), open_intent) == []
    assert check_records([], open_intent) == []


@pytest.mark.parametrize("is_first", [True, False])
def test_a_sure_record_goes_before_one_of_unknown_outcome(is_first: bool) -> None:
    """As after a scaling that the API server answered with 500, and did not make."""
    both = [*records(3, 1), StoredAction("a/b", 9, "unknown", 3, 3, START)]
    assert check_records(moves(3, 1), both if is_first else both[::-1]) == []


def test_an_intent_open_through_a_quiet_time_is_found() -> None:
    seen = {INTENT: (START, START + timedelta(seconds=100))}
    assert len(check_intents(seen, [])) == 1
    assert len(check_intents(seen, [struck(0, 60)])) == 1
    assert check_intents(seen, [struck(0, 50), struck(40, 75)]) == []
    assert check_intents(seen, [struck(20, None)]) == []
    assert len(check_intents(seen, [struck(35, None)])) == 1


def test_recovery_counts_from_the_end_beyond_a_step() -> None:
    log = [
        Settled(START + timedelta(seconds=s), {"a/b": START + timedelta(seconds=o), "a/c": START})
        for s, o in [(9, 0), (14, 5), (21, 10)]
    ]
    faults = [struck(0, 11), struck(0, 12), struck(0, 100), struck(0, None)]
    found = recovery_s(faults, log, ["a/b"], 5)
    assert list(found.values()) == [21 - 11 - 5, 21 - 12 - 5, math.inf]
    assert list(recovery_s(faults[:1], log, ["a/b", "a/c"], 5).values()) == [math.inf]


def test_a_recovery_within_a_step_takes_no_time() -> None:
    log = [Settled(START + timedelta(seconds=9), {"a/b": START + timedelta(seconds=5)})]
    assert list(recovery_s([struck(0, 6)], log, ["a/b"], 5).values()) == [0.0]


def test_a_grid_has_both_ends() -> None:
    grid = OriginGrid(START, START + timedelta(seconds=10), 5)
    assert [one - START for one in grid] == [timedelta(seconds=s) for s in (0, 5, 10)]


def test_of_many_violations_the_first_are_told() -> None:
    many = [Violation("lost", f"number {i}") for i in range(30)]
    lines = told([*many, Violation("audit", "broken")])
    assert lines[0] == "lost: number 0"
    assert lines[-2:] == ["lost: 10 more", "audit: broken"]


def test_gold_may_be_passed_over_twice_only_while_something_strikes() -> None:
    grid = OriginGrid(START, START + timedelta(seconds=50), 5)
    passed = {PassedOrigin("a/gold", START + timedelta(seconds=at)) for at in (20, 30, 35)}
    (found,) = check_turns(passed, ["a/gold"], grid, [])
    assert found.invariant == "lost"
    assert "00:30 and 00:00:35" in found.text
    assert check_turns(passed, ["a/gold"], grid, [struck(0, 10)]) == []
    assert len(check_turns(passed, ["a/gold"], grid, [struck(41, 50)])) == 1
    assert check_turns(passed, ["a/silver"], grid, []) == []


def test_what_no_object_asked_for_is_not_lost() -> None:
    grid = OriginGrid(START, START + timedelta(seconds=100), 5)
    missing = len(check_origins([], ["a/b"], grid))
    assert missing == len(list(grid)) == 21
    for kind, n_excused in ((UNASKED, 2 + 2 + 1 + 6), (KINDS[0].name, 0)):
        found = check_origins([], ["a/b"], grid, struck=[struck(20.0, 30.0, kind)])
        assert len(found) == missing - n_excused


def test_what_the_old_code_sets_apart_in_an_upgrade_does_not_count() -> None:
    failing = {
        FailingWorkload("shop/a", "resample: old"): START + timedelta(seconds=15),
        FailingWorkload("shop/a", "decide: new"): START + timedelta(seconds=40),
        FailingWorkload("shop/a", "decide: newer"): START + timedelta(seconds=50),
        FailingWorkload("shop/victim", "decide: new"): START + timedelta(seconds=40),
    }
    upgrade = struck(10, 20, "upgrade processes")
    (found,) = check_blast(failing, "shop/victim", [upgrade])
    assert found.text.endswith("decide: new")
    assert len(check_blast(failing, "shop/victim", [struck(10, 20)])) == 1
    assert check_blast(failing, "shop/victim")[0].text.endswith("resample: old")
