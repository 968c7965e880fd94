"""Approvals and rejections: what is written, and what stands against it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.admin.decisions.schemas import DecisionSummary
from services.cli.kubectl.approve import Case, approve_changes, reject_changes
from services.kernel.errors import Conflict, InvalidInput
from services.operator.resource.autoscaler import (
    APPROVED_BY,
    APPROVED_DECISION,
    REJECTED_BY,
    REJECTED_DECISION,
    ApprovalRule,
    Autoscaler,
    ScaleTarget,
)
from tests.unit.cli.kubectl.views import NOW, decision

TARGET = ScaleTarget("apps/v1", "Deployment", "serving", "llama")
AUTOSCALER = Autoscaler("serving", "llama", "uid", 1, NOW, TARGET, None)


def case(mode: str = "Approval", *, is_named: bool = False, **changes: Any) -> Case:
    detail = decision(**{"action_result": "awaiting_approval", **changes})
    newest = DecisionSummary.model_validate(detail.model_dump())
    return Case(mode, AUTOSCALER, detail, newest, is_named, "ann")


def with_rule(**rule: Any) -> Case:
    return replace(case(), autoscaler=replace(AUTOSCALER, approval=ApprovalRule(**rule)))


def test_an_approval_names_the_decision_and_takes_a_rejection_back() -> None:
    assert approve_changes(case(), NOW) == {
        APPROVED_DECISION: "4711",
        APPROVED_BY: "ann",
        REJECTED_DECISION: None,
        REJECTED_BY: None,
    }


def test_a_rejection_takes_an_approval_of_the_same_decision_back() -> None:
    assert reject_changes(case()) == {REJECTED_DECISION: "4711", REJECTED_BY: "ann"}
    approved = reject_changes(with_rule(decision_id=4711))
    assert approved[APPROVED_DECISION] is None
    assert approved[APPROVED_BY] is None
    assert APPROVED_BY not in reject_changes(with_rule(decision_id=4710))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (case("Advisory"), "applies nothing"),
        (case("Auto"), "asks nobody"),
        (case(action_result="applied"), "has been applied already"),
        (case(action_result="expired"), "expired before it was approved"),
        (case(action_result="other"), "ended as other"),
        (case(action_result=None, desired_replicas=8), "nothing is to be approved"),
    ],
)
def test_a_decision_that_waits_for_nobody_is_refused(found: Case, message: str) -> None:
    for changes in (lambda: approve_changes(found, NOW), lambda: reject_changes(found)):
        with pytest.raises(Conflict, match=message):
            changes()


def test_the_decision_of_another_workload_is_refused() -> None:
    with pytest.raises(InvalidInput, match="belongs to serving/chat, not to serving/llama"):
        reject_changes(case(workload="chat"))


def test_an_approval_expires() -> None:
    found = with_rule(expire_after_s=60.0)
    assert found.ends_at == NOW + timedelta(minutes=1)
    assert approve_changes(found, found.ends_at - timedelta(seconds=1))
    with pytest.raises(Conflict, match="could be approved until 2026-01-06T12:01:00Z only"):
        approve_changes(found, found.ends_at)


def test_a_newer_decision_for_another_count_supersedes() -> None:
    found = case()
    newer = found.newest.model_copy(update={"id": 4712})
    assert approve_changes(replace(found, newest=newer), NOW)
    other = newer.model_copy(update={"desired_replicas": 11})
    with pytest.raises(Conflict, match="decision 4712 is newer and wants 11 replicas, not 10"):
        approve_changes(replace(found, newest=other), NOW)


def test_pools_that_trade_replicas_are_a_change_and_supersede() -> None:
    counts = {"current_replicas": 12, "desired_replicas": 12, "action_result": None}
    traded = [
        {"name": "prefill", "gpu_type": "H100", "current": 2, "desired": 3},
        {"name": "decode", "gpu_type": "L4", "current": 10, "desired": 9},
    ]
    found = case(**counts, variants=traded)
    assert approve_changes(found, NOW)
    other = [one | {"desired": 6} for one in traded]
    newer = case(**counts, variants=other).newest.model_copy(update={"id": 4712})
    with pytest.raises(Conflict, match="wants 6 of prefill and 6 of decode, not 3 of prefill"):
        approve_changes(replace(found, newest=newer), NOW)


def test_a_rejected_decision_is_approved_by_its_name_only() -> None:
    found = with_rule(rejected_id=4711, rejected_by="bob")
    with pytest.raises(Conflict, match="was rejected by bob; name it with --decision 4711"):
        approve_changes(found, NOW)
    assert approve_changes(replace(found, is_named=True), NOW)
