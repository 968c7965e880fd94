"""A scaling in that cut requests off says so: row, condition, Event and metric."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.kernel import telemetry
from services.operator.kube.mirrored import MirroredKube
from tests.integration.operator.conftest import Bench
from tests.integration.operator.mirroring import eventually, in_step

pytestmark = pytest.mark.integration
DRAIN = "lab.harmony.dev/drain"


def scaled_in(bench: Bench, kube: MirroredKube, drain: str) -> int:
    """Two pods that are at work for so long when told to end, scaled in to one; the decision."""
    bench.lab.deploy("llama", replicas=2, annotations={DRAIN: drain})
    bench.lab.autoscale("llama")
    eventually(in_step(kube, "GPUAutoscaler"), "the copy to follow")
    eventually(in_step(kube, "Pod"), "the copy to follow")
    bench.reconcile()
    decision = bench.decide("llama", 1)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "applied")]
    assert len(bench.lab.pods("llama")) == 2, "it is told to end, and not gone"
    return decision


def after_a_minute(bench: Bench, kube: MirroredKube) -> None:
    bench.clock.advance(bench.step_s)
    bench.lab.advance(bench.clock.now())
    eventually(in_step(kube, "Pod"), "the copy to follow")
    bench.reconcile()


def test_a_pod_that_was_killed_at_the_end_of_its_grace_is_a_violation(
    bench: Bench, mirrored: MirroredKube
) -> None:
    before = telemetry.REGISTRY.get_sample_value("harmony_killed_pods_total") or 0
    decision = scaled_in(bench, mirrored, "90s")
    told_at = bench.clock.now()
    after_a_minute(bench, mirrored)
    (row,) = bench.rows("killed_pods")
    assert (row["decision_id"], row["grace_s"], row["requests"]) == (decision, 30.0, None)
    assert row["killed_at"] - row["told_at"] == timedelta(seconds=30)
    assert abs(row["told_at"] - told_at) <= timedelta(seconds=1)
    found = bench.lab.condition("llama", "GraceTooShort")
    assert (found["status"], found["reason"]) == ("True", "PodsKilled")
    assert "1 pod that scalings in took" in found["message"]
    (event,) = (e for e in bench.lab.events() if e["reason"] == "RequestsCutOff")
    assert (event["type"], event["message"]) == ("Warning", found["message"])
    assert telemetry.REGISTRY.get_sample_value("harmony_killed_pods_total") == before + 1
    bench.fresh_operator()
    after_a_minute(bench, mirrored)
    assert len(bench.rows("killed_pods")) == 1
    assert telemetry.REGISTRY.get_sample_value("harmony_killed_pods_total") == before + 1


def test_one_that_ended_in_time_is_none_and_a_longer_grace_ends_the_condition(
    bench: Bench, mirrored: MirroredKube
) -> None:
    scaled_in(bench, mirrored, "20s")
    after_a_minute(bench, mirrored)
    assert len(bench.lab.pods("llama")) == 1
    assert bench.rows("killed_pods") == []
    assert bench.lab.condition("llama", "GraceTooShort")["reason"] == "RequestTimeUnknown"


def test_a_pod_that_somebody_else_scaled_in_is_not_of_a_decision(
    bench: Bench, mirrored: MirroredKube
) -> None:
    bench.lab.deploy("llama", replicas=2, annotations={DRAIN: "90s"})
    bench.lab.autoscale("llama")
    eventually(in_step(mirrored, "GPUAutoscaler"), "the copy to follow")
    eventually(in_step(mirrored, "Pod"), "the copy to follow")
    bench.reconcile()
    bench.lab.scale("llama", 1)
    after_a_minute(bench, mirrored)
    assert len(mirrored.last_states("Pod")) >= 1
    assert bench.rows("killed_pods") == []
