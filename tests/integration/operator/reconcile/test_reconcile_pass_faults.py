"""Faults of the API server and of the database: nothing lost, nothing applied twice."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, OperationalError

from services.operator.listener import ReconcileLoop
from services.operator.resource.rights import RIGHTS
from services.operator.wire.http import KubeError
from tests.integration.operator.conftest import Bench

pytestmark = pytest.mark.integration


def ready(bench: Bench, replicas: int = 2) -> None:
    bench.lab.deploy("llama", replicas=replicas)
    bench.lab.autoscale("llama")
    bench.reconcile()


@pytest.mark.parametrize("kind", ["conflict", "throttle", "error"])
def test_a_scale_patch_survives(bench: Bench, kind: str) -> None:
    ready(bench)
    decision = bench.decide("llama", 5)
    bench.lab.fault(kind=kind, verb="patch", resource="deployments", subresource="scale", times=2)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "applied")]
    assert bench.lab.replicas("llama") == 5


def test_a_target_that_moved_since_the_list_is_read_again(bench: Bench) -> None:
    ready(bench)
    decision = bench.decide("llama", 5)
    listed = bench.deps.kube.list_objects

    def list_then_move(kind: str) -> list[Any]:
        found = listed(kind)
        if kind == "Deployment":
            bench.lab.scale("llama", 3)
        return found

    bench.deps.kube.list_objects = list_then_move  # type: ignore[method-assign]
    bench.reconcile()
    (action,) = bench.rows("actions")
    assert (action["decision_id"], action["result"]) == (decision, "applied")
    assert (action["from_replicas"], action["to_replicas"]) == (3, 5)
    assert bench.lab.replicas("llama") == 5


@pytest.mark.parametrize("resource", ["pods", "gpuautoscalers"])
def test_a_cluster_that_cannot_be_read_changes_nothing(bench: Bench, resource: str) -> None:
    ready(bench)
    n_states = len(bench.rows("replica_states"))
    decision = bench.decide("llama", 5)
    bench.clock.advance(bench.step_s)
    bench.lab.fault(kind="error", verb="list", resource=resource, times=4)
    with pytest.raises(KubeError):
        bench.reconcile()
    assert bench.results() == []
    assert len(bench.rows("replica_states")) == n_states
    (workload,) = bench.rows("workloads")
    assert workload["is_active"] is True
    bench.reconcile()
    assert bench.results() == [(decision, 1, "applied")]


def test_unreadable_autoscalers_of_others_hold_and_are_tried_again(bench: Bench) -> None:
    ready(bench)
    decision = bench.decide("llama", 5)
    bench.lab.fault(kind="error", verb="list", resource="horizontalpodautoscalers", times=4)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "failed")]
    assert bench.lab.replicas("llama") == 2
    assert bench.lab.condition("llama", "Conflict")["status"] == "Unknown"
    bench.reconcile()
    assert bench.results() == [(decision, 1, "failed"), (decision, 2, "applied")]


def test_a_status_that_cannot_be_written_comes_later(bench: Bench) -> None:
    ready(bench)
    decision = bench.decide("llama", 5)
    bench.lab.fault(
        kind="error", verb="patch", resource="gpuautoscalers", subresource="status", times=1
    )
    bench.reconcile()
    assert bench.results() == [(decision, 1, "applied")]
    assert bench.lab.autoscaler("llama")["status"]["currentReplicas"] == 2
    bench.reconcile()
    status = bench.lab.autoscaler("llama")["status"]
    assert status["currentReplicas"] == 5
    assert [entry["id"] for entry in status["decisionHistory"]] == [decision]
    assert status["lastDecision"]["result"] == "applied"


def test_a_database_that_fails_after_the_patch_gets_the_action_later(bench: Bench) -> None:
    ready(bench)
    decision = bench.decide("llama", 5)

    def refuse(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "nextval" in statement:
            raise OperationalError("", None, RuntimeError("disk full"))

    event.listen(bench.engine, "before_cursor_execute", refuse)
    with pytest.raises(DBAPIError):
        bench.reconcile()
    bench.deps.memory.forget()
    event.remove(bench.engine, "before_cursor_execute", refuse)
    assert bench.lab.replicas("llama") == 5
    assert bench.results() == []
    bench.lab.scale("llama", 3)
    bench.reconcile()
    bench.reconcile()
    assert bench.results() == [(decision, 1, "applied")]
    assert bench.lab.replicas("llama") == 3


def test_a_database_that_is_away_patches_nothing_and_the_loop_goes_on(bench: Bench) -> None:
    ready(bench)
    bench.decide("llama", 5)

    def refuse(*_: Any) -> None:
        raise OperationalError("", None, RuntimeError("server closed the connection"))

    loop = ReconcileLoop(bench.deps)
    event.listen(bench.engine, "before_cursor_execute", refuse)
    loop.reconcile_once()
    assert loop.last is None
    assert bench.lab.replicas("llama") == 2
    event.remove(bench.engine, "before_cursor_execute", refuse)
    loop.reconcile_once()
    assert loop.last is not None
    assert bench.lab.replicas("llama") == 5


def test_no_right_is_used_that_is_not_declared(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", sla={"class": "gold", "risk": {"epsilon": "0.01"}})
    bench.lab.http.delete("/lab/requests")
    bench.lab.fault(kind="conflict", verb="patch", resource="deployments", subresource="scale")
    bench.reconcile()
    bench.decide("llama", 5)
    bench.reconcile()
    counted = bench.lab.http.get("/lab/requests").json()["requests"]
    used = {(c["group"], c["resource"], c["verb"]) for c in counted if c["resource"]}
    declared = {
        (right.api_group, resource, verb)
        for right in RIGHTS
        for resource in right.resources
        for verb in right.verbs
    }
    assert used <= declared
    unused = {entry for entry in declared - used if entry[2] != "watch"}
    assert unused <= {
        ("apps", "statefulsets", "list"),
        ("apps", "statefulsets/scale", "get"),
        ("apps", "statefulsets/scale", "patch"),
        ("apiextensions.k8s.io", "customresourcedefinitions", "list"),
        ("keda.sh", "scaledobjects", "list"),
        ("scaling.harmony.dev", "gpubudgets/status", "patch"),  # there is no GPUBudget here
    }
