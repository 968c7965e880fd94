"""Faults of every kind while demand moves: every decision ends once, and the newest one holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace

import pytest
from kubernetes import client

from services.kernel.clock import make_rng
from services.operator.kube import mirror
from services.operator.kube.mirrored import MirroredKube
from services.operator.listener import ReconcileLoop
from services.operator.reconcile.repository import DECISIONS_CHANNEL
from services.operator.wire.http import KubeHttp
from tests.integration.operator.conftest import Bench
from tests.integration.operator.mirroring import eventually, in_step

pytestmark = [pytest.mark.slow, pytest.mark.integration]

NAMES = ("llama", "qwen", "mistral")
N_STEPS = 14
FAULTS = (
    {"kind": "conflict", "verb": "patch", "resource": "deployments", "subresource": "scale"},
    {"kind": "throttle", "verb": "patch", "resource": "deployments", "subresource": "scale"},
    {"kind": "error", "verb": "patch", "resource": "deployments", "subresource": "scale"},
    {"kind": "slow", "verb": "patch", "delay_s": 0.05},
    {"kind": "error", "verb": "get", "resource": "deployments"},
    {"kind": "error", "verb": "patch", "resource": "gpuautoscalers", "subresource": "status"},
    {"kind": "unavailable", "verb": "list"},
    {"kind": "drop_watch", "resource": "deployments"},
    {"kind": "gone", "resource": "gpuautoscalers"},
    {"kind": "gone", "resource": "pods"},
)
FINAL = {"applied", "unchanged", "superseded", "expired"}
OPEN = {"failed", "unknown"}
"""Results after which a decision is tried again while it is valid."""


@pytest.fixture(params=["lists", "copies"])
def moving(
    request: pytest.FixtureRequest, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ReconcileLoop]:
    """A loop whose API server is listed at each pass, or mirrored."""
    monkeypatch.setattr(mirror, "_BACKOFF_S", (0.02, 0.05))
    if request.param == "lists":
        yield ReconcileLoop(bench.deps)
        return
    configuration = client.Configuration()
    configuration.host = bench.lab.url
    https = [KubeHttp(configuration, sleep=lambda _: None) for _ in range(2)]
    kube = MirroredKube(https[0], https[1])
    bench.deps = replace(bench.deps, kube=kube)
    yield ReconcileLoop(bench.deps, is_quick=True)
    kube.stop()
    for http in https:
        http.close()


def test_nothing_is_lost_and_nothing_done_twice(bench: Bench, moving: ReconcileLoop) -> None:
    rng = make_rng(7, "faults")
    for name in NAMES:
        bench.lab.deploy(name, gpus=0)
        bench.lab.autoscale(name)
    moving.turn()
    last: dict[str, int] = {}
    for step in range(N_STEPS):
        bench.clock.advance(bench.step_s)
        bench.lab.advance(bench.clock.now())
        for i in rng.choice(len(FAULTS), size=3, replace=False):
            bench.lab.fault(**FAULTS[i], times=int(rng.integers(1, 6)))
        for name in NAMES:
            last[name] = int(rng.integers(1, 13))
            bench.decide(name, last[name])
        moving.notified(DECISIONS_CHANNEL)
        if step % 2:
            moving.wake()
        moving.turn()
    bench.lab.http.delete("/lab/faults")
    if isinstance(bench.deps.kube, MirroredKube):
        for kind in ("GPUAutoscaler", "Deployment", "Pod"):
            eventually(in_step(bench.deps.kube, kind), f"the copy of {kind}")
    for _ in range(2):
        moving.wake()
        moving.turn()
    assert {name: bench.lab.replicas(name) for name in NAMES} == last

    ended: dict[int, list[str]] = defaultdict(list)
    for decision, _, result in bench.results():
        ended[decision].append(result)
    assert len(ended) == N_STEPS * len(NAMES), "each decision has an action"
    for decision, results in ended.items():
        # one that is open until it is valid no longer is not tried again
        n_final = sum(result in FINAL for result in results)
        assert n_final == 1 or set(results) <= OPEN, (decision, results)
        assert set(results[:-1]) <= OPEN, (decision, results)

    moves = Counter[str]()
    names = {bench.workload_id(name): name for name in NAMES}
    for action in bench.rows("actions"):
        if action["result"] == "applied" and action["from_replicas"] != action["to_replicas"]:
            moves[names[action["workload_id"]]] += 1
    for name in NAMES:
        path = f"/apis/apps/v1/namespaces/{bench.lab.namespace}/deployments/{name}"
        generation = bench.lab.http.get(path).json()["metadata"]["generation"]
        assert moves[name] == generation - 1, "as many changes as were written down"
