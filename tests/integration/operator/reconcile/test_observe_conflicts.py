"""Who else scales a target is named, nothing is written meanwhile, and it ends by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.operator.conftest import GROUP_PATH, Bench

pytestmark = pytest.mark.integration

KEDA = {
    "metadata": {"name": "scaledobjects.keda.sh"},
    "spec": {
        "group": "keda.sh",
        "scope": "Namespaced",
        "names": {"plural": "scaledobjects", "kind": "ScaledObject"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": True,
                    }
                },
            }
        ],
    },
}
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama"}


@pytest.fixture(autouse=True)
def without_keda(bench: Bench) -> Iterator[None]:
    """The cluster serves ScaledObjects in a test that asks for them only."""
    yield
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/scaledobjects.keda.sh"
    bench.lab.http.delete(path)


def other_autoscalers_path(bench: Bench, kind: str) -> str:
    if kind == "HorizontalPodAutoscaler":
        root, plural = "/apis/autoscaling/v2", "horizontalpodautoscalers"
    else:
        root, plural = "/apis/keda.sh/v1alpha1", "scaledobjects"
    return f"{root}/namespaces/{bench.lab.namespace}/{plural}"


def add_other_autoscaler(
    bench: Bench, kind: str, reference: dict[str, Any], name: str = "other", **more: Any
) -> None:
    if kind == "ScaledObject":
        bench.lab.define(KEDA)
        bench.fresh_kube()
    spec = {"scaleTargetRef": reference, "maxReplicas": 9} | more
    bench.lab.post(other_autoscalers_path(bench, kind), {"metadata": {"name": name}, "spec": spec})


@pytest.mark.parametrize("kind", ["HorizontalPodAutoscaler", "ScaledObject"])
@pytest.mark.parametrize("mode", ["Advisory", "Approval", "Auto"])
def test_another_autoscaler_is_named_in_every_mode(bench: Bench, kind: str, mode: str) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", mode=mode)
    bare = {"name": "llama"} if kind == "ScaledObject" else DEPLOYMENT
    add_other_autoscaler(bench, kind, bare)
    bench.reconcile()
    decision = bench.decide("llama", 5)
    annotation = {"scaling.harmony.dev/approved-decision": str(decision)}
    bench.lab.annotate("llama", dict(annotation))
    bench.reconcile()
    bench.reconcile()
    assert bench.lab.replicas("llama") == 2
    conflict = bench.lab.condition("llama", "Conflict")
    assert (conflict["status"], conflict["reason"]) == ("True", kind)
    assert f"{kind}/other" in conflict["message"]
    expected = "advisory" if mode == "Advisory" else "conflict"
    assert bench.results() == [(decision, 1, expected)]
    assert bench.lab.http.delete(f"{other_autoscalers_path(bench, kind)}/other").status_code == 200
    bench.reconcile()
    assert bench.lab.condition("llama", "Conflict")["status"] == "False"
    reasons = [event["reason"] for event in bench.lab.events()]
    assert "Conflict" in reasons
    assert "ConflictResolved" in reasons


def test_the_hpa_that_keda_made_is_told_as_the_scaled_object(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    add_other_autoscaler(bench, "ScaledObject", {"name": "llama"}, "mine")
    add_other_autoscaler(bench, "HorizontalPodAutoscaler", DEPLOYMENT, "keda-hpa-mine")
    bench.reconcile()
    assert bench.lab.condition("llama", "Conflict")["reason"] == "ScaledObject"
    bench.lab.http.delete(f"{other_autoscalers_path(bench, 'ScaledObject')}/mine")


FOLLOW = {"triggers": [{"type": "external", "metadata": {"autoscaler": "llama"}}]}


@pytest.mark.parametrize("mode", ["Advisory", "Approval", "Auto"])
def test_what_follows_is_no_conflict_and_is_left_to_act(bench: Bench, mode: str) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", mode=mode)
    add_other_autoscaler(bench, "ScaledObject", {"name": "llama"}, "mine", **FOLLOW)
    bench.reconcile()
    decision = bench.decide("llama", 5)
    annotation = {
        "scaling.harmony.dev/approved-decision": str(decision),
        "scaling.harmony.dev/approved-by": "ada",
    }
    bench.lab.annotate("llama", dict(annotation))
    bench.reconcile()
    assert bench.reconcile().n_statuses == 0
    assert bench.results() == [(decision, 1, "delegated")]
    assert bench.lab.replicas("llama") == 2
    conflict = bench.lab.condition("llama", "Conflict")
    assert (conflict["status"], conflict["reason"]) == ("False", "FollowedByOther")
    assert "ScaledObject/mine scales Deployment/llama as this one decides" in conflict["message"]
    assert bench.lab.condition("llama", "Ready")["status"] == "True"
    told = [e["message"] for e in bench.lab.events() if e["reason"] == "DecisionApproved"]
    status = bench.lab.autoscaler("llama")["status"]
    assert status["desiredReplicas"] == 5
    assert status["currentReplicas"] == 2
    assert "lastScaleTime" not in status
    assert "left to ScaledObject/mine" in status["lastDecision"]["resultReason"]
    if mode == "Approval":
        (message,) = told
        assert message.startswith("2 -> 5 replicas left to ScaledObject/mine, which follows")
        assert message.endswith("approved by: ada")
    else:
        assert told == []


def test_a_conflict_beside_a_follower_stays_a_conflict(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    add_other_autoscaler(bench, "ScaledObject", {"name": "llama"}, "mine", **FOLLOW)
    add_other_autoscaler(bench, "HorizontalPodAutoscaler", DEPLOYMENT)
    bench.reconcile()
    decision = bench.decide("llama", 5)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "conflict")]
    conflict = bench.lab.condition("llama", "Conflict")
    assert conflict["reason"] == "HorizontalPodAutoscaler"
    assert "annotate it with scaling.harmony.dev/follows=llama" in conflict["message"]


def test_an_hpa_of_another_kind_of_the_same_name_is_no_conflict(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    other = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "llama"}
    add_other_autoscaler(bench, "HorizontalPodAutoscaler", other)
    custom = {"apiVersion": "example.dev/v1", "kind": "Deployment", "name": "llama"}
    add_other_autoscaler(bench, "HorizontalPodAutoscaler", custom, "custom")
    bench.reconcile()
    assert bench.lab.condition("llama", "Conflict")["status"] == "False"


def test_of_two_equally_old_the_first_by_name_keeps_the_target(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("zebra", scaleTargetRef=DEPLOYMENT)
    bench.lab.autoscale("aardvark", scaleTargetRef=DEPLOYMENT)
    bench.reconcile()
    last, first = bench.decide("zebra", 9), bench.decide("aardvark", 5)
    bench.reconcile()
    assert sorted(bench.results()) == [(last, 1, "conflict"), (first, 1, "applied")]
    conflict = bench.lab.condition("zebra", "Conflict")
    assert conflict["message"].startswith("GPUAutoscaler/aardvark scales Deployment/llama too")
    assert bench.lab.condition("aardvark", "Conflict")["status"] == "False"
    bench.lab.delete_autoscaler("aardvark")
    bench.clock.advance(bench.step_s)
    taken = bench.decide("zebra", 9)
    bench.reconcile()
    assert bench.results()[-1] == (taken, 1, "applied")
    assert bench.lab.condition("zebra", "Conflict")["status"] == "False"


def test_a_later_one_never_takes_over_whatever_the_modes(bench: Bench) -> None:
    """A second object in mode Auto does not push an older one in mode Advisory aside."""
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", mode="Advisory")
    bench.lab.advance(bench.clock.now() + timedelta(seconds=5))
    bench.lab.autoscale("second", scaleTargetRef=DEPLOYMENT)
    bench.reconcile()
    decision = bench.decide("second", 9)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "conflict")]
    assert bench.lab.replicas("llama") == 2


def test_a_deleted_autoscaler_leaves_everything_and_a_new_one_goes_on(bench: Bench) -> None:
    bench.lab.deploy("llama", replicas=3)
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.decide("llama", 4)
    bench.reconcile()
    before = {pod["metadata"]["uid"] for pod in bench.lab.pods("llama")}
    deployment = bench.lab.object("apps/v1/deployments/llama")
    bench.lab.delete_autoscaler("llama")
    path = f"{GROUP_PATH}/namespaces/{bench.lab.namespace}/gpuautoscalers/llama"
    assert bench.lab.http.get(path).status_code == 404  # nothing held its deletion
    for _ in range(2):
        bench.reconcile()
    assert {pod["metadata"]["uid"] for pod in bench.lab.pods("llama")} == before
    after = bench.lab.object("apps/v1/deployments/llama")
    assert after["metadata"]["resourceVersion"] == deployment["metadata"]["resourceVersion"]
    bench.lab.autoscale("llama")
    bench.reconcile()
    (workload,) = bench.rows("workloads")
    assert workload["is_active"] is True
    bench.clock.advance(bench.step_s)
    decision = bench.decide("llama", 6)
    bench.reconcile()
    assert bench.results()[-1] == (decision, 1, "applied")
    status = bench.lab.autoscaler("llama")["status"]
    assert (status["currentReplicas"], status["lastDecision"]["result"]) == (6, "applied")
