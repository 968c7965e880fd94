"""A fleet on a daily wave, with the model that was fitted to it and steps after the fit."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import Engine, text

from forecaster.config import ForecasterConfig
from services.forecasting.forecast.service import Forecasting
from services.forecasting.registry import repository as registry
from services.kernel.db.session import unit_of_work
from services.kernel.settings import Settings
from tests.integration.stored_indicators import store_indicators

STEP_S = 3600
STEP = timedelta(seconds=STEP_S)
N_TRAINED, N_AFTER = 400, 60
START = datetime(2026, 1, 5, tzinfo=UTC)
FITTED_AT = START + N_TRAINED * STEP
NAME = "request_rate_rps"
SPEC = {
    "target": "Deployment/w",
    "demand": NAME,
    "indicators": [{"name": NAME, "level": 1}],
    "capacity": {"per_replica": 10.0},
}
N_WORKLOADS = 3


def demand(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    steps = np.arange(N_TRAINED + N_AFTER)
    wave = 100 + 50 * np.sin(2 * np.pi * steps / 24 + seed)
    return wave * rng.uniform(0.9, 1.1, steps.size)


def small(settings: Settings) -> Settings:
    changes = {"n_paths": 20, "step_s": STEP_S, "context_steps": 48, "horizon_steps": 4}
    return settings.model_copy(update=changes)


def add_workload(engine: Engine, name: str) -> int:
    with engine.begin() as connection:
        return connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at) VALUES ('demo', :name, 0, :step_s, CAST(:spec AS jsonb), :at, :at) "
                "RETURNING id"
            ),
            {"name": name, "step_s": STEP_S, "spec": json.dumps(SPEC), "at": START},
        ).scalar_one()


def add_demand(engine: Engine, workload_id: int, values: np.ndarray) -> None:
    rows = [
        (workload_id, NAME, START + t * STEP, float(v) if np.isfinite(v) else None, bool(v == v))
        for t, v in enumerate(values)
    ]
    with engine.begin() as connection:
        store_indicators(connection, rows)


def promote(app: Forecasting, trained: tuple[bytes, str, ForecasterConfig]) -> str:
    artifact, version, config = trained
    metrics = {"picks": {"demo/w0": "last_value"}, "ratios": {}, "n_workloads": 3}
    model = registry.NewModel(version, "shadow", "fit", config.to_dict(), metrics, artifact)
    with unit_of_work(app.engine) as work:
        model_id = registry.insert_model(work.connection, model, FITTED_AT)
        assert model_id is not None
        registry.set_promoted(work.connection, model_id, "fit", FITTED_AT)
    return version


def rows_of(engine: Engine, query: str) -> list:
    with engine.connect() as connection:
        return list(connection.execute(text(query)))
