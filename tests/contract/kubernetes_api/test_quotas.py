"""Quotas on GPUs refuse pods, not what makes them."""

from __future__ import annotations

import pytest

from tests.contract.kubernetes_api.cluster_under_test import MERGE, ClusterUnderTest, Obj
from tests.contract.kubernetes_api.gpu_deployments import (
    GPU,
    OTHERS,
    free_gpus,
    gpu_deployment,
)


@pytest.mark.parametrize("resource", [GPU, OTHERS[0]])
def test_a_quota_refuses_pods_and_says_so(cluster: ClusterUnderTest, resource: str) -> None:
    if resource == GPU:
        free_gpus(cluster)
    quota, name = cluster.name("q"), cluster.name("p")
    key = f"requests.{resource}"
    quotas = cluster.core("resourcequotas")
    cluster.do("POST", quotas, {"metadata": {"name": quota}, "spec": {"hard": {key: "1"}}})
    cluster.eventually(
        lambda: cluster.do("GET", f"{quotas}/{quota}").get("status", {}).get("used", {}).get(key)
    )
    path = cluster.apps("deployments", name)
    body = gpu_deployment(cluster, name, 2, resource=resource)
    cluster.do("POST", cluster.apps("deployments"), body)

    def failure() -> Obj | None:
        conditions = cluster.do("GET", path).get("status", {}).get("conditions", ())
        return next((c for c in conditions if c["type"] == "ReplicaFailure"), None)

    found = cluster.eventually(failure)
    assert found is not None
    assert (found["status"], found["reason"]) == ("True", "FailedCreate")
    assert f"exceeded quota: {quota}, requested: {key}=1, used: {key}=1" in found["message"]
    assert len(cluster.pods(name)) == 1
    used = cluster.eventually(
        lambda: cluster.do("GET", f"{quotas}/{quota}")["status"]["used"][key] == "1"
    )
    assert used
    events = cluster.do("GET", cluster.core("events"), fieldSelector="reason=FailedCreate")
    messages = [e["message"] for e in events["items"] if name in e["involvedObject"]["name"]]
    assert any("exceeded quota" in message for message in messages)
    cluster.do("PATCH", f"{quotas}/{quota}", {"spec": {"hard": {key: "2"}}}, media_type=MERGE)
    # a real controller tries again after a wait that grows
    cluster.eventually(lambda: len(cluster.pods(name)) == 2, 300)
    cluster.do("DELETE", path)
    cluster.do("DELETE", f"{quotas}/{quota}")
    cluster.eventually(lambda: not cluster.pods(name))
