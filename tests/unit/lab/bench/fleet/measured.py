"""A document as a measurement writes it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from services.lab.bench.fleet.document import CycleTiming, Meters, of_cycles
from services.lab.bench.fleet.feed import Pushed
from services.lab.bench.fleet.records import StageCost
from services.lab.bench.fleet.repository import TableSize
from services.lab.bench.fleet.run import CycleOptions

_MIB = 2**20


def meters(n: int) -> Meters:
    """After `n` workload-steps."""
    return Meters(
        wall_s=float(n),
        cpu_s={"workers": 0.01 * n, "database": 0.004 * n, "broker": 0.001 * n, "ingest": 0.0},
        ingest_database_s=0.0,
        tables={"decisions": TableSize(n, 8000 * n, n), "outcomes": TableSize(n, 100 * n, n)},
        database_bytes=8100 * n,
        log_bytes=20_000 * n,
        pushed=Pushed(8 * n, 1000 * n, 0.001 * n),
    )


def document(n_workloads: int, n_days: int) -> dict[str, Any]:
    """Of two cycles."""
    options = asdict(CycleOptions(n_workloads=n_workloads, n_days=n_days, n_cycles=2))
    n = 2 * n_workloads
    costs = {
        "forecast": StageCost(0.004 * n, 0.001 * n, 0.01 * n, 4),
        "decide": StageCost(0.005 * n, 0.002 * n, 0.01 * n, 4),
    }
    timing = CycleTiming([4.0, 6.0], {"p50": 3.0, "p99": 5.0, "max": 5.0}, 1.0, 0)
    found = of_cycles(options, (meters(n), meters(2 * n)), costs, timing)
    versions = {"commit": "abc12345", "harmony": "0.1.0", "python": "3.11.7"}
    machine = {"load_before": 1.0, "load_after": 2.5, "versions": versions}
    return found | {"step_s": 60, "seed": 7, "machine": machine}
