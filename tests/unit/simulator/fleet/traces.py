"""Small trace files."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq

from services.simulator.fleet import TraceOptions

START = datetime(2026, 1, 5, tzinfo=UTC)

SHORT = TraceOptions(replay_hours=1.0, min_history_steps=20)


def write(folder, series, *, interval_s=60, start=START, metadata=True, extra=None):
    """A file with `l1_requests` (a flow) and `l3_busy` (a level, the demand) per workload."""
    columns = {"timestamp": [], "workload": [], "l1_requests": [], "l3_busy": []}
    for name, values in series.items():
        for k, value in enumerate(values):
            columns["timestamp"].append(start + timedelta(seconds=k * interval_s))
            columns["workload"].append(name)
            columns["l1_requests"].append(value)
            columns["l3_busy"].append(value)
    table = pa.table(
        columns
        | {
            "timestamp": pa.array(columns["timestamp"], pa.timestamp("ms", tz="UTC")),
            "l1_requests": pa.array(columns["l1_requests"], pa.float32()),
            "l3_busy": pa.array(columns["l3_busy"], pa.float32()),
        }
        | (extra or {})
    )
    path = folder / "t.parquet"
    pq.write_table(table, path)
    if metadata:
        description = {
            "title": "a test",
            "interval_seconds": interval_s,
            "indicators": [
                {"name": "l1_requests", "level": 1, "unit": "requests/bin", "main_demand": False},
                {"name": "l3_busy", "level": 3, "unit": "GPUs", "main_demand": True},
            ],
        }
        path.with_suffix(".json").write_text(json.dumps(description))
    return path
