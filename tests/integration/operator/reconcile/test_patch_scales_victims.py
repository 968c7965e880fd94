"""Pods that a scale-in should take are marked, and the controller takes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from services.ingest.series.in_flight_repository import store_in_flight
from services.kernel.db.session import unit_of_work
from tests.integration.operator.conftest import Bench

pytestmark = pytest.mark.integration

COST = "controller.kubernetes.io/pod-deletion-cost"
MARK = "scaling.harmony.dev/deletion-cost"


def costs(bench: Bench) -> dict[str, Any]:
    found = {}
    for pod in bench.lab.pods("llama"):
        annotations = pod["metadata"].get("annotations") or {}
        found[pod["metadata"]["name"]] = annotations.get(COST)
    return found


def grown(bench: Bench) -> list[str]:
    """A service of three pods, of which the third started last; names, oldest first.

    Two of them stand on the same node, where the third is alone: left to itself, a ReplicaSet
    takes one of the two.
    """
    bench.lab.deploy("llama", replicas=2, gpus=4)
    bench.lab.autoscale("llama", gpusPerReplica=4)
    bench.reconcile()
    old = sorted(pod["metadata"]["name"] for pod in bench.lab.pods("llama"))
    bench.decide("llama", 3)
    bench.reconcile()
    bench.step()
    fresh = {pod["metadata"]["name"] for pod in bench.lab.pods("llama")} - set(old)
    nodes = {p["metadata"]["name"]: p["spec"]["nodeName"] for p in bench.lab.pods("llama")}
    assert len({nodes[name] for name in old}) == 1
    assert nodes[min(fresh)] not in {nodes[name] for name in old}
    return [*old, *fresh]


def test_the_pod_that_served_the_shortest_goes(bench: Bench) -> None:
    *old, young = grown(bench)
    bench.lab.http.delete("/lab/requests")
    bench.decide("llama", 2)
    bench.reconcile()
    assert sorted(costs(bench)) == sorted(old)
    requests = bench.lab.http.get("/lab/requests").json()["requests"]
    assert [r["count"] for r in requests if (r["verb"], r["resource"]) == ("patch", "pods")] == [1]
    assert young not in costs(bench)


def read_in_flight(bench: Bench, found: dict[str, float], ago_s: float = 10) -> None:
    """As ingest stores what it read of the pods."""
    at = bench.clock.now() - timedelta(seconds=ago_s)
    with unit_of_work(bench.engine) as work:
        store_in_flight(work.connection, {bench.workload_id("llama"): found}, at)


def test_the_pod_of_the_fewest_requests_goes(bench: Bench) -> None:
    first, second, young = grown(bench)
    read_in_flight(bench, {first: 5.0, second: 1.0, young: 3.0})
    bench.decide("llama", 2)
    bench.reconcile()
    assert sorted(costs(bench)) == sorted((first, young))


@pytest.mark.parametrize("change", ["old", "without one"])
def test_readings_that_are_old_or_lack_a_pod_are_not_gone_by(bench: Bench, change: str) -> None:
    first, second, young = grown(bench)
    known = {first: 5.0, second: 1.0, young: 3.0}
    if change == "old":
        read_in_flight(bench, known, ago_s=3 * bench.deps.settings.pull_interval_s + 1)
    else:
        read_in_flight(bench, {name: n for name, n in known.items() if name != first})
    bench.decide("llama", 2)
    bench.reconcile()
    assert sorted(costs(bench)) == sorted((first, second))


def test_a_database_that_does_not_tell_holds_nothing_up(bench: Bench) -> None:
    *old, _ = grown(bench)
    with bench.engine.begin() as connection:
        connection.execute(text("ALTER TABLE pod_requests RENAME TO away"))
    decision = bench.decide("llama", 2)
    bench.reconcile()
    assert bench.results()[-1] == (decision, 1, "applied")
    assert sorted(costs(bench)) == sorted(old)


def test_nothing_is_marked_when_it_changes_nothing(bench: Bench) -> None:
    bench.lab.deploy("llama", replicas=3)
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.decide("llama", 5)
    bench.reconcile()
    bench.lab.http.delete("/lab/requests")
    bench.decide("llama", 3)
    bench.reconcile()
    requests = bench.lab.http.get("/lab/requests").json()["requests"]
    assert [r for r in requests if (r["verb"], r["resource"]) == ("patch", "pods")] == []
    assert bench.lab.replicas("llama") == 3


def test_a_cost_that_somebody_set_is_followed_and_kept(bench: Bench) -> None:
    first, second, young = grown(bench)
    for name, cost in ((first, "-7"), (young, "100")):
        bench.lab.patch(f"core/v1/pods/{name}", {"metadata": {"annotations": {COST: cost}}})
    bench.decide("llama", 2)
    bench.reconcile()
    assert costs(bench) == {second: None, young: "100"}


def test_marks_can_be_switched_off(bench: Bench) -> None:
    grown(bench)
    settings = bench.deps.settings.model_copy(update={"operator_deletion_cost": False})
    bench.deps = replace(bench.deps, settings=settings)
    bench.lab.http.delete("/lab/requests")
    bench.decide("llama", 2)
    bench.reconcile()
    requests = bench.lab.http.get("/lab/requests").json()["requests"]
    assert [r for r in requests if (r["verb"], r["resource"]) == ("patch", "pods")] == []
    assert bench.lab.replicas("llama") == 2


def test_a_mark_that_cannot_be_written_holds_nothing_up(bench: Bench) -> None:
    grown(bench)
    bench.lab.fault(kind="error", verb="patch", resource="pods", times=100)
    decision = bench.decide("llama", 2)
    bench.reconcile()
    assert bench.results()[-1] == (decision, 1, "applied")


def test_a_mark_of_a_scaling_that_did_not_happen_is_taken_away(bench: Bench) -> None:
    *old, young = grown(bench)
    bench.lab.fault(
        kind="conflict", verb="patch", resource="deployments", subresource="scale", times=9
    )
    bench.decide("llama", 2)
    bench.reconcile()
    assert costs(bench)[young] == "-1"
    bench.lab.http.delete("/lab/faults")
    mark = {COST: "-1", MARK: "-1"}
    bench.lab.patch(f"core/v1/pods/{old[0]}", {"metadata": {"annotations": mark}})
    bench.clock.advance(bench.step_s)
    bench.decide("llama", 2)
    bench.reconcile()
    assert costs(bench) == dict.fromkeys(old)
