"""A whole cluster, advanced by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from services.lab.cluster.cluster import ClusterSettings, SimulatedCluster
from services.lab.cluster.storage.objects import Write
from services.lab.cluster.storage.resources import DEPLOYMENTS, PODS, STATEFUL_SETS
from services.lab.cluster.storage.store import FIRST_VERSION
from services.simulator.engine.engine import NodeSpec

START_S = 1_767_571_200.0


def workload(name: str, kind: str = "Deployment", replicas: int = 2, **annotations: str) -> Any:
    labels = {"app": name}
    limits = {"nvidia.com/gpu": "1"}
    notes = {f"lab.harmony.dev/{key.replace('_', '-')}": v for key, v in annotations.items()}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": notes},
                "spec": {"containers": [{"name": "m", "resources": {"limits": limits}}]},
            },
        },
    }


def cluster() -> SimulatedCluster:
    nodes = [NodeSpec("n0", "H100", 4)]
    return SimulatedCluster(ClusterSettings(nodes, seed=5, start_s=START_S))


def write(a: SimulatedCluster) -> Write:
    return Write("test", a.now())


def scale(a: SimulatedCluster, rtype: Any, name: str, replicas: int) -> None:
    patch = {"spec": {"replicas": replicas}}
    old = a.objects.require(rtype, "default", name)
    a.objects.patch(rtype, old, "application/merge-patch+json", patch, write(a))


def test_the_same_calls_give_the_same_bytes() -> None:
    def run() -> list[bytes]:
        a = cluster()
        notes = {"startup_median": "40s", "startup_sigma": "0.5", "startup_fail_probability": "0.3"}
        a.objects.create(DEPLOYMENTS, "default", workload("a", **notes), write(a))
        for i in range(10):
            scale(a, DEPLOYMENTS, "a", 1 + (3 * i) % 7)
            a.advance(START_S + 60.0 * (i + 1))
        changes = a.store.since(PODS, FIRST_VERSION)
        assert changes is not None
        return [change.raw for change in changes]

    first = run()
    assert first == run()
    assert len(first) > 20


def test_warm_pods_are_ready_at_once_and_only_those_of_the_start() -> None:
    a = cluster()
    body = workload("a", startup_median="30s", start_warm="true")
    a.objects.create(DEPLOYMENTS, "default", body, write(a))
    assert a.state()["workloads"]["default/a"]["ready"] == 2
    scale(a, DEPLOYMENTS, "a", 3)
    found = a.advance(START_S + 29.0)["workloads"]["default/a"]
    assert (found["ready"], found["starting"]) == (2, 1)
    assert a.advance(START_S + 31.0)["workloads"]["default/a"]["ready"] == 3


def test_a_crashing_start_shows_as_crash_loop_and_recovers() -> None:
    a = cluster()
    body = workload("a", startup_median="30s", startup_fail_probability="1", startup_restart="20s")
    body["spec"]["replicas"] = 1
    a.objects.create(DEPLOYMENTS, "default", body, write(a))

    def container() -> Any:
        (stored,) = a.store.each(PODS)
        return stored.obj["status"]["containerStatuses"][0]

    a.advance(START_S + 31.0)
    assert container()["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container()["restartCount"] == 1
    a.advance(START_S + 79.0)
    assert container()["ready"] is False
    a.advance(START_S + 81.0)
    assert container()["ready"] is True
    assert container()["lastState"]["terminated"]["exitCode"] == 1


def test_stateful_sets_number_their_pods_and_report_their_status() -> None:
    a = cluster()
    a.objects.create(STATEFUL_SETS, "default", workload("s", "StatefulSet", 3), write(a))
    a.advance(START_S + 60.0)
    names = [stored.obj["metadata"]["name"] for stored in a.store.each(PODS)]
    assert names == ["s-0", "s-1", "s-2"]
    scale(a, STATEFUL_SETS, "s", 2)
    scale(a, STATEFUL_SETS, "s", 3)
    a.advance(START_S + 120.0)
    status = a.objects.require(STATEFUL_SETS, "default", "s")["status"]
    assert (status["replicas"], status["readyReplicas"]) == (3, 3)


def test_history_of_a_rollout_adds_up_over_its_revisions() -> None:
    a = cluster()
    body = workload("a", startup_median="30s", start_warm="true")
    a.objects.create(DEPLOYMENTS, "default", body, write(a))
    old = a.objects.require(DEPLOYMENTS, "default", "a")
    patch = {"spec": {"template": {"metadata": {"annotations": {"v": "2"}}}}}
    a.objects.patch(DEPLOYMENTS, old, "application/merge-patch+json", patch, write(a))
    found = a.advance(START_S + 300.0)["workloads"]["default/a"]
    pieces = found["intervals"]
    assert pieces[0][0] == START_S
    assert pieces[-1][1] == START_S + 300.0
    assert all(left[1] == right[0] for left, right in pairwise(pieces))
    assert max(piece[3] for piece in pieces) == 3
    assert min(piece[2] for piece in pieces) == 2
    assert pieces[-1][2:] == [2, 2]
