"""The decision service on a real Postgres: forecasts in, decisions and outcomes out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, text

from services.decision import service
from services.decision.service import Deps
from services.kernel.clock import FixedClock
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows
from services.kernel.errors import Conflict, NotFound
from services.kernel.jobs import DECIDE_SHARD, RecordingSender
from services.kernel.settings import Settings

pytestmark = pytest.mark.integration

quiet_pymc = pytest.mark.filterwarnings(
    "ignore::FutureWarning", "ignore::DeprecationWarning", "ignore:PyTensor could not link"
)

STEP_S = 300
STEP = timedelta(seconds=STEP_S)
ORIGIN = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)
NOW = ORIGIN + STEP
LEVELS = [0.1, 0.5, 0.9, 0.99]


def spec(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "target": "Deployment/w",
        "demand": "request_rate_rps",
        "indicators": [{"name": "request_rate_rps", "level": 1}],
        "capacity": {"per_replica": 10.0},
        "lead_time": {"median_s": 60.0, "sigma": 0.3},
        "min_replicas": 1,
        "max_replicas": 40,
    }
    return base | changes


def add_workload(engine: Engine, name: str, **changes: Any) -> int:
    with engine.begin() as connection:
        return connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at) VALUES ('demo', :name, 0, :step_s, CAST(:spec AS jsonb), :at, :at) "
                "RETURNING id"
            ),
            {"name": name, "step_s": STEP_S, "spec": json.dumps(spec(**changes)), "at": ORIGIN},
        ).scalar_one()


def add_demand(engine: Engine, workload: int, values: list[float], last: datetime = ORIGIN) -> None:
    columns = ("workload_id", "indicator", "step_at", "value", "is_observed")
    rows = []
    for back, value in enumerate(reversed(values)):
        seen = bool(np.isfinite(value))
        rows.append(
            (workload, "request_rate_rps", last - back * STEP, value if seen else None, seen)
        )
    with engine.begin() as connection:
        copy_rows(connection, CopyTarget(schema.indicators, columns, "error"), rows)


def add_state(
    engine: Engine, workload: int, ready: int, *, at: datetime = NOW, ages: tuple[float, ...] = ()
) -> None:
    columns = (
        "workload_id", "observed_at", "spec_replicas", "ready_replicas", "starting_replicas",
        "pending_replicas", "start_ages_s", "schedulable_gpus",
    )  # fmt: skip
    n = len(ages)
    with engine.begin() as connection:
        copy_rows(
            connection,
            CopyTarget(schema.replica_states, columns, "error"),
            [(workload, at, ready + n, ready, n, 0, list(ages), 100)],
        )


def add_forecast(
    engine: Engine,
    workload: int,
    level: float | None,
    *,
    forecast_id: int = 1,
    origin_at: datetime = ORIGIN,
    version: str = "best-simple",
) -> int:
    columns = (
        "id", "origin_at", "workload_id", "model_version", "rung", "reason", "step_s",
        "n_horizon", "quantile_levels", "quantiles", "n_paths", "paths", "path_scale",
        "created_at",
    )  # fmt: skip
    if level is None:
        row: tuple[Any, ...] = ("none", "short history", STEP_S, 6, [], [], 0, None, None)
    else:
        rng = np.random.default_rng(forecast_id)
        paths = level * np.exp(0.05 * rng.standard_normal((100, 6)))
        scale = float(np.float32(paths.max()))
        blob = (paths / scale).astype(np.float16).tobytes()
        quantiles = np.quantile(paths, LEVELS, axis=0).tolist()
        row = ("model", "", STEP_S, 6, LEVELS, quantiles, 100, blob, scale)
    with engine.begin() as connection:
        copy_rows(
            connection,
            CopyTarget(schema.forecasts, columns, "error"),
            [(forecast_id, origin_at, workload, version, *row, NOW)],
        )
    return forecast_id


@pytest.fixture
def deps(database: Engine, settings: Settings) -> Deps:
    settings = settings.model_copy(update={"step_s": STEP_S})
    return Deps(database, FixedClock(NOW), settings, sender=RecordingSender())


def decisions(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(
            connection.execute(text("SELECT * FROM decisions ORDER BY workload_id, id")).mappings()
        )


def one_workload(engine: Engine, level: float | None = 100.0, ready: int = 10, **kw: Any) -> int:
    workload = add_workload(engine, "w", **kw)
    add_demand(engine, workload, [95.0] * 30)
    add_state(engine, workload, ready, at=ORIGIN)
    add_state(engine, workload, ready)
    add_forecast(engine, workload, level)
    return workload


def test_a_forecast_becomes_one_decision_with_its_reason(deps: Deps) -> None:
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


def test_a_second_run_changes_nothing(deps: Deps) -> None:
    one_workload(deps.engine)
    service.decide_shard(deps, 0, ORIGIN)
    before = decisions(deps.engine)

    again = service.decide_shard(deps, 0, ORIGIN)

    assert (again.n_decisions, again.n_outcomes) == (0, 0)
    assert decisions(deps.engine) == before


def test_the_operator_is_told_in_the_same_transaction(deps: Deps) -> None:
    one_workload(deps.engine)
    with deps.engine.connect() as listener:
        driver: Any = listener.connection.driver_connection
        driver.autocommit = True
        driver.execute("LISTEN harmony_decisions")
        service.decide_shard(deps, 0, ORIGIN)
        (note,) = list(driver.notifies(timeout=5, stop_after=1))
    assert note.payload == "0"


def test_a_stored_decision_replays_to_the_same_bytes(deps: Deps) -> None:
    one_workload(deps.engine, ready=9)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)

    report = service.replay(deps, row["id"])

    assert report.is_identical
    assert report.record["final"] == row["desired_replicas"]
    assert len(row["inputs"]) < 8000


def test_a_tampered_decision_does_not_replay(deps: Deps) -> None:
    one_workload(deps.engine)
    service.decide_shard(deps, 0, ORIGIN)
    with deps.engine.begin() as connection:
        connection.execute(
            text('UPDATE decisions SET explanation = explanation || \'{"sha256": "0"}\'')
        )
    assert not service.replay(deps, decisions(deps.engine)[0]["id"]).is_identical


def test_unknown_and_emptied_decisions_are_named_errors(deps: Deps) -> None:
    one_workload(deps.engine)
    service.decide_shard(deps, 0, ORIGIN)
    with deps.engine.begin() as connection:
        connection.execute(text("UPDATE decisions SET inputs = NULL"))
    with pytest.raises(NotFound, match="decision 999"):
        service.explain(deps, 999)
    with pytest.raises(Conflict, match="inputs were not kept"):
        service.replay(deps, decisions(deps.engine)[0]["id"])


def test_explain_gives_guards_quantiles_and_counterfactuals(deps: Deps) -> None:
    one_workload(deps.engine)
    service.decide_shard(deps, 0, ORIGIN)
    record = service.explain(deps, decisions(deps.engine)[0]["id"])
    assert record["workload"] == "demo/w"
    assert record["guard_trace"][0]["guard"] == "stale_input"
    assert record["guard_trace"][-1]["guard"] == "fleet"
    assert record["counterfactuals"]["epsilon_0.001"] >= record["counterfactuals"]["epsilon_0.1"]
    assert record["quantiles"]["p50"] == pytest.approx(100, rel=0.03)
    assert json.dumps(record)


def test_a_row_without_a_forecast_falls_to_the_ladder(deps: Deps) -> None:
    one_workload(deps.engine, level=None, ready=4)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)
    assert row["rung"] == "trailing_percentile"
    assert row["desired_replicas"] == 11  # ceil(95 * 1.1 / 10)
    assert row["risk_estimated"] is None


def test_without_demand_or_forecast_the_count_is_held(deps: Deps) -> None:
    workload = add_workload(deps.engine, "w")
    add_state(deps.engine, workload, 7)
    add_forecast(deps.engine, workload, None)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)
    assert (row["desired_replicas"], row["reason"]) == (7, "hold_stale_forecast")


def test_without_a_replica_state_nothing_is_changed(deps: Deps) -> None:
    workload = add_workload(deps.engine, "w", min_replicas=3)
    add_demand(deps.engine, workload, [95.0] * 30)
    add_forecast(deps.engine, workload, 100.0)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)
    assert (row["desired_replicas"], row["reason"]) == (3, "hold_unknown_replicas")


def test_a_shadow_models_forecast_is_never_decided_on(deps: Deps) -> None:
    workload = one_workload(deps.engine)
    with deps.engine.begin() as connection:
        connection.execute(
            schema.models.insert().values(
                version="m2", kind="flow", status="shadow", config={}, metrics={}, created_at=NOW
            )
        )
    add_forecast(deps.engine, workload, 300.0, forecast_id=2, version="m2")
    service.decide_shard(deps, 0, ORIGIN)
    assert [row["forecast_id"] for row in decisions(deps.engine)] == [1]


def test_paths_dropped_by_retention_are_made_from_quantiles(deps: Deps) -> None:
    one_workload(deps.engine)
    with deps.engine.begin() as connection:
        connection.execute(text("UPDATE forecasts SET paths = NULL, n_paths = 0"))
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)
    assert row["rung"] == "model"
    assert 10 <= row["desired_replicas"] <= 13


def outcomes(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT * FROM outcomes ORDER BY step_at")).mappings())


def test_outcomes_weigh_replicas_by_time(deps: Deps) -> None:
    workload = add_workload(deps.engine, "w", gpus_per_replica=2)
    add_demand(deps.engine, workload, [95.0] * 20)
    add_state(deps.engine, workload, 8, at=ORIGIN, ages=(10.0, 10.0))
    with deps.engine.begin() as connection:
        for uid in "ab":
            connection.execute(
                schema.pod_starts.insert().values(
                    pod_uid=uid, workload_id=workload, gpu_type="H100",
                    requested_at=ORIGIN - timedelta(seconds=10),
                    ready_at=ORIGIN + timedelta(seconds=60), observed_at=NOW,
                )
            )  # fmt: skip
    add_state(deps.engine, workload, 10)
    add_forecast(deps.engine, workload, 90.0)

    assert service.decide_shard(deps, 0, ORIGIN).n_outcomes == 1

    (row,) = outcomes(deps.engine)
    assert row["step_at"] == ORIGIN
    assert row["needed_replicas"] == 10
    assert row["violation_ratio"] == pytest.approx(60 / 300)
    assert row["shortage"] == pytest.approx(15.0 * 60 / 300)
    assert row["ready_mean"] == pytest.approx(8 * 0.2 + 10 * 0.8)
    assert row["gpu_hours"] == pytest.approx(10 * 2 * 300 / 3600)
    assert row["cost_usd"] == pytest.approx(row["gpu_hours"] * 2.5)


def test_an_unobserved_step_has_an_outcome_without_a_violation(deps: Deps) -> None:
    workload = add_workload(deps.engine, "w")
    add_demand(deps.engine, workload, [95.0] * 20 + [float("nan")])
    add_state(deps.engine, workload, 8, at=ORIGIN)
    add_forecast(deps.engine, workload, 90.0)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = outcomes(deps.engine)
    assert row["violation_ratio"] is None
    assert row["demand"] is None
    assert row["gpu_hours"] > 0


def test_violations_lower_the_level_of_the_next_decision(deps: Deps) -> None:
    workload = one_workload(deps.engine, ready=5)
    service.decide_shard(deps, 0, ORIGIN)
    with deps.engine.connect() as connection:
        state = connection.execute(text("SELECT state FROM risk_states")).scalar_one()
    assert state["spent_steps"] == 1.0
    assert state["log_level"] < 0
    later = ORIGIN + STEP
    add_demand(deps.engine, workload, [95.0], last=later)
    add_state(deps.engine, workload, 12, at=later + STEP)
    add_forecast(deps.engine, workload, 100.0, forecast_id=2, origin_at=later)
    service.decide_shard(replace(deps, clock=FixedClock(later + STEP)), 0, later)
    first, second = decisions(deps.engine)
    assert second["explanation"]["risk"]["level"] < first["explanation"]["risk"]["level"]


def test_sweep_resends_exactly_what_is_undecided(deps: Deps) -> None:
    one_workload(deps.engine)
    assert service.sweep(deps) == 1
    sender = deps.sender
    assert isinstance(sender, RecordingSender)
    assert [(j.name, j.payload["shard"]) for j in sender.sent] == [(DECIDE_SHARD, 0)]
    service.decide_shard(deps, 0, datetime.fromisoformat(str(sender.sent[0].payload["at"])))
    assert service.sweep(deps) == 0


def test_sweep_of_an_empty_database_sends_nothing(deps: Deps) -> None:
    assert service.sweep(deps) == 0


def add_starts(engine: Engine, workload: int, seconds: list[float | None]) -> None:
    requested = NOW - timedelta(hours=4)
    with engine.begin() as connection:
        for i, duration in enumerate(seconds):
            ready = None if duration is None else requested + timedelta(seconds=duration)
            connection.execute(
                schema.pod_starts.insert().values(
                    pod_uid=f"{workload}-{i}", workload_id=workload, gpu_type="H100",
                    requested_at=requested, ready_at=ready, observed_at=NOW,
                )
            )  # fmt: skip


@pytest.mark.slow
@quiet_pymc
def test_fitted_lead_times_reach_the_next_decision(deps: Deps) -> None:
    from decider.posterior import SamplerConfig
    from services.decision.service_fit import fit_lead_times

    workload = one_workload(deps.engine)
    other = add_workload(deps.engine, "other")
    rng = np.random.default_rng(0)
    slow = list(np.exp(np.log(700) + 0.2 * rng.standard_normal(40)))
    add_starts(deps.engine, workload, [*slow, None])
    add_starts(deps.engine, other, slow[:20])

    report = fit_lead_times(deps, SamplerConfig(n_tune=400, n_draws=400))

    assert report.reason == ""
    assert report.is_promoted
    assert set(report.scopes) == {f"workload:{workload}", f"workload:{other}", "gpu_type:H100"}
    with deps.engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM posteriors")).mappings().all()
    assert {row["status"] for row in rows} == {"promoted"}
    assert all(600 < row["summary"]["p50_s"] < 800 for row in rows)
    assert all(row["n_observations"] == 61 for row in rows)
    service.decide_shard(deps, 0, ORIGIN)
    (row,) = decisions(deps.engine)
    assert service.replay(deps, row["id"]).is_identical


@quiet_pymc
def test_too_few_starts_fit_nothing(deps: Deps) -> None:
    from services.decision.service_fit import fit_lead_times

    add_starts(deps.engine, add_workload(deps.engine, "w"), [60.0] * 3)
    report = fit_lead_times(deps)
    assert not report.is_promoted
    assert "fewer than 8 finished starts" in report.reason
