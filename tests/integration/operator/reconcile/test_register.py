"""Workloads that were made over REST: the operator leaves them alone, or takes them over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from services.platform.stages import ingest_trace
from tests.integration.operator.conftest import GROUP_PATH, Bench
from tests.unit.simulator.fleet.traces import write

pytestmark = pytest.mark.integration


def make_over_rest(bench: Bench, name: str) -> None:
    """As `POST /v1/workloads` does, with the spec of another one."""
    with bench.deps.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, managed_by, "
                "created_at, updated_at) SELECT namespace, :name, shard, step_s, "
                "spec || '{\"mode\": \"Advisory\"}', 'api', created_at, updated_at "
                "FROM workloads LIMIT 1"
            ),
            {"name": name},
        )


def test_it_is_left_alone_until_an_autoscaler_takes_it_over(bench: Bench) -> None:
    for name in ("llama", "chat"):
        bench.lab.deploy(name)
    bench.lab.autoscale("llama")
    bench.reconcile()
    make_over_rest(bench, "chat")

    def chat() -> tuple[str, bool, str]:
        (row,) = [row for row in bench.rows("workloads") if row["name"] == "chat"]
        return row["managed_by"], row["is_active"], row["spec"]["mode"]

    bench.reconcile()
    assert chat() == ("api", True, "Advisory")
    bench.lab.autoscale("chat", mode="Auto")
    bench.reconcile()
    assert chat() == ("kubernetes", True, "Auto")
    bench.lab.delete_autoscaler("chat")
    bench.reconcile()
    assert chat() == ("kubernetes", False, "Auto")


def test_a_trace_that_is_ingested_beside_it_stays_and_may_be_ingested_again(
    bench: Bench, tmp_path: Path
) -> None:
    """The operator took the workloads of a trace for ones whose GPUAutoscaler is gone."""
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    series = {"svc/a": np.arange(1.0, 451.0), "svc/b": np.arange(451.0, 1.0, -1.0)}
    file = write(tmp_path, series)  # type: ignore[no-untyped-call]  # untyped

    def ingest() -> list[tuple[int, str, str, bool, int]]:
        after = bench.clock.now() + timedelta(hours=8)  # what is to come is refused
        report = ingest_trace(bench.deps.settings, file, None, after)
        bench.reconcile()
        names = ("id", "name", "managed_by", "is_active", "spec_version")
        rows = [row for row in bench.rows("workloads") if row["namespace"] == "trace"]
        assert len(rows) == report.n_workloads == 2
        assert {row["spec"]["target"] for row in rows} == {"External/svc-a", "External/svc-b"}
        return sorted(tuple(row[name] for name in names) for row in rows)

    first = ingest()
    assert [one[1:] for one in first] == [
        ("svc-a", "api", True, 1),
        ("svc-b", "api", True, 1),
    ]
    assert ingest() == first


def test_a_spec_that_was_spoilt_by_hand_is_stored_again(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    for _ in range(2):  # from the second pass on it is known what is stored
        bench.reconcile()
    (before,) = bench.rows("workloads")
    with bench.engine.begin() as connection:
        connection.execute(text("UPDATE workloads SET spec = 'null'"))
        connection.execute(
            text(
                "INSERT INTO workload_errors (workload_id, stage, message, since, last_at) "
                "VALUES (:id, 'forecast', 'no spec', :now, :now)"
            ),
            {"id": before["id"], "now": bench.clock.now()},
        )
    for _ in range(2):  # the first one finds that a stage fails
        bench.clock.advance(bench.step_s)
        bench.reconcile()
    (after,) = bench.rows("workloads")
    assert after["spec"] == before["spec"]


def test_a_spec_that_cannot_be_used_keeps_the_last_good_one(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    schedule = {"name": "night", "timezone": "Mars/Base", "startTime": "22:00", "endTime": "06:00"}
    bench.lab.change("llama", {"schedules": [{**schedule, "freeze": "Both"}]})
    decision = bench.decide("llama", 5)
    bench.reconcile()
    assert bench.results() == [(decision, 1, "failed")]
    (workload,) = bench.rows("workloads")
    assert (workload["is_active"], workload["spec_version"]) == (True, 1)
    ready = bench.lab.condition("llama", "Ready")
    assert ready["reason"] == "InvalidSpec"
    assert "schedules[night].timezone" in ready["message"]
    assert bench.lab.replicas("llama") == 2


def test_a_changed_spec_gets_a_new_version(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    bench.lab.change("llama", {"maxReplicas": 15})
    bench.reconcile()
    bench.reconcile()
    (workload,) = bench.rows("workloads")
    assert (workload["spec"]["max_replicas"], workload["spec_version"]) == (15, 2)


def test_steps_get_another_length_by_the_setting_alone(bench: Bench) -> None:
    """It took effect of each GPUAutoscaler when that was edited, and not before."""
    for name in ("llama", "chat"):
        bench.lab.deploy(name)
        bench.lab.autoscale(name)
    bench.reconcile()
    settings = bench.deps.settings.model_copy(update={"step_s": 30})
    bench.deps = replace(bench.deps, settings=settings)
    for _ in range(2):
        bench.reconcile()
    rows = bench.rows("workloads")
    assert [(row["step_s"], row["spec_version"]) for row in rows] == [(30, 2), (30, 2)]


def test_its_decisions_are_advice_and_it_lacks_no_target(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    make_over_rest(bench, "chat")
    bench.decide("chat", 5)
    bench.decide("llama", 3)
    bench.lab.delete_autoscaler("llama")
    assert bench.reconcile().results == {"advisory": 1, "target_missing": 1}
    reasons = {row["result"]: row["reason"] for row in bench.rows("actions")}
    assert "made over REST" in reasons["advisory"]
    assert "was deleted" in reasons["target_missing"]


def test_a_spec_that_no_column_holds_harms_no_other(bench: Bench) -> None:
    """The API server takes NUL in a text, and Postgres keeps it in none."""
    for name in ("llama", "qwen"):
        bench.lab.deploy(name)
    demand = {"name": "request_rate_rps", "level": 1, "query": "sum(rate(a[1m]))\0"}
    bench.lab.autoscale("llama", indicators=[demand])
    bench.lab.autoscale("qwen")
    bench.lab.post(f"{GROUP_PATH}/gpubudgets", {
        "metadata": {"name": "odd"}, "spec": {"gpuType": "L4\0", "gpus": 8},
    })  # fmt: skip
    bench.reconcile()
    bench.decide("qwen", 5)
    bench.reconcile()
    assert bench.lab.replicas("qwen") == 5
    ready = bench.lab.condition("llama", "Ready")
    assert (ready["status"], "must not contain the character NUL" in ready["message"]) == (
        "False",
        True,
    )
    assert [row["gpu_type"] for row in bench.rows("gpu_budgets")] == ["L4"]
    bench.lab.http.delete(f"{GROUP_PATH}/gpubudgets/odd")


def test_a_name_under_a_verdict_that_no_column_holds_harms_no_other(bench: Bench) -> None:
    for name in ("llama", "qwen"):
        bench.lab.deploy(name)
        bench.lab.autoscale(name, mode="Approval" if name == "llama" else "Auto")
    bench.reconcile()
    refused = bench.decide("llama", 5)
    prefix = "scaling.harmony.dev"
    bench.lab.annotate(
        "llama", {f"{prefix}/rejected-decision": str(refused), f"{prefix}/rejected-by": "a\0da"}
    )
    bench.reconcile()
    bench.decide("qwen", 5)
    bench.reconcile()
    assert bench.lab.replicas("qwen") == 5
    (action,) = [row for row in bench.rows("actions") if row["result"] == "rejected"]
    assert "rejected by a?da" in action["reason"]
