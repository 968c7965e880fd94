"""Replicas that are about to go are replaced once, within all that a decision is held by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.operator.plan.leaving import beside_leaving, replace_leaving
from services.operator.plan.plan import Result, plan
from services.operator.plan.spot import Leaving
from tests.unit.operator.examples import NOW, STEP, decision, situation

TWO = Leaving(2, ("n1 (told)",))
WORDS = "2 replicas more in place of those on nodes about to go: n1 (told)"


def test_an_open_decision_is_carried_out_with_those_that_are_replaced() -> None:
    asked = beside_leaving(decision(desired=5), TWO)
    (action,) = plan([asked], decision(desired=5), situation(4), NOW)
    assert (action.from_replicas, action.to_replicas) == (4, 7)
    assert action.reason == f"scale_up_risk; {WORDS}"
    assert beside_leaving(decision(), Leaving()) == decision()


def test_one_that_was_carried_out_gets_another_action() -> None:
    done = decision(desired=4, last_result="applied", n_attempts=1)
    action = replace_leaving(done, TWO, situation(4), NOW)
    assert action is not None
    assert (action.result, action.from_replicas, action.to_replicas) == (Result.APPLIED, 4, 6)
    assert action.attempt == 2
    assert action.reason == f"interruption: {WORDS}"


def test_what_was_replaced_is_not_replaced_again() -> None:
    done = decision(desired=4, last_result="applied", n_attempts=2)
    assert replace_leaving(done, TWO, situation(6), NOW) is None
    assert replace_leaving(done, TWO, situation(9), NOW) is None
    more = replace_leaving(done, Leaving(3, ("n1 (told)", "n2 (told)")), situation(6), NOW)
    assert more is not None
    assert more.to_replicas == 7


def test_the_bounds_hold() -> None:
    done = decision(desired=10, last_result="unchanged", n_attempts=1)
    assert replace_leaving(done, TWO, situation(10), NOW) is None
    some = replace_leaving(replace(done, desired=9), TWO, situation(9), NOW)
    assert some is not None
    assert some.to_replicas == 10


@pytest.mark.parametrize(
    ("changes", "replicas"),
    [
        ({"mode": "Advisory"}, 4),
        ({"mode": "Approval"}, 4),
        ({"annotations": {"scaling.harmony.dev/paused": "true"}}, 4),
        ({}, 3),  # another hand
        ({}, None),
    ],
)
def test_nothing_is_replaced_where_nothing_may_be_scaled(
    changes: dict[str, Any], replicas: int | None
) -> None:
    done = decision(desired=4, last_result="applied", n_attempts=1)
    held = situation(replicas, **changes)
    assert replace_leaving(done, TWO, held, NOW) is None


@pytest.mark.parametrize("last", ["waiting", "paused", "failed", ""])
def test_a_decision_that_was_not_carried_out_replaces_nothing(last: str) -> None:
    open_ = decision(desired=4, last_result=last)
    assert replace_leaving(open_, TWO, situation(4), NOW) is None


def test_a_decision_that_has_run_out_still_says_what_is_to_stay() -> None:
    done = decision(desired=4, last_result="applied", n_attempts=1)
    assert replace_leaving(done, TWO, situation(4), NOW + 10 * STEP) is not None
