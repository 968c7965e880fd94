"""A fleet on a daily wave that the simple forecasters answer; nothing is fitted."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
from sqlalchemy import Engine, text

from tests.integration.stored_indicators import store_indicators

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


BY_PATHS = json.dumps(
    {"sla": {"objective": {"goals": [{"metric": "ttft", "threshold_s": 1.0}], "share": 0.95}}}
)
"""Part of a spec whose decisions go by joint paths."""


def demand(workload: int, n_steps: int = N_STEPS) -> np.ndarray:
    rng = np.random.default_rng(workload)
    steps = np.arange(n_steps)
    wave = 100 + 60 * np.sin(2 * np.pi * steps / 144 + workload)
    noise = np.zeros(n_steps)
    for t in range(1, n_steps):
        noise[t] = 0.8 * noise[t - 1] + rng.normal(0, 4)
    return np.maximum(wave + noise, 0)


def add_workload(
    engine: Engine, name: str, *, shard: int = 0, further: tuple[str, ...] = ()
) -> int:
    loads = [{"indicator": load, "per_replica": 5.0} for load in further]
    capacity = {"per_replica": 10.0, "also_bound_by": loads}
    spec = json.dumps(SPEC | {"capacity": capacity} if further else SPEC)
    with engine.begin() as connection:
        return connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at) VALUES ('demo', :name, :shard, :step_s, CAST(:spec AS jsonb), :at, "
                ":at) RETURNING id"
            ),
            {"name": name, "shard": shard, "step_s": STEP_S, "spec": spec, "at": START},
        ).scalar_one()


def add_indicators(
    engine: Engine, workload_id: int, values: np.ndarray, *, silent: tuple[str, ...] = ()
) -> None:
    rows = []
    for t, value in enumerate(values):
        for factor, name in zip((1.0, 0.5, 0.01), NAMES, strict=True):
            is_seen = bool(np.isfinite(value)) and name not in silent
            number = float(value * factor) if is_seen else None
            rows.append((workload_id, name, START + t * STEP, number, is_seen))
    with engine.begin() as connection:
        store_indicators(connection, rows)


def fill(engine: Engine, n_workloads: int = 3) -> list[int]:
    ids = [add_workload(engine, f"w{i}") for i in range(n_workloads)]
    for i, workload_id in enumerate(ids):
        add_indicators(engine, workload_id, demand(i))
    return ids


ORIGIN = START + (N_STEPS - 1) * STEP


def rows_of(engine: Engine, query: str) -> list:
    with engine.connect() as connection:
        return list(connection.execute(text(query)))
