"""What is advised follows the operator's rule, ends in time, and is never zero out of ignorance."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from typing import Any, Literal

import pytest
from hypothesis import given, strategies as st

from services.kernel.domain import PoolSpec, ScheduleSpec, VariantSpec
from services.operator.plan.plan import Result, Situation, StoredDecision, decide_action
from services.operator.resource.autoscaler import ApprovalRule, Pause
from services.scaler.plan import (
    Advice,
    Approved,
    Newest,
    WorkloadFacts,
    advise,
    past_tolerance,
)
from tests.unit.scaler.examples import NOW, STEP, facts, spec, unseen_since


def test_the_decision_is_advised_until_its_end_exactly() -> None:
    found = facts(9)
    end = NOW + 3 * STEP
    assert advise(found, end - timedelta(microseconds=1)).count == 9
    late = advise(found, end)
    assert (late.count, late.valid_until) == (None, end)
    assert "decision 7" in late.problem


@pytest.mark.parametrize(
    ("changes", "desired", "expected"),
    [
        ({"paused": True}, 9, 4),
        ({"paused": True, "paused_until": "2026-01-05T12:00:01+00:00"}, 9, 4),
        ({"paused": True, "paused_until": "2026-01-05T12:00:00+00:00"}, 9, 9),
        ({"paused_until": "2026-01-05T12:00:01+00:00"}, 9, 4),
        ({"paused": True, "paused_until": "tomorrow"}, 9, 4),
        ({"paused": True, "paused_until": "2026-01-05T12:00:00"}, 9, 4),
        ({"scale_in_only": True}, 9, 4),
        ({"scale_in_only": True}, 2, 2),
        ({"scale_out_only": True}, 9, 9),
        ({"scale_out_only": True}, 2, 4),
    ],
)
def test_a_pause_holds_the_count_of_the_target(
    changes: dict[str, object], desired: int, expected: int
) -> None:
    found = advise(facts(desired, 4, **changes), NOW)
    assert found.count == expected
    assert found.reason == ("decision 7" if expected == desired else found.reason)
    assert ("paused" in found.reason) is (expected != desired)


TWO = tuple(
    VariantSpec(name=name, target=f"Deployment/{name}", gpu_type="H100", max_replicas=6)
    for name in ("a", "b")
)


def test_each_variant_has_a_count_of_its_own() -> None:
    assert advise(facts(5, 4, variants=TWO), NOW, "a").count == 5
    assert advise(facts(5, 4, variants=TWO), NOW, "b").count == 1
    assert advise(facts(9, 4, variants=TWO), NOW, "a").count == 6, "its own maximum"
    held = advise(facts(5, 4, variants=TWO, paused=True), NOW, "a")
    assert (held.count, held.current) == (4, 4)


def test_a_variant_worth_less_than_stated_has_as_many_as_that_takes() -> None:
    """Stated twice the reference, so ten at most; learned half of it, 16 serve what was decided."""
    big, small = (v.model_copy(update={"max_replicas": None}) for v in TWO)
    found = facts(16, 4, variants=(big.model_copy(update={"capacity_per_replica": 20}), small))
    assert found.decision is not None
    assert advise(found, NOW, "a").count == 10
    learned = replace(found.decision, ratios={"a": 1.0})
    assert advise(replace(found, decision=learned), NOW, "a").count == 16
    assert advise(replace(found, decision=learned), NOW, "b").count == 1


def test_their_sum_is_nothing_that_one_follower_could_follow() -> None:
    found = advise(facts(9, 4, variants=TWO, paused=True), NOW)
    assert found.count is None
    assert "has variants (a, b)" in found.problem
    assert "`part: a` in the trigger" in found.problem


@pytest.mark.parametrize(
    ("given", "part", "problem"),
    [
        ({"variants": TWO}, "c", "has no variant 'c': its variants are a, b"),
        ({}, "a", "has neither variants nor pools: leave `part` out of the trigger"),
    ],
)
def test_a_part_that_is_not_there_is_no_count(
    given: dict[str, object], part: str, problem: str
) -> None:
    found = advise(facts(9, 4, **given), NOW, part)
    assert found.count is None
    assert problem in found.problem


def test_a_part_that_the_decision_did_not_know_is_no_count() -> None:
    known = facts(9, 4, variants=TWO)
    assert known.decision is not None
    before = replace(known, decision=replace(known.decision, parts={"b": 1}))
    assert "was made before variant a was there" in advise(before, NOW, "a").problem


def test_an_approval_is_of_each_part() -> None:
    asked = facts(9, 4, "awaiting_approval", variants=TWO, mode="Approval")
    approved = Approved(6, 8, NOW + 3 * STEP, {"a": 3, "b": 5})
    found = replace(asked, approved=approved)
    assert [advise(found, NOW, part).count for part in ("a", "b")] == [3, 5]


def test_a_pool_has_one_too() -> None:
    pool = PoolSpec(name="a", target="Deployment/a", gpu_type="H100", loads=("request_rate_rps",))
    known = facts(9, 4)
    split = replace(known, spec=known.spec.model_copy(update={"pools": (pool,)}))
    assert advise(split, NOW, "a").count == 9
    assert "has pools (a)" in advise(split, NOW).problem


def window(**changes: Any) -> ScheduleSpec:
    """A window that holds `NOW`, a Monday noon."""
    return ScheduleSpec(name="noon", start_time="11:00", end_time="13:00", **changes)


@pytest.mark.parametrize(
    ("freeze", "desired", "expected"),
    [("Both", 9, 4), ("Both", 2, 4), ("ScaleDown", 9, 9), ("ScaleDown", 2, 4)],
)
def test_a_freeze_holds_in_its_window_only(
    freeze: Literal["Both", "ScaleDown"], desired: int, expected: int
) -> None:
    found = facts(desired, 4, schedules=(window(freeze=freeze),))
    assert advise(found, NOW).count == expected
    late = NOW + timedelta(hours=1)
    assert found.decision is not None
    assert found.seen is not None
    lasting = replace(
        found,
        decision=replace(found.decision, valid_until=late + STEP),
        seen=replace(found.seen, valid_until=late + STEP),
    )
    assert advise(lasting, late).count == desired


def test_a_freeze_of_both_holds_without_a_decision() -> None:
    found = advise(facts(None, 4, schedules=(window(freeze="Both"),)), NOW)
    assert (found.count, found.reason) == (4, "held: schedule noon freezes it")


def test_the_bounds_of_the_hour_hold() -> None:
    assert advise(facts(3, 4, schedules=(window(min_replicas=6),)), NOW).count == 6
    assert advise(facts(9, 4, schedules=(window(max_replicas=5),)), NOW).count == 5


@pytest.mark.parametrize("mode", ["Advisory", "Auto"])
@pytest.mark.parametrize("result", ["", "advisory", "conflict", "unchanged", "applied"])
def test_advisory_and_auto_advise_the_decision(mode: str, result: str) -> None:
    assert advise(facts(9, 4, result, mode=mode), NOW).count == 9


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("", 4),
        ("awaiting_approval", 4),
        ("rejected", 4),
        ("conflict", 4),
        ("delegated", 9),
        ("applied", 9),
        ("unchanged", 9),
    ],
)
def test_approval_advises_what_was_approved(result: str, expected: int) -> None:
    assert advise(facts(9, 4, result, mode="Approval"), NOW).count == expected


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ("awaiting_approval", "held: decision 7 is not approved"),
        ("rejected", "held: as told"),
        ("conflict", "does not know that it follows Harmony"),
    ],
)
def test_what_is_not_approved_is_held_and_says_why(result: str, words: str) -> None:
    assert words in advise(facts(9, 4, result, mode="Approval"), NOW).reason


@pytest.mark.parametrize("result", ["", "awaiting_approval", "rejected"])
def test_an_approval_is_served_long_enough_to_be_seen(result: str) -> None:
    """With a new decision each step, an HPA may have looked between the two only once."""
    found = replace(facts(9, 4, result, mode="Approval"), approved=Approved(5, 6, NOW + 2 * STEP))
    served = advise(found, NOW)
    assert (served.count, served.valid_until) == (6, NOW + 2 * STEP)
    assert served.reason == "decision 5, approved; decision 7 is not"
    assert advise(found, NOW + 2 * STEP).count == 4
    assert advise(replace(found, spec=spec(mode="Approval", max_replicas=5)), NOW).count == 5
    held = replace(found, spec=spec(mode="Approval", scale_in_only=True))
    assert advise(held, NOW).count == 4


@pytest.mark.parametrize("result", ["delegated", "unchanged", "paused"])
def test_a_newer_decision_that_is_settled_goes_before_an_approval(result: str) -> None:
    found = replace(facts(9, 4, result, mode="Approval"), approved=Approved(5, 6, NOW + 2 * STEP))
    assert advise(found, NOW).count == (4 if result == "paused" else 9)


@pytest.mark.parametrize("result", ["failed", "target_missing", "paused", "waiting", "unknown"])
def test_what_the_operator_held_is_held(result: str) -> None:
    held = advise(facts(9, 4, result), NOW)
    assert held.count == 4
    assert "as told" in held.reason


BEFORE = Newest(6, 8, NOW + 2 * STEP, "delegated", parts={"a": 7})
"""The decision that the operator looked at last, of eight replicas; the target has ten."""


def unlooked(desired: int, before: Newest | None = BEFORE, **changes: Any) -> WorkloadFacts:
    """A decision that the operator has not looked at; the target has ten replicas."""
    return replace(facts(desired, 10, "", **{"mode": "Auto"} | changes), looked_at=before)


@pytest.mark.parametrize(
    ("desired", "before", "expected"),
    [
        (2, BEFORE, 8),  # whatever the target has: the HPA may not have been there yet
        (8, BEFORE, 8),
        (12, BEFORE, 12),
        (9, BEFORE, 9),
        (2, replace(BEFORE, result="paused"), 10),  # the count of the target was advised
        (12, replace(BEFORE, result="paused"), 12),
        (2, replace(BEFORE, result="conflict"), 8),
        (2, replace(BEFORE, valid_until=NOW), 10),  # nothing was advised
        (2, None, 10),
        (2, replace(BEFORE, desired=30), 20),  # the bounds hold
    ],
)
def test_a_decrease_that_the_operator_has_not_looked_at_waits(
    desired: int, before: Newest | None, expected: int
) -> None:
    found = advise(unlooked(desired, before), NOW)
    assert found.count == expected
    assert ("has not looked at decision 7" in found.reason) is (expected != desired)
    looked = unlooked(desired, before)
    assert looked.decision is not None
    looked = replace(looked, decision=replace(looked.decision, result="delegated"))
    assert advise(looked, NOW).count == desired


def test_what_is_not_looked_at_waits_as_long_as_the_operator_is_there() -> None:
    """It is away where it has not seen the target for as long as a decision is valid."""
    there = advise(unseen_since(unlooked(2), 2), NOW)
    assert (there.count, there.valid_until) == (8, NOW + STEP)
    assert advise(unseen_since(unlooked(2), 3), NOW).count == 2
    assert advise(replace(unlooked(2), seen=None), NOW).count == 2


@pytest.mark.parametrize("mode", ["Advisory", "Approval"])
def test_the_other_modes_do_not_wait_for_a_look(mode: str) -> None:
    expected = 2 if mode == "Advisory" else 10
    assert advise(unlooked(2, mode=mode), NOW).count == expected


def test_a_decrease_of_a_part_waits_too() -> None:
    found = unlooked(2, variants=TWO)
    assert advise(found, NOW, "a").count == 6, "its own maximum"
    assert advise(replace(found, looked_at=replace(BEFORE, parts={"a": 4})), NOW, "a").count == 4
    unknown = replace(found, looked_at=replace(BEFORE, parts={"b": 4}))
    assert advise(unknown, NOW, "a").count == 6, "what the target has, within its maximum"


@pytest.mark.parametrize("changes", [{"paused": True}, {"scale_in_only": True}])
@pytest.mark.parametrize("is_never", [True, False])
def test_a_count_to_hold_that_is_not_known_is_a_problem(
    changes: dict[str, object], is_never: bool
) -> None:
    found = facts(9, None, **changes) if is_never else unseen_since(facts(9, 4, **changes), 3)
    held = advise(found, NOW)
    assert held.count is None
    assert ("never" if is_never else "last at 2026-01-05T11:57:00Z") in held.problem
    assert held.is_active


def test_a_held_count_lasts_as_long_as_what_it_rests_on() -> None:
    half = advise(unseen_since(facts(9, 4, scale_in_only=True), 1), NOW)
    assert half.valid_until == NOW + 2 * STEP
    whole = advise(replace(facts(None, 4, paused=True)), NOW)
    assert (whole.count, whole.valid_until) == (4, NOW + 3 * STEP)


def test_only_a_count_known_to_be_zero_is_inactive() -> None:
    assert not advise(facts(0, 4, min_replicas=0), NOW).is_active
    assert advise(facts(0, 4, min_replicas=1), NOW).is_active
    assert not advise(facts(9, 0, paused=True), NOW).is_active
    assert advise(facts(None, 0), NOW).is_active
    assert Advice(None).is_active


counts = st.integers(0, 25)


@given(
    desired=counts,
    current=counts,
    low=st.integers(0, 20),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    freeze=st.sampled_from([None, "ScaleDown", "Both"]),
    approved=st.booleans(),
    auto=st.integers(0, 3),
    follower=st.sampled_from(["", "ScaledObject/llama"]),
    mode=st.sampled_from(["Auto", "Approval", "Advisory"]),
)
def test_it_is_the_operators_rule(
    desired: int,
    current: int,
    low: int,
    flags: tuple[bool, bool, bool],
    freeze: Literal["ScaleDown", "Both"] | None,
    approved: bool,
    auto: int,
    follower: str,
    mode: str,
) -> None:
    is_all, is_in, is_out = flags
    follower = "ScaledObject/llama" if mode == "Advisory" else follower
    changes: dict[str, Any] = {"mode": mode, "min_replicas": low, "paused": is_all}
    changes["schedules"] = (window(freeze=freeze),)
    ours = spec(**changes, scale_in_only=is_out, scale_out_only=is_in)
    decision = StoredDecision(
        7, 1, NOW - STEP, NOW, NOW + STEP, current, desired, desired, "up", "", "forecast", 0.01,
        None, 0.0,
    )  # fmt: skip
    situation = Situation(
        ours,
        current,
        pause=Pause(is_all, is_in, is_out),
        approval=ApprovalRule(7 if approved else None, auto_replicas=auto),
        follower=follower,
    )
    action = decide_action(decision, situation, NOW)
    found = facts(desired, current, str(action.result), mode=mode)
    advice = advise(replace(found, spec=ours), NOW)
    followed = action.result in (Result.APPLIED, Result.UNCHANGED, Result.DELEGATED)
    assert action.is_patch <= (not follower)
    assert advice.count == (action.to_replicas if followed else current)


@given(current=st.integers(1, 2000), count=st.integers(0, 2500), percent=st.integers(0, 30))
def test_what_is_rounded_up_is_seen_and_no_more_than_needed(
    current: int, count: int, percent: int
) -> None:
    tolerance = Fraction(percent, 100)
    rounded = past_tolerance(count, current, tolerance)
    assert rounded >= count
    if count > current:
        assert Fraction(rounded, current) > 1 + tolerance
    if rounded > count:
        assert Fraction(rounded - 1, current) <= 1 + tolerance
    if count <= current:
        assert rounded == count


def test_without_a_count_to_start_from_nothing_is_rounded() -> None:
    assert past_tolerance(21, None, Fraction(1, 10)) == 21
