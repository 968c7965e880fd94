"""Replica states and pod starts as they are stored, on Postgres and the simulated cluster."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.operator.conftest import Bench

pytestmark = pytest.mark.integration


def test_registers_and_stores_a_snapshot(bench: Bench) -> None:
    bench.lab.deploy("llama", replicas=3, gpus=2)
    bench.lab.autoscale("llama", gpusPerReplica=2)
    bench.reconcile()
    (workload,) = bench.rows("workloads")
    assert (workload["namespace"], workload["name"]) == (bench.lab.namespace, "llama")
    assert workload["shard"] == (workload["id"] - 1) // bench.deps.settings.shard_size
    capacity = workload["spec"]["capacity"]
    assert (capacity["per_replica"], capacity["cv"]) == (10.0, 0.0)
    assert (capacity["latency_indicator"], capacity["slo_latency_ms"]) == ("", None)
    (state,) = bench.rows("replica_states")
    assert state["observed_at"] == bench.clock.now()
    assert (state["spec_replicas"], state["ready_replicas"]) == (3, 3)
    assert state["schedulable_gpus"] == 16 - 6


def test_auto_scales_once_and_measures_the_lead_time(bench: Bench) -> None:
    bench.lab.deploy("llama", replicas=2)
    bench.lab.autoscale("llama")
    bench.reconcile()
    decision = bench.decide("llama", 5)
    report = bench.reconcile()
    assert report.results == {"applied": 1}
    assert bench.lab.replicas("llama") == 5
    assert bench.reconcile().results == {}
    assert bench.results() == [(decision, 1, "applied")]
    (action,) = bench.rows("actions")
    assert (action["from_replicas"], action["to_replicas"]) == (2, 5)
    assert action["applied_at"] == bench.clock.now()
    bench.step()
    bench.step()
    starts = bench.rows("pod_starts")
    assert len(starts) == 3
    assert all(row["ready_at"] - row["requested_at"] > timedelta(seconds=1) for row in starts)
    states = sorted(bench.rows("replica_states"), key=lambda row: row["observed_at"])
    assert states[0]["ready_replicas"] == 2
    assert states[-1]["ready_replicas"] == 5
    status = bench.lab.autoscaler("llama")["status"]
    assert (status["currentReplicas"], status["desiredReplicas"]) == (5, 5)
    assert status["lastDecision"]["result"] == "applied"
    assert status["leadTime"]["samples"] == 3
    assert [e["reason"] for e in bench.lab.events()] == ["SuccessfulRescale"]


def test_unschedulable_pods_are_pending(bench: Bench) -> None:
    bench.lab.deploy("big", replicas=4, gpus=4, product="H100")
    bench.lab.autoscale("big", gpusPerReplica=4)
    bench.reconcile()
    bench.lab.scale("big", 6)
    bench.step()
    states = sorted(bench.rows("replica_states"), key=lambda row: row["observed_at"])
    assert states[-1]["pending_replicas"] == 2
    assert states[-1]["schedulable_gpus"] == 0
    assert states[-1]["start_ages_s"] == [60.0, 60.0]
    # nobody adds nodes here, so none was ever to come for them
    starts = bench.rows("pod_starts")
    assert [(row["bound_at"], row["refused_at"]) for row in starts] == [
        (None, row["requested_at"]) for row in starts
    ]


def test_a_start_on_its_way_tells_when_it_was_given_its_node(bench: Bench) -> None:
    bench.lab.deploy("llama", replicas=1, median_s=150)
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.decide("llama", 2)
    bench.reconcile()
    bench.step()
    (start,) = bench.rows("pod_starts")
    assert (start["ready_at"], start["is_new_node"], start["refused_at"]) == (None, False, None)
    assert start["bound_at"] >= start["requested_at"]


def test_starts_tell_what_they_had_to_do_first(bench: Bench) -> None:
    """The first start on a node pulls the image; a later one finds it there."""
    own = "example.test/told:1"  # which no other test on this cluster has left on a node
    bench.lab.deploy("llama", replicas=1, gpus=8, median_s=150, image=own)
    bench.lab.autoscale("llama", gpusPerReplica=8)
    bench.reconcile()
    for count in (2, 1, 2):
        bench.decide("llama", count)
        bench.reconcile()
        for _ in range(5):
            bench.step()
    starts = sorted(bench.rows("pod_starts"), key=lambda row: row["requested_at"])
    assert [row["cause"] for row in starts] == ["cold", "warm"]
    states = sorted(bench.rows("replica_states"), key=lambda row: row["observed_at"])
    room = [(row["schedulable_gpus"], row["warm_gpus"]) for row in states]
    assert (8, 0) in room, "the second node does not have the image yet"
    assert (8, 8) in room, "it keeps it"


def test_a_restored_start_says_so(bench: Bench) -> None:
    bench.lab.deploy("llama", replicas=1, annotations={"scaling.harmony.dev/restored": "true"})
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.decide("llama", 2)
    bench.reconcile()
    bench.step()
    bench.step()
    assert {row["cause"] for row in bench.rows("pod_starts")} == {"restored"}


def test_a_start_is_not_gone_because_nothing_asks_for_pods(bench: Bench) -> None:
    """The last GPUAutoscaler goes and comes back, as where its definition is made again."""
    bench.lab.deploy("llama", median_s=100)
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.decide("llama", 3)
    bench.reconcile()
    bench.reconcile()
    bench.lab.delete_autoscaler("llama")
    bench.step()
    bench.lab.autoscale("llama")
    bench.step()
    bench.step()
    (start,) = bench.rows("pod_starts")
    assert (start["gone_at"], start["ready_at"] is not None) == (None, True)
