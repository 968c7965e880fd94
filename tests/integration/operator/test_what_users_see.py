"""`kubectl get gpua` and `kubectl describe`: columns, status, history and Events."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.operator.conftest import GROUP_PATH, Bench

pytestmark = pytest.mark.integration

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def get_gpua(bench: Bench) -> tuple[list[str], list[Any]]:
    """Columns and the row of the only autoscaler, as `kubectl get gpua` has them."""
    path = f"{GROUP_PATH}/namespaces/{bench.lab.namespace}/gpuautoscalers"
    table = bench.lab.http.get(path, headers={"Accept": TABLE}).json()
    shown = [i for i, c in enumerate(table["columnDefinitions"]) if c["priority"] == 0]
    (row,) = table["rows"]
    names = [table["columnDefinitions"][i]["name"] for i in shown]
    return names, [row["cells"][i] for i in shown]


def test_the_columns(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.decide("llama", 5)
    bench.reconcile()
    names, cells = get_gpua(bench)
    assert names == [
        "Name", "TARGET", "MODE", "MIN", "MAX", "CURRENT", "DESIRED", "RISK", "BUDGET",
        "FALLBACK", "PAUSED", "AGE",
    ]  # fmt: skip
    assert cells[:8] == ["llama", "llama", "Auto", 1, 12, 5, 5, 0.004]
    assert cells[9:11] == ["False", "False"]


def test_the_history_is_of_ten_and_the_newest_is_first(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    made = []
    for n in range(12):
        made.append(bench.decide("llama", 3 + n % 2))
        bench.reconcile()
        bench.step()
    status = bench.lab.autoscaler("llama")["status"]
    assert [entry["id"] for entry in status["decisionHistory"]] == made[:1:-1]
    newest = status["decisionHistory"][0]
    assert newest["result"] == "applied"
    assert newest["reason"] == newest["resultReason"] == "scale_up_risk"
    assert (newest["current"], newest["final"]) == (3, 4)
    assert status["lastDecision"]["id"] == made[-1]


def test_events_have_the_names_that_users_know(bench: Bench) -> None:
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.lab.deploy("llama")
    bench.reconcile()
    bench.decide("llama", 4)
    bench.reconcile()
    bench.lab.annotate("llama", {"scaling.harmony.dev/paused": "true"})
    bench.reconcile()
    bench.lab.annotate("llama", {"scaling.harmony.dev/paused": None})
    bench.reconcile()
    found = [(e["type"], e["reason"], e["message"]) for e in bench.lab.events()]
    kinds = [entry[:2] for entry in found]
    for expected in (
        ("Warning", "FailedGetScale"),
        ("Normal", "TargetFound"),
        ("Normal", "SuccessfulRescale"),
        ("Normal", "Paused"),
        ("Normal", "Resumed"),
    ):
        assert kinds.count(expected) == 1, expected
    messages = {entry[1]: entry[2] for entry in found}
    assert messages["SuccessfulRescale"] == "New size: 4; was: 2; reason: scale_up_risk"
    assert "create it or correct scaleTargetRef" in messages["FailedGetScale"]


def test_a_rescale_that_fails_is_an_event(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.lab.fault(
        kind="conflict", verb="patch", resource="deployments", subresource="scale", times=9
    )
    bench.decide("llama", 4)
    bench.reconcile()
    failed = [e for e in bench.lab.events() if e["reason"] == "FailedRescale"]
    assert [event["type"] for event in failed] == ["Warning"]
    assert "409 Conflict" in failed[0]["message"]
    status = bench.lab.autoscaler("llama")["status"]
    assert status["lastDecision"]["result"] == "failed"
