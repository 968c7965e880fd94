"""Every decision gets one result; at most one of them patches, within bounds, and never twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from services.operator.plan.plan import AHEAD, MAX_ATTEMPTS, Result, Situation, StoredDecision, plan
from services.operator.resource.autoscaler import Pause
from tests.unit.operator.examples import NOW, STEP, decision, situation


def plan_one(d: StoredDecision, s: Situation, at: Any = NOW) -> Any:
    (action,) = plan([d], d, s, at)
    return action


def test_auto_applies() -> None:
    action = plan_one(decision(desired=6), situation(4))
    assert action.is_patch
    assert (action.from_replicas, action.to_replicas, action.attempt) == (4, 6, 1)
    assert action.reason == "scale_up_risk"


def test_what_is_there_already_is_unchanged() -> None:
    assert plan_one(decision(desired=4), situation(4)).result is Result.UNCHANGED


def test_advisory_never_applies_even_beside_an_hpa() -> None:
    beside = replace(situation(4, mode="Advisory"), conflict="HorizontalPodAutoscaler/x")
    found = plan_one(decision(desired=6), beside)
    assert found.result is Result.ADVISORY
    named = "mode Advisory applies nothing; HorizontalPodAutoscaler/x scales the target"
    assert found.reason == named


@pytest.mark.parametrize(
    ("changes", "desired", "result", "reason"),
    [
        ({}, 6, Result.DELEGATED, "left to ScaledObject/x, which follows this autoscaler"),
        ({}, 4, Result.UNCHANGED, "the target has 4 replicas already"),
        ({"rollout": "1 of 4"}, 2, Result.DELEGATED, "left to ScaledObject/x"),
        ({"pause": Pause(is_all=True)}, 6, Result.PAUSED, "paused by annotation"),
        (
            {"conflict": "HorizontalPodAutoscaler/y"},
            6,
            Result.ADVISORY,
            "HorizontalPodAutoscaler/y",
        ),
    ],
)
def test_in_advisory_a_follower_is_left_what_it_is_advised(
    changes: dict[str, Any], desired: int, result: Result, reason: str
) -> None:
    beside = replace(situation(4, mode="Advisory"), follower="ScaledObject/x", **changes)
    found = plan_one(decision(desired=desired), beside)
    assert (found.result, found.to_replicas) == (result, desired)
    assert reason in found.reason


def test_a_conflict_holds() -> None:
    beside = replace(situation(4), conflict="ScaledObject/x")
    action = plan_one(decision(desired=6), beside)
    assert action.result is Result.CONFLICT
    assert "ScaledObject/x" in action.reason


def test_unknown_other_autoscalers_hold() -> None:
    action = plan_one(decision(desired=6), replace(situation(4), is_conflict_known=False))
    assert action.result is Result.FAILED


def test_a_missing_target_and_a_bad_spec() -> None:
    assert plan_one(decision(), situation(None)).result is Result.TARGET_MISSING
    bad = replace(situation(4), spec=None, problem="demand: must be one of the indicators")
    action = plan_one(decision(), bad)
    assert action.result is Result.FAILED
    assert "demand" in action.reason


def test_one_for_a_time_to_come_is_never_applied_and_holds_up_none() -> None:
    wrong = decision(id_=9, origin_at=NOW + 2 * AHEAD, desired=6)
    (action,) = plan([wrong], wrong, situation(4), NOW)
    assert action.result is Result.EXPIRED
    assert action.reason.startswith("made for a time 60 s ahead")
    close = decision(id_=9, origin_at=NOW + AHEAD, desired=6)
    assert plan_one(close, situation(4)).is_patch


def test_expires_at_its_end_exactly() -> None:
    d = decision()
    assert plan_one(d, situation(4), d.valid_until).result is Result.EXPIRED
    assert plan_one(d, situation(4), d.valid_until - timedelta(microseconds=1)).is_patch


def test_a_target_scaled_to_zero_by_hand_is_left_alone() -> None:
    assert plan_one(decision(desired=6), situation(0)).result is Result.PAUSED
    assert plan_one(decision(desired=6), situation(0, minReplicas=0)).is_patch


def test_what_was_put_to_zero_while_that_was_allowed_is_woken_after_the_bound_is_raised() -> None:
    slept = replace(decision(desired=6), is_put_to_zero=True)
    assert plan_one(slept, situation(0)).is_patch


def test_bounds_that_changed_since_are_kept_and_said() -> None:
    action = plan_one(decision(desired=20), situation(4))
    assert action.to_replicas == 10
    assert "20 replicas are outside 1..10" in action.reason


def test_a_schedule_never_leaves_the_bounds_of_the_spec() -> None:
    schedule = {"name": "day", "startTime": "08:00", "endTime": "18:00", "maxReplicas": 30}
    wide = situation(4, schedules=[schedule])
    assert plan_one(decision(desired=20), wide).to_replicas == 10
    tight = situation(4, schedules=[{**schedule, "maxReplicas": 5}])
    assert plan_one(decision(desired=20), tight).to_replicas == 5
    zero = situation(4, schedules=[{**schedule, "minReplicas": 0}])
    assert plan_one(decision(desired=0), zero).to_replicas == 1


@pytest.mark.parametrize(
    ("name", "value", "desired", "result"),
    [
        ("paused", "true", 6, Result.PAUSED),
        ("paused", "false", 6, Result.APPLIED),
        ("paused-until", "2026-01-05T13:00:00Z", 6, Result.PAUSED),
        ("paused-until", "2026-01-05T11:00:00Z", 6, Result.APPLIED),
        ("paused-scale-in", "true", 2, Result.PAUSED),
        ("paused-scale-in", "true", 6, Result.APPLIED),
        ("paused-scale-out", "true", 6, Result.PAUSED),
        ("paused-scale-out", "true", 2, Result.APPLIED),
    ],
)
def test_pauses(name: str, value: str, desired: int, result: Result) -> None:
    held = situation(4, {f"scaling.harmony.dev/{name}": value})
    assert plan_one(decision(desired=desired), held).result is result


def test_an_approval_is_for_one_decision_and_runs_out() -> None:
    approved = {"scaling.harmony.dev/approved-decision": "1"}
    asks = situation(4, approved, mode="Approval", approval={"expireAfter": "10m"})
    old = decision(1, n_attempts=1, last_result="awaiting_approval")
    new = decision(2, 7, origin_at=NOW + STEP)
    (first, second) = plan([old, new], new, asks, NOW + 4 * STEP)
    assert (first.result, first.attempt, first.to_replicas) == (Result.APPLIED, 2, 6)
    assert second.result is Result.EXPIRED
    late = plan([old], new, asks, NOW + 11 * STEP)
    assert late == []


def test_a_rejection_is_for_one_decision_and_counts_until_it_is_approved() -> None:
    no = {"scaling.harmony.dev/rejected-decision": "1", "scaling.harmony.dev/rejected-by": "ada"}
    asks = situation(4, no, mode="Approval")
    old, new = decision(1), decision(2, 7, origin_at=NOW + STEP)
    (first, second) = plan([old, new], new, asks, NOW + STEP)
    assert (first.result, first.rejected_by) == (Result.REJECTED, "ada")
    assert first.reason == "decision 1 was rejected by ada; the next decision is awaited"
    assert second.result is Result.AWAITING_APPROVAL
    rejected = replace(old, n_attempts=1, last_result="rejected")
    assert plan([rejected], new, asks, NOW + STEP) == []
    assert plan([rejected], new, situation(4, mode="Approval"), NOW + STEP) == []
    both = situation(4, no | {"scaling.harmony.dev/approved-decision": "1"}, mode="Approval")
    assert plan_one(old, both).result is Result.REJECTED
    yes = situation(4, {"scaling.harmony.dev/approved-decision": "1"}, mode="Approval")
    assert plan([rejected], new, yes, NOW)[0].is_patch
    assert plan_one(old, situation(4, no)).is_patch  # nobody is asked in mode Auto


def test_a_small_change_that_was_rejected_is_not_applied() -> None:
    no = {"scaling.harmony.dev/rejected-decision": "1"}
    asks = situation(4, no, mode="Approval", approval={"autoApproveUpTo": {"replicas": 9}})
    action = plan_one(decision(1), asks)
    assert (action.result, action.rejected_by) == (Result.REJECTED, "somebody")


def test_small_changes_need_no_approval() -> None:
    asks = situation(4, mode="Approval", approval={"autoApproveUpTo": {"replicas": 2}})
    assert plan_one(decision(desired=6), asks).is_patch
    assert plan_one(decision(desired=7), asks).result is Result.AWAITING_APPROVAL


def test_a_failure_is_tried_again_but_not_for_ever() -> None:
    failed = decision(n_attempts=1, last_result="failed")
    assert plan_one(failed, situation(4)).is_patch
    unknown = replace(situation(4), is_conflict_known=False)
    worn = decision(n_attempts=MAX_ATTEMPTS, last_result="failed")
    assert plan([worn], worn, unknown, NOW) == []


situations = st.builds(
    situation,
    replicas=st.one_of(st.none(), st.integers(0, 12)),
    annotations=st.sampled_from(
        [
            {},
            {"scaling.harmony.dev/paused": "true"},
            {"scaling.harmony.dev/paused-scale-in": "true"},
        ]
    ),
    mode=st.sampled_from(["Auto", "Advisory", "Approval"]),
    minReplicas=st.integers(0, 3),
    maxReplicas=st.integers(3, 9),
)
decisions = st.lists(
    st.builds(
        lambda id_, desired, age, last: decision(
            id_,
            desired,
            origin_at=NOW - age * STEP,
            valid_until=NOW + (3 - age) * STEP,
            last_result=last,
            n_attempts=int(bool(last)),
        ),
        st.integers(1, 50),
        st.integers(0, 15),
        st.integers(1, 6),
        st.sampled_from(["", "", "failed", "awaiting_approval"]),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda d: d.id,
)


@given(decisions, situations)
def test_at_most_one_patch_within_bounds_and_only_in_auto(
    found: list[StoredDecision], s: Situation
) -> None:
    newest = max(found, key=lambda d: (d.origin_at, d.id))
    planned = plan(found, newest, s, NOW)
    patches = [action for action in planned if action.is_patch]
    assert len(patches) <= 1
    for action in patches:
        assert s.spec is not None
        assert s.spec.mode == "Auto"
        assert s.spec.min_replicas <= (action.to_replicas or 0) <= s.spec.max_replicas
        assert action.decision is newest
        assert action.decision.valid_until > NOW
        assert not s.pause.holds(action.from_replicas or 0, action.to_replicas or 0, NOW)


@given(decisions, situations)
def test_every_new_decision_gets_exactly_one_result_and_a_reason(
    found: list[StoredDecision], s: Situation
) -> None:
    newest = max(found, key=lambda d: (d.origin_at, d.id))
    planned = plan(found, newest, s, NOW)
    ids = [action.decision.id for action in planned]
    assert len(ids) == len(set(ids))
    assert {d.id for d in found if not d.last_result} <= set(ids)
    assert all(action.reason for action in planned)


@given(decisions, situations)
def test_planning_again_after_the_patch_changes_nothing(
    found: list[StoredDecision], s: Situation
) -> None:
    newest = max(found, key=lambda d: (d.origin_at, d.id))
    patches = [a for a in plan(found, newest, s, NOW) if a.is_patch]
    for action in patches:
        (again,) = plan([action.decision], newest, replace(s, replicas=action.to_replicas), NOW)
        assert again.result is Result.UNCHANGED
