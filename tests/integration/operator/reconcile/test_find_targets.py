"""Any kind with a scale subresource is scaled; what cannot be is said, and never touched."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.controllers.custom_workloads import CONTROLLER_ANNOTATION
from services.lab.cluster.controllers.leader_worker_sets import (
    definition as leader_worker_set_definition,
)
from tests.integration.operator.conftest import Bench, pod_template

pytestmark = pytest.mark.integration

LWS = "leaderworkerset.x-k8s.io/v1"
POOL = "example.dev/v1"


def definition(kind: str, plural: str, *, has_scale: bool = True) -> dict[str, Any]:
    """A custom kind whose replicas are called servers, run by the laboratory."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    scale = {
        "specReplicasPath": ".spec.servers",
        "statusReplicasPath": ".status.servers",
        "labelSelectorPath": ".status.selector",
    }
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}, "scale": scale} if has_scale else {"status": {}},
    }
    metadata = {
        "name": f"{plural}.example.dev",
        "annotations": {CONTROLLER_ANNOTATION: "deployment"},
    }
    names = {"plural": plural, "kind": kind}
    spec = {"group": "example.dev", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": metadata, "spec": spec}


def reference(api_version: str, kind: str, name: str) -> dict[str, str]:
    return {"apiVersion": api_version, "kind": kind, "name": name}


def groups(bench: Bench, name: str, replicas: int, size: int) -> str:
    """A LeaderWorkerSet; its path."""
    bench.lab.define(leader_worker_set_definition())
    root = f"/apis/{LWS}/namespaces/{bench.lab.namespace}/leaderworkersets"
    template = {"size": size, "workerTemplate": pod_template(name)}
    spec = {"replicas": replicas, "leaderWorkerTemplate": template}
    bench.lab.post(root, {"metadata": {"name": name}, "spec": spec})
    return f"{LWS}/leaderworkersets/{name}"


def newest_state(bench: Bench) -> dict[str, Any]:
    return max(bench.rows("replica_states"), key=lambda row: row["observed_at"])


def test_a_leader_worker_set_is_scaled_by_groups(bench: Bench) -> None:
    path = groups(bench, "wide", replicas=2, size=3)
    bench.lab.autoscale("wide", scaleTargetRef=reference(LWS, "LeaderWorkerSet", "wide"))
    bench.reconcile()
    state = newest_state(bench)
    counts = ("spec_replicas", "ready_replicas", "starting_replicas", "pending_replicas")
    assert [state[name] for name in counts] == [2, 2, 0, 0]
    decision = bench.decide("wide", 3)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "applied")]
    assert bench.lab.object(path)["spec"]["replicas"] == 3
    bench.clock.advance(20)
    bench.lab.advance(bench.clock.now())
    bench.reconcile()
    assert [newest_state(bench)[name] for name in counts] == [3, 2, 1, 0]
    bench.step()
    assert [newest_state(bench)[name] for name in counts] == [3, 3, 0, 0]
    (start,) = bench.rows("pod_starts")
    assert start["ready_at"] > start["requested_at"]
    bench.lab.http.delete(f"/apis/{LWS}/namespaces/{bench.lab.namespace}/leaderworkersets/wide")


def test_a_group_without_room_for_all_its_pods_waits_as_one(bench: Bench) -> None:
    groups(bench, "wide", replicas=4, size=4)
    bench.lab.autoscale(
        "wide", gpusPerReplica=4, scaleTargetRef=reference(LWS, "LeaderWorkerSet", "wide")
    )
    bench.reconcile()
    assert newest_state(bench)["schedulable_gpus"] == 0
    bench.lab.patch(f"{LWS}/leaderworkersets/wide", {"spec": {"replicas": 5}})
    bench.step()
    state = newest_state(bench)
    assert (state["ready_replicas"], state["pending_replicas"]) == (4, 1)
    bench.lab.http.delete(f"/apis/{LWS}/namespaces/{bench.lab.namespace}/leaderworkersets/wide")


