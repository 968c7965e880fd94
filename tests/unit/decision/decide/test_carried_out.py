"""Whose count it is that a service runs with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from decider import RiskState
from services.decision.decide.carried_out import NEVER_S, is_carried_out, with_own_since
from services.decision.rows.inputs import ShardRows
from tests.unit.decision.rows import pool_members
from tests.unit.decision.rows.measured_workloads import ORIGIN_S, STEP_S, member

ORIGIN = datetime.fromtimestamp(ORIGIN_S, UTC)
STEP = timedelta(seconds=STEP_S)
END_S = ORIGIN_S + STEP_S


def seen(replicas: int, leaving: int | None = None, **parts: Mapping[str, Any]) -> Any:
    """A snapshot at the end of the origin's step."""
    return {
        "observed_at": ORIGIN + STEP, "spec_replicas": replicas, "leaving_replicas": leaving,
        "variants": parts or None,
    }  # fmt: skip


def decided(replicas: int, steps_ago: float = 1.0, **parts: int) -> Any:
    """A decision."""
    counts = [{"name": name, "desired": count} for name, count in parts.items()]
    return {
        "decided_at": ORIGIN + STEP - steps_ago * STEP, "desired_replicas": replicas,
        "variants": counts or None,
    }  # fmt: skip


def rows(state: Any, *decisions: Any, **others: Any) -> ShardRows:
    return ShardRows(
        states={} if state is None else {1: [state]}, recommendations={1: decisions}, **others
    )


@pytest.mark.parametrize(
    ("state", "decisions", "is_own"),
    [
        (seen(7), [decided(7)], True),
        (seen(7), [decided(6)], False),
        (seen(7), [], False),  # nothing was decided yet
        (seen(7), [decided(7, 2.0), decided(9, 0.0)], True),  # the newest has not come about yet
        (seen(7), [decided(7, 9.0), decided(9, 8.0), decided(9, 1.0)], False),  # long ago
        (seen(7), [decided(7, 9.0)], True),  # the newest there is, however old
        (seen(9, leaving=2), [decided(7)], True),  # two more are asked for until they are gone
        (None, [decided(7)], True),  # what was decided stands in for what nobody saw
        (None, [], False),
    ],
)
def test_a_count_is_own_if_it_was_decided(state: Any, decisions: list[Any], is_own: bool) -> None:
    assert is_carried_out(member(), rows(state, *decisions)) is is_own


def test_of_parts_each_count_is_compared() -> None:
    state = seen(7, prefill={"spec": 3}, decode={"spec": 5, "spot": {"leaving": 1}})
    for decode, is_own in ((4, True), (5, False)):
        decision = decided(7, prefill=3, decode=decode)
        assert is_carried_out(pool_members.member(), rows(state, decision)) is is_own


def since(given: ShardRows) -> float:
    return with_own_since({1: member()}, given, ORIGIN).own_since_s[1]


def test_a_count_is_own_from_when_it_was_first_seen_until_it_is_not() -> None:
    own, other = rows(seen(7), decided(7)), rows(seen(7), decided(6))
    assert since(own) == END_S
    assert since(rows(seen(7), decided(7), own_since_s={1: 5.0})) == 5.0
    assert since(rows(seen(7), decided(7), own_since_s={1: math.inf})) == END_S
    assert since(other) == since(rows(seen(7), decided(6), own_since_s={1: 5.0})) == NEVER_S


def test_a_level_of_which_nobody_kept_who_taught_it_begins_anew_where_others_have_the_count() -> (
    None
):
    risk = {1: RiskState(log_level=1.5, spent_steps=2.0, observed_steps=400.0)}

    def after(given: ShardRows) -> RiskState:
        return with_own_since({1: member()}, given, ORIGIN).risk[1]

    forgotten = after(rows(seen(7), decided(6), risk=risk))
    assert (forgotten.log_level, forgotten.spent_steps) == (0.0, 2.0)
    assert after(rows(seen(7), decided(7), risk=risk)) == risk[1]
    kept = rows(seen(7), decided(6), risk=risk, own_since_s={1: 5.0})
    assert after(kept) == risk[1], "an operator that is away for a while takes nothing away"
