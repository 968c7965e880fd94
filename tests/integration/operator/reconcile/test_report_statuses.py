"""`kubectl get gpua` and `kubectl describe`: columns, status, history and Events."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event, insert

from services.kernel.db import schema
from services.operator.resource.definitions import GPU_AUTOSCALER, to_crd
from tests.exported import exported
from tests.integration.operator.conftest import EAGER, GROUP_PATH, Bench

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


def test_each_column_says_something_of_each_shape_of_spec(bench: Bench) -> None:
    """What is not known of a service has no value; nothing else has none."""
    bench.lab.deploy("llama")
    bench.lab.deploy("llama-l4", product="L4")
    references = [
        {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        for name in ("llama", "llama-l4")
    ]
    variants = [
        {"name": name, "scaleTargetRef": reference, "gpuType": name.upper()}
        for name, reference in zip(("h100", "l4"), references, strict=True)
    ]
    one_kind = {"scaleTargetRef": references[0], "gpuType": "H100"}
    mixed = {"scaleTargetRef": None, "gpuType": None, "cost": None, "variants": variants}
    bench.lab.autoscale("llama")
    for change, target in (
        ({"mode": "Advisory"}, "llama"),
        ({"mode": "Approval"}, "llama"),
        ({"mode": "Auto", "minReplicas": 0, "fallback": {"staticReplicas": 1}}, "llama"),
        (mixed, "h100=2,l4=2"),
        ({"variants": [*variants[:1], variants[1] | {"scaleTargetRef": {
            "apiVersion": "apps/v1", "kind": "Deployment", "name": "nowhere"}}]}, "h100=2,l4=?"),
        ({"variants": None} | one_kind, "llama"),
    ):  # fmt: skip
        bench.lab.change("llama", change)
        bench.reconcile()
        bench.step()
        bench.reconcile()
        names, cells = get_gpua(bench)
        row = dict(zip(names, cells, strict=True))
        assert row["TARGET"] == target
        # without a decision there is no risk, without outcomes no budget, and none was applied
        unknown = {"RISK", "BUDGET", "DESIRED"}
        assert [name for name, cell in row.items() if cell in (None, "")] == [
            name for name in names if name in unknown
        ]
    assert "variants" not in bench.lab.autoscaler("llama")["status"], "none are left"


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


def test_a_failure_that_goes_on_is_told_once(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.lab.fault(
        kind="conflict", verb="patch", resource="deployments", subresource="scale", times=1000
    )
    for _ in range(3):
        bench.step()
        bench.decide("llama", 4)
        for _ in range(3):
            bench.reconcile()
    assert [result for *_, result in bench.results()].count("failed") >= 6
    assert [e["reason"] for e in bench.lab.events()].count("FailedRescale") == 1


def test_events_that_cannot_be_written_hold_up_nothing_and_repeat_nothing(bench: Bench) -> None:
    names = [f"w{n}" for n in range(4)]
    for name in names:
        bench.lab.deploy(name)
        bench.lab.autoscale(name)
    bench.reconcile()
    bench.lab.fault(kind="error", verb="create", resource="events", times=1000)
    for name in names:
        bench.decide(name, 4)
    assert bench.reconcile().n_statuses == 4
    for _ in range(2):
        assert bench.reconcile().n_statuses == 0
    for name in names:
        history = bench.lab.autoscaler(name)["status"]["decisionHistory"]
        assert len(history) == 1, name


def test_the_status_of_one_that_was_just_deleted_holds_up_nothing(bench: Bench) -> None:
    names = ["a", "b", "c"]
    for name in names:
        bench.lab.deploy(name)
        bench.lab.autoscale(name)
    listed = bench.deps.kube.list_objects

    def list_then_delete(kind: str) -> list[Any]:
        found = listed(kind)
        if kind == "GPUAutoscaler" and len(found) == 3:
            bench.lab.delete_autoscaler("a")
        return found

    bench.deps.kube.list_objects = list_then_delete  # type: ignore[method-assign]
    assert bench.reconcile().n_statuses == 2
    for name in ("b", "c"):
        assert bench.lab.condition(name, "TargetResolved")["status"] == "True"


def test_what_is_exported_of_an_autoscaler_is_what_was_done_and_goes_with_it(
    bench: Bench,
) -> None:
    def shown() -> dict[str, float | None]:
        names = ("paused", "current_replicas", "recommended_replicas", "desired_replicas")
        labels = {"namespace": bench.lab.namespace, "workload": "llama"}
        now = bench.clock.now()
        return {n: exported(bench.deps.engine, now, n, **labels) for n in names}

    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.decide("llama", 4)
    bench.reconcile()
    found = shown()
    assert found.pop("current_replicas") in (2.0, 4.0), "as it was observed last"
    assert found == {"paused": 0.0, "recommended_replicas": 4.0, "desired_replicas": 4.0}
    bench.lab.delete_autoscaler("llama")
    bench.reconcile()
    assert set(shown().values()) == {None}


def test_what_the_risk_control_stored_is_told(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    assert bench.lab.condition("llama", "SLIMeasured")["status"] == "Unknown"
    assert bench.lab.condition("llama", "DemandCensored")["status"] == "Unknown"
    state = {
        "measured_ratio": 0.004,
        "believed_ratio": 0.001,
        "budget_source": "measured",
        "measured_steps": 1440.0,
        "measured_low_ratio": 0.003,
        "measured_high_ratio": 0.5,
        "budget_left_low_ratio": -49.0,
        "budget_left_high_ratio": 0.7,
        "budget_left_ratio": 0.6,
        "sli_status": "Measured",
        "sli_message": "",
        "demand_censored_message": "the queue grows while the replicas are full",
        "goal_unreachable_message": "",
        "not_capacity_message": "look at the release",
    }
    stored = {
        "workload_id": bench.workload_id("llama"),
        "state": state,
        "updated_at": bench.lab.now(),
    }
    with bench.deps.engine.begin() as connection:
        connection.execute(insert(schema.risk_states).values(stored))
    bench.fresh_operator()
    bench.reconcile()
    risk = bench.lab.autoscaler("llama")["status"]["risk"]
    assert risk | {"target": 0.01} == {
        "target": 0.01,
        "measuredLow": 0.003,
        "measured": 0.004,
        "measuredHigh": 0.5,
        "believed": 0.001,
        "source": "measured",
        "budgetRemainingLow": -49.0,
        "budgetRemaining": 0.6,
        "budgetRemainingHigh": 0.7,
    }
    assert bench.lab.condition("llama", "SLIMeasured")["status"] == "True"
    censored = bench.lab.condition("llama", "DemandCensored")
    assert (censored["status"], censored["reason"]) == ("True", "ReplicasSaturated")
    assert censored["message"] == state["demand_censored_message"]
    assert bench.lab.condition("llama", "GoalUnreachable")["reason"] == "NothingSaysSo"
    fault = bench.lab.condition("llama", "NotCapacity")
    assert (fault["status"], fault["message"]) == ("True", "look at the release")


def test_a_budget_says_whether_it_holds(bench: Bench) -> None:
    path = f"{GROUP_PATH}/gpubudgets"
    budget = {"metadata": {"name": "few"}, "spec": {"gpuType": "H100", "gpus": 1}}
    bench.lab.post(path, budget)
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    table = bench.lab.http.get(path, headers={"Accept": TABLE}).json()
    columns = [c["name"] for c in table["columnDefinitions"]]
    (row,) = [row["cells"] for row in table["rows"] if row["cells"][0] == "few"]
    assert dict(zip(columns, row, strict=True)) | {"AGE": ""} == {
        "Name": "few", "GPU": "H100", "GPUS": 1, "USED": 2, "READY": "True",
        "REASON": "Exceeded", "AGE": "", "CEILING": None, "SUPPLY": None, "HEADROOM": None,
    }  # fmt: skip
    assert bench.lab.http.delete(f"{path}/few").status_code == 200


@pytest.fixture
def older_crd(bench: Bench) -> Iterator[None]:
    """The CRD of a version that does not know `status.recommendedReplicas`."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gpuautoscalers."
    path += "scaling.harmony.dev"

    def put(definition: dict[str, Any]) -> None:
        body = json.dumps({"spec": {"versions": definition["spec"]["versions"]}})
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = bench.lab.http.patch(path, content=body, headers=headers)
        assert answer.status_code == 200, answer.text

    older = deepcopy(to_crd(GPU_AUTOSCALER))
    schema = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    del schema["properties"]["status"]["properties"]["recommendedReplicas"]
    put(older)
    yield
    put(to_crd(GPU_AUTOSCALER))


