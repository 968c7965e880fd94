"""The forecasting service on a real Postgres: indicators in, forecasts, scores and models out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import Engine, text

from services.forecasting.deps import make_forecasting
from services.forecasting.forecast import service
from services.forecasting.forecast.service import Forecasting
from services.forecasting.rows import repository
from services.forecasting.score import service as service_score
from services.forecasting.training import fit as service_fit
from services.kernel import telemetry
from services.kernel.clock import FixedClock
from services.kernel.db.schema import indicators
from services.kernel.db.session import CopyTarget, copy_rows
from services.kernel.jobs import (
    DECIDE_SHARD,
    FORECAST_SCORE,
    FORECAST_SHARD,
    RecordingSender,
)
from services.kernel.settings import Settings

STEP_S = 600
N_STEPS = 700
START = datetime(2026, 1, 5, tzinfo=UTC)
STEP = timedelta(seconds=STEP_S)
NAMES = ("request_rate_rps", "concurrency_requests", "gpu_duty_ratio")
SPEC = {
    "target": "Deployment/w",
    "demand": "request_rate_rps",
    "indicators": [{"name": name, "level": level} for level, name in enumerate(NAMES, start=1)],
    "capacity": {"per_replica": 10.0},
}


def demand(workload: int, n_steps: int = N_STEPS) -> np.ndarray:
    rng = np.random.default_rng(workload)
    steps = np.arange(n_steps)
    wave = 100 + 60 * np.sin(2 * np.pi * steps / 144 + workload)
    noise = np.zeros(n_steps)
    for t in range(1, n_steps):
        noise[t] = 0.8 * noise[t - 1] + rng.normal(0, 4)
    return np.maximum(wave + noise, 0)


def add_workload(engine: Engine, name: str, *, shard: int = 0) -> int:
    with engine.begin() as connection:
        return connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at) VALUES ('demo', :name, :shard, :step_s, CAST(:spec AS jsonb), :at, "
                ":at) RETURNING id"
            ),
            {"name": name, "shard": shard, "step_s": STEP_S, "spec": json.dumps(SPEC), "at": START},
        ).scalar_one()


def add_indicators(engine: Engine, workload_id: int, values: np.ndarray) -> None:
    rows = []
    for t, value in enumerate(values):
        is_seen = bool(np.isfinite(value))
        for factor, name in zip((1.0, 0.5, 0.01), NAMES, strict=True):
            number = float(value * factor) if is_seen else None
            rows.append((workload_id, name, START + t * STEP, number, is_seen))
    target = CopyTarget(
        indicators, ("workload_id", "indicator", "step_at", "value", "is_observed"), "error"
    )
    with engine.begin() as connection:
        copy_rows(connection, target, rows)


@pytest.fixture
def sender() -> RecordingSender:
    return RecordingSender()


@pytest.fixture
def app(database: Engine, settings: Settings, sender: RecordingSender) -> Forecasting:
    small = settings.model_copy(update={"n_paths": 40, "step_s": STEP_S})
    clock = FixedClock(START + N_STEPS * STEP)
    return make_forecasting(small, sender, clock)


def fill(engine: Engine, n_workloads: int = 3) -> list[int]:
    ids = [add_workload(engine, f"w{i}") for i in range(n_workloads)]
    for i, workload_id in enumerate(ids):
        add_indicators(engine, workload_id, demand(i))
    return ids


ORIGIN = START + (N_STEPS - 1) * STEP


def rows_of(engine: Engine, query: str) -> list:
    with engine.connect() as connection:
        return list(connection.execute(text(query)))


def test_every_workload_gets_a_row_and_the_decision_is_asked_once_committed(
    app: Forecasting, sender: RecordingSender
) -> None:
    ids = fill(app.engine)
    silent = add_workload(app.engine, "silent")
    stale = add_workload(app.engine, "stale")
    values = demand(9)
    values[-20:] = np.nan
    add_indicators(app.engine, stale, values)

    assert service.forecast_shard(app, 0, ORIGIN) == 5
    rows = {r.workload_id: r for r in rows_of(app.engine, "SELECT * FROM forecasts")}
    assert set(rows) == {*ids, silent, stale}
    for workload_id in ids:
        row = rows[workload_id]
        quantiles = np.array(row.quantiles)
        assert quantiles.shape == (len(row.quantile_levels), 12)
        assert (np.diff(quantiles, axis=0) >= 0).all()
        assert (quantiles >= 0).all()
        halves = np.frombuffer(row.paths, dtype="<f2").reshape(row.n_paths, -1)
        paths = halves.astype(np.float32) * row.path_scale
        assert paths.shape == (40, 12)
        assert paths.mean() == pytest.approx(quantiles[9].mean(), rel=0.3)
        assert row.model_version == "best-simple"
        assert row.reason == "no promoted model"
    assert rows[silent].rung == "none"
    assert "no observed demand" in rows[silent].reason
    assert rows[silent].n_paths == 0
    assert rows[stale].rung == "trailing_percentile"
    assert "stale" in rows[stale].reason
    assert [(j.name, j.payload) for j in sender.sent] == [
        (DECIDE_SHARD, {"shard": 0, "at": ORIGIN.isoformat()})
    ]


def test_how_late_forecasts_are_is_measured_once_for_each(app: Forecasting) -> None:
    n_workloads = len(fill(app.engine))
    name = "harmony_forecast_latency_seconds_count"
    before = telemetry.REGISTRY.get_sample_value(name) or 0.0
    service.forecast_shard(app, 0, ORIGIN)
    service.forecast_shard(app, 0, ORIGIN)
    assert telemetry.REGISTRY.get_sample_value(name) == before + n_workloads


def test_scoring_is_asked_once_per_horizon(app: Forecasting, sender: RecordingSender) -> None:
    fill(app.engine, 1)
    for k in range(12):
        service.forecast_shard(app, 0, ORIGIN - k * STEP)
    assert [j.name for j in sender.sent].count(FORECAST_SCORE) == 1


def test_a_second_run_adds_nothing_but_asks_for_the_decision_again(
    app: Forecasting, sender: RecordingSender
) -> None:
    fill(app.engine, 2)
    service.forecast_shard(app, 0, ORIGIN)
    before = rows_of(app.engine, "SELECT id, quantiles, paths FROM forecasts ORDER BY id")
    assert service.forecast_shard(app, 0, ORIGIN) == 0
    assert rows_of(app.engine, "SELECT id, quantiles, paths FROM forecasts ORDER BY id") == before
    assert len(sender.sent) == 2


def test_a_sweep_sends_lost_origins_and_undecided_forecasts(
    app: Forecasting, sender: RecordingSender
) -> None:
    fill(app.engine, 2)
    assert service.sweep(app) == 1
    assert [j.name for j in sender.sent] == [FORECAST_SHARD]
    assert sender.sent[0].payload["at"] == ORIGIN.isoformat()
    service.forecast_shard(app, 0, ORIGIN)
    sender.sent.clear()
    service.sweep(app)
    assert [j.name for j in sender.sent] == [DECIDE_SHARD]


def test_scores_follow_when_the_horizon_has_passed_and_calibration_learns(
    app: Forecasting,
) -> None:
    fill(app.engine, 2)
    early = ORIGIN - 12 * STEP
    service.forecast_shard(app, 0, early)
    service.forecast_shard(app, 0, ORIGIN)
    assert service_score.score_forecasts(app) == 2
    assert service_score.score_forecasts(app) == 0
    rows = rows_of(app.engine, "SELECT * FROM forecast_scores")
    assert {r.origin_at for r in rows} == {early}
    for row in rows:
        assert row.n_steps == 12
        assert row.crps > 0
        assert row.skill_vs_last_value == pytest.approx(1 - row.crps / row.crps_last_value)
        assert 0 <= row.coverage["0.99"] <= 1
        assert row.pinball["0.5"] > 0
    with app.engine.begin() as other:
        assert repository.try_lock_scoring(other)
        service.forecast_shard(app, 0, ORIGIN - 13 * STEP)
        assert service_score.score_forecasts(app) == 0
    assert service_score.score_forecasts(app) == 2
    states = rows_of(app.engine, "SELECT state FROM calibration_states")
    assert len(states) == 2
    assert all(r.state["n_seen"] == 24 for r in states)
    assert any(np.abs(np.array(r.state["offsets"])).max() > 0 for r in states)


def test_calibration_moves_the_next_forecast(app: Forecasting) -> None:
    fill(app.engine, 1)
    service.forecast_shard(app, 0, ORIGIN)
    with app.engine.begin() as connection:
        row = connection.execute(text("SELECT * FROM forecasts")).one()
        levels = row.quantile_levels
        state = {
            "levels": levels,
            "offsets": [[0.5] * 3] * len(levels),
            "n_seen": 1,
            "n_below": [0] * len(levels),
        }
        connection.execute(
            text(
                "INSERT INTO calibration_states VALUES (:id, 'best-simple', "
                "CAST(:state AS jsonb), now())"
            ),
            {"id": row.workload_id, "state": json.dumps(state)},
        )
        connection.execute(text("DELETE FROM forecasts"))
    service.forecast_shard(app, 0, ORIGIN)
    (moved,) = rows_of(app.engine, "SELECT * FROM forecasts")
    assert (np.array(moved.quantiles) > np.array(row.quantiles)).all()


@pytest.mark.slow
def test_fit_registers_promotes_serves_and_rolls_back(app: Forecasting) -> None:
    fill(app.engine, 4)
    told: list[tuple[str, float]] = []
    outcome = service_fit.fit_models(app, lambda line, share: told.append((line, share)))
    assert outcome.status in ("promoted", "shadow")
    assert "skill" in outcome.reason
    assert told[-1][1] == 1.0
    (row,) = rows_of(app.engine, "SELECT * FROM models")
    assert row.version == outcome.version
    assert set(row.metrics["rungs"]) == {f"demo/w{i}" for i in range(4)}
    assert row.metrics["backtest_skill"] == pytest.approx(outcome.metrics["backtest_skill"])
    if outcome.status == "shadow":
        service_fit.promote(app, outcome.version, "test")

    service.forecast_shard(app, 0, ORIGIN)
    stored = rows_of(app.engine, "SELECT DISTINCT model_version FROM forecasts")
    assert [r.model_version for r in stored] == [outcome.version]

    with app.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO models (version, kind, status, config, metrics, artifact, created_at) "
                "SELECT 'other', kind, 'shadow', config, metrics, artifact, created_at FROM models"
            )
        )
    service_fit.promote(app, "other", "test")
    assert service_fit.roll_back(app, "it was worse") == outcome.version
    states = dict(rows_of(app.engine, "SELECT version, status FROM models"))
    assert states == {outcome.version: "promoted", "other": "retired"}


def test_a_fit_without_history_fails_with_a_reason_and_nothing_is_promoted(
    app: Forecasting,
) -> None:
    add_workload(app.engine, "new")
    outcome = service_fit.fit_models(app)
    assert outcome.status == "failed"
    assert "HistoryTooShort" in outcome.reason
    (row,) = rows_of(app.engine, "SELECT status, reason FROM models")
    assert (row.status, row.reason) == ("failed", outcome.reason)
