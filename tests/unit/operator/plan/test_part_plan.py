"""A change of mix, pure: capacity never dips, the dearest goes first, one action tells all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings, strategies as st

from services.operator.plan.part_plan import (
    PartChange,
    describe_waiting,
    scale_in,
    whole_action,
    within_quota,
)
from services.operator.plan.plan import MadePart, PlannedAction, Result, StoredDecision

AT = datetime(2026, 1, 5, tzinfo=UTC)
DECISION = StoredDecision(
    7, 1, AT, AT, AT + timedelta(minutes=3), 3, 3, 3, "hold", "rebalance_variants", "forecast",
    0.01, 0.004, -2.0,
)  # fmt: skip


def part(
    name: str, current: int, wanted: int, ready: int, *, ratio: float = 1.0, usd: float = 1.0,
    result: Result | None = None, **changes: Any,
) -> PartChange:  # fmt: skip
    usual = Result.UNCHANGED if current == wanted else Result.APPLIED
    action = PlannedAction(DECISION, result or usual, "as planned", current, wanted, **changes)
    return PartChange(name, ratio, ready, usd, action)


def test_by_hand_the_old_one_waits_for_the_new_one() -> None:
    """Six of capacity are asked for; the new four are worth six once all of them serve."""
    old, ratio = part("h100", 6, 0, 6), 1.5
    for ready, kept in ((0, 6), (1, 5), (2, 3), (3, 2), (4, 0)):
        new = part("l4", 4, 4, ready, ratio=ratio)
        assert scale_in([old, new]) == {"h100": kept}


def test_the_dearest_goes_first() -> None:
    parts = [part("a", 3, 1, 3, usd=1.0), part("b", 3, 1, 3, usd=4.0), part("c", 2, 2, 0)]
    assert scale_in(parts) == {"b": 1, "a": 3}


def test_replicas_that_do_not_serve_go_at_once() -> None:
    assert scale_in([part("a", 5, 2, 0)]) == {"a": 2}
    assert scale_in([part("a", 5, 2, 2)]) == {"a": 2}


@st.composite
def mixes(draw: st.DrawFn) -> list[PartChange]:
    found = []
    for i in range(draw(st.integers(1, 4))):
        current, wanted = draw(st.integers(0, 12)), draw(st.integers(0, 12))
        ready = draw(st.integers(0, current))
        ratio = draw(st.sampled_from([0.2, 0.5, 1.0, 1.5, 3.0]))
        usd = draw(st.floats(0.1, 9))
        found.append(part(f"v{i}", current, wanted, ready, ratio=ratio, usd=usd))
    return found


@given(parts=mixes())
@settings(max_examples=300, deadline=None)
def test_what_serves_never_falls_below_what_is_asked_for_or_serves_now(
    parts: list[PartChange],
) -> None:
    lowest = scale_in(parts)
    serving = sum(p.ready * p.ratio for p in parts)
    asked = sum(p.wanted * p.ratio for p in parts)
    after = sum(min(p.ready, lowest.get(p.name, p.ready)) * p.ratio for p in parts)
    assert after >= min(serving, asked) - 1e-6
    for p in parts:
        if p.is_fall:
            assert p.wanted <= lowest[p.name] <= p.current
        else:
            assert p.name not in lowest


@given(parts=mixes())
@settings(max_examples=200, deadline=None)
def test_once_all_is_ready_every_one_comes_down_as_decided(parts: list[PartChange]) -> None:
    risen = [
        part(p.name, max(p.current, p.wanted), p.wanted, max(p.current, p.wanted),
             ratio=p.ratio, usd=p.unit_usd_per_hour)
        for p in parts
    ]  # fmt: skip
    assert all(n == p.wanted for p in risen if p.is_fall for n in [scale_in(risen)[p.name]])


def test_one_action_tells_the_whole_mix_in_reference_replicas() -> None:
    parts = [part("h100", 3, 2, 3), part("l4", 0, 4, 0, ratio=0.5)]
    action = whole_action(DECISION, parts, ["scale-in of h100 waits"])
    assert (action.result, action.from_replicas, action.to_replicas) == (Result.APPLIED, 3, 4)
    assert action.reason == "rebalance_variants: h100 3 -> 2, l4 0 -> 4; scale-in of h100 waits"


def test_why_a_part_gets_more_than_was_decided_is_told_with_it() -> None:
    more = part("l4", 2, 3, 2, ratio=0.5)
    noted = replace(DECISION, note="; 1 replica more in place of one on a node about to go: n1")
    parts = [
        part("h100", 3, 2, 3),
        replace(more, action=replace(more.action, decision=noted)),
    ]
    action = whole_action(DECISION, parts, [])
    assert action.reason == (
        "rebalance_variants: h100 3 -> 2, "
        "l4 2 -> 3 (1 replica more in place of one on a node about to go: n1)"
    )


def test_results_that_hold_for_the_whole_come_first() -> None:
    for result in (Result.SUPERSEDED, Result.ADVISORY, Result.AWAITING_APPROVAL, Result.REJECTED):
        parts = [part("a", 1, 1, 1), part("b", 0, 2, 0, result=result)]
        action = whole_action(DECISION, parts, [])
        assert (action.result, action.to_replicas) == (result, 3)


def test_a_variant_that_cannot_be_changed_is_told_beside_what_was_done() -> None:
    parts = [part("a", 1, 3, 1), part("b", 2, 4, 2, result=Result.CONFLICT)]
    action = whole_action(DECISION, parts, [])
    assert (action.result, action.to_replicas) == (Result.APPLIED, 5)
    assert action.reason.endswith("b: as planned")
    alone = whole_action(DECISION, [part("a", 1, 1, 1), parts[1]], [])
    assert (alone.result, alone.to_replicas) == (Result.CONFLICT, 3)


def test_what_may_have_been_made_of_one_part_rules_the_whole() -> None:
    """Else the decision would be tried again, or count as none at all."""
    quiet, held = part("a", 3, 3, 3), part("b", 1, 2, 1, result=Result.WAITING)
    unknown = part("c", 1, 4, 1, result=Result.UNKNOWN)
    for others in ([quiet], [held], [quiet, held], []):
        action = whole_action(DECISION, [*others, unknown], [])
        assert action.result is Result.UNKNOWN
        assert action.to_replicas == sum(p.current for p in others) + 4
        assert action.parts == (MadePart("c", 1, 4, is_sure=False),)


def test_the_action_tells_what_was_made_of_each_part() -> None:
    parts = [part("a", 3, 5, 3, ratio=2.0), part("b", 1, 2, 1, result=Result.FAILED)]
    assert whole_action(DECISION, parts, []).parts == (MadePart("a", 3, 5, 2.0),)
    assert whole_action(DECISION, parts[1:], []).parts == ()


def test_nothing_to_do_is_said_so() -> None:
    action = whole_action(DECISION, [part("a", 1, 1, 1)], [])
    assert (action.result, action.reason) == (
        Result.UNCHANGED,
        "the targets have their counts already",
    )
    held = whole_action(
        DECISION, [part("a", 2, 2, 2), part("b", 2, 2, 2, result=Result.PAUSED)], ["it waits"]
    )
    assert held.result is Result.PAUSED


def test_it_says_for_whom_a_scale_in_waits() -> None:
    assert describe_waiting([part("a", 4, 4, 1), part("b", 2, 2, 2)]) == "1 of 4 of a are ready"
    assert describe_waiting([part("a", 4, 4, 4)]) == "too few replicas are ready"


def test_one_quota_for_all_goes_to_the_cheapest_capacity_first() -> None:
    parts = [
        part("h100", 1, 3, 1, usd=4.0),
        part("l4", 0, 4, 0, usd=2.0),
        part("a", 2, 1, 2, usd=1.0),
    ]
    gpus = {"h100": 2, "l4": 1, "a": 1}
    assert within_quota(parts, gpus, 7) == {"l4": 4, "h100": 2}
    assert within_quota(parts, gpus, 3) == {"l4": 3, "h100": 1}
    assert within_quota(parts, gpus, 99) == {"l4": 4, "h100": 3}
