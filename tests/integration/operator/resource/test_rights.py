"""The operator with a service account that has the declared rights and no others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from kubernetes import client

from services.operator.kube import mirror
from services.operator.kube.client import KubeClient
from services.operator.kube.mirrored import MirroredKube
from services.operator.resource.rights import FURTHER_RIGHTS, RIGHTS, Right
from services.operator.wire.http import KubeHttp
from tests.integration.operator.conftest import GROUP_PATH, Bench
from tests.integration.operator.reconcile.test_find_targets import LWS, groups, reference
from tests.integration.operator.reconcile.test_observe_conflicts import (
    DEPLOYMENT,
    add_other_autoscaler,
    other_autoscalers_path,
    without_keda,
)

__all__ = ["without_keda"]  # a fixture of every test here

pytestmark = pytest.mark.integration

RBAC = "/apis/rbac.authorization.k8s.io/v1"


def act_as(bench: Bench, rights: Iterable[Right]) -> KubeHttp:
    """Let the operator be a service account with `rights`."""
    name, namespace = f"operator-{bench.lab.namespace}", bench.lab.namespace
    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    bench.lab.post(accounts, {"metadata": {"name": name}})
    rules = [right.to_manifest() for right in rights]
    bench.lab.post(f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": rules})
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }
    bench.lab.post(f"{RBAC}/clusterrolebindings", binding)
    token = bench.lab.post("/lab/tokens", {"namespace": namespace, "name": name})["token"]
    configuration = client.Configuration()
    configuration.host = bench.lab.url
    configuration.retries = False
    configuration.api_key = {"authorization": f"Bearer {token}"}
    http = KubeHttp(configuration, sleep=lambda _: None)
    bench.deps = replace(bench.deps, kube=KubeClient(http))
    return http


def without(resource: str, *verbs: str) -> list[Right]:
    """All rights but these verbs on a resource."""
    found = []
    for right in (*RIGHTS, *FURTHER_RIGHTS):
        others = tuple(r for r in right.resources if r != resource)
        kept = tuple(verb for verb in right.verbs if verb not in verbs)
        if others:
            found.append(Right(right.api_group, others, right.verbs))
        if len(others) < len(right.resources) and kept:
            found.append(Right(right.api_group, (resource,), kept))
    return found


@pytest.fixture(params=["asked", "copied"])
def become(
    request: pytest.FixtureRequest, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Iterable[Right]], None]]:
    """Let the operator be a service account, with and without copies of what it reads."""
    monkeypatch.setattr(mirror, "_FORBIDDEN_FOR_S", 0.02)
    made: list[MirroredKube] = []

    def act(rights: Iterable[Right]) -> None:
        http = act_as(bench, rights)
        if request.param == "copied":
            made.append(MirroredKube(http, http))
            bench.deps = replace(bench.deps, kube=made[0])

    yield act
    for kube in made:
        kube.stop()
    bench.lab.fault(kind="drop_watch")


Become = Callable[[Iterable[Right]], None]


def codes(bench: Bench) -> list[dict[str, Any]]:
    return list(bench.lab.http.get("/lab/requests").json()["requests"])


def test_every_feature_works_with_the_declared_rights(bench: Bench) -> None:
    act_as(bench, (*RIGHTS, *FURTHER_RIGHTS))
    bench.lab.deploy("llama", replicas=2, gpus=4)
    bench.lab.autoscale("llama", gpusPerReplica=4)
    bench.lab.deploy("bare", replicas=1, gpus=0, kind="ReplicaSet")
    bench.lab.autoscale("bare", scaleTargetRef=reference("apps/v1", "ReplicaSet", "bare"))
    path = groups(bench, "wide", replicas=1, size=2)
    bench.lab.autoscale("wide", scaleTargetRef=reference(LWS, "LeaderWorkerSet", "wide"))
    bench.reconcile()
    for name, desired in (("llama", 3), ("bare", 2), ("wide", 2)):
        bench.decide(name, desired)
    bench.reconcile()
    bench.step()
    bench.decide("llama", 2)
    bench.lab.http.delete("/lab/requests")
    bench.reconcile()
    assert {result for _, _, result in bench.results()} == {"applied"}
    assert bench.lab.object(path)["spec"]["replicas"] == 2
    marked = [r for r in codes(bench) if (r["verb"], r["resource"]) == ("patch", "pods")]
    assert len(marked) == 1
    bench.lab.http.delete(f"/apis/{LWS}/namespaces/{bench.lab.namespace}/leaderworkersets/wide")


def test_without_the_further_rights_the_rest_goes_on_and_says_what_it_lacks(bench: Bench) -> None:
    act_as(bench, RIGHTS)
    bench.lab.deploy("llama", replicas=2, gpus=4)
    bench.lab.autoscale("llama", gpusPerReplica=4)
    groups(bench, "wide", replicas=1, size=2)
    bench.lab.autoscale("wide", scaleTargetRef=reference(LWS, "LeaderWorkerSet", "wide"))
    bench.reconcile()
    bench.decide("llama", 3)
    bench.reconcile()
    bench.step()
    bench.decide("llama", 2)  # its mark is forbidden
    bench.reconcile()
    assert bench.lab.replicas("llama") == 2
    resolved = bench.lab.condition("wide", "TargetResolved")
    assert (resolved["status"], resolved["reason"]) == ("Unknown", "TargetUnreadable")
    assert (
        "grant the operator list and watch on leaderworkersets.leaderworkerset.x-k8s.io"
        in (resolved["message"])
    )
    assert "get and patch on leaderworkersets/scale" in resolved["message"]
    bench.lab.http.delete(f"/apis/{LWS}/namespaces/{bench.lab.namespace}/leaderworkersets/wide")


def applied(bench: Bench, name: str = "llama", desired: int = 3) -> bool:
    """Whether a decision for another count reaches the target, a copy's delay granted."""
    decision = bench.decide(name, desired)
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        bench.reconcile()
        results = [result for id_, _, result in bench.results() if id_ == decision]
        if results:
            return results[-1] == "applied" and bench.lab.replicas(name) == desired
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    "resource",
    ["slaclasses", "gpubudgets", "resourcequotas", "scaledobjects", "nodes", "statefulsets"],
)
def test_a_right_that_is_missing_costs_only_what_needs_it(
    bench: Bench, become: Become, resource: str
) -> None:
    become(without(resource, "list", "watch"))
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    assert applied(bench)
    assert bench.lab.condition("llama", "Ready")["status"] == "True"


