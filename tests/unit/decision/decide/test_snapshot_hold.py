"""What was last said of replicas holds for a while: later steps are of unknown cost."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from services.decision.decide.outcomes import WorkloadOutcomes, finished_outcomes
from services.decision.decide.snapshot_hold import hold_s, is_lapsed
from services.decision.rows.inputs import ShardRows
from services.decision.rows.members import ShardMember
from tests.unit.decision.decide.test_outcomes import NOW, ORIGIN, STEP_S, member

HOLD_S = 600.0
START_S = ORIGIN.timestamp()


def seen(*before_s: float) -> list[Any]:
    """Snapshots so long before the origin's step begins; negative: within it."""
    return [
        {
            "observed_at": ORIGIN - timedelta(seconds=each),
            "ready_replicas": 3,
            "starting_replicas": 0,
        }
        for each in sorted(before_s, reverse=True)
    ]


@pytest.mark.parametrize(
    ("before_s", "is_gone"),
    [
        ((600.0,), True),
        ((301.0,), True),  # it ends within the step
        ((300.0,), False),  # it ends with it
        ((0.0,), False),
        ((1000.0, 100.0), False),
        ((1000.0, -100.0), True),  # it was gone when the step began
        ((590.0, -100.0), True),  # for a moment within it
        ((500.0, -100.0), False),
        ((-100.0,), False),  # nothing had been said before
        ((-300.0,), False),  # nothing is said of this step
        ((), False),
    ],
)
def test_a_step_is_known_while_what_was_said_holds(
    before_s: tuple[float, ...], is_gone: bool
) -> None:
    assert is_lapsed(seen(*before_s), START_S, START_S + STEP_S, HOLD_S) is is_gone
    assert not is_lapsed(seen(*before_s), START_S, START_S + STEP_S, math.inf)


@pytest.mark.parametrize(
    ("step_s", "expected"), [(1, 600.0), (60, 600.0), (150, 600.0), (300, 1200.0), (3600, 14400.0)]
)
def test_it_holds_some_steps_and_at_least_ten_minutes(step_s: int, expected: float) -> None:
    assert hold_s(replace(member(), step_s=step_s), 3) == expected


def of_rest() -> ShardMember:
    one = member()
    return replace(one, spec=one.spec.model_copy(update={"target": "External/w"}))


def test_replicas_that_are_told_over_rest_hold_for_ever() -> None:
    """Nothing says whether somebody tells them at all times or when they change."""
    assert hold_s(of_rest(), 3) == math.inf


def outcomes_of(one: ShardMember, *before_s: float) -> WorkloadOutcomes:
    starts_s = START_S - STEP_S * np.arange(8)[::-1]
    rows = ShardRows(demand={1: (starts_s, np.full(8, 25.0))}, states={1: seen(*before_s)})
    return finished_outcomes(one, rows, set(), ORIGIN, NOW, hold_s(one, 3))


def test_later_steps_have_a_demand_and_no_cost() -> None:
    """The operator went seven steps ago: what it saw holds for four, 1,200 s."""
    result = outcomes_of(member(), 7 * STEP_S)
    assert sorted(result.outcomes) == [START_S - STEP_S * back for back in (7, 6, 5, 4)]
    unseen = sorted(result.unseen)
    assert unseen == [START_S - STEP_S * back for back in (3, 2, 1, 0)]
    for start_s in unseen:
        row = result.unseen[start_s]
        assert (row[1].timestamp(), row[3]) == (start_s, 25.0)
        assert row[4:11] == (None,) * 7, "neither zero nor the count of before"
    assert sum(result.gpu_hours.values()) == pytest.approx(4 * 3 * STEP_S / 3600)


def test_steps_are_known_again_once_replicas_are_seen() -> None:
    result = outcomes_of(member(), 7 * STEP_S, STEP_S)
    assert sorted(result.unseen) == [START_S - STEP_S * back for back in (3, 2)]
    assert len(result.outcomes) == 6


def test_before_anything_was_seen_there_is_no_row() -> None:
    result = outcomes_of(member(), 2 * STEP_S)
    assert (len(result.outcomes), result.unseen) == (3, {})


def test_what_is_told_over_rest_costs_on() -> None:
    result = outcomes_of(of_rest(), 7 * STEP_S)
    assert (len(result.outcomes), result.unseen) == (8, {})
