"""The operator with a service account that has the declared rights and no others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from kubernetes import client

from services.operator.kube import KubeClient
from services.operator.kube_http import KubeHttp
from services.operator.rbac import FURTHER_RIGHTS, RIGHTS, Right
from tests.integration.operator.conftest import Bench
from tests.integration.operator.test_targets import LWS, groups, reference

pytestmark = pytest.mark.integration

RBAC = "/apis/rbac.authorization.k8s.io/v1"


def act_as(bench: Bench, rights: Iterable[Right]) -> None:
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
        "grant the operator list on leaderworkersets.leaderworkerset.x-k8s.io"
        in (resolved["message"])
    )
    assert "get and patch on leaderworkersets/scale" in resolved["message"]
    bench.lab.http.delete(f"/apis/{LWS}/namespaces/{bench.lab.namespace}/leaderworkersets/wide")
