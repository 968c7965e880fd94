"""Where no node is added, services that rise together ask for no more GPUs than are free."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from services.operator.reconcile.decision_pass import decision_pass
from tests.integration.operator.conftest import GROUP_PATH, Bench
from tests.integration.operator.reconcile.test_apply_parts import autoscale, reference

pytestmark = pytest.mark.integration

GOLD: dict[str, Any] = {"class": "gold", "risk": {"epsilon": "0.01"}}
BRONZE: dict[str, Any] = {"class": "bronze", "risk": {"epsilon": "0.01"}}
BUDGETS = f"{GROUP_PATH}/gpubudgets"


def deploy(bench: Bench, names: str = "abcd", **spec: Any) -> None:
    """Services of three replicas of one GPU each: four of them leave four of the sixteen H100."""
    for name in names:
        bench.lab.deploy(name, replicas=3)
        bench.lab.autoscale(name, **spec)
    bench.reconcile()


def asked(bench: Bench, names: Iterable[str] = "abcd") -> list[int]:
    return [bench.lab.replicas(name) for name in names]


def waiting(bench: Bench, names: Iterable[str] = "abcd") -> int:
    """Pods without a node."""
    pods = [pod for name in names for pod in bench.lab.pods(name)]
    return sum(not pod["spec"].get("nodeName") for pod in pods)


def test_services_that_rise_together_share_what_is_free(bench: Bench) -> None:
    deploy(bench)
    bench.step()
    told = {row["workload_id"]: row["schedulable_gpus"] for row in bench.rows("replica_states")}
    assert set(told.values()) == {4}, "each is told of all of it"
    for name in "abcd":
        bench.decide(name, 6, current_replicas=3)
    bench.reconcile()
    bench.step()
    assert (asked(bench), waiting(bench)) == ([6, 4, 3, 3], 0)
    results = {row["workload_id"]: row for row in bench.rows("actions")}
    ids = [bench.workload_id(name) for name in "abcd"]
    assert [results[id_]["result"] for id_ in ids] == ["applied", "applied", "waiting", "waiting"]
    assert "4 of 6 for now: 1 GPUs of H100 are free for it" in results[ids[1]]["reason"]
    assert "0 GPUs of H100 are free for it and no node is added" in results[ids[2]]["reason"]


def test_the_most_important_come_first(bench: Bench) -> None:
    deploy(bench, "abc", sla=BRONZE)
    deploy(bench, "d", sla=GOLD)
    for name in "abcd":
        bench.decide(name, 7, current_replicas=3)
    bench.reconcile()
    bench.step()
    assert (asked(bench), waiting(bench)) == ([3, 3, 3, 7], 0)


def test_what_waits_takes_what_is_free_later(bench: Bench) -> None:
    deploy(bench)
    bench.decide("a", 7, current_replicas=3)
    bench.decide("b", 5, current_replicas=3)
    bench.reconcile()
    bench.step()
    assert asked(bench, "ab") == [7, 3]
    bench.lab.scale("c", 1)
    bench.step()
    bench.step()
    assert (asked(bench, "ab"), waiting(bench)) == ([7, 5], 0)


def test_what_was_asked_for_since_the_last_pass_is_not_promised_again(bench: Bench) -> None:
    deploy(bench)
    fleet = bench.reconcile().fleet
    bench.decide("a", 6, current_replicas=3)
    decision_pass(bench.deps, fleet, bench.clock.now())
    bench.decide("b", 6, current_replicas=3)
    decision_pass(bench.deps, fleet, bench.clock.now())
    assert asked(bench, "ab") == [6, 4]


def test_a_minimum_is_asked_for_whatever_is_free(bench: Bench) -> None:
    deploy(bench)
    bench.lab.change("a", {"minReplicas": 9})
    bench.decide("a", 9, current_replicas=3)
    bench.reconcile()
    assert bench.lab.replicas("a") == 9


def test_variants_of_one_type_share_it(bench: Bench) -> None:
    def variant(name: str) -> dict[str, Any]:
        return {"name": name, "scaleTargetRef": reference(f"llama-{name}"), "gpuType": "H100"}

    deploy(bench, "abc")
    for name in ("one", "two"):
        bench.lab.deploy(f"llama-{name}", replicas=1)
    autoscale(bench.lab, variants=[variant("one"), variant("two")])
    bench.reconcile()
    counts = [
        {"name": name, "gpu_type": "H100", "current": 1, "desired": 4} for name in ("one", "two")
    ]
    bench.decide("llama", 8, current_replicas=2, variants=json.dumps(counts))
    bench.reconcile()
    bench.step()
    names = ("llama-one", "llama-two")
    assert (sorted(asked(bench, names)), waiting(bench, names)) == ([3, 4], 0)


def test_services_of_a_namespace_share_its_quota(bench: Bench) -> None:
    """Each was told all that the quota leaves, and the pods of the second were refused."""
    deploy(bench, "ab")
    path = f"/api/v1/namespaces/{bench.lab.namespace}/resourcequotas"
    spec = {"hard": {"requests.nvidia.com/gpu": "10"}}
    bench.lab.post(path, {"metadata": {"name": "gpus"}, "spec": spec})
    bench.step()
    bench.step()
    first, second = (bench.decide(name, 7, current_replicas=3) for name in "ab")
    bench.reconcile()
    assert asked(bench, "ab") == [7, 3]
    reasons = {row["decision_id"]: row["reason"] for row in bench.rows("actions")}
    assert "ResourceQuota/gpus leaves 4 of 10 nvidia.com/gpu" in reasons[second]
    assert "4 GPUs are asked for there already" in reasons[second]
    assert "ResourceQuota" not in reasons[first]
    bench.lab.change("b", {"minReplicas": 5})
    bench.decide("b", 6, current_replicas=3)
    bench.reconcile()
    assert asked(bench, "ab") == [7, 5], "a minimum is asked for whatever a quota leaves"


def test_pods_that_cannot_be_created_take_nothing_of_a_quota_from_others(bench: Bench) -> None:
    deploy(bench, "ab")
    root = f"/api/v1/namespaces/{bench.lab.namespace}/resourcequotas"
    for name, hard, scopes in (("scoped", "7", ["NotBestEffort"]), ("gpus", "12", [])):
        spec = {"hard": {"requests.nvidia.com/gpu": hard}, "scopes": scopes}
        bench.lab.post(root, {"metadata": {"name": name}, "spec": spec})
    bench.lab.scale("a", 9)  # the operator knows nothing of the first one, which refuses its pods
    bench.step()
    bench.step()
    assert [len(bench.lab.pods(name)) for name in "ab"] == [4, 3]
    bench.decide("b", 8, current_replicas=3)
    bench.reconcile()
    assert bench.lab.replicas("b") == 8, "five of twelve are left"


def test_pods_that_cannot_be_created_hold_nothing(bench: Bench) -> None:
    """A service whose quota refuses its pods may never have them."""
    deploy(bench)
    path = f"/api/v1/namespaces/{bench.lab.namespace}/resourcequotas"
    # of a quota with scopes the operator knows nothing beforehand, so it holds nothing back
    spec = {"hard": {"requests.nvidia.com/gpu": "12"}, "scopes": ["NotBestEffort"]}
    bench.lab.post(path, {"metadata": {"name": "gpus"}, "spec": spec})
    bench.lab.scale("a", 6)
    bench.step()
    bench.step()
    assert len(bench.lab.pods("a")) == 3
    bench.decide("b", 7, current_replicas=3)
    bench.reconcile()
    assert bench.lab.replicas("b") == 7


def test_pods_that_ask_for_no_gpu_wait_for_none(bench: Bench) -> None:
    deploy(bench)
    bench.lab.deploy("e", replicas=2, gpus=0)
    bench.lab.autoscale("e")
    bench.reconcile()
    bench.decide("e", 9)
    bench.reconcile()
    bench.decide("a", 7, current_replicas=3)
    bench.reconcile()
    assert asked(bench, "ae") == [7, 9]


def test_where_nodes_are_added_pods_may_wait_for_them(bench: Bench) -> None:
    supply = {"mode": "provisioned", "ceiling": 20}
    spec = {"gpuType": "H100", "gpus": 40, "supply": supply}
    bench.lab.post(BUDGETS, {"metadata": {"name": "hopper"}, "spec": spec})
    try:
        deploy(bench)
        for name in "abcd":
            bench.decide(name, 6, current_replicas=3)
        bench.reconcile()
        assert asked(bench) == [6, 6, 5, 3], "up to the ceiling"
    finally:
        assert bench.lab.http.delete(BUDGETS).status_code == 200


def wait(bench: Bench, gpus: int, metadata: dict[str, Any]) -> None:
    """A pod without a node, which the lab gives none."""
    limits = {"limits": {"nvidia.com/gpu": str(gpus)}}
    container = {"name": "train", "image": "example.test/train:1", "resources": limits}
    body = {"metadata": {"name": "train", **metadata}, "spec": {"containers": [container]}}
    bench.lab.post(f"/api/v1/namespaces/{bench.lab.namespace}/pods", body)


def test_a_pod_of_a_service_itself_keeps_nothing_from_it(bench: Bench) -> None:
    """It is one of its replicas, and is counted there."""
    deploy(bench)
    owners = [dict(bench.lab.pods("a")[0]["metadata"]["ownerReferences"][0])]
    wait(bench, 3, {"ownerReferences": owners})
    bench.step()
    pending = {row["workload_id"]: row["pending_replicas"] for row in bench.rows("replica_states")}
    assert pending[bench.workload_id("a")] == 1
    assert told(bench) == {4}


def told(bench: Bench) -> set[int]:
    """Free GPUs that the newest decisions of services are told of."""
    rows = bench.rows("replica_states")
    newest = max(row["observed_at"] for row in rows)
    return {row["schedulable_gpus"] for row in rows if row["observed_at"] == newest}


def test_what_pods_of_others_will_take_is_promised_to_nobody(bench: Bench) -> None:
    """Nor is it held for ever for a pod that never takes it."""
    deploy(bench)
    wait(bench, 3, {})
    bench.step()
    assert told(bench) == {1}
    bench.decide("a", 6, current_replicas=3)
    bench.reconcile()
    assert asked(bench, "a") == [4]
    reasons = [row["reason"] for row in bench.rows("actions")]
    assert "1 GPUs of H100 are free for it and no node is added" in reasons[0]
    for _ in range(6):
        bench.step()
    assert told(bench) == {3}, "it has been passed over for more than five minutes"
    bench.decide("a", 6, current_replicas=4)
    bench.reconcile()
    assert asked(bench, "a") == [6]
