"""The chart grants the operator what it uses, and nothing else: measured, and taken away."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.exc import NoResultFound

from services.kernel.clock import ReplayClock
from services.operator.handlers import Watcher
from services.operator.kube.client import PATHS
from services.operator.kube.mirrored import MirroredKube
from services.operator.kueue.queues import CLUSTER_QUEUE, FLAVOR, GROUP, LOCAL_QUEUE, VERSIONS
from services.operator.leadership.leader import Record
from services.operator.leadership.lease import LeaseStore
from services.operator.resource.definitions import DEFINITIONS as CRDS, to_crd
from services.operator.resource.rights import OWN_NAMESPACE_RIGHTS, RIGHTS
from services.operator.wire.http import KubeError
from tests.integration.deploy.guarded import (
    ALL_ON,
    NAMESPACE,
    OPERATOR,
    Entry,
    Guard,
    entries,
    refusals,
    without,
)
from tests.integration.operator.conftest import GROUP_PATH, Bench, pod_template
from tests.integration.operator.devices.claimed import add_devices, add_template
from tests.integration.operator.reconcile.queued import LABEL, add_flavor, add_queue
from tests.integration.operator.test_main import eventually, notify
from tests.unit.deploy.chart import render

pytestmark = pytest.mark.integration

LWS = "leaderworkerset.x-k8s.io/v1"
AUTOSCALERS = Entry("scaling.harmony.dev", "gpuautoscalers", "watch")
DEFINITIONS = {
    Entry("apiextensions.k8s.io", "customresourcedefinitions", verb) for verb in ("list", "watch")
}
WATCHED = {AUTOSCALERS, *DEFINITIONS}
"""What kopf asks for; the passes, and the copies that they read, do all the rest."""

AUTOSCALER_CRD = "gpuautoscalers.scaling.harmony.dev"


def granted() -> list[Entry]:
    """What the chart grants where all is switched on, without a cluster."""
    rules = [
        rule
        for manifest in render({"settings": ALL_ON})
        if manifest["kind"] in {"ClusterRole", "Role"}
        and manifest["metadata"]["labels"]["app.kubernetes.io/component"] == "operator"
        for rule in manifest["rules"]
    ]
    return sorted(entries(rules))


def budget(mode: str) -> dict[str, object]:
    """A GPUBudget of H100 whose headroom is held, or not."""
    supply = {"mode": "provisioned", "ceiling": 64, "headroom": {"mode": mode}}
    return {"gpuType": "H100", "gpus": 16, "supply": supply}


def advise(bench: Bench, gpus: int) -> None:
    """What the decision service says of H100 now."""
    with bench.engine.begin() as connection:
        connection.execute(text("DELETE FROM gpu_headroom"))
        statement = (
            "INSERT INTO gpu_headroom VALUES (1, 'H100', 0.01, :gpus, :gpus, 8, 0, 0.2, 0.01, 40, "
            "false, 1, 0, 0, 0.5, 0, :at, :at)"
        )
        connection.execute(text(statement), {"gpus": gpus, "at": bench.clock.now()})


def furnish(bench: Bench) -> None:
    """Targets of each kind that the chart grants rights for, a class and a budget."""
    lab = bench.lab
    lab.post(
        f"{GROUP_PATH}/slaclasses",
        {"metadata": {"name": "gold"}, "spec": {"risk": {"epsilon": "0.01"}, "priority": 200}},
    )
    lab.post(
        f"{GROUP_PATH}/gpubudgets",
        {"metadata": {"name": "h100"}, "spec": budget("apply")},
    )
    advise(bench, 8)
    lab.deploy("llama", replicas=2, gpus=4)
    lab.autoscale("llama", gpusPerReplica=4, sla={"class": "gold"})
    lab.deploy("shards", replicas=1, kind="StatefulSet")
    lab.autoscale("shards", scaleTargetRef={"kind": "StatefulSet", "name": "shards"})
    lab.patch("apps/v1/statefulsets/shards", {"metadata": {"labels": {LABEL: "serving"}}})
    add_flavor(lab)
    add_queue(lab, 8)
    add_devices(lab)
    add_template(lab, "one")
    pods = pod_template("wide")
    pods["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "one"}]
    template = {"size": 1, "workerTemplate": pods}
    lab.post(
        f"/apis/{LWS}/namespaces/{lab.namespace}/leaderworkersets",
        {"metadata": {"name": "wide"}, "spec": {"replicas": 1, "leaderWorkerTemplate": template}},
    )
    lab.autoscale(
        "wide", scaleTargetRef={"apiVersion": LWS, "kind": "LeaderWorkerSet", "name": "wide"}
    )


def refuse_node(bench: Bench) -> None:
    """A NodeClaim that goes before it is launched, seen by a pass while it goes."""
    claims, name = "/apis/karpenter.sh/v1/nodeclaims", f"hopper-{bench.lab.namespace}"
    labels, finalizers = {"karpenter.sh/nodepool": "hopper"}, ["karpenter.sh/termination"]
    bench.lab.post(claims, {"metadata": {"name": name, "labels": labels, "finalizers": finalizers}})
    bench.lab.http.delete(f"{claims}/{name}").raise_for_status()
    try:
        bench.reconcile()
    finally:
        headers = {"Content-Type": "application/merge-patch+json"}
        body = {"metadata": {"finalizers": None}}
        bench.lab.http.patch(f"{claims}/{name}", json=body, headers=headers).raise_for_status()


def live(bench: Bench) -> None:
    """What an operator does in its life, each once: passes, a scale-out, a scale-in, its Lease."""
    refuse_node(bench)
    for name in ("llama", "shards", "wide"):
        bench.decide(name, 3 if name == "llama" else 2)
    bench.reconcile()
    bench.step()
    bench.decide("llama", 2)
    advise(bench, 16)
    bench.reconcile()
    path = f"{GROUP_PATH}/gpubudgets/h100"
    merge = {"Content-Type": "application/merge-patch+json"}
    bench.lab.http.patch(path, json={"spec": budget("off")}, headers=merge).raise_for_status()
    bench.reconcile()
    store = LeaseStore(bench.http, NAMESPACE, OPERATOR)
    store.read()
    record = Record("a", 15, "2026-01-05T00:00:00.000000Z", "2026-01-05T00:00:00.000000Z", 0)
    store.write(record)
    store.write(record)


def watch(bench: Bench, until: Callable[[], bool]) -> None:
    """Keep a copy of each kind, as the process does, until `until`."""
    kube = MirroredKube(bench.http, bench.http)
    kube.warm(tuple(PATHS))
    found = [(LWS, "LeaderWorkerSet")]
    found += [(f"{GROUP}/{VERSIONS[0]}", kind) for kind in (LOCAL_QUEUE, CLUSTER_QUEUE, FLAVOR)]
    claims = ("ResourceClaim", "ResourceClaimTemplate", "ResourceSlice", "DeviceClass")
    found += [("resource.k8s.io/v1", kind) for kind in claims]
    for version, kind in found:
        served = kube.find_kind(version, kind)
        assert served is not None
        with suppress(KubeError):  # its right may be the one that is taken away
            kube.list_kind(served)
    try:
        eventually(until, "the copies")
    finally:
        kube.stop()
        eventually(lambda: not still_copying(bench), "the copies to end")


def still_copying(bench: Bench) -> bool:
    """Whether a copy is kept; its watch is cut, so that it sees that it is to end."""
    bench.lab.fault(kind="drop_watch")
    return any(thread.name.startswith("mirror-") for thread in threading.enumerate())


def drop_lease(bench: Bench) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
    assert bench.lab.http.delete(path).status_code == 200


def test_each_right_of_the_chart_is_granted_once(guard: Guard) -> None:
    twice = [str(entry) for entry, n in guard.granted.items() if n > 1]
    split = {Entry("coordination.k8s.io", "leases", verb) for verb in ("get", "create", "update")}
    assert twice == []
    declared = entries([r.to_manifest() for r in (*RIGHTS, *OWN_NAMESPACE_RIGHTS)])
    assert set(declared) <= set(guard.granted)
    assert split <= set(guard.granted)


def test_the_operator_works_with_exactly_these_rights(bench: Bench, guard: Guard) -> None:
    before = refusals()
    furnish(bench)
    guard.forget()
    for resource in ("deployments", "statefulsets"):
        bench.lab.fault(kind="conflict", verb="patch", resource=resource, subresource="scale")
    live(bench)
    drop_lease(bench)
    allowed = set(guard.granted)
    copied = {entry for entry in allowed if entry.verb == "watch"} - WATCHED
    watch(bench, lambda: guard.used() >= copied)
    used = guard.used()
    assert sorted(map(str, used - allowed)) == [], "the chart grants less than the operator uses"
    unused = allowed - used - WATCHED
    assert sorted(map(str, unused)) == [], "the chart grants what the operator does not use"
    assert refusals() == before
    assert {row["result"] for row in bench.rows("actions")} == {"applied"}
    assert bench.lab.replicas("llama") == 2
    assert bench.lab.replicas("shards", kind="StatefulSet") == 2
    assert bench.lab.object(f"{LWS}/leaderworkersets/wide")["spec"]["replicas"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("entry", [e for e in granted() if e not in WATCHED], ids=str)
def test_without_a_right_something_is_refused(bench: Bench, guard: Guard, entry: Entry) -> None:
    furnish(bench)
    guard.take_away(entry)
    if entry.verb == "get" and entry.resource.endswith("/scale"):  # read again after a conflict
        resource = entry.resource.removesuffix("/scale")
        bench.lab.fault(kind="conflict", verb="patch", resource=resource, subresource="scale")
    before = refusals()
    if entry.verb == "watch":
        call = f"{entry.verb} {entry.resource}"
        watch(bench, lambda: refusals()[call] > before[call])
    else:
        # what ends first differs
        with suppress(KubeError, AssertionError, ValueError, NoResultFound):
            live(bench)
        drop_lease(bench)
    refused = set(refusals() - before)
    assert refused == {f"{entry.verb} {entry.resource}"}


class Process:
    """The operator as a pod runs it, but for the kubeconfig instead of the pod's token."""

    def __init__(self, bench: Bench, kubeconfig: Path, redis_url: str, log: Path) -> None:
        ReplayClock(redis.Redis.from_url(redis_url)).set(bench.clock.now())
        self._log = log
        env = os.environ | {
            "HARMONY_DATABASE_URL": bench.deps.settings.database_url,
            "HARMONY_REDIS_URL": redis_url,
            "KUBECONFIG": str(kubeconfig),
            "HARMONY_CLOCK": "replay",
            "HARMONY_RECONCILE_INTERVAL_S": "1",
            "HARMONY_LEADER_ELECTION": "on",
            "HARMONY_OPERATOR_DELETION_COST": "true",
            "HARMONY_OPERATOR_SUPPLY": "true",
            "HARMONY_OPERATOR_HEADROOM": "true",
            "HARMONY_OPERATOR_KUEUE": "true",
            "HARMONY_OPERATOR_DRA": "true",
            "HARMONY_LEASE_NAME": OPERATOR,
            "HARMONY_LEASE_NAMESPACE": NAMESPACE,
        }
        self._stream = log.open("wb")
        command = [sys.executable, "-m", "services.operator.main"]
        self.process = subprocess.Popen(command, env=env, stderr=self._stream)

    def log(self) -> str:
        return self._log.read_text()

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self._stream.close()


