"""Autoscalers with variants on the simulated cluster: what is seen, registered, followed, told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.operator.conftest import GROUP_PATH, Bench, Lab

pytestmark = pytest.mark.integration


def reference(name: str) -> dict[str, str]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}


H100 = {
    "name": "h100", "scaleTargetRef": reference("llama-h100"), "gpuType": "H100",
    "cost": {"perGpuHour": "4"},
}  # fmt: skip
L4 = {
    "name": "l4", "scaleTargetRef": reference("llama-l4"), "gpuType": "L4",
    "capacity": {"perReplica": "5"}, "cost": {"perGpuHour": "1"}, "maxReplicas": 8,
}  # fmt: skip


def autoscale(lab: Lab, annotations: dict[str, str] | None = None, **changes: Any) -> None:
    """`llama` on H100 and L4; an L4 is worth half a reference replica."""
    spec: dict[str, Any] = {
        "mode": "Auto", "minReplicas": 1, "maxReplicas": 12,
        "sla": {"risk": {"epsilon": "0.01"}}, "demand": "request_rate_rps",
        "indicators": [{"name": "request_rate_rps", "level": 1}],
        "capacity": {"perReplica": "10"}, "variants": [H100, L4],
    } | changes  # fmt: skip
    body = {
        "apiVersion": "scaling.harmony.dev/v1alpha1", "kind": "GPUAutoscaler",
        "metadata": {"name": "llama", "annotations": annotations or {}}, "spec": spec,
    }  # fmt: skip
    lab.post(f"{GROUP_PATH}/namespaces/{lab.namespace}/gpuautoscalers", body)


def deploy(lab: Lab, h100: int = 2, l4: int = 0) -> None:
    lab.deploy("llama-h100", replicas=h100)
    lab.deploy("llama-l4", replicas=l4, product="L4")


def decide(bench: Bench, h100: tuple[int, int], l4: tuple[int, int], **changes: Any) -> int:
    counts = {"h100": h100, "l4": l4}
    variants = [
        {"name": name, "gpu_type": name.upper(), "current": a, "desired": b}
        for name, (a, b) in counts.items()
    ]
    total = int(h100[1] + 0.5 * l4[1])
    return bench.decide("llama", total, **({"variants": json.dumps(variants)} | changes))


def replicas(bench: Bench) -> tuple[int, int]:
    return bench.lab.replicas("llama-h100"), bench.lab.replicas("llama-l4")


def last_action(bench: Bench) -> dict[str, Any]:
    return max(bench.rows("actions"), key=lambda row: row["id"])


@pytest.fixture
def ready(bench: Bench) -> Bench:
    """Two H100 replicas that serve."""
    deploy(bench.lab)
    autoscale(bench.lab)
    for _ in range(3):
        bench.step()
    return bench


def test_variants_are_registered_seen_and_told(ready: Bench) -> None:
    (workload,) = ready.rows("workloads")
    spec = workload["spec"]
    assert (spec["target"], spec["gpu_type"]) == ("Deployment/llama-h100", "H100")
    assert [v["name"] for v in spec["variants"]] == ["h100", "l4"]
    assert spec["variants"][1]["capacity_per_replica"] == 5.0
    state = max(ready.rows("replica_states"), key=lambda row: row["observed_at"])
    assert (state["spec_replicas"], state["ready_replicas"]) == (2, 2)
    assert state["variants"]["h100"]["ready"] == 2
    assert state["variants"]["l4"] == {
        "spec": 0, "ready": 0, "starting": 0, "pending": 0, "start_ages_s": [],
        "schedulable_gpus": 4, "warm_gpus": 0, "held": "",
    }  # fmt: skip
    status = ready.lab.autoscaler("llama")["status"]
    assert status["target"] == "h100=2,l4=0"
    assert status["variants"] == [
        {"name": "h100", "currentReplicas": 2},
        {"name": "l4", "currentReplicas": 0},
    ]
    assert ready.lab.condition("llama", "TargetResolved")["status"] == "True"


def test_a_change_of_mix_scales_up_first_and_down_when_the_others_are_ready(ready: Bench) -> None:
    """Two H100 give way to four L4. At no time does less than two reference replicas serve."""
    served = []
    decide(ready, (2, 0), (0, 4))
    ready.reconcile()
    assert replicas(ready) == (2, 4)
    action = last_action(ready)
    assert (action["result"], action["from_replicas"], action["to_replicas"]) == ("applied", 2, 4)
    assert "l4 0 -> 4" in action["reason"]
    assert "scale-in of h100 waits: 0 of 4 of l4 are ready" in action["reason"]
    for _ in range(6):
        ready.step()
        state = max(ready.rows("replica_states"), key=lambda row: row["observed_at"])
        served.append(state["ready_replicas"])
        h100, l4 = replicas(ready)
        decide(ready, (h100, 0), (l4, 4))
        ready.reconcile()
    assert replicas(ready) == (0, 4)
    assert min(served) >= 2
    assert {row["gpu_type"] for row in ready.rows("pod_starts")} == {"L4"}


def test_the_old_variant_goes_as_far_as_the_new_one_is_ready(bench: Bench) -> None:
    """Four L4 of which two are ready are worth one reference replica: one H100 may go."""
    deploy(bench.lab, h100=2, l4=2)
    autoscale(bench.lab)
    for _ in range(3):
        bench.step()
    decide(bench, (2, 0), (2, 4))
    bench.reconcile()
    assert replicas(bench) == (1, 4)
    assert "scale-in of h100 waits: 2 of 4 of l4 are ready" in last_action(bench)["reason"]


def test_less_of_everything_is_applied_at_once(bench: Bench) -> None:
    deploy(bench.lab, h100=3, l4=4)
    autoscale(bench.lab)
    for _ in range(3):
        bench.step()
    decide(bench, (3, 1), (4, 2))
    bench.reconcile()
    assert replicas(bench) == (1, 2)
    assert last_action(bench)["result"] == "applied"
    assert bench.lab.autoscaler("llama")["status"]["desiredReplicas"] == 2


def test_nothing_is_written_when_nothing_changes(ready: Bench) -> None:
    decide(ready, (2, 2), (0, 0))
    ready.reconcile()
    assert last_action(ready)["result"] == "unchanged"
    assert ready.lab.autoscaler("llama")["status"]["variants"][0]["desiredReplicas"] == 2
    report = ready.reconcile()
    assert report.results == {}


def test_advisory_shows_and_applies_nothing(bench: Bench) -> None:
    deploy(bench.lab)
    autoscale(bench.lab, mode="Advisory")
    bench.step()
    decide(bench, (2, 0), (0, 4))
    bench.reconcile()
    assert replicas(bench) == (2, 0)
    assert last_action(bench)["result"] == "advisory"
    shown = bench.lab.autoscaler("llama")["status"]["variants"]
    assert [v["desiredReplicas"] for v in shown] == [0, 4]


def test_approval_asks_once_for_the_whole_mix(bench: Bench) -> None:
    deploy(bench.lab)
    autoscale(bench.lab, mode="Approval")
    bench.step()
    decision = decide(bench, (2, 1), (0, 4))
    bench.reconcile()
    assert last_action(bench)["result"] == "awaiting_approval"
    assert replicas(bench) == (2, 0)
    bench.lab.annotate("llama", {"scaling.harmony.dev/approved-decision": str(decision)})
    bench.reconcile()
    assert replicas(bench)[1] == 4
    assert last_action(bench)["result"] == "applied"


def test_a_pause_of_scaling_in_lets_the_new_variant_rise(bench: Bench) -> None:
    deploy(bench.lab)
    autoscale(bench.lab, {"scaling.harmony.dev/paused-scale-in": "true"})
    bench.step()
    decide(bench, (2, 0), (0, 4))
    bench.reconcile()
    assert replicas(bench) == (2, 4)
    assert "scaling in is paused" in last_action(bench)["reason"]
    bench.lab.annotate("llama", {"scaling.harmony.dev/paused": "true"})
    decide(bench, (2, 2), (4, 8))
    bench.reconcile()
    assert replicas(bench) == (2, 4)
    assert last_action(bench)["result"] == "paused"


def test_another_autoscaler_of_one_variant_stops_that_one_only(ready: Bench) -> None:
    """The HPA's variant is held in the snapshot, so that decisions count on the other one."""
    body = {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "hands-off"},
        "spec": {"scaleTargetRef": reference("llama-l4"), "minReplicas": 1, "maxReplicas": 3},
    }  # fmt: skip
    ready.lab.post(
        f"/apis/autoscaling/v2/namespaces/{ready.lab.namespace}/horizontalpodautoscalers", body
    )
    ready.step()
    state = max(ready.rows("replica_states"), key=lambda row: row["observed_at"])
    assert state["variants"]["l4"]["held"] == "HorizontalPodAutoscaler/hands-off scales it"
    decide(ready, (2, 3), (0, 4))
    ready.reconcile()
    assert replicas(ready) == (3, 0)
    assert "l4: HorizontalPodAutoscaler/hands-off" in last_action(ready)["reason"]
    assert ready.lab.condition("llama", "Conflict")["status"] == "True"


