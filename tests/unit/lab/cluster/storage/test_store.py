"""The store: versions, bounded log, owners; and the cluster's determinism."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from services.lab.cluster.cluster import Cluster, ClusterSettings
from services.lab.cluster.storage.objects import Write
from services.lab.cluster.storage.resources import BUILT_IN, DEPLOYMENTS, PODS, STATEFUL_SETS
from services.lab.cluster.storage.store import FIRST_VERSION, Store
from services.simulator.engine.engine import NodeSpec

CONFIG_MAPS = next(rtype for rtype in BUILT_IN if rtype.plural == "configmaps")
START_S = 1_767_571_200.0


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "default", **metadata}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


def test_the_log_gives_each_change_once_and_says_when_it_is_too_short() -> None:
    store = Store(log_limit=8)
    for i in range(30):
        store.put(CONFIG_MAPS, config_map(f"c{i % 3}"))
    newest = FIRST_VERSION + 30
    changes = store.since(CONFIG_MAPS, newest - 5)
    assert changes is not None
    assert [change.version for change in changes] == list(range(newest - 4, newest + 1))
    assert store.since(CONFIG_MAPS, newest) == []
    assert store.since(CONFIG_MAPS, FIRST_VERSION) is None
    assert len(store.collection(CONFIG_MAPS).log) <= 10
    oldest = store.collection(CONFIG_MAPS).oldest_version
    kept = store.since(CONFIG_MAPS, oldest)
    assert kept is not None
    assert kept[0].version == oldest + 1


def test_objects_read_are_copies() -> None:
    store = Store()
    store.put(CONFIG_MAPS, config_map("c"))
    read = store.get(CONFIG_MAPS, "default", "c")
    assert read is not None
    read["metadata"]["name"] = "spoilt"
    assert store.get(CONFIG_MAPS, "default", "c")["metadata"]["name"] == "c"  # type: ignore[index]


def test_dependents_follow_the_owner_references() -> None:
    store = Store()
    store.put(CONFIG_MAPS, config_map("c", ownerReferences=[{"uid": "u"}, {"uid": "v"}]))
    assert store.dependents("u") == [(CONFIG_MAPS, ("default", "c"))]
    obj = store.put(CONFIG_MAPS, config_map("c", ownerReferences=[{"uid": "v"}]))
    assert store.dependents("u") == []
    store.remove(CONFIG_MAPS, obj)
    assert store.dependents("v") == []


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


def cluster() -> Cluster:
    nodes = [NodeSpec("n0", "H100", 4)]
    return Cluster(ClusterSettings(nodes, seed=5, start_s=START_S))


def write(a: Cluster) -> Write:
    return Write("test", a.now())


def scale(a: Cluster, rtype: Any, name: str, replicas: int) -> None:
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