def test_a_custom_kind_is_scaled_through_its_own_paths(bench: Bench) -> None:
    bench.lab.define(definition("Pool", "pools"))
    root = f"/apis/{POOL}/namespaces/{bench.lab.namespace}/pools"
    body = {"servers": 2, "template": pod_template("pool")}
    bench.lab.post(root, {"metadata": {"name": "pool"}, "spec": body})
    bench.lab.autoscale("pool", scaleTargetRef=reference(POOL, "Pool", "pool"))
    bench.lab.deploy("stranger", replicas=1)  # other pods of the namespace are not counted
    bench.reconcile()
    state = newest_state(bench)
    assert (state["spec_replicas"], state["ready_replicas"]) == (2, 2)
    resolved = bench.lab.condition("pool", "TargetResolved")
    assert (resolved["status"], resolved["reason"]) == ("True", "TargetFound")
    decision = bench.decide("pool", 4)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "applied")]
    assert bench.lab.object(f"{POOL}/pools/pool")["spec"]["servers"] == 4
    bench.step()
    assert newest_state(bench)["ready_replicas"] == 4
    bench.lab.http.delete(f"{root}/pool")


def test_the_scale_of_an_idle_custom_target_is_not_read_again(bench: Bench) -> None:
    bench.lab.define(definition("Pool", "pools"))
    root = f"/apis/{POOL}/namespaces/{bench.lab.namespace}/pools"
    body = {"servers": 1, "template": pod_template("pool")}
    bench.lab.post(root, {"metadata": {"name": "pool"}, "spec": body})
    bench.lab.autoscale("pool", scaleTargetRef=reference(POOL, "Pool", "pool"))
    for _ in range(3):
        bench.reconcile()
    bench.lab.http.delete("/lab/requests")
    for _ in range(5):
        bench.reconcile()
    requests = bench.lab.http.get("/lab/requests").json()["requests"]
    verbs = {(r["verb"], r["resource"]) for r in requests}
    assert ("list", "pools") in verbs
    assert {verb for verb, _ in verbs} == {"list"}
    bench.lab.http.delete(f"{root}/pool")


@pytest.mark.parametrize(
    "odd",
    [
        {"template": {"spec": {"containers": ["server"]}}},
        {"template": {"spec": {"containers": [{}], "tolerations": "all"}}},
        {"leaderWorkerTemplate": {"size": "many"}},
        {"template": {"spec": {"containers": [{}], "terminationGracePeriodSeconds": -1e308}}},
    ],
)
def test_an_object_of_a_custom_kind_that_is_odd_harms_no_other(
    bench: Bench, odd: dict[str, Any]
) -> None:
    """Nothing says what the fields of a custom kind hold."""
    kind = definition("Riddle", "riddles")
    del kind["metadata"]["annotations"]
    bench.lab.define(kind)
    root = f"/apis/{POOL}/namespaces/{bench.lab.namespace}/riddles"
    bench.lab.post(root, {"metadata": {"name": "odd"}, "spec": {"servers": 1} | odd})
    bench.lab.autoscale("odd", scaleTargetRef=reference(POOL, "Riddle", "odd"))
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.decide("llama", 4)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 4
    resolved = bench.lab.condition("odd", "TargetResolved")
    assert (resolved["status"], resolved["reason"]) == ("Unknown", "TargetUnreadable")
    assert "Riddle/odd has fields of other types" in resolved["message"]
    bench.lab.http.delete(f"{root}/odd")


def test_the_longest_grace_of_another_teams_pods_harms_nobody(bench: Bench) -> None:
    """It is the largest integer that the API server takes, on pods that Harmony never scales."""
    labels = {"app": "vectordb"}
    template = pod_template("vectordb", 0, 40, "H100")
    template["metadata"] = {"labels": labels}
    template["spec"]["terminationGracePeriodSeconds"] = 2**63 - 1
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "vectordb"}}
    bench.lab.post(
        f"/apis/apps/v1/namespaces/{bench.lab.namespace}/deployments", body | {"spec": spec}
    )
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.decide("llama", 4)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 4


