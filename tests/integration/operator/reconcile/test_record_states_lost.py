"""Replicas that cease to be ready for a moment, on Postgres and the simulated cluster."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.operator.conftest import Bench, Lab
from tests.integration.operator.reconcile.chain import Chain
from tests.integration.operator.reconcile.test_apply_parts import autoscale, reference

pytestmark = pytest.mark.integration

H100 = {
    "name": "h100", "scaleTargetRef": reference("llama-h100"), "gpuType": "H100",
    "gpusPerReplica": 2, "capacity": {"perReplica": "40"}, "cost": {"perGpuHour": "1"},
    "maxReplicas": 8,
}  # fmt: skip
L4 = {
    "name": "l4", "scaleTargetRef": reference("llama-l4"), "gpuType": "L4",
    "capacity": {"perReplica": "20"}, "cost": {"perGpuHour": "4"}, "maxReplicas": 8,
}  # fmt: skip


def turn(lab: Lab, pod: str, status: str) -> None:
    """The readiness probe of a pod fails, or passes again."""
    path = f"/api/v1/namespaces/{lab.namespace}/pods/{pod}"
    conditions = lab.http.get(path).json()["status"]["conditions"]
    at = lab.http.get("/lab/state").json()["now"]
    for condition in conditions:
        if condition["type"] in ("Ready", "ContainersReady"):
            condition |= {"status": status, "lastTransitionTime": at}
    headers = {"Content-Type": "application/merge-patch+json"}
    body = json.dumps({"status": {"conditions": conditions}})
    assert lab.http.patch(f"{path}/status", content=body, headers=headers).status_code == 200


def names(lab: Lab) -> set[str]:
    pods = lab.pods("llama-h100")
    return {p["metadata"]["name"] for p in pods if "deletionTimestamp" not in p["metadata"]}


@pytest.fixture(params=["one target", "variants"])
def serving(bench: Bench, request: pytest.FixtureRequest) -> tuple[Chain, set[str]]:
    """Four replicas that have served for half an hour."""
    bench.lab.deploy("llama-h100", replicas=4, gpus=2, median_s=240)
    if request.param == "variants":
        bench.lab.deploy("llama-l4", replicas=0, product="L4", median_s=20)
        autoscale(bench.lab, variants=[L4, H100], capacity={"perReplica": "20"}, maxReplicas=60)
    else:
        own: dict[str, Any] = {"capacity": {"perReplica": "40"}, "gpusPerReplica": 2}
        bench.lab.autoscale("llama", scaleTargetRef=reference("llama-h100"), maxReplicas=12, **own)
    chain = Chain(bench)
    for _ in range(26):
        chain.step(130.0)
    assert bench.lab.replicas("llama-h100") == 4
    return chain, names(bench.lab)


def test_replicas_that_are_not_ready_for_a_minute_are_neither_let_go_nor_replaced(
    bench: Bench, serving: tuple[Chain, set[str]]
) -> None:
    """They would be there before new ones, and are warm."""
    chain, before = serving
    blinking = sorted(before)[:3]
    for pod in blinking:
        turn(bench.lab, pod, "False")
    chain.step(130.0)
    state = max(bench.rows("replica_states"), key=lambda row: row["observed_at"])
    assert max(state["start_ages_s"]) <= 60.0
    assert before <= names(bench.lab)
    assert len(names(bench.lab)) <= 5
    for pod in blinking:
        turn(bench.lab, pod, "True")
    for _ in range(4):
        chain.step(130.0)
        assert before <= names(bench.lab)
    assert names(bench.lab) == before


def test_a_pod_that_had_ceased_to_be_ready_when_it_is_first_seen_is_no_start(
    bench: Bench, serving: tuple[Chain, set[str]]
) -> None:
    chain, before = serving
    turn(bench.lab, sorted(before)[0], "False")
    with bench.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM pod_starts")
    bench.fresh_operator()
    chain.step(130.0)
    own = {row["pod_uid"] for row in bench.rows("pod_starts")}
    uid = {p["metadata"]["name"]: p["metadata"]["uid"] for p in bench.lab.pods("llama-h100")}
    assert uid[sorted(before)[0]] not in own
