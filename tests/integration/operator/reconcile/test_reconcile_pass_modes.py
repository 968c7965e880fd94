"""Pauses, approvals, freezes and scaling to zero, as an operator of the cluster sees them."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.integration.operator.conftest import Bench

pytestmark = pytest.mark.integration

PREFIX = "scaling.harmony.dev"


@pytest.mark.parametrize(
    ("name", "value"),
    [("paused", "yes"), ("paused-until", "tomorrow"), ("paused-until", "2026-01-05T18:00:00")],
)
def test_a_pause_that_cannot_be_read_holds_and_is_said(bench: Bench, name: str, value: str) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", annotations={f"{PREFIX}/{name}": value})
    bench.reconcile()
    decision = bench.decide("llama", 5)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "paused")]
    assert bench.lab.replicas("llama") == 2
    paused = bench.lab.condition("llama", "Paused")
    assert (paused["status"], paused["reason"]) == ("True", "UnreadableAnnotation")
    assert f"{PREFIX}/{name}" in paused["message"]
    ready = bench.lab.condition("llama", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "InvalidAnnotation")
    bench.lab.annotate("llama", {f"{PREFIX}/{name}": None})
    bench.clock.advance(bench.step_s)
    bench.decide("llama", 5)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 5
    assert bench.lab.condition("llama", "Paused")["status"] == "False"


def test_a_pause_until_ends_by_itself(bench: Bench) -> None:
    until = bench.clock.now() + timedelta(seconds=90)
    text = f"{until + timedelta(hours=2):%Y-%m-%dT%H:%M:%S}+02:00"
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", annotations={f"{PREFIX}/paused-until": text})
    bench.reconcile()
    bench.decide("llama", 5)
    bench.reconcile()
    assert bench.lab.condition("llama", "Paused")["status"] == "True"
    assert bench.lab.replicas("llama") == 2
    bench.step()
    bench.step()
    assert bench.lab.condition("llama", "Paused")["status"] == "False"
    bench.decide("llama", 5)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 5


def test_an_approval_is_asked_for_given_and_told(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", mode="Approval", approval={"expireAfter": "10m"})
    bench.reconcile()
    decision = bench.decide("llama", 5)
    bench.reconcile()
    active = bench.lab.condition("llama", "DecisionActive")
    assert active["reason"] == "AwaitingApproval"
    assert f"{PREFIX}/approved-decision={decision}" in active["message"]
    assert "2 -> 5 replicas" in active["message"]
    approval = {
        f"{PREFIX}/approved-decision": str(decision),
        f"{PREFIX}/approved-by": "ada@example.dev",
    }
    bench.lab.annotate("llama", dict(approval))
    bench.reconcile()
    assert bench.lab.replicas("llama") == 5
    status = bench.lab.autoscaler("llama")["status"]
    assert status["lastDecision"]["approvedBy"] == "ada@example.dev"
    assert status["decisionHistory"][0]["approvedBy"] == "ada@example.dev"
    bench.reconcile()
    assert bench.lab.condition("llama", "DecisionActive")["reason"] == "DecisionValid"


def test_an_approval_that_comes_too_late_applies_nothing(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", mode="Approval", approval={"expireAfter": "2m"})
    bench.reconcile()
    far = bench.clock.now() + timedelta(hours=1)
    decision = bench.decide("llama", 5, valid_until=far)
    bench.reconcile()
    bench.clock.advance(121)
    bench.lab.annotate("llama", {f"{PREFIX}/approved-decision": str(decision)})
    bench.reconcile()
    assert bench.lab.replicas("llama") == 2
    assert bench.lab.condition("llama", "DecisionActive")["reason"] == "ApprovalExpired"


@pytest.mark.parametrize(
    ("freeze", "desired", "result"),
    [("Both", 5, "paused"), ("ScaleDown", 5, "applied"), ("ScaleDown", 1, "paused")],
)
def test_a_freeze_holds_a_decision_made_before_it(
    bench: Bench, freeze: str, desired: int, result: str
) -> None:
    """The window begins a minute after the decision, by the clocks of Berlin."""
    berlin = bench.clock.now().astimezone(ZoneInfo("Europe/Berlin"))
    start, end = berlin + timedelta(minutes=1), berlin + timedelta(minutes=30)
    window = {"startTime": f"{start:%H:%M}", "endTime": f"{end:%H:%M}"}
    night = {"name": "night", "timezone": "Europe/Berlin", "freeze": freeze, **window}
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", schedules=[night])
    bench.reconcile()
    decision = bench.decide("llama", desired)
    bench.clock.advance(60)
    bench.reconcile()
    assert bench.results() == [(decision, 1, result)]
    (action,) = bench.rows("actions")
    if result == "paused":
        assert action["reason"] == f"schedule night freezes {freeze}"


@pytest.mark.parametrize(("least", "left"), [(0, 0), (1, 1)])
def test_zero_is_reached_only_where_it_is_asked_for(bench: Bench, least: int, left: int) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", minReplicas=least)
    bench.reconcile()
    bench.decide("llama", 0)
    bench.reconcile()
    assert bench.lab.replicas("llama") == left


def test_a_service_put_to_zero_is_woken_after_its_least_count_is_raised(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", minReplicas=0)
    bench.reconcile()
    bench.decide("llama", 0)
    bench.step()
    assert bench.lab.replicas("llama") == 0
    bench.lab.change("llama", {"minReplicas": 1})
    bench.step()
    bench.decide("llama", 6, current_replicas=0)
    bench.step()
    assert bench.lab.replicas("llama") == 6


def test_a_service_stopped_by_hand_stays_so_and_that_is_said(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.decide("llama", 4)
    bench.step()
    bench.lab.scale("llama", 0)
    bench.step()
    bench.decide("llama", 6, current_replicas=0)
    bench.step()
    assert bench.lab.replicas("llama") == 0
    limited = bench.lab.condition("llama", "ScalingLimited")
    assert (limited["status"], limited["reason"]) == ("True", "ScaledToZeroByHand")
