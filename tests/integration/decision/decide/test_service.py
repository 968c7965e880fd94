"""The decision service on a real Postgres: forecasts in, decisions out, replayed and explained."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import text

from services.decision.decide import service
from services.decision.wiring import DecisionDeps
from services.kernel.errors import NotFound
from tests.integration.decision.stored_rows import (
    NOW,
    ORIGIN,
    STEP,
    add_forecast,
    add_state,
    add_workload,
    decisions,
    one_workload,
)

pytestmark = pytest.mark.integration


def test_a_forecast_becomes_one_decision_with_its_reason(deps: DecisionDeps) -> None:
    workload = one_workload(deps.engine)

    report = service.decide_shard(deps, 0, ORIGIN)

    assert report.n_decisions == 1
    (row,) = decisions(deps.engine)
    assert row["workload_id"] == workload
    assert row["forecast_id"] == 1
    assert row["current_replicas"] == 10
    assert 11 <= row["desired_replicas"] <= 13
    assert (row["direction"], row["reason"]) == ("up", "scale_up_risk")
    assert row["rung"] == "model"
    assert row["risk_estimated"] <= row["risk_target"] == 0.01
    assert row["valid_until"] == NOW + 3 * STEP
    assert row["cost_delta_usd_per_h"] == pytest.approx((row["desired_replicas"] - 10) * 2.5)
    assert row["explanation"]["forecast"]["model_version"] == "best-simple"


def test_a_second_run_changes_nothing(deps: DecisionDeps) -> None:
    one_workload(deps.engine)
    service.decide_shard(deps, 0, ORIGIN)
    before = decisions(deps.engine)

    again = service.decide_shard(deps, 0, ORIGIN)

    assert (again.n_decisions, again.n_outcomes) == (0, 0)
    assert decisions(deps.engine) == before


def test_the_operator_is_told_in_the_same_transaction(deps: DecisionDeps) -> None:
    one_workload(deps.engine)
    with deps.engine.connect() as listener:
        driver: Any = listener.connection.driver_connection
        driver.autocommit = True
        driver.execute("LISTEN harmony_decisions")
        service.decide_shard(deps, 0, ORIGIN)
        (note,) = list(driver.notifies(timeout=60, stop_after=1))
    assert note.payload == "0"


def test_an_unknown_decision_is_a_named_error(deps: DecisionDeps) -> None:
    with pytest.raises(NotFound, match="decision 999"):
        service.explain(deps, 999)


def test_explain_gives_guards_quantiles_and_counterfactuals(deps: DecisionDeps) -> None:
    one_workload(deps.engine)
    service.decide_shard(deps, 0, ORIGIN)
    record = service.explain(deps, decisions(deps.engine)[0]["id"])
    assert record["workload"] == "demo/w"
    assert record["guard_trace"][0]["guard"] == "stale_input"
    assert record["guard_trace"][-1]["guard"] == "fleet"
    assert record["counterfactuals"]["epsilon_0.001"] >= record["counterfactuals"]["epsilon_0.1"]
    assert record["quantiles"]["p50"] == pytest.approx(100, rel=0.03)
    assert json.dumps(record)


def test_a_row_without_a_forecast_falls_to_the_ladder(deps: DecisionDeps) -> None:
    one_workload(deps.engine, level=None, ready=4)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)
    assert row["rung"] == "trailing_percentile"
    assert row["desired_replicas"] == 11  # ceil(95 * 1.1 / 10)
    assert row["risk_estimated"] is None


def test_without_demand_or_forecast_the_count_is_held(deps: DecisionDeps) -> None:
    workload = add_workload(deps.engine, "w")
    add_state(deps.engine, workload, 7)
    add_forecast(deps.engine, workload, None)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)
    assert (row["desired_replicas"], row["reason"]) == (7, "hold_stale_forecast")


def test_paths_dropped_by_retention_are_made_from_quantiles(deps: DecisionDeps) -> None:
    one_workload(deps.engine)
    with deps.engine.begin() as connection:
        connection.execute(text("UPDATE forecasts SET paths = NULL, n_paths = 0"))
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)
    assert row["rung"] == "model"
    assert 10 <= row["desired_replicas"] <= 13


def test_sweep_of_an_empty_database_sends_nothing(deps: DecisionDeps) -> None:
    assert service.sweep(deps) == 0


def test_a_job_that_comes_again_for_a_past_origin_does_nothing_again(
    deps: DecisionDeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by `harmony bench faults --seed 7`: the jobs of an outage kept the worker behind."""
    workload = one_workload(deps.engine)
    service.decide_shard(deps, 0, ORIGIN)
    add_forecast(deps.engine, workload, 100.0, forecast_id=2, origin_at=ORIGIN + STEP)
    service.decide_shard(deps, 0, ORIGIN + STEP)
    n_loads = 0
    load = service._load_rows

    def counted(run: Any) -> Any:
        nonlocal n_loads
        n_loads += 1
        return load(run)

    monkeypatch.setattr(service, "_load_rows", counted)
    service.decide_shard(deps, 0, ORIGIN)
    assert n_loads == 0
    service.decide_shard(deps, 0, ORIGIN + STEP)  # the newest: its steps may be measured by now
    assert n_loads == 1
    assert len(decisions(deps.engine)) == 2
