"""New decisions are applied without a pass, and in the midst of one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.operator.kube.mirrored import MirroredKube
from services.operator.leadership.lease import Fence
from services.operator.listener import ReconcileLoop
from services.operator.reconcile.repository import DECISIONS_CHANNEL, TICK_CHANNEL
from tests.integration.operator.conftest import Bench
from tests.integration.operator.mirroring import eventually, in_step

pytestmark = pytest.mark.integration


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
    eventually(in_step(mirrored, "GPUAutoscaler"), "the pause to arrive")
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
    eventually(in_step(mirrored, "GPUAutoscaler"), "the changes to arrive")
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


class Terms:
    """Leadership as a test sets it."""

    def __init__(self) -> None:
        self.now: int | None = 1

    def term(self) -> int | None:
        return self.now


def test_a_new_term_believes_nothing_that_was_read_in_a_former_one(bench: Bench) -> None:
    """A decision that is stored late is not the newest one: another leader has applied a newer."""
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    terms = Terms()
    loop = ReconcileLoop(bench.deps, Fence(terms))
    loop.turn()
    bench.decide("llama", 3)
    for term in (1, None):
        terms.now = term
        loop.wake()
        loop.turn()
    bench.clock.advance(2 * bench.step_s)
    newest = bench.decide("llama", 5)
    bench.fresh_operator()
    bench.reconcile()
    origin_at = bench.clock.now() - timedelta(seconds=2 * bench.step_s)
    late = bench.decide("llama", 4, origin_at=origin_at)
    terms.now = 2
    loop.wake()
    loop.turn()
    assert bench.results()[1:] == [(newest, 1, "applied"), (late, 1, "superseded")]
    assert bench.lab.replicas("llama") == 5
