"""Decisions to the cluster and back, on a real Postgres and the simulated cluster."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.operator.conftest import Bench

pytestmark = pytest.mark.integration


def test_advisory_writes_nothing_to_the_target(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", mode="Advisory")
    bench.reconcile()
    decision = bench.decide("llama", 7)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "advisory")]
    assert bench.lab.replicas("llama") == 2
    assert bench.lab.autoscaler("llama")["status"]["recommendedReplicas"] == 7


def test_a_stale_decision_expires_and_an_older_one_is_superseded(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    older = bench.decide("llama", 4)
    bench.clock.advance(bench.step_s)
    newer = bench.decide("llama", 6)
    bench.clock.advance(10 * bench.step_s)
    bench.reconcile()
    assert bench.results() == [(older, 1, "superseded"), (newer, 1, "expired")]
    assert bench.lab.replicas("llama") == 2
    assert bench.lab.condition("llama", "DecisionActive")["reason"] == "DecisionExpired"


def test_a_decision_for_a_time_to_come_holds_up_none(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    hour = timedelta(hours=1)
    ahead = bench.decide("llama", 9, origin_at=bench.clock.now() + hour)
    bench.reconcile()
    assert bench.results() == [(ahead, 1, "expired")]
    first = bench.decide("llama", 5)
    bench.reconcile()
    bench.clock.advance(bench.step_s)
    second = bench.decide("llama", 6)
    bench.fresh_operator()
    bench.reconcile()
    assert bench.results()[1:] == [(first, 1, "applied"), (second, 1, "applied")]
    assert bench.lab.replicas("llama") == 6


def test_a_restarted_operator_applies_nothing_twice(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    decision = bench.decide("llama", 5)
    bench.reconcile()
    bench.lab.scale("llama", 3)
    bench.fresh_operator()
    assert bench.reconcile().results == {}
    assert bench.lab.replicas("llama") == 3
    assert bench.results() == [(decision, 1, "applied")]


@pytest.mark.parametrize(
    ("annotations", "desired", "expected"),
    [
        ({"paused-until": "2031-01-05T06:00:00Z"}, 5, "paused"),
        ({"paused-scale-out": "true"}, 5, "paused"),
        ({"paused-scale-out": "true"}, 1, "applied"),
    ],
)
def test_pauses(bench: Bench, annotations: dict[str, str], desired: int, expected: str) -> None:
    bench.lab.deploy("llama")
    named = {f"scaling.harmony.dev/{name}": value for name, value in annotations.items()}
    bench.lab.autoscale("llama", annotations=named)
    bench.reconcile()
    decision = bench.decide("llama", desired)
    bench.reconcile()
    assert bench.results() == [(decision, 1, expected)]
    assert bench.lab.replicas("llama") == (desired if expected == "applied" else 2)


def test_deleting_the_autoscaler_leaves_the_target(bench: Bench) -> None:
    bench.lab.deploy("llama", replicas=4)
    bench.lab.autoscale("llama")
    bench.reconcile()
    assert "finalizers" not in bench.lab.autoscaler("llama")["metadata"]
    decision = bench.decide("llama", 2)
    bench.lab.delete_autoscaler("llama")
    bench.reconcile()
    (workload,) = bench.rows("workloads")
    assert workload["is_active"] is False
    assert bench.lab.replicas("llama") == 4
    assert bench.results() == [(decision, 1, "target_missing")]
    bench.lab.autoscale("llama")
    bench.reconcile()
    (workload,) = bench.rows("workloads")
    assert workload["is_active"] is True


def test_another_autoscaler_on_the_target_is_a_conflict(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.lab.post(
        f"/apis/autoscaling/v2/namespaces/{bench.lab.namespace}/horizontalpodautoscalers",
        {
            "metadata": {"name": "llama-hpa"},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama"},
                "maxReplicas": 9,
            },
        },
    )
    bench.reconcile()
    decision = bench.decide("llama", 5)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "conflict")]
    assert bench.lab.replicas("llama") == 2
    conflict = bench.lab.condition("llama", "Conflict")
    assert (conflict["status"], conflict["reason"]) == ("True", "HorizontalPodAutoscaler")
    assert "llama-hpa" in conflict["message"]
    assert bench.lab.condition("llama", "Ready")["status"] == "False"


def test_the_older_of_two_autoscalers_keeps_the_target(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.lab.advance(bench.clock.now() + timedelta(seconds=5))
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama"}
    bench.lab.autoscale("second", scaleTargetRef=reference)
    bench.reconcile()
    first, second = bench.decide("llama", 5), bench.decide("second", 9)
    bench.reconcile()
    assert sorted(bench.results()) == [(first, 1, "applied"), (second, 1, "conflict")]
    assert bench.lab.replicas("llama") == 5


def test_a_missing_target_is_said_and_nothing_is_written(bench: Bench) -> None:
    bench.lab.autoscale("ghost")
    bench.reconcile()
    decision = bench.decide("ghost", 5)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "target_missing")]
    assert bench.rows("replica_states") == []
    ready = bench.lab.condition("ghost", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "TargetNotFound")
    assert "create it or correct scaleTargetRef" in ready["message"]


def test_nothing_is_written_when_nothing_changes(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.decide("llama", 5)
    bench.reconcile()
    bench.reconcile()
    version = bench.lab.autoscaler("llama")["metadata"]["resourceVersion"]
    report = bench.reconcile()
    assert (report.n_statuses, report.results) == (0, {})
    assert bench.lab.autoscaler("llama")["metadata"]["resourceVersion"] == version


def test_approval_asks_and_follows(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", mode="Approval", approval={"autoApproveUpTo": {"replicas": 1}})
    bench.reconcile()
    small = bench.decide("llama", 3)
    bench.reconcile()
    bench.clock.advance(bench.step_s)
    large = bench.decide("llama", 8)
    bench.reconcile()
    bench.clock.advance(bench.step_s)
    later = bench.decide("llama", 8)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 3
    bench.lab.annotate("llama", {"scaling.harmony.dev/approved-decision": str(large)})
    bench.reconcile()
    bench.reconcile()
    assert bench.results() == [
        (small, 1, "applied"),
        (large, 1, "awaiting_approval"),
        (later, 1, "awaiting_approval"),
        (large, 2, "applied"),
    ]
    assert bench.lab.replicas("llama") == 8


def test_a_stateful_set_scales_too(bench: Bench) -> None:
    bench.lab.deploy("shards", replicas=2, kind="StatefulSet")
    bench.lab.autoscale("shards", scaleTargetRef={"kind": "StatefulSet", "name": "shards"})
    bench.reconcile()
    (state,) = bench.rows("replica_states")
    assert (state["spec_replicas"], state["ready_replicas"]) == (2, 2)
    decision = bench.decide("shards", 4)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "applied")]
    assert bench.lab.replicas("shards", kind="StatefulSet") == 4


def test_a_kind_that_is_not_served_is_said(bench: Bench) -> None:
    bench.lab.autoscale("odd", scaleTargetRef={"kind": "DaemonSet", "name": "odd"})
    bench.reconcile()
    ready = bench.lab.condition("odd", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "KindNotServed")
    assert "is not served by this cluster" in ready["message"]