def test_a_variant_that_a_follower_scales_is_decided_and_left_to_it(ready: Bench) -> None:
    selector = {"matchLabels": {"workload": "llama_l4"}}
    metric = {"name": "harmony_advised_replicas", "selector": selector}
    target = {"type": "AverageValue", "averageValue": "1"}
    body = {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "follower"},
        "spec": {
            "scaleTargetRef": reference("llama-l4"), "minReplicas": 1, "maxReplicas": 8,
            "metrics": [{"type": "External", "external": {"metric": metric, "target": target}}],
        },
    }  # fmt: skip
    ready.lab.post(
        f"/apis/autoscaling/v2/namespaces/{ready.lab.namespace}/horizontalpodautoscalers", body
    )
    ready.step()
    state = max(ready.rows("replica_states"), key=lambda row: row["observed_at"])
    assert state["variants"]["l4"]["held"] == ""
    decide(ready, (2, 3), (0, 4))
    ready.reconcile()
    assert replicas(ready) == (3, 0), "the follower scales its variant"
    assert ready.lab.condition("llama", "Conflict")["status"] == "False"


def test_a_second_autoscaler_of_one_target_writes_nothing(ready: Bench) -> None:
    ready.lab.autoscale("younger", scaleTargetRef=reference("llama-l4"), gpuType="L4")
    ready.step()
    ready.decide("younger", 3)
    ready.reconcile()
    assert replicas(ready)[1] == 0
    assert ready.lab.condition("younger", "Conflict")["reason"] == "GPUAutoscaler"