def test_the_process_asks_for_nothing_else(
    bench: Bench, guard: Guard, kubeconfig: Path, redis_url: str, tmp_path: Path
) -> None:
    furnish(bench)
    guard.forget()
    operator = Process(bench, kubeconfig, redis_url, tmp_path / "log")
    try:
        eventually(lambda: len(bench.rows("workloads")) == 3, "the registration")
        bench.decide("llama", 3)
        notify(bench, "harmony_decisions")
        eventually(bench.results, "the action")
        eventually(lambda: guard.used() >= WATCHED, f"kopf to ask for {sorted(map(str, WATCHED))}")
    finally:
        operator.end()
        drop_lease(bench)
    assert bench.lab.replicas("llama") == 3
    allowed = set(guard.granted)
    assert sorted(map(str, guard.used() - allowed)) == []
    assert "Forbidden" not in operator.log()


class Wakes:
    """kopf in this process, and whether it woke the loop."""

    def __init__(self, bench: Bench) -> None:
        self._woken = threading.Event()
        self._watcher = Watcher(bench.deps, self._woken.set)

    def __enter__(self) -> Wakes:
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watcher.stop(10.0)

    def after(self, change: Callable[[], object], limit_s: float) -> bool:
        """Whether `change` wakes the loop within `limit_s`."""
        self._woken.clear()
        change()
        return self._woken.wait(limit_s)


