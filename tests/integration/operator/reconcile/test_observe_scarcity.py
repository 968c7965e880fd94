"""GPUs that nodes and quotas leave, and how it is said that they are short."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.operator.conftest import Bench

pytestmark = pytest.mark.integration


def quota(bench: Bench, gpus: int) -> None:
    path = f"/api/v1/namespaces/{bench.lab.namespace}/resourcequotas"
    spec = {"hard": {"requests.nvidia.com/gpu": str(gpus)}}
    bench.lab.post(path, {"metadata": {"name": "gpus"}, "spec": spec})


def free(bench: Bench) -> Any:
    rows = sorted(bench.rows("replica_states"), key=lambda row: row["observed_at"])
    return rows[-1]["schedulable_gpus"]


def test_a_quota_leaves_less_than_the_nodes(bench: Bench) -> None:
    quota(bench, 6)
    bench.lab.deploy("llama", replicas=2, gpus=2)
    bench.lab.autoscale("llama", gpusPerReplica=2)
    bench.reconcile()
    assert free(bench) == 2
    bench.decide("llama", 3, raw_replicas=5, binding_constraint="schedulable")
    bench.reconcile()
    limited = bench.lab.condition("llama", "ScalingLimited")
    assert (limited["status"], limited["reason"]) == ("True", "QuotaExceeded")
    assert "raise ResourceQuota/gpus" in limited["message"]
    assert "ResourceConstrained" in [event["reason"] for event in bench.lab.events()]


def test_pods_that_a_quota_refuses_are_said(bench: Bench) -> None:
    quota(bench, 3)
    bench.lab.deploy("llama", replicas=2)
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.lab.scale("llama", 5)
    bench.step()
    bench.step()
    limited = bench.lab.condition("llama", "ScalingLimited")
    assert (limited["status"], limited["reason"]) == ("True", "QuotaExceeded")
    assert "exceeded quota: gpus" in limited["message"]
    state = max(bench.rows("replica_states"), key=lambda row: row["observed_at"])
    assert (state["spec_replicas"], state["ready_replicas"]) == (5, 3)
    assert free(bench) == 0


def test_pods_that_wait_for_a_node_keep_their_part_of_the_quota(bench: Bench) -> None:
    quota(bench, 24)
    bench.lab.deploy("llama", replicas=4, gpus=4)
    bench.lab.autoscale("llama", gpusPerReplica=4)
    bench.reconcile()
    bench.lab.scale("llama", 5)
    bench.step()
    state = max(bench.rows("replica_states"), key=lambda row: row["observed_at"])
    assert (state["pending_replicas"], free(bench)) == (1, 0)
    bench.decide("llama", 5, raw_replicas=8, binding_constraint="schedulable")
    bench.reconcile()
    limited = bench.lab.condition("llama", "ScalingLimited")
    assert limited["reason"] == "InsufficientGPUs"
    assert "free H100 GPUs; add nodes" in limited["message"]


def test_tainted_nodes_count_for_those_that_tolerate_them_only(bench: Bench) -> None:
    taint = {"key": "dedicated", "value": "train", "effect": "NoSchedule"}
    headers = {"Content-Type": "application/merge-patch+json"}
    node = "/api/v1/nodes/h100-000"
    bench.lab.deploy("llama", replicas=1)
    bench.lab.autoscale("llama")
    bench.reconcile()
    assert free(bench) == 15
    try:
        bench.lab.http.patch(node, json={"spec": {"taints": [taint]}}, headers=headers)
        bench.step()
        assert free(bench) == 8
        toleration = {"key": "dedicated", "operator": "Exists"}
        bench.lab.patch(
            "apps/v1/deployments/llama",
            {"spec": {"template": {"spec": {"tolerations": [toleration]}}}},
        )
        bench.step()
        bench.step()
        assert free(bench) == 15
    finally:
        bench.lab.http.patch(node, json={"spec": {"taints": None}}, headers=headers)


def test_quotas_that_cannot_be_read_are_not_taken_for_empty(bench: Bench) -> None:
    quota(bench, 2)
    bench.lab.deploy("llama", replicas=1)
    bench.lab.autoscale("llama")
    bench.lab.fault(kind="error", verb="list", resource="resourcequotas", times=4)
    bench.reconcile()
    assert free(bench) == 15
