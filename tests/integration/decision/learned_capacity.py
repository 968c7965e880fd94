"""Workloads that learn their capacity, with steps from a known curve, and stored fits."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Engine, text

from decider import CurveDraws, FloatArray
from decider.stored.input_bytes import unpack
from services.decision.rows import translate
from services.decision.wiring import DecisionDeps
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows
from tests.integration.stored_indicators import store_indicators

STEP_S = 300
STEP = timedelta(seconds=STEP_S)
ORIGIN = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)
NOW = ORIGIN + STEP
SLO_MS, BASE_MS, QUEUEING, SHARPNESS, NOISE = 400.0, 150.0, 0.5, 2.0, 0.1
STATED = 10.0
LATENCY = {"name": "latency_p95_ms", "level": 1}
LEARNING = {
    "per_replica": STATED,
    "latency_indicator": "latency_p95_ms",
    "slo_latency_ms": SLO_MS,
}


def add_workload(engine: Engine, name: str, **capacity: Any) -> int:
    spec = {
        "target": "Deployment/w",
        "demand": "request_rate_rps",
        "indicators": [{"name": "request_rate_rps", "level": 1}, LATENCY],
        "capacity": LEARNING | capacity,
        "lead_time": {"median_s": 60.0, "sigma": 0.3},
        "max_replicas": 40,
    }
    with engine.begin() as connection:
        return connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at) VALUES ('demo', :name, 0, :step_s, CAST(:spec AS jsonb), :at, :at) "
                "RETURNING id"
            ),
            {"name": name, "step_s": STEP_S, "spec": json.dumps(spec), "at": ORIGIN},
        ).scalar_one()


def true_curve(kappa: float) -> CurveDraws:
    return CurveDraws(*(np.array([v]) for v in (BASE_MS, QUEUEING, SHARPNESS, kappa, NOISE)))


def add_steps(
    engine: Engine, workload: int, kappa: float, load: FloatArray, last: datetime = ORIGIN - STEP
) -> None:
    """Steps up to `last` at loads per ready replica, with the latency that the curve gives."""
    rng = np.random.default_rng(workload)
    latency = np.exp(
        true_curve(kappa).log_latency(load)[0] + NOISE * rng.standard_normal(load.size)
    )
    at = [last - back * STEP for back in range(load.size)]
    outcomes = [(workload, t, 4.0 * x, 4.0, NOW) for t, x in zip(at, load, strict=True)]
    measured = [
        (workload, LATENCY["name"], t, y, True) for t, y in zip(at, latency.tolist(), strict=True)
    ]
    columns = ("workload_id", "step_at", "demand", "ready_mean", "computed_at")
    with engine.begin() as connection:
        copy_rows(connection, CopyTarget(schema.outcomes, columns, "error"), outcomes)
        store_indicators(connection, measured)


def add_forecast(engine: Engine, workload: int, forecast_id: int) -> None:
    columns = (
        "id", "origin_at", "workload_id", "model_version", "rung", "reason", "step_s",
        "n_horizon", "quantile_levels", "quantiles", "n_paths", "created_at",
    )  # fmt: skip
    row = (
        forecast_id, ORIGIN, workload, "m", "model", "", STEP_S, 3, [0.1, 0.5, 0.9],
        [[90.0] * 3, [100.0] * 3, [110.0] * 3], 0, NOW,
    )  # fmt: skip
    state = (workload, NOW, 10, 10, 0, 0, [], 100)
    states = (
        "workload_id", "observed_at", "spec_replicas", "ready_replicas", "starting_replicas",
        "pending_replicas", "start_ages_s", "schedulable_gpus",
    )  # fmt: skip
    with engine.begin() as connection:
        copy_rows(connection, CopyTarget(schema.forecasts, columns, "error"), [row])
        copy_rows(connection, CopyTarget(schema.replica_states, states, "error"), [state])


def posteriors(engine: Engine, **where: str) -> list[Any]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM posteriors ORDER BY id")).mappings().all()
    return [row for row in rows if all(row[k] == v for k, v in where.items())]


def used_capacity(deps: DecisionDeps, workload: int) -> tuple[FloatArray, int]:
    """(P,) capacity draws that the workload's decision stored, and the decision's id."""
    with deps.engine.connect() as connection:
        row = connection.execute(
            text(
                "SELECT d.id, i.inputs FROM decisions d "
                "JOIN decision_inputs i ON i.decision_id = d.id WHERE d.workload_id = :id"
            ),
            {"id": workload},
        ).one()
    return unpack(bytes(row.inputs))[1]["capacity_draws"][0], int(row.id)


def store(engine: Engine, workload: int, kappa: FloatArray, **summary: Any) -> None:
    """A promoted fit with draws of kappa around the other true parameters."""
    curve = np.tile([BASE_MS, QUEUEING, SHARPNESS, 0.0, NOISE], (kappa.size, 1))
    curve[:, 3] = kappa
    about = {
        "learned_for": {
            "demand": "request_rate_rps", "gpu_type": "H100", "gpus_per_replica": 1,
            "per_replica": STATED, "latency_indicator": "latency_p95_ms",
            "slo_latency_ms": SLO_MS,
        },
        "data_until_s": (ORIGIN - 100 * STEP).timestamp(),
    }  # fmt: skip
    draws = {"capacity": CurveDraws.from_array(curve).capacity(SLO_MS), "response": curve.ravel()}
    with engine.begin() as connection:
        for kind, values in draws.items():
            connection.execute(
                schema.posteriors.insert().values(
                    kind=kind, scope=f"workload:{workload}", status="promoted", reason="",
                    n_observations=1, summary=about | summary, diagnostics={},
                    draws=translate.from_draws(values), fitted_at=NOW - timedelta(hours=1),
                )
            )  # fmt: skip