def test_a_replica_set_is_scaled(bench: Bench) -> None:
    bench.lab.deploy("bare", replicas=2, kind="ReplicaSet")
    bench.lab.autoscale("bare", scaleTargetRef=reference("apps/v1", "ReplicaSet", "bare"))
    bench.reconcile()
    assert newest_state(bench)["ready_replicas"] == 2
    decision = bench.decide("bare", 3)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "applied")]
    assert bench.lab.replicas("bare", kind="ReplicaSet") == 3


@pytest.mark.parametrize(
    ("target", "reason", "words"),
    [
        (("apps/v1", "Deployment"), "TargetNotFound", "create it or correct scaleTargetRef"),
        (("apps/v1", "DaemonSet"), "KindNotServed", "is not served by this cluster"),
        (("nowhere.dev/v1", "Thing"), "KindNotServed", "install its CRD"),
        (("v1", "Pod"), "NoScaleSubresource", "pods has no scale subresource"),
        ((POOL, "Stone"), "NoScaleSubresource", "add subresources.scale to its CRD"),
        (("v1", "Node"), "NoScaleSubresource", "nodes has no scale subresource"),
    ],
)
def test_a_target_that_cannot_be_scaled_is_said(
    bench: Bench, target: tuple[str, str], reason: str, words: str
) -> None:
    bench.lab.define(definition("Stone", "stones", has_scale=False))
    bench.lab.autoscale("odd", scaleTargetRef=reference(*target, "odd"))
    bench.reconcile()
    decision = bench.decide("odd", 5)
    bench.lab.http.delete("/lab/requests")
    bench.reconcile()
    resolved = bench.lab.condition("odd", "TargetResolved")
    assert (resolved["status"], resolved["reason"]) == ("False", reason)
    assert words in resolved["message"]
    assert bench.lab.condition("odd", "Ready")["reason"] == reason
    assert bench.results() == [(decision, 1, "target_missing")]
    requests = bench.lab.http.get("/lab/requests").json()["requests"]
    written = {r["resource"] for r in requests if r["verb"] not in ("list", "get")}
    assert written <= {"gpuautoscalers/status", "events"}
    assert "FailedGetScale" in [event["reason"] for event in bench.lab.events()]


def test_a_kind_that_cannot_be_read_costs_its_own_targets_only(bench: Bench) -> None:
    bench.lab.define(definition("Pool", "pools"))
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.lab.autoscale("pool", scaleTargetRef=reference(POOL, "Pool", "pool"))
    bench.lab.fault(kind="error", verb="list", resource="pools", times=100)
    bench.reconcile()
    one, other = bench.decide("llama", 3), bench.decide("pool", 3)
    bench.reconcile()
    assert sorted(bench.results()) == [(one, 1, "applied"), (other, 1, "failed")]
    resolved = bench.lab.condition("pool", "TargetResolved")
    assert (resolved["status"], resolved["reason"]) == ("Unknown", "TargetUnreadable")


def test_a_definition_that_comes_later_is_noticed(bench: Bench) -> None:
    bench.lab.autoscale("late", scaleTargetRef=reference("later.dev/v1", "Later", "late"))
    bench.reconcile()
    assert bench.lab.condition("late", "TargetResolved")["reason"] == "KindNotServed"
    given = definition("Later", "laters")
    given["metadata"]["name"] = "laters.later.dev"
    given["spec"]["group"] = "later.dev"
    bench.lab.define(given)
    bench.fresh_kube()
    bench.reconcile()
    assert bench.lab.condition("late", "TargetResolved")["reason"] == "TargetNotFound"
