"""The document of a measurement, from what the meters showed before and after."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from services.lab.bench.fleet.feed import Pushed
from services.lab.bench.fleet.freshness import Watched
from services.lab.bench.fleet.queues import QueueLook
from services.lab.bench.fleet.records import INGEST, OPERATOR, STAGES, StageCost
from services.lab.bench.fleet.repository import TableSize

_MIB = 2**20
_SOURCE = Path(__file__).parents[4]


@dataclass(frozen=True, slots=True)
class Meters:
    """What was counted up to a moment.

    Attributes:
        wall_s: The moment, epoch seconds.
        cpu_s: Of all processes, by kind.
        ingest_database_s: CPU time of the server for the push API.
        tables: Size of every table.
        database_bytes: Of the whole database.
        log_bytes: Of the log that was written.
        pushed: What was sent.
    """

    wall_s: float
    cpu_s: Mapping[str, float]
    ingest_database_s: float
    tables: Mapping[str, TableSize]
    database_bytes: int
    log_bytes: int
    pushed: Pushed


@dataclass(frozen=True, slots=True)
class CycleTiming:
    """What is no sum.

    Attributes:
        cycles: Wall time of each cycle without what was idle, seconds.
        freshness_s: Of the decisions.
        rss_gib: Greatest memory of all processes at the end of a cycle.
        restarts: Workers that were started again.
    """

    cycles: Sequence[float]
    freshness_s: Mapping[str, float | None]
    rss_gib: float
    restarts: int


def of_cycles(
    options: Mapping[str, Any],
    meters: tuple[Meters, Meters],
    costs: Mapping[str, StageCost],
    timing: CycleTiming,
) -> dict[str, Any]:
    """The figures of some cycles.

    Args:
        options: Of the measurement.
        meters: Before and after.
        costs: By stage, without that of ingest, which is a process of its own.
        timing: What is no sum.
    """
    before, after = meters
    n_cycles, n_workloads = len(timing.cycles), int(options["n_workloads"])
    spent = {kind: after.cpu_s[kind] - before.cpu_s.get(kind, 0.0) for kind in after.cpu_s}
    stages = {name: costs.get(name, StageCost()) for name in STAGES}
    stages[INGEST] = StageCost(
        spent.get("ingest", 0.0),
        after.ingest_database_s - before.ingest_database_s,
        after.pushed.wall_s - before.pushed.wall_s,
    )
    tasks = [cost for name, cost in stages.items() if name not in (INGEST, OPERATOR)]
    others = {
        "workers": spent["workers"] - sum(cost.python_s for cost in tasks),
        "database": spent["database"] - sum(cost.database_s for cost in stages.values()),
        "broker": spent["broker"],
    }
    per_1000 = 1000.0 / n_workloads / n_cycles
    total_s = sum(spent.values()) + stages[OPERATOR].python_s
    tables = _tables(before, after, n_cycles)
    n_rows = sum(one["rows_written_per_cycle"] for one in tables.values())
    observations = after.pushed.samples - before.pushed.samples
    return {
        "workloads": n_workloads,
        "history_days": options["n_days"],
        "workers": options["n_workers"],
        "cycles": n_cycles,
        "objectives": options["objectives"],
        "cycle_s": {"p50": statistics.median(timing.cycles), "max": max(timing.cycles)},
        "cpu_s_per_1000": {name: cost.cpu_s * per_1000 for name, cost in stages.items()},
        "peak_rss_gib": timing.rss_gib,
        "rows_per_s": n_rows * n_cycles / sum(timing.cycles),
        "db_growth_mib_per_cycle": (after.database_bytes - before.database_bytes) / _MIB / n_cycles,
        "wal_mib_per_cycle": (after.log_bytes - before.log_bytes) / _MIB / n_cycles,
        "freshness_s": timing.freshness_s,
        "cpu_s_per_1000_database": {n: cost.database_s * per_1000 for n, cost in stages.items()},
        "cpu_s_per_1000_other": {name: value * per_1000 for name, value in others.items()},
        "cpu_s_per_1000_total": total_s * per_1000,
        "cycle_cpu_s": total_s / n_cycles,
        "busy_s_per_cycle": sum(cost.wall_s for cost in tasks)
        / n_cycles
        / int(options["n_workers"]),
        "jobs_per_cycle": sum(cost.n_runs for cost in tasks) / n_cycles,
        "observations_per_cycle": observations / n_cycles,
        "push_bytes_per_observation": (after.pushed.bytes - before.pushed.bytes) / observations,
        "restarts": timing.restarts,
        "tables": tables,
    }


def _tables(before: Meters, after: Meters, n_cycles: int) -> dict[str, dict[str, float]]:
    """Size of each table, and what a cycle adds."""
    none = TableSize(0, 0, 0)
    found = {}
    for name, size in after.tables.items():
        earlier = before.tables.get(name, none)
        found[name] = {
            "rows": size.rows,
            "bytes": size.bytes,
            "rows_written_per_cycle": (size.written - earlier.written) / n_cycles,
            "growth_bytes_per_cycle": (size.bytes - earlier.bytes) / n_cycles,
        }
    return found


def queue_course(looks: Sequence[QueueLook], watched: Watched) -> dict[str, list[int]]:
    """Most jobs that waited within each step of a time: all of them, and those of shards."""
    most = {"jobs": [0] * watched.n_steps, "shard_jobs": [0] * watched.n_steps}
    for look in looks:
        step = int((look.at_s - watched.first_end_s) // watched.step_s)
        if 0 <= step < watched.n_steps:
            most["jobs"][step] = max(most["jobs"][step], look.jobs)
            most["shard_jobs"][step] = max(most["shard_jobs"][step], look.shard_jobs)
    return most


def machine() -> dict[str, Any]:
    """Class of the machine, its load now, and versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        **load_now("load_before"),
        "versions": {
            "commit": _commit(),
            "harmony": version("harmony-gpu"),
            "python": platform.python_version(),
        },
    }


def load_now(name: str) -> dict[str, float]:
    """Processes that ran or waited to run, mean of a minute."""
    return {name: round(os.getloadavg()[0], 1)}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _commit() -> str:
    """Of the source, where it is a checkout; a plus where it was changed."""
    git = ["git", "-C", str(_SOURCE)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short=8", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + ("+" if changed else "")
