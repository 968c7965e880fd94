"""The figures as tables: of a cycle, of curves, of an overload, of a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from services.lab.bench.fleet.plan import (
    CellBounds,
    CellWall,
    CloudPrices,
    FleetPlan,
    WorkloadCost,
    plan,
    walls,
)
from services.lab.bench.fleet.points import largest
from services.lab.bench.fleet.records import STAGES

Row = dict[str, object]
_KIB, _MIB = 2**10, 2**20
_STEP_S = 60.0
"""Step by default: plans are reckoned for it beside the one that was measured."""


def sections(points: Sequence[Mapping[str, Any]], n_planned: int) -> dict[str, list[Row]]:
    """Every table by its name; those of a plan where one is asked for."""
    shown_point = largest(points)
    found = {
        "cycles": curve_rows(points),
        "stages": stage_rows(shown_point),
        "tables": table_rows(shown_point),
    }
    if n_planned:
        cost = WorkloadCost.of(shown_point)
        bounds, prices = CellBounds(), CloudPrices()
        costs = {f"{step_s:g} s steps": cost.every(step_s) for step_s in (cost.step_s, _STEP_S)}
        plans = {name: plan(n_planned, one, bounds, prices) for name, one in costs.items()}
        found["plan"] = plan_rows(plans)
        found["walls"] = wall_rows({name: walls(one, bounds) for name, one in costs.items()})
        found["assumed"] = assumption_rows(bounds, prices)
    return found


def stage_rows(document: Mapping[str, Any]) -> list[Row]:
    """CPU by stage, what no stage has, and the sum, which is the total of all processes."""
    database = document["cpu_s_per_1000_database"]
    rows: list[Row] = [
        {
            "stage": name,
            "CPU-s per 1,000": shown(document["cpu_s_per_1000"][name]),
            "of which in the database": shown(database[name]),
        }
        for name in STAGES
    ]
    for name, value in document["cpu_s_per_1000_other"].items():
        is_database = name == "database"
        rows.append(
            {
                "stage": f"no stage: {name}",
                "CPU-s per 1,000": shown(value),
                "of which in the database": shown(value if is_database else 0.0),
            }
        )
    total = sum(database.values()) + document["cpu_s_per_1000_other"]["database"]
    return [
        *rows,
        {
            "stage": "all",
            "CPU-s per 1,000": shown(document["cpu_s_per_1000_total"]),
            "of which in the database": shown(total),
        },
    ]


def curve_rows(points: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A row for each point, with what it was measured on."""
    return [
        {
            "workloads": f"{one['workloads']:,}",
            "days": f"{one['history_days']:g}",
            "step": f"{one['step_s']} s",
            "workers": one["workers"],
            "cycle p50, max": f"{shown(one['cycle_s']['p50'])}, {shown(one['cycle_s']['max'])} s",
            "CPU-s a cycle": shown(one["cycle_cpu_s"]),
            "CPU-ms a workload": shown(one["cpu_s_per_1000_total"]),
            "freshness p50, p99": f"{shown(one['freshness_s']['p50'])}, "
            f"{shown(one['freshness_s']['p99'])} s",
            "growth": f"{shown(one['db_growth_mib_per_cycle'])} MiB",
            "WAL": f"{shown(one['wal_mib_per_cycle'])} MiB",
            "memory": f"{shown(one['peak_rss_gib'])} GiB",
            "commit": one["machine"]["versions"]["commit"],
            "load": f"{one['machine']['load_before']:g}–{one['machine']['load_after']:g}",
        }
        for one in sorted(points, key=lambda one: (one["workloads"], one["history_days"]))
    ]


def table_rows(document: Mapping[str, Any]) -> list[Row]:
    """Rows and bytes of each table."""
    return [
        {
            "table": name,
            "rows": f"{one['rows']:,}",
            "MiB": shown(one["bytes"] / _MIB),
            "rows written a cycle": shown(one["rows_written_per_cycle"]),
            "KiB a cycle": shown(one["growth_bytes_per_cycle"] / _KIB),
        }
        for name, one in document["tables"].items()
    ]


