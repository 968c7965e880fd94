"""Quotas of Kueue as budgets: from the queue to the decision, and to the start-up that is learned.

On Postgres and the simulated cluster of 16 H100, whose Kueue holds what its quota has no room for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.operator.conftest import GROUP_PATH, Bench
from tests.integration.operator.reconcile.chain import Chain
from tests.integration.operator.reconcile.pools import autoscale as autoscale_pools
from tests.integration.operator.reconcile.queued import (
    add_queue,
    add_to_cohort,
    deploy_queued,
    drop_kueue,
    serve_kueue,
    set_quota,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def kueue(bench: Bench) -> Iterator[Bench]:
    """A cluster with Kueue and a queue of six H100."""
    serve_kueue(bench)
    add_queue(bench.lab, 6)
    yield bench
    drop_kueue(bench.lab)


def state(bench: Bench) -> dict[str, Any]:
    return max(bench.rows("replica_states"), key=lambda row: row["observed_at"])


def last_action(bench: Bench) -> dict[str, Any]:
    return max(bench.rows("actions"), key=lambda row: row["id"])


def test_no_count_goes_beyond_the_quota(kueue: Bench) -> None:
    deploy_queued(kueue.lab, "llama", 2, gpus=2)
    kueue.lab.autoscale("llama", gpusPerReplica=2)
    chain = Chain(kueue)
    most = 0
    for n in range(8):
        row = chain.step(10.0 * (1.5 + n))
        most = max(most, kueue.lab.replicas("llama"))
    assert most == 3
    assert state(kueue)["schedulable_gpus"] == 0
    assert row["binding_constraint"] == "schedulable"
    limited = kueue.lab.condition("llama", "ScalingLimited")
    assert (limited["status"], limited["reason"]) == ("True", "QuotaExceeded")
    assert "ClusterQueue/team-a leaves 0 of 6 nvidia.com/gpu" in limited["message"]
    assert "ResourceConstrained" in [event["reason"] for event in kueue.lab.events()]
    set_quota(kueue.lab, 10)
    for _ in range(3):
        chain.step(90.0)
    assert kueue.lab.replicas("llama") == 5


def test_two_targets_of_a_queue_share_its_quota(kueue: Bench) -> None:
    for name in ("llama", "qwen"):
        deploy_queued(kueue.lab, name, 1)
        kueue.lab.autoscale(name)
    kueue.step()
    kueue.step()
    first, second = (kueue.decide(name, 5, current_replicas=1) for name in ("llama", "qwen"))
    kueue.reconcile()
    assert kueue.lab.replicas("llama") + kueue.lab.replicas("qwen") == 6
    reasons = {row["decision_id"]: row["reason"] for row in kueue.rows("actions")}
    assert reasons.keys() == {first, second}
    assert "ClusterQueue/team-a leaves 4 of 6 nvidia.com/gpu" in reasons[second]
    assert "asked for there already" in reasons[second]


def test_queues_of_a_cohort_share_what_it_lends(kueue: Bench) -> None:
    """Each of them may borrow all of it, and was told so as if it were alone."""
    for name in ("one", "two"):
        add_to_cohort(kueue.lab, name, 3, borrowing=3)
        deploy_queued(kueue.lab, name, 1, queue=name)
        kueue.lab.autoscale(name)
    kueue.step()
    kueue.step()
    assert {row["schedulable_gpus"] for row in kueue.rows("replica_states")} >= {4}
    _, second = (kueue.decide(name, 6, current_replicas=1) for name in ("one", "two"))
    kueue.reconcile()
    assert [kueue.lab.replicas(name) for name in ("one", "two")] == [5, 1]
    assert "4 GPUs are asked for there already" in last_action(kueue)["reason"]
    assert last_action(kueue)["decision_id"] == second


def test_what_was_asked_for_and_is_not_reserved_yet_counts(kueue: Bench) -> None:
    deploy_queued(kueue.lab, "llama", 1)
    kueue.lab.autoscale("llama")
    kueue.step()
    kueue.lab.scale("llama", 8)  # by hand, beyond the quota: two pods are held
    kueue.step()
    kueue.decide("llama", 9, current_replicas=8)
    kueue.reconcile()
    assert kueue.lab.replicas("llama") == 8
    assert last_action(kueue)["result"] == "waiting"
    assert "ClusterQueue/team-a" in last_action(kueue)["reason"]
    limited = kueue.lab.condition("llama", "ScalingLimited")
    assert limited["reason"] == "AwaitingAdmission"
    assert "2 replicas are held by a scheduling gate until Kueue admits" in limited["message"]


def test_pods_that_are_held_teach_no_start_up(kueue: Bench) -> None:
    set_quota(kueue.lab, 1)
    deploy_queued(kueue.lab, "llama", 2)
    kueue.lab.autoscale("llama")
    kueue.reconcile()
    for _ in range(10):
        kueue.step()
    held = state(kueue)
    assert (held["ready_replicas"], held["pending_replicas"]) == (1, 1)
    assert held["start_ages_s"] == [0.0]
    assert len(kueue.rows("pod_starts")) == 1
    set_quota(kueue.lab, 2)
    kueue.reconcile()
    assert state(kueue)["start_ages_s"] == [0.0]
    kueue.step()
    assert state(kueue)["ready_replicas"] == 2
    rows = sorted(kueue.rows("pod_starts"), key=lambda row: row["requested_at"])
    leads_s = [(row["ready_at"] - row["requested_at"]).total_seconds() for row in rows]
    assert leads_s == [40.0, 40.0]


def test_pods_that_are_held_are_no_failed_provisioning(kueue: Bench) -> None:
    supply = {"mode": "provisioned", "ceiling": 64, "nodeStartup": "30s"}
    spec = {"gpuType": "H100", "gpus": 100, "supply": supply}
    budgets = f"{GROUP_PATH}/gpubudgets"
    kueue.lab.post(budgets, {"metadata": {"name": "hopper"}, "spec": spec})
    set_quota(kueue.lab, 1)
    deploy_queued(kueue.lab, "llama", 2)
    kueue.lab.autoscale("llama")
    for _ in range(10):  # much longer than 99 % of the nodes take
        kueue.step()
    (row,) = (row for row in kueue.rows("gpu_supply") if row["gpu_type"] == "H100")
    assert row["refused_at"] is None
    assert kueue.lab.http.delete(budgets).status_code == 200


def test_a_queue_that_does_not_exist_is_named(kueue: Bench) -> None:
    deploy_queued(kueue.lab, "llama", 1, queue="typo")
    kueue.lab.autoscale("llama")
    kueue.reconcile()
    limited = kueue.lab.condition("llama", "ScalingLimited")
    assert limited["reason"] == "AwaitingAdmission"
    assert "LocalQueue/typo does not exist in namespace" in limited["message"]
    kueue.decide("llama", 4, current_replicas=1)
    kueue.reconcile()
    assert kueue.lab.replicas("llama") == 1
    assert "correct the label kueue.x-k8s.io/queue-name" in last_action(kueue)["reason"]


def test_what_a_queue_holds_back_of_the_second_pool_is_told(kueue: Bench) -> None:
    kueue.lab.deploy("llama-prefill", replicas=2)
    deploy_queued(kueue.lab, "llama-decode", 8)
    autoscale_pools(kueue.lab)
    for _ in range(3):
        kueue.step()
    limited = kueue.lab.condition("llama", "ScalingLimited")
    assert (limited["status"], limited["reason"]) == ("True", "AwaitingAdmission")
    assert limited["message"].startswith("pool decode: 2 replicas are held by a scheduling gate")
    assert "ClusterQueue/team-a" in limited["message"]
