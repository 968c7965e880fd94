"""A status that is refused, or an autoscaler that is gone, costs the others nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from services.kernel import telemetry
from services.operator.report import status
from services.operator.report.status import AutoscalerReport, Status
from services.operator.wire.http import KubeError
from tests.integration.operator.conftest import EAGER, GROUP_PATH, Bench

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_a_status_that_is_refused_holds_up_no_other(bench: Bench, status: int) -> None:
    """Its spec may be one that newer CRDs refuse: then they refuse its status too."""
    for name in ("a", "b", "c"):
        bench.lab.deploy(name)
        bench.lab.autoscale(name)
    asked: list[str] = []
    patch = bench.deps.kube.patch_status

    def refuse(namespace: str, name: str, changed: dict[str, Any]) -> None:
        asked.append(name)
        if name == "a":
            raise KubeError(status, "Invalid", "spec.minReplicas: must be at most 1000")
        patch(namespace, name, changed)

    bench.deps.kube.patch_status = refuse  # type: ignore[method-assign]
    assert bench.reconcile().n_statuses == 2
    for name in ("b", "c"):
        assert bench.lab.condition(name, "TargetResolved")["status"] == "True"
    asked.clear()
    for name in ("b", "c"):
        bench.decide(name, 4)
    bench.reconcile()
    assert sorted(asked) == ["a", "b", "c"], "it is tried again"


@pytest.mark.parametrize("status", [0, 403, 500, 503])
def test_statuses_that_fail_each_time_come_after_those_that_wait(bench: Bench, status: int) -> None:
    """A webhook that fails closed for the objects of one tenant answers each of them with 500."""
    failing, others = ("a", "b", "c", "d"), ("e", "f")
    for name in (*failing, *others):
        bench.lab.deploy(name)
        bench.lab.autoscale(name)
    patch = bench.deps.kube.patch_status

    def fail(namespace: str, name: str, changed: dict[str, Any]) -> None:
        if name in failing:
            raise KubeError(status, "InternalError", "failed calling webhook: deadline exceeded")
        patch(namespace, name, changed)

    bench.deps.kube.patch_status = fail  # type: ignore[method-assign]
    written = [bench.reconcile().n_statuses for _ in range(len(failing) + 1)]
    assert sum(written) >= len(others)
    for name in others:
        assert bench.lab.condition(name, "TargetResolved")["status"] == "True"


@pytest.mark.parametrize(("status", "n_asked"), [(0, 1), (403, 1), (429, 1), (500, 3), (503, 3)])
def test_what_the_next_one_would_meet_too_ends_the_writing(
    bench: Bench, status: int, n_asked: int
) -> None:
    for number in range(5):
        bench.lab.deploy(f"w{number}")
        bench.lab.autoscale(f"w{number}")
    asked: list[str] = []

    def fail(namespace: str, name: str, changed: dict[str, Any]) -> None:
        asked.append(name)
        raise KubeError(status, "Reason", "it failed")

    bench.deps.kube.patch_status = fail  # type: ignore[method-assign]
    assert bench.reconcile().n_statuses == 0
    assert len(asked) == n_asked
    bench.reconcile()
    assert asked[n_asked] not in asked[:n_asked], "those that wait come first"


def test_statuses_that_fail_slowly_end_the_time_for_statuses(bench: Bench) -> None:
    bench.deps = replace(bench.deps, pace=replace(EAGER, budget_s=0.0))
    for name in ("a", "b", "c"):
        bench.lab.deploy(name)
        bench.lab.autoscale(name)
    asked: list[str] = []

    def fail(namespace: str, name: str, changed: dict[str, Any]) -> None:
        asked.append(name)
        raise KubeError(500, "InternalError", "failed calling webhook: deadline exceeded")

    bench.deps.kube.patch_status = fail  # type: ignore[method-assign]
    for n_asked in (1, 2, 3):
        bench.reconcile()
        assert len(set(asked)) == len(asked) == n_asked


@pytest.mark.parametrize("status", [0, 403, 500, 503])
def test_budgets_whose_status_fails_each_time_come_last(bench: Bench, status: int) -> None:
    path, failing = f"{GROUP_PATH}/gpubudgets", ("a", "b", "c", "d")
    for name in (*failing, "e"):
        bench.lab.post(path, {"metadata": {"name": name}, "spec": {"gpuType": name, "gpus": 1}})
    patch = bench.deps.kube.patch_budget_status

    def fail(name: str, changed: dict[str, Any]) -> None:
        if name in failing:
            raise KubeError(status, "InternalError", "failed calling webhook: deadline exceeded")
        patch(name, changed)

    bench.deps.kube.patch_budget_status = fail  # type: ignore[method-assign]
    for _ in range(len(failing) + 1):
        bench.reconcile()
    found = bench.lab.http.get(f"{path}/e").json()
    assert found["status"]["conditions"][0]["type"] == "Ready"
    assert bench.lab.http.delete(path).status_code == 200


def test_a_budget_whose_status_is_refused_holds_up_no_other(bench: Bench) -> None:
    path = f"{GROUP_PATH}/gpubudgets"
    for name in ("few", "many"):
        bench.lab.post(path, {"metadata": {"name": name}, "spec": {"gpuType": name, "gpus": 1}})
    patch = bench.deps.kube.patch_budget_status

    def refuse(name: str, changed: dict[str, Any]) -> None:
        if name == "few":
            raise KubeError(422, "Invalid", "spec.gpus: must be at most 1000")
        patch(name, changed)

    bench.deps.kube.patch_budget_status = refuse  # type: ignore[method-assign]
    bench.reconcile()
    found = bench.lab.http.get(f"{path}/many").json()
    assert found["status"]["conditions"][0]["type"] == "Ready"
    assert bench.lab.http.delete(path).status_code == 200


def test_a_status_that_cannot_be_built_holds_up_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect in one of its figures ends no pass: the budgets too are reported after it."""
    for name in ("a", "b"):
        bench.lab.deploy(name)
        bench.lab.autoscale(name)
    build = status.build

    def fail(report: AutoscalerReport, now: datetime) -> Status:
        if report.facts.autoscaler.name == "a":
            raise OverflowError("cannot convert float infinity to integer")
        return build(report, now)

    monkeypatch.setattr(status, "build", fail)
    counted = telemetry.reconcile_errors_total.labels("status")
    before = counted._value.get()
    assert bench.reconcile().n_statuses == 1
    assert bench.lab.condition("b", "TargetResolved")["status"] == "True"
    assert counted._value.get() == before + 1


def test_nothing_is_remembered_of_an_autoscaler_that_is_gone(bench: Bench) -> None:
    for name in ("llama", "qwen"):
        bench.lab.deploy(name)
        bench.lab.autoscale(name)
    bench.reconcile()
    bench.reconcile()
    gone, left = bench.workload_id("llama"), bench.workload_id("qwen")
    memory = bench.deps.memory
    assert memory.specs.keys() == memory.states.keys() == memory.details.keys() == {gone, left}
    bench.lab.delete_autoscaler("llama")
    bench.reconcile()
    assert memory.specs.keys() == memory.states.keys() == memory.details.keys() == {left}