@pytest.fixture
def kopf_login(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))


def uninstall(bench: Bench) -> None:
    """Take the custom resource away."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    bench.lab.http.delete(f"{path}/{AUTOSCALER_CRD}").raise_for_status()


def install(bench: Bench) -> None:
    """Bring the custom resource back."""
    (ours,) = (body for body in map(to_crd, CRDS) if body["metadata"]["name"] == AUTOSCALER_CRD)
    bench.lab.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", ours)


@pytest.mark.usefixtures("kopf_login")
def test_kopf_wakes_with_these_rights(bench: Bench, guard: Guard) -> None:
    with Wakes(bench) as wakes:
        eventually(lambda: guard.used() >= WATCHED, "kopf to watch")
        assert wakes.after(lambda: bench.lab.autoscale("llama"), 10.0)
        uninstall(bench)
        install(bench)
        eventually(
            lambda: wakes.after(lambda: bench.lab.autoscale(f"s-{uuid.uuid4().hex[:6]}"), 1.0),
            "a change of the custom resource that was installed again",
        )


@pytest.mark.usefixtures("kopf_login")
def test_kopf_sleeps_without_the_watch(bench: Bench, guard: Guard) -> None:
    guard.take_away(AUTOSCALERS)
    with Wakes(bench) as wakes:
        eventually(lambda: AUTOSCALERS in guard.used(), "kopf to try")
        assert not wakes.after(lambda: bench.lab.autoscale("llama"), 1.0)


@pytest.mark.usefixtures("kopf_login")
@pytest.mark.parametrize("entry", sorted(DEFINITIONS), ids=str)
def test_kopf_misses_a_new_definition_without(bench: Bench, guard: Guard, entry: Entry) -> None:
    guard.take_away(entry)
    uninstall(bench)
    with Wakes(bench) as wakes:
        eventually(lambda: entry in guard.used(), "kopf to try")
        install(bench)
        assert not wakes.after(lambda: bench.lab.autoscale("llama"), 1.0)


def test_one_entry_is_taken_away_and_no_other() -> None:
    rules = [
        {"apiGroups": ["", "apps"], "resources": ["a", "b"], "verbs": ["get", "list"]},
        {"apiGroups": ["x"], "resources": ["l"], "resourceNames": ["n"], "verbs": ["get"]},
    ]
    gone = Entry("apps", "b", "list")
    left = without(rules, gone)
    assert entries(left) == entries(rules) - entries(
        [{"apiGroups": ["apps"], "resources": ["b"], "verbs": ["list"]}]
    )
    assert left[-1]["resourceNames"] == ["n"]
