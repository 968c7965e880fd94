"""Harmony's operator on the cluster under test, with the rights of its chart and no others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from services.kernel.settings import Settings
from services.operator.kube.client import Scale
from services.operator.wire.http import KubeHttp
from tests.contract.kubernetes_api.cluster_under_test import MERGE, ClusterUnderTest, Obj
from tests.contract.kubernetes_api.operating import (
    Operating,
    account_token,
    configuration_of,
    has_autoscalers,
    installed,
    make_bench,
)
from tests.integration.operator.conftest import autoscaler_spec

pytestmark = pytest.mark.integration

PREFIX = "scaling.harmony.dev"


@pytest.fixture(scope="module")
def token(cluster: ClusterUnderTest) -> Iterator[str]:
    if has_autoscalers(cluster):
        pytest.skip("the cluster has GPUAutoscalers of its own")
    with installed(cluster):
        token, made = account_token(cluster)
        yield token
        for path in made:
            cluster.call("DELETE", path)


@pytest.fixture
def operator(
    cluster: ClusterUnderTest, token: str, database: Engine, settings: Settings
) -> Iterator[Operating]:
    http = KubeHttp(configuration_of(cluster, token))
    yield Operating(cluster, make_bench(cluster, http, database, settings))
    http.close()


@pytest.fixture
def name(cluster: ClusterUnderTest, operator: Operating) -> Iterator[str]:
    """A service of two replicas."""
    name = cluster.name("llm")
    operator.serve(name)
    yield name
    operator.remove(name)
    cluster.eventually(lambda: not cluster.pods(name))


@pytest.mark.parametrize(
    ("mode", "replicas", "result"),
    [("Advisory", 2, "advisory"), ("Approval", 2, "awaiting_approval"), ("Auto", 3, "applied")],
)
def test_a_decision_is_followed_as_the_mode_says(
    operator: Operating, name: str, mode: str, replicas: int, result: str
) -> None:
    operator.autoscale(name, mode=mode)
    operator.bench.reconcile()
    assert operator.condition(name, "TargetResolved") == ("True", "TargetFound")
    decision = operator.bench.decide(name, 3)
    operator.bench.reconcile()
    assert operator.bench.results() == [(decision, 1, result)]
    assert operator.replicas(name) == replicas
    status = operator.status(name)
    assert (status["currentReplicas"], status["recommendedReplicas"]) == (replicas, 3)
    assert status["lastDecision"]["id"] == decision
    if mode == "Auto":
        operator.cluster.eventually(lambda: len(operator.cluster.ready_pods(name)) == 3)
    if mode == "Approval":
        assert operator.condition(name, "DecisionActive") == ("True", "AwaitingApproval")
        operator.annotate(name, {f"{PREFIX}/approved-decision": str(decision)})
        operator.bench.reconcile()
        assert operator.replicas(name) == 3
        assert operator.condition(name, "DecisionActive") == ("True", "DecisionValid")


def test_what_was_done_is_an_event_of_the_object(operator: Operating, name: str) -> None:
    made = operator.autoscale(name)
    operator.bench.reconcile()
    operator.bench.decide(name, 3)
    operator.bench.reconcile()
    about = f"involvedObject.uid={made['metadata']['uid']}"
    path = operator.cluster.core("events")
    found = operator.cluster.do("GET", path, fieldSelector=about)["items"]
    assert [event["type"] for event in found if event["reason"] == "SuccessfulRescale"] == [
        "Normal"
    ]


def test_nothing_is_written_when_nothing_changes(operator: Operating, name: str) -> None:
    operator.autoscale(name)
    operator.bench.reconcile()
    operator.bench.decide(name, 3)
    operator.bench.reconcile()
    operator.cluster.eventually(lambda: len(operator.cluster.ready_pods(name)) == 3)
    for _ in range(2):
        operator.bench.reconcile()
    before = operator.cluster.do("GET", operator.path(name))["metadata"]["resourceVersion"]
    assert operator.bench.reconcile().n_statuses == 0
    after = operator.cluster.do("GET", operator.path(name))["metadata"]["resourceVersion"]
    assert after == before


def test_pods_that_become_ready_are_a_lead_time(operator: Operating, name: str) -> None:
    operator.autoscale(name)
    operator.bench.reconcile()
    operator.bench.decide(name, 3)
    operator.bench.reconcile()
    operator.cluster.eventually(lambda: len(operator.cluster.ready_pods(name)) == 3)
    operator.bench.reconcile()
    starts = operator.bench.rows("pod_starts")
    assert len([s for s in starts if s["ready_at"] is not None]) == 3


def test_another_autoscaler_on_the_target_stops_the_writing(operator: Operating, name: str) -> None:
    cluster = operator.cluster
    path = f"/apis/autoscaling/v2/namespaces/{cluster.namespace}/horizontalpodautoscalers"
    if cluster.call("GET", path).status_code == 404:
        pytest.skip("the server is older than autoscaling/v2 (Kubernetes 1.23)")
    cluster.do("POST", path, hpa(name))
    operator.autoscale(name)
    operator.bench.reconcile()
    operator.bench.decide(name, 3)
    operator.bench.reconcile()
    assert operator.replicas(name) == 2
    assert operator.condition(name, "Conflict") == ("True", "HorizontalPodAutoscaler")
    cluster.do("DELETE", f"{path}/{name}")


def hpa(name: str) -> Obj:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    resource = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
    spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 9}
    return {
        "metadata": {"name": name},
        "spec": {**spec, "metrics": [{"type": "Resource", "resource": resource}]},
    }


def test_somebody_elses_write_between_reading_and_patching_is_no_harm(
    operator: Operating, name: str
) -> None:
    operator.autoscale(name)
    operator.bench.reconcile()
    patch_scale = operator.bench.deps.kube.patch_scale
    path = operator.cluster.apps("deployments", name)
    left = ["once"]

    def lose_then_patch(*asked: Any) -> Scale:
        if left:
            left.pop()
            patch = {"metadata": {"labels": {"changed": "meanwhile"}}}
            operator.cluster.do("PATCH", path, patch, media_type=MERGE)
        return patch_scale(*asked)

    operator.bench.deps.kube.patch_scale = lose_then_patch  # type: ignore[method-assign]  # a race, made certain
    operator.bench.decide(name, 3)
    for _ in range(2):
        operator.bench.reconcile()
    assert not left
    assert operator.replicas(name) == 3


def test_a_target_that_goes_is_said_and_a_deleted_autoscaler_leaves_its_target(
    operator: Operating, name: str
) -> None:
    cluster = operator.cluster
    operator.autoscale(name)
    operator.bench.reconcile()
    cluster.do("DELETE", operator.path(name))
    operator.bench.reconcile()
    assert operator.replicas(name) == 2
    operator.autoscale(name)
    operator.bench.reconcile()
    assert operator.condition(name, "TargetResolved")[0] == "True"
    cluster.do("DELETE", cluster.apps("deployments", name))
    cluster.eventually(
        lambda: cluster.call("GET", cluster.apps("deployments", name)).status_code == 404
    )
    operator.bench.reconcile()
    assert operator.condition(name, "TargetResolved") == ("False", "TargetNotFound")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"mode": "Automatic"}, "spec.mode"),
        ({"maxReplicas": "many"}, "spec.maxReplicas"),
        ({"gpusPerReplica": 0}, "spec.gpusPerReplica"),
        ({"sla": {"risk": {"epsilon": 0.01}}}, "spec.sla.risk.epsilon"),
    ],
)
def test_a_wrong_autoscaler_is_refused_by_its_schema(
    operator: Operating, spec: Obj, said: str
) -> None:
    refused = operator.cluster.call("POST", operator.path(), wrong(spec))
    assert refused.status_code == 422, refused.text
    assert said in refused.json()["message"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"minReplicas": 9, "maxReplicas": 3}, "minReplicas"),
        ({"sla": {"risk": {"epsilon": "1.5"}}}, "epsilon"),
        ({"mode": "Auto", "sla": None}, "sla"),
    ],
)
def test_a_wrong_autoscaler_is_refused_by_its_rules(
    operator: Operating, spec: Obj, said: str
) -> None:
    operator.cluster.needs_rules()
    refused = operator.cluster.call("POST", operator.path(), wrong(spec))
    assert refused.status_code == 422, refused.text
    assert said in refused.json()["message"]


def wrong(spec: Obj) -> Obj:
    return {
        "apiVersion": "scaling.harmony.dev/v1alpha1",
        "kind": "GPUAutoscaler",
        "metadata": {"name": "wrong"},
        "spec": autoscaler_spec("wrong", **spec),
    }
