"""A target whose scale a webhook holds up: said, tried again, and nobody else waits for it."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from services.operator.kube.client import KubeClient, Scale
from services.operator.reconcile import patch_scales
from services.operator.resource.autoscaler import ScaleTarget
from services.operator.wire.http import KubeError
from tests.integration.operator.conftest import Bench

pytestmark = pytest.mark.integration

HUNG = KubeError(500, "InternalError", 'failed calling webhook "w.example.dev": deadline exceeded')
SILENT = KubeError(0, "ReadTimeoutError", "deployments/scale: read timed out")


class Webhook:
    """Hangs for the scale of some targets, ten seconds for each patch."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trouble: KubeError | None = HUNG
        self.asked: list[str] = []
        self.hangs_for = {"bad"}
        self._bench = bench
        self._kube = bench.deps.kube
        self._now_s = 0.0
        monkeypatch.setattr(patch_scales, "time", SimpleNamespace(monotonic=lambda: self._now_s))
        kube: Any = SimpleNamespace(patch_scale=self.patch_scale, annotate_pod=self.annotate_pod)
        self.n_marks = 0
        bench.deps = replace(bench.deps, kube=_Beside(self._kube, kube))  # type: ignore[arg-type]

    def patch_scale(self, target: ScaleTarget, replicas: int, version: str) -> Scale:
        self.asked.append(target.name)
        if target.name in self.hangs_for and self.trouble is not None:
            self._now_s += 10.0
            raise self.trouble
        return self._kube.patch_scale(target, replicas, version)

    def annotate_pod(self, *_: Any) -> None:
        self.n_marks += 1
        self._now_s += 10.0
        raise HUNG


class _Beside:
    """A client of which some calls are a test's."""

    def __init__(self, kube: KubeClient, own: Any) -> None:
        self._kube, self._own = kube, own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name, None) or getattr(self._kube, name)


def fleet(bench: Bench) -> None:
    for name in ("bad", "good", "well"):
        bench.lab.deploy(name)
        bench.lab.autoscale(name)
    bench.reconcile()


def test_it_is_said_with_the_message_and_others_are_scaled_first(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet(bench)
    webhook = Webhook(bench, monkeypatch)
    decision = bench.decide("bad", 5)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "failed")]
    ready = bench.lab.condition("bad", "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ScalePatchFails")
    assert HUNG.message in ready["message"]
    webhook.asked.clear()
    for name in ("bad", "good", "well"):
        bench.decide(name, 4)
    bench.clock.advance(15)
    bench.reconcile()
    assert webhook.asked == ["good", "well", "bad"]
    assert (bench.lab.replicas("good"), bench.lab.replicas("well")) == (4, 4)
    assert bench.lab.condition("good", "Ready")["status"] == "True"
    webhook.trouble = None
    for _ in range(2):
        bench.clock.advance(15)
        bench.reconcile()
    assert bench.lab.replicas("bad") == 4
    assert bench.lab.condition("bad", "Ready")["reason"] == "Reconciled"


def test_one_that_still_hangs_costs_a_pass_one_patch_and_then_none_for_a_while(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet(bench)
    webhook = Webhook(bench, monkeypatch)
    webhook.hangs_for = {"bad", "good", "well"}
    for name in sorted(webhook.hangs_for):
        bench.decide(name, 5)
    n_asked = []
    for _ in range(8):
        webhook.asked.clear()
        bench.reconcile()
        n_asked.append(len(webhook.asked))
        bench.clock.advance(5)
    assert max(n_asked) == 1
    assert 0 in n_asked


def unanswered(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> tuple[Webhook, int]:
    """A patch of `bad` that has had no answer, with its decision."""
    fleet(bench)
    webhook = Webhook(bench, monkeypatch)
    webhook.trouble = SILENT
    decision = bench.decide("bad", 5)
    bench.reconcile()
    return webhook, decision


def test_what_had_no_answer_is_open_until_it_cannot_be_carried_out_any_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook, decision = unanswered(bench, monkeypatch)
    bench.clock.advance(15)
    bench.reconcile()
    assert (bench.results(), len(bench.rows("intents"))) == ([], 1)
    assert webhook.asked == ["bad"]
    assert SILENT.message in bench.lab.condition("bad", "Ready")["message"]
    webhook.trouble = None
    bench.clock.advance(25)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "failed"), (decision, 2, "applied")]
    assert SILENT.message in bench.rows("actions")[0]["reason"]


def test_what_is_carried_out_late_is_recorded_as_applied(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, decision = unanswered(bench, monkeypatch)
    bench.lab.scale("bad", 5)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "applied")]
    assert bench.lab.condition("bad", "Ready")["reason"] == "Reconciled"


def test_pods_whose_marks_hang_are_left_unmarked_for_a_while_and_scaled_in_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bad", "good", "well"):
        bench.lab.deploy(name, replicas=3)
        bench.lab.autoscale(name)
    bench.reconcile()
    bench.step()
    webhook = Webhook(bench, monkeypatch)
    webhook.hangs_for = set()
    n_marks = []
    for _ in range(4):
        for name in ("bad", "good", "well"):
            bench.decide(name, 2)
        bench.reconcile()
        n_marks.append(webhook.n_marks)
        bench.clock.advance(5)
    assert [bench.lab.replicas(name) for name in ("bad", "good", "well")] == [2, 2, 2]
    assert max(after - before for before, after in zip([0, *n_marks], n_marks, strict=False)) == 1