def test_a_status_that_older_crds_prune_is_not_written_again_and_again(
    bench: Bench, older_crd: None
) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.decide("llama", 4)
    assert bench.reconcile().n_statuses == 1
    assert "recommendedReplicas" not in bench.lab.autoscaler("llama")["status"]
    # one more at most: the target has been listed since, with what it is asked for
    bench.reconcile()
    assert [bench.reconcile().n_statuses for _ in range(4)] == [0, 0, 0, 0]
    bench.step()
    bench.decide("llama", 5)
    assert bench.reconcile().n_statuses == 1, "news are written"


def test_figures_over_the_history_are_read_less_often_than_the_rest(bench: Bench) -> None:
    """Nothing of them moves within a step, and what they cost grows with the history."""
    bench.deps = replace(bench.deps, pace=replace(EAGER, history_s=300.0))
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    read: Counter[str] = Counter()

    def count(*given: Any) -> None:
        statement = given[2]
        read["details"] += "c.last_sample_at" in statement
        read["figures"] += "FROM coverage_hours" in statement

    event.listen(bench.engine, "before_cursor_execute", count)
    try:
        for _ in range(3):
            bench.reconcile()
    finally:
        event.remove(bench.engine, "before_cursor_execute", count)
    assert read == {"details": 3, "figures": 1}
    (known,) = bench.deps.memory.details.values()
    assert known[1].history.n_starts == bench.deps.memory.figures.popitem()[1][1].n_starts
