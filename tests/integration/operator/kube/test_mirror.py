"""The copies that passes read: complete, in step, not relied upon when they cannot be kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from kubernetes import client

from services.operator.cluster.listed import ListedPod
from services.operator.kube import mirror
from services.operator.kube.client import KubeClient
from services.operator.kube.mirrored import MirroredKube
from services.operator.listener import ReconcileLoop
from services.operator.reconcile.repository import DECISIONS_CHANNEL, TICK_CHANNEL
from services.operator.wire.http import KubeError, KubeHttp
from tests.integration.operator.conftest import Bench

pytestmark = pytest.mark.integration


def eventually(is_done: Callable[[], object], what: str, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)


@pytest.fixture
def mirrored(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[MirroredKube]:
    """The bench's operator, reading from copies."""
    monkeypatch.setattr(mirror, "_GRACE_S", 0.3)
    monkeypatch.setattr(mirror, "_BACKOFF_S", (0.02, 0.05))
    monkeypatch.setattr(mirror, "_PAGE", 2)
    configuration = client.Configuration()
    configuration.host = bench.lab.url
    https = [KubeHttp(configuration, sleep=lambda _: None) for _ in range(2)]
    kube = MirroredKube(KubeClient(https[0]), https[1])
    bench.deps = replace(bench.deps, kube=kube)
    yield kube
    kube.stop()
    for http in https:
        http.close()


def values(found: list[Any]) -> dict[str, Any]:
    return {each.state.name if isinstance(each, ListedPod) else each.name: each for each in found}


def in_step(bench: Bench, kube: MirroredKube, kind: str) -> Callable[[], bool]:
    """Whether the copy says what the API server says."""
    plain = KubeClient(kube._http)
    return lambda: values(kube.list_objects(kind)) == values(plain.list_objects(kind))


def test_a_copy_is_read_in_pages_and_follows_what_changes(
    bench: Bench, mirrored: MirroredKube
) -> None:
    for n in range(5):
        bench.lab.deploy(f"w{n}")
    assert len(values(mirrored.list_objects("Deployment"))) == 5
    bench.lab.scale("w1", 4)
    bench.lab.deploy("w5")
    bench.lab.http.delete(f"/apis/apps/v1/namespaces/{bench.lab.namespace}/deployments/w0")
    eventually(in_step(bench, mirrored, "Deployment"), "the copy to follow")
    assert set(values(mirrored.list_objects("Deployment"))) == {f"w{n}" for n in range(1, 6)}


@pytest.mark.parametrize("kind", ["drop_watch", "gone"])
def test_a_watch_that_breaks_loses_no_change(
    bench: Bench, mirrored: MirroredKube, kind: str
) -> None:
    bench.lab.deploy("llama")
    mirrored.list_objects("Deployment")
    bench.lab.fault(kind=kind, resource="deployments", times=2)
    bench.lab.scale("llama", 5)
    bench.lab.deploy("qwen")
    eventually(in_step(bench, mirrored, "Deployment"), "the copy to follow")


def test_a_copy_that_cannot_be_kept_is_not_relied_upon(
    bench: Bench, mirrored: MirroredKube
) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.lab.fault(kind="unavailable", resource="deployments", times=100_000)
    bench.lab.fault(kind="drop_watch", resource="deployments")

    def refuses() -> bool:
        try:
            mirrored.list_objects("Deployment")
        except KubeError as error:
            return error.status in (0, 503)
        return False

    eventually(refuses, "it to say so")
    with pytest.raises(KubeError):
        bench.reconcile()
    bench.lab.http.delete("/lab/faults")
    eventually(lambda: not refuses(), "it to recover")


def test_a_kind_that_is_not_there_is_none_and_one_that_must_be_is_an_error(
    bench: Bench, mirrored: MirroredKube
) -> None:
    assert mirrored.list_objects("ScaledObject") == []
    n_calls = mirrored.n_calls
    assert mirrored.list_objects("ScaledObject") == []
    assert mirrored.n_calls == n_calls


def test_a_decision_is_followed_without_a_pass(bench: Bench, mirrored: MirroredKube) -> None:
    for name in ("llama", "qwen"):
        bench.lab.deploy(name)
        bench.lab.autoscale(name)
    loop = ReconcileLoop(bench.deps, is_quick=True)
    loop.notified(TICK_CHANNEL)
    loop.turn()
    first, passes = loop.last, len(bench.rows("replica_states"))
    decision = bench.decide("llama", 5)
    bench.lab.annotate("qwen", {"scaling.harmony.dev/paused": "true"})
    held = bench.decide("qwen", 6)
    eventually(in_step(bench, mirrored, "GPUAutoscaler"), "the pause to arrive")
    loop.notified(DECISIONS_CHANNEL)
    loop.turn()
    assert loop.last is first, "no pass"
    assert len(bench.rows("replica_states")) == passes
    results = {d: result for d, _, result in bench.results()}
    assert results[decision] == "applied"
    assert results[held] != "applied", "what a person changed since the last pass counts"
    assert (bench.lab.replicas("llama"), bench.lab.replicas("qwen")) == (5, 2)
    loop.wake()
    loop.turn()
    assert bench.lab.autoscaler("llama")["status"]["desiredReplicas"] == 5
    assert [e["reason"] for e in bench.lab.events()].count("SuccessfulRescale") == 1


def test_a_decision_that_arrives_in_a_pass_does_not_wait_for_its_end_and_is_reported(
    bench: Bench, mirrored: MirroredKube
) -> None:
    for name in ("llama", "qwen"):
        bench.lab.deploy(name)
        bench.lab.autoscale(name)
    loop = ReconcileLoop(bench.deps, is_quick=True)
    loop.turn()
    bench.clock.advance(bench.step_s)
    bench.lab.advance(bench.clock.now())
    patched, arrived = mirrored.patch_status, []

    def patch_status(*arguments: Any) -> Any:
        if not arrived:
            arrived.append(bench.decide("llama", 5))
            arrived.append(bench.decide("qwen", 4))
            loop.notified(DECISIONS_CHANNEL)
        return patched(*arguments)

    mirrored.patch_status = patch_status  # type: ignore[method-assign]
    bench.lab.change("llama", {"maxReplicas": 11})
    bench.lab.change("qwen", {"maxReplicas": 11})
    eventually(in_step(bench, mirrored, "GPUAutoscaler"), "the changes to arrive")
    loop.wake()
    loop.turn()
    assert [(d, r) for d, _, r in bench.results()] == [(d, "applied") for d in arrived]
    for _ in range(2):
        loop.wake()
        loop.turn()
    for name, replicas in (("llama", 5), ("qwen", 4)):
        status = bench.lab.autoscaler(name)["status"]
        assert status["desiredReplicas"] == replicas
        assert len(status["decisionHistory"]) == 1
