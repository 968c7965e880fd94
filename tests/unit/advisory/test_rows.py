"""Rows on the grid of a window: which decision is in force, who scales, which starts count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.advisory.replica_gpus import ReplicaGpus
from services.advisory.rows import (
    SeenStart,
    WindowGrid,
    grid_until,
    is_own_now,
    is_there,
    scaled_by,
    start_law,
    to_steps,
)

NAN = np.nan
STEP = timedelta(minutes=5)
START = datetime(2026, 1, 6, 10, tzinfo=UTC)
GRID = WindowGrid(START.timestamp(), 300.0, 8)
GPUS = ReplicaGpus(2, START)


def decided(step: int, count: int, *, late_s: float = 1.0, valid: int = 3, **row: Any) -> Any:
    """A decision that is to stand from step `step` on."""
    decided_at = START + step * STEP + timedelta(seconds=late_s)
    return {
        "origin_at": START + (step - 1) * STEP,
        "decided_at": decided_at,
        "valid_until": decided_at + valid * STEP,
        "current_replicas": 4,
        "raw_replicas": count + 1,
        "desired_replicas": count,
        "result": "advisory",
        "reason": "",
        **row,
    }


def desired(*rows: Any) -> Any:
    return to_steps(GRID, [], list(rows), GPUS).desired


def test_the_window_ends_with_the_last_complete_step() -> None:
    now = START + timedelta(hours=2, seconds=17)
    assert grid_until(now, timedelta(hours=1), 300) == WindowGrid(
        START.timestamp() + 3600, 300.0, 12
    )
    assert grid_until(now, timedelta(hours=1), 7).n == 515
    assert GRID.to_at - GRID.from_at == 8 * STEP


def test_a_decision_stands_until_it_runs_out_or_a_newer_one_comes() -> None:
    np.testing.assert_array_equal(
        desired(decided(1, 5), decided(2, 6)), [NAN, 5, 6, 6, 6, NAN, NAN, NAN]
    )


def test_a_late_decision_stands_from_when_it_came() -> None:
    np.testing.assert_array_equal(
        desired(decided(1, 5, late_s=700.0)), [NAN, NAN, NAN, 5, 5, 5, NAN, NAN]
    )


def test_decisions_reach_into_the_window_and_not_beyond_it() -> None:
    np.testing.assert_array_equal(
        desired(decided(-1, 3), decided(7, 9)), [3, 3, NAN, NAN, NAN, NAN, NAN, 9]
    )
    assert np.isnan(desired(decided(-5, 3))).all()
    assert np.isnan(desired(decided(1, 5, valid=0))).all()


def test_columns_come_from_their_rows_and_null_is_unknown() -> None:
    outcome = {
        "step_at": START + 2 * STEP,
        "cost_usd": 1.5,
        "gpu_hours": 0.5,
        "ready_mean": 3.0,
        "needed_replicas": None,
        "violation_ratio": None,
        "measured_violation_ratio": 0.25,
        "sli_requests": 40.0,
        "sli_miss_high": 0.125,
    }
    found = to_steps(GRID, [outcome], [decided(2, 5, result="applied", valid=1)], GPUS)
    assert (found.cost_usd[2], found.gpu_hours[2], found.measured[2]) == (1.5, 0.5, 0.25)
    assert (found.requests[2], found.missed[2]) == (40.0, 0.125)
    assert (found.desired[2], found.raw[2], found.ran[2]) == (5.0, 6.0, 4.0)
    assert found.gpus.tolist() == [2.0] * 8
    assert np.isnan(found.needed).all()
    assert np.isnan(found.cost_usd[[0, 1, 3, 4, 5, 6, 7]]).all()
    assert found.is_own.tolist() == [False, False, True, False, False, False, False, False]


@pytest.mark.parametrize(
    ("result", "is_own"),
    [("applied", True), ("unchanged", True), ("delegated", True), ("advisory", False),
     ("conflict", False), ("paused", False), ("awaiting_approval", False), (None, False)],
)  # fmt: skip
def test_who_carried_it_out_is_told_by_its_action(result: str | None, is_own: bool) -> None:
    assert bool(to_steps(GRID, [], [decided(0, 5, result=result)], GPUS).is_own[0]) is is_own


@pytest.mark.parametrize(
    ("results", "is_own"),
    [
        (("advisory", "delegated"), True),
        (("delegated", "unchanged"), True),
        (("delegated", "advisory"), False),
        (("applied", "conflict"), False),
        (("delegated", "paused", "superseded", None), True),
        (("advisory", "failed", None), False),
        ((), False),
    ],
)
def test_who_scales_it_now_is_told_by_the_newest_action_that_tells(
    results: tuple[str | None, ...], is_own: bool
) -> None:
    rows = [decided(step, 5, result=result) for step, result in enumerate(results)]
    assert is_own_now(rows) is is_own


def test_the_scaler_is_named_as_far_as_rows_tell() -> None:
    named = decided(0, 5, result="conflict", reason="ScaledObject/chat scales the same target")
    assert scaled_by([named, decided(1, 5)], (2, 9)) == "ScaledObject/chat"
    beside = "mode Advisory applies nothing; HorizontalPodAutoscaler/a.b-c scales the target"
    assert scaled_by([named, decided(1, 5, reason=beside)], None) == (
        "HorizontalPodAutoscaler/a.b-c"
    )
    assert scaled_by([decided(1, 5, reason=None, result=None)], None) == "not known"
    assert scaled_by([decided(0, 5)], (3, 3)) == "nobody: fixed at 3"
    assert scaled_by([], (2, 9)) == "not told by whom: 2 to 9"
    assert scaled_by([], None) == "not known"


def ready(*seconds: float) -> list[SeenStart]:
    return [SeenStart(each, is_ready=True) for each in seconds]


def test_measured_starts_are_used_in_their_order_once_there_are_enough() -> None:
    stated = np.full(5, 60.0)
    few = start_law(ready(10.0, 20.0), stated, least=3)
    assert few.lead_s is stated
    assert few.words == "start-up times as stated (2 were measured)"
    enough = start_law(ready(10.0, 20.0, 30.0), stated, least=3)
    assert enough.lead_s.tolist() == [10.0, 20.0, 30.0, 10.0, 20.0]
    assert enough.words == "3 measured start-up times"


def test_a_start_that_did_not_end_takes_as_long_as_longer_ones_do() -> None:
    cut = [SeenStart(each, is_ready=False) for each in (15.0, 15.0, 15.0, 50.0)]
    found = start_law([*ready(10.0, 30.0), *cut, *ready(20.0)], np.zeros(7), least=3)
    # two took longer than 15 s, one after the other; none longer than 50 s
    assert found.lead_s.tolist() == [10.0, 30.0, 20.0, 30.0, 20.0, 50.0, 20.0]
    assert found.words == "3 measured start-up times, 4 starts that did not end beside them"


def test_starts_that_did_not_end_are_no_measured_ones() -> None:
    stated = np.full(2, 60.0)
    seen = [*ready(10.0), SeenStart(5.0, is_ready=False), SeenStart(5.0, is_ready=False)]
    assert start_law(seen, stated, least=2).lead_s is stated


@given(st.lists(st.floats(1.0, 1e4), min_size=1, max_size=30), st.floats(0.0, 2e4))
def test_a_start_is_never_replayed_as_shorter_than_it_was_seen(
    measured: list[float], age_s: float
) -> None:
    seen = [*ready(*measured), SeenStart(age_s, is_ready=False)]
    found = start_law(seen, np.zeros(len(seen)), least=1)
    assert found.lead_s[:-1].tolist() == measured
    assert found.lead_s[-1] >= age_s


def outcomes_every(step: timedelta, first: datetime, end: datetime) -> list[Any]:
    """A replica at a dollar an hour, in steps of another length."""
    hours = step / timedelta(hours=1)
    unknown = ("needed_replicas", "violation_ratio", "measured_violation_ratio")
    row = dict.fromkeys((*unknown, "sli_requests", "sli_miss_high")) | {
        "cost_usd": hours,
        "gpu_hours": hours,
        "ready_mean": 1.0,
    }
    return [row | {"step_at": first + n * step} for n in range((end - first) // step)]


def test_gpus_of_a_replica_are_those_that_the_outcome_was_priced_at() -> None:
    rows = outcomes_every(STEP, START, GRID.to_at)
    for row in rows[:3]:
        row["gpu_hours"] *= 4
    found = to_steps(GRID, rows, [], ReplicaGpus(1, GRID.to_at)).gpus
    assert found.tolist() == [4.0] * 3 + [1.0] * 5


@pytest.mark.parametrize("before", [STEP / 5, STEP * 3])
def test_steps_of_another_length_cost_what_is_not_known(before: timedelta) -> None:
    grid = WindowGrid(START.timestamp(), STEP.total_seconds(), 48)
    for n_old in (0, 24, 48):
        changed_at = START + n_old * STEP
        rows = outcomes_every(before, START, changed_at)
        rows += outcomes_every(STEP, changed_at, grid.to_at)
        cost = to_steps(grid, rows, [], GPUS).cost_usd
        n_known = int(np.isfinite(cost).sum())
        assert 48 - n_old - 1 <= n_known <= 48 - n_old, "the first new one may look like an old one"
        np.testing.assert_allclose(cost[np.isfinite(cost)], STEP / timedelta(hours=1))


def test_a_step_that_was_not_stored_makes_its_neighbours_no_longer() -> None:
    rows = outcomes_every(STEP, START, GRID.to_at)
    for lost in ({2}, {2, 3}, {1, 5}, {0, 7}, {2, 3, 4, 6}):
        kept = [row for n, row in enumerate(rows) if n not in lost]
        cost = to_steps(GRID, kept, [], GPUS).cost_usd
        assert set(np.flatnonzero(np.isnan(cost))) == lost


def test_it_was_there_from_the_first_whole_step_on_and_while_it_was_not_away() -> None:
    minute = timedelta(minutes=1)
    assert is_there(GRID, START, []).all()
    absences = [
        (START + 3 * STEP, START + 4 * STEP),
        (START + 6 * STEP - minute, START + 6 * STEP + minute),
    ]
    found = is_there(GRID, START + minute, absences)
    assert found.tolist() == [False, True, True, False, True, False, False, True]