@pytest.mark.parametrize(
    "resource",
    ["deployments", "replicasets", "horizontalpodautoscalers", "slaclasses", "gpuautoscalers"],
)
def test_without_a_watch_a_copy_is_listed_again_and_again(
    bench: Bench, become: Become, resource: str
) -> None:
    become(without(resource, "watch"))
    gold = {"metadata": {"name": "gold"}, "spec": {"risk": {"epsilon": "0.01"}}}
    bench.lab.post(f"{GROUP_PATH}/slaclasses", gold)
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", sla={"class": "gold"})
    bench.reconcile()
    assert applied(bench)
    add_other_autoscaler(bench, "HorizontalPodAutoscaler", DEPLOYMENT)
    ends = time.monotonic() + 10
    while bench.lab.condition("llama", "Conflict")["status"] != "True":
        assert time.monotonic() < ends, "the copy did not follow"
        bench.reconcile()
        time.sleep(0.02)
    assert bench.lab.http.delete(f"{GROUP_PATH}/slaclasses/gold").status_code == 200


def test_classes_that_may_not_be_listed_cost_those_who_name_one(
    bench: Bench, become: Become
) -> None:
    become(without("slaclasses", "list", "watch"))
    for name, sla in (("own", {"risk": {"epsilon": "0.01"}}), ("named", {"class": "gold"})):
        bench.lab.deploy(name)
        bench.lab.autoscale(name, sla=sla)
    bench.reconcile()
    assert applied(bench, "own")
    ready = bench.lab.condition("named", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "InvalidSpec")
    assert "sla.class='gold' does not exist or cannot be read" in ready["message"]


def test_scaled_objects_that_may_not_be_listed_are_seen_by_their_hpas(
    bench: Bench, become: Become
) -> None:
    for name in ("llama", "qwen"):
        bench.lab.deploy(name)
        bench.lab.autoscale(name)
    add_other_autoscaler(bench, "ScaledObject", {"name": "llama"}, "mine")
    add_other_autoscaler(bench, "HorizontalPodAutoscaler", DEPLOYMENT, "keda-hpa-mine")
    become(without("scaledobjects", "list", "watch"))
    bench.reconcile()
    assert applied(bench, "qwen")
    conflict = bench.lab.condition("llama", "Conflict")
    assert (conflict["status"], conflict["reason"]) == ("True", "HorizontalPodAutoscaler")
    unseen = bench.lab.condition("qwen", "Conflict")
    assert unseen["status"] == "False"
    assert "grant list and watch on scaledobjects" in unseen["message"]
    bench.lab.http.delete(f"{other_autoscalers_path(bench, 'ScaledObject')}/mine")


def test_links_that_may_not_be_listed_cost_targets_of_custom_kinds(
    bench: Bench, become: Become
) -> None:
    path = groups(bench, "wide", replicas=1, size=2)
    bench.lab.autoscale("wide", scaleTargetRef=reference(LWS, "LeaderWorkerSet", "wide"))
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    become(without("statefulsets", "list", "watch"))
    bench.reconcile()
    assert applied(bench)
    resolved = bench.lab.condition("wide", "TargetResolved")
    assert (resolved["status"], resolved["reason"]) == ("Unknown", "TargetUnreadable")
    assert "its replicas cannot be counted" in resolved["message"]
    group, version, kind, name = path.split("/")
    bench.lab.http.delete(f"/apis/{group}/{version}/namespaces/{bench.lab.namespace}/{kind}/{name}")