def overload_rows(found: Mapping[str, Any]) -> list[Row]:
    """A row for each class."""
    return [
        {
            "class": name,
            "workloads": one["workloads"],
            "age p50, p99, max in steps": ", ".join(
                shown(one["age_steps"][key]) for key in ("p50", "p99", "max")
            ),
            "decided each": f"{one['decided_each']['min']}–{one['decided_each']['max']} "
            f"of {found['steps']}",
            "superseded": f"{100 * one['superseded_share']:.0f} %",
            "most in a row": one["greatest_run"],
        }
        for name, one in found["by_class"].items()
    ]


def overload_lines(found: Mapping[str, Any]) -> list[str]:
    """What belongs to no class."""
    after = found["after"]
    return [
        f"{found['factor']:g} times what fits: a step every {found['interval_s']:.1f} s "
        f"({found['real_interval_s']:.1f} s in fact), {found['steps']} of them, "
        f"{found['shards']} shards",
        f"most jobs that waited in each step: {', '.join(map(str, found['queue']['jobs']))}",
        f"those of shards: {', '.join(map(str, found['queue']['shard_jobs']))}",
        f"killed {found['workers_killed']} workers, started again {found['restarts']}",
        f"afterwards: {after['undecided']} workloads without their newest decision, "
        f"{after['twice']} forecasts or decisions made twice",
    ]


def plan_rows(plans: Mapping[str, FleetPlan]) -> list[Row]:
    """Plans side by side, line by line."""
    columns = {name: dict(_figures(one)) for name, one in plans.items()}
    figures = next(iter(columns.values()))
    return [
        {"figure": figure, **{name: column[figure] for name, column in columns.items()}}
        for figure in figures
    ]


def _figures(found: FleetPlan) -> list[tuple[str, str]]:
    return [
        ("workloads", f"{found.n_workloads:,}"),
        ("cells", f"{found.cells}, of {found.cell_workloads:,.0f} workloads"),
        ("cores", f"{found.cores:,.0f}, {found.database_cores:,.0f} of them of databases"),
        ("memory", f"{found.memory_gib:,.0f} GiB"),
        ("disks, once the retention holds", f"{found.disk_tib:,.0f} TiB"),
        ("growth", f"{shown(found.growth_tib_day)} TiB a day"),
        ("log of all databases", f"{shown(found.log_mib_s)} MiB/s"),
        ("log of a cell", f"{shown(found.log_mib_s / found.cells)} MiB/s"),
        ("samples coming in", f"{shown(found.push_mbit_s)} Mbit/s"),
        ("jobs of all brokers", f"{shown(found.jobs_s)} a second"),
        ("cost", f"{found.usd_month:,.0f} USD a month"),
        ("cost of a workload", f"{found.usd_month / found.n_workloads:.3f} USD a month"),
    ]


def wall_rows(found: Mapping[str, Sequence[CellWall]]) -> list[Row]:
    """What ends one cell, the first one first, and at how many workloads."""
    columns = {name: {wall.name: wall for wall in one} for name, one in found.items()}
    order = list(columns.values())[-1]
    return [
        {
            "what is used up": name,
            **{column: _at(walls_[name].workloads) for column, walls_ in columns.items()},
            "what moves it": wall.moved_by,
        }
        for name, wall in order.items()
    ]


def _at(n_workloads: float) -> str:
    return f"{n_workloads:,.0f}" if math.isfinite(n_workloads) else "never"


def assumption_rows(bounds: CellBounds, prices: CloudPrices) -> list[Row]:
    """What is assumed and not measured."""
    figures = (
        ("largest database of a cell", f"{bounds.database_cores:g} cores, {bounds.disk_tib:g} TiB"),
        ("log that a replica follows", f"{bounds.log_mib_s:g} MiB/s"),
        ("memory of an operator", f"{bounds.operator_gib:g} GiB at 44 KiB a service"),
        ("largest cell", f"{bounds.target_cores:g} cores"),
        ("cores that are busy", f"{100 * bounds.use:g} %"),
        ("a core", f"{prices.core_hour:g} USD an hour, with {prices.gib_per_core:g} GiB"),
        ("memory", f"{prices.gib_hour:g} USD a GiB and hour"),
        ("disk", f"{prices.disk_gib_month:g} USD a GiB and month"),
    )
    return [{"assumed": name, "figure": value} for name, value in figures]


def shown(value: float | None) -> str:
    """Three digits; a dash for what is not known."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
