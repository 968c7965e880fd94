"""Rows that decisions are made from, as the operator, ingest and forecasting write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Engine, text

from forecaster.config import QUANTILE_LEVELS
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows
from tests.integration.stored_indicators import store_indicators

STEP_S = 300
STEP = timedelta(seconds=STEP_S)
ORIGIN = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)
NOW = ORIGIN + STEP
LEVELS = list(QUANTILE_LEVELS)


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


TOKENS = "output_tokens_per_s"


def bound_by_tokens(per_replica: float = 200.0, demand: float = 10.0) -> dict[str, Any]:
    """Changes of a spec: a replica carries so many output tokens beside its requests."""
    return {
        "indicators": [{"name": "request_rate_rps", "level": 1}, {"name": TOKENS, "level": 2}],
        "capacity": {
            "per_replica": demand,
            "also_bound_by": [{"indicator": TOKENS, "per_replica": per_replica}],
        },
    }


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


def add_demand(
    engine: Engine,
    workload: int,
    values: list[float],
    last: datetime = ORIGIN,
    indicator: str = "request_rate_rps",
    step: timedelta = STEP,
) -> None:
    rows = []
    for back, value in enumerate(reversed(values)):
        seen = bool(np.isfinite(value))
        rows.append((workload, indicator, last - back * step, value if seen else None, seen))
    with engine.begin() as connection:
        store_indicators(connection, rows)


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
    step_s: int = STEP_S,
    further: Mapping[str, float] | None = None,
) -> int:
    columns = (
        "id", "origin_at", "workload_id", "model_version", "rung", "reason", "step_s",
        "n_horizon", "quantile_levels", "quantiles", "n_paths", "paths", "path_scale",
        "further_names", "further_paths", "further_scales", "created_at",
    )  # fmt: skip
    beside: tuple[Any, ...] = (None, None, None)
    if level is None:
        row: tuple[Any, ...] = ("none", "short history", step_s, 6, [], [], 0, None, None)
    else:
        shape = np.exp(0.05 * np.random.default_rng(forecast_id).standard_normal((100, 6)))
        paths = level * shape
        scale = float(np.float32(paths.max()))
        blob = (paths / scale).astype(np.float16).tobytes()
        quantiles = np.quantile(paths, LEVELS, axis=0).tolist()
        row = ("model", "", step_s, 6, LEVELS, quantiles, 100, blob, scale)
        if further:
            tops = [float(np.float32(each * shape.max())) for each in further.values()]
            scaled = np.stack(
                [each * shape / top for each, top in zip(further.values(), tops, strict=True)]
            )
            beside = (list(further), scaled.astype(np.float16).tobytes(), tops)
    with engine.begin() as connection:
        copy_rows(
            connection,
            CopyTarget(schema.forecasts, columns, "error"),
            [(forecast_id, origin_at, workload, version, *row, *beside, NOW)],
        )
    return forecast_id


def one_workload(engine: Engine, level: float | None = 100.0, ready: int = 10, **kw: Any) -> int:
    workload = add_workload(engine, "w", **kw)
    add_demand(engine, workload, [95.0] * 30)
    add_state(engine, workload, ready, at=ORIGIN)
    add_state(engine, workload, ready)
    add_forecast(engine, workload, level)
    return workload


def decisions(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(
            connection.execute(text("SELECT * FROM decisions ORDER BY workload_id, id")).mappings()
        )
