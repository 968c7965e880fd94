"""A file of the shared format, small enough to train on in a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.lab.bench.forecast.task import BenchTask, Protocol, load_task

N_STEPS = 1000
STEP_S = 600


def _write_trace(folder: Path, n_steps: int = N_STEPS, n_workloads: int = 2) -> Path:
    """A file of the shared format: demand, a constant, a derived column, a mostly empty one."""
    rng = np.random.default_rng(0)
    start = np.datetime64("2024-01-01T00:00:00", "s")
    columns: dict[str, list] = {name: [] for name in ("timestamp", "workload")}
    names = ("l1_load", "l2_limit", "l3_busy", "l3_empty")
    columns |= {name: [] for name in names}
    for w in range(n_workloads):
        demand = 10 + 3 * np.sin(np.arange(n_steps) / 20) + rng.normal(0, 0.5, n_steps)
        empty = np.full(n_steps, np.nan)
        empty[: n_steps // 5] = 1.0
        columns["timestamp"] += list(start + STEP_S * np.arange(n_steps))
        columns["workload"] += [f"w{w}"] * n_steps
        columns["l1_load"] += list(demand)
        columns["l2_limit"] += [4.0] * n_steps
        columns["l3_busy"] += list(demand / 20)
        columns["l3_empty"] += list(empty)
    table = pa.table(
        {
            "timestamp": pa.array(np.array(columns["timestamp"]), pa.timestamp("s", tz="UTC")),
            "workload": columns["workload"],
            **{name: pa.array(columns[name], pa.float64(), from_pandas=True) for name in names},
        }
    )
    path = folder / "small.parquet"
    pq.write_table(table, path)
    indicators = [
        {"name": "l1_load", "level": 1, "unit": "requests/s", "main_demand": True},
        {"name": "l2_limit", "level": 2, "unit": "bytes"},
        {"name": "l3_busy", "level": 3, "unit": "ratio", "derived": True},
        {"name": "l3_empty", "level": 3, "unit": "ratio"},
    ]
    sidecar = {"interval_seconds": STEP_S, "indicators": indicators}
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    return path


@pytest.fixture(scope="session")
def write_trace() -> Callable[..., Path]:
    return _write_trace


@pytest.fixture(scope="session")
def small_task() -> Callable[..., BenchTask]:
    def make(folder: Path, protocol: Protocol = Protocol.PANEL) -> BenchTask:
        return load_task(_write_trace(folder), protocol, max_origins=30)

    return make