def test_a_missing_target_is_told_and_the_others_go_on(bench: Bench) -> None:
    bench.lab.deploy("llama-h100", replicas=2)
    autoscale(bench.lab)
    bench.step()
    target = bench.lab.condition("llama", "TargetResolved")
    assert (target["status"], target["reason"]) == ("False", "TargetNotFound")
    assert "variant l4: Deployment/llama-l4 does not exist" in target["message"]
    state = max(bench.rows("replica_states"), key=lambda row: row["observed_at"])
    assert list(state["variants"]) == ["h100"]
    decide(bench, (2, 4), (0, 0))
    bench.reconcile()
    assert bench.lab.replicas("llama-h100") == 4


def test_a_decision_that_knows_no_variants_is_not_applied(ready: Bench) -> None:
    ready.decide("llama", 5)
    ready.reconcile()
    assert replicas(ready) == (2, 0)
    assert last_action(ready)["result"] == "expired"


def test_targets_scaled_to_zero_by_hand_stay_there(ready: Bench) -> None:
    ready.lab.scale("llama-h100", 0)
    ready.step()
    decide(ready, (0, 2), (0, 0))
    ready.reconcile()
    assert replicas(ready) == (0, 0)
    assert last_action(ready)["result"] == "paused"


def test_an_operator_that_restarts_in_between_goes_on(ready: Bench) -> None:
    decide(ready, (2, 0), (0, 4))
    ready.reconcile()
    ready.fresh_operator()
    for _ in range(3):
        ready.step()
    decide(ready, (2, 0), (4, 4))
    ready.reconcile()
    assert replicas(ready) == (0, 4)


def test_a_budget_counts_the_variants_of_its_type(ready: Bench) -> None:
    path = f"{GROUP_PATH}/gpubudgets"
    ready.lab.post(path, {"metadata": {"name": "h100-v"}, "spec": {"gpuType": "H100", "gpus": 9}})
    ready.lab.post(path, {"metadata": {"name": "l4-v"}, "spec": {"gpuType": "L4", "gpus": 9}})
    try:
        decide(ready, (2, 2), (0, 3))
        ready.reconcile()
        ready.step()
        used = {
            name: ready.lab.http.get(f"{path}/{name}").json()["status"]["usedGpus"]
            for name in ("h100-v", "l4-v")
        }
        assert used == {"h100-v": 2, "l4-v": 3}
    finally:
        for name in ("h100-v", "l4-v"):
            ready.lab.http.delete(f"{path}/{name}")


@pytest.mark.parametrize("kind", ["conflict", "error"])
def test_a_fault_while_the_mix_changes_is_made_good(ready: Bench, kind: str) -> None:
    ready.lab.fault(kind=kind, verb="patch", resource="deployments", subresource="scale", times=1)
    decide(ready, (2, 1), (0, 4))
    ready.reconcile()
    assert replicas(ready)[1] == 4


def test_one_quota_holds_for_all_variants_together(ready: Bench) -> None:
    """Five GPUs, two in use: four L4 and one H100 more would be five, three are left."""
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"},
        "spec": {"hard": {"requests.nvidia.com/gpu": "5"}},
    }  # fmt: skip
    ready.lab.post(f"/api/v1/namespaces/{ready.lab.namespace}/resourcequotas", quota)
    ready.step()
    decide(ready, (2, 3), (0, 4))
    ready.reconcile()
    assert replicas(ready) == (2, 3)
    said = last_action(ready)["reason"]
    assert "ResourceQuota/team leaves 3 GPUs: l4 gets 3 of 4" in said
    assert "h100 gets 2 of 3" in said


def test_a_quota_on_another_resource_holds_no_variant_back(ready: Bench) -> None:
    quota = {"metadata": {"name": "amd"}, "spec": {"hard": {"requests.amd.com/gpu": "0"}}}
    ready.lab.post(f"/api/v1/namespaces/{ready.lab.namespace}/resourcequotas", quota)
    ready.step()
    decide(ready, (2, 3), (0, 4))
    ready.reconcile()
    assert replicas(ready) == (3, 4)
