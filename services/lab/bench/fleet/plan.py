"""The arithmetic from what a measured fleet costs to a larger one. Pure.

Everything is in proportion to the workloads and to how often they are decided on, except what
bounds one database or one process: from those follow the cells. A cell has its own database, broker
and workers and shares nothing with the others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

_DAY_S, _MONTH_H = 86_400.0, 730.0
_MIB, _GIB, _TIB = 2.0**20, 2.0**30, 2.0**40
_OPERATOR_BYTES = 44 * 2**10
"""Of the operator for each service and its pods: docs/benchmarks/operate.md."""


@dataclass(frozen=True, slots=True)
class CloudPrices:
    """CloudPrices of a large provider without a discount, in dollars, rounded."""

    core_hour: float = 0.04
    gib_hour: float = 0.005
    disk_gib_month: float = 0.1
    gib_per_core: float = 4.0
    """Memory that is bought with a core."""


@dataclass(frozen=True, slots=True)
class CellBounds:
    """What one cell may take.

    Attributes:
        database_cores: Of the largest server that one wants to run and to restore.
        log_mib_s: Log that it writes, and a replica follows.
        disk_tib: Data of one server that can be restored within a day.
        operator_gib: Memory of one operator; there is one for each cluster.
        target_cores: Workers, push API and database together, by which a cell's cycle must fit.
        use: Share of the cores that may be busy.
    """

    database_cores: float = 32.0
    log_mib_s: float = 100.0
    disk_tib: float = 8.0
    operator_gib: float = 8.0
    target_cores: float = 96.0
    use: float = 0.6


@dataclass(frozen=True, slots=True)
class CellWall:
    """What ends one cell.

    Attributes:
        name: What is used up.
        workloads: At how many workloads.
        moved_by: What moves it.
    """

    name: str
    workloads: float
    moved_by: str


@dataclass(frozen=True, slots=True)
class WorkloadCost:
    """What one workload takes, of a measurement.

    Attributes:
        cpu_s: CPU seconds in a step, all processes.
        database_cpu_s: Those of the database.
        log_bytes: Log in a step.
        kept_bytes: What is stored of it once the retention holds, all tables.
        growth_bytes: What is added in a step.
        push_bytes: Requests in a step.
        jobs: Jobs in a step.
        step_s: Length of a step.
    """

    cpu_s: float
    database_cpu_s: float
    log_bytes: float
    kept_bytes: float
    growth_bytes: float
    push_bytes: float
    jobs: float
    step_s: float

    @classmethod
    def of(cls, document: Mapping[str, Any], retention_days: Mapping[str, float]) -> WorkloadCost:
        """From a document of `harmony bench fleet`.

        Args:
            document: The figures.
            retention_days: Of each table that forgets.
        """
        n, step_s = float(document["workloads"]), float(document["step_s"])
        growth = {
            name: max(0.0, one["growth_bytes_per_cycle"]) / n
            for name, one in document["tables"].items()
        }
        kept = sum(
            size * retention_days.get(name, 0.0) * _DAY_S / step_s for name, size in growth.items()
        )
        database = [
            *document["cpu_s_per_1000_database"].values(),
            document["cpu_s_per_1000_other"]["database"],
        ]
        return cls(
            document["cpu_s_per_1000_total"] / 1000.0,
            sum(database) / 1000.0,
            document["wal_mib_per_cycle"] * _MIB / n,
            kept,
            document["db_growth_mib_per_cycle"] * _MIB / n,
            document["push_bytes_per_observation"] * document["observations_per_cycle"] / n,
            document["jobs_per_cycle"] / n,
            step_s,
        )

    def every(self, step_s: float) -> WorkloadCost:
        """The same workload on steps of another length: what a step costs stays as it is."""
        kept = self.kept_bytes * self.step_s / step_s
        return replace(self, step_s=step_s, kept_bytes=kept)


def walls(unit: WorkloadCost, bounds: CellBounds) -> list[CellWall]:
    """What ends one cell, the first one first."""
    busy = bounds.use * unit.step_s
    found = (
        CellWall(
            "cores of the database",
            _most(bounds.database_cores * busy, unit.database_cpu_s),
            "a cell more; fewer and wider statements",
        ),
        CellWall(
            "log of the database",
            _most(bounds.log_mib_s * _MIB * unit.step_s, unit.log_bytes),
            "a cell more; fewer indexes and narrower rows",
        ),
        CellWall(
            "disk of the database",
            _most(bounds.disk_tib * _TIB, unit.kept_bytes),
            "a shorter retention; then a cell more",
        ),
        CellWall(
            "memory of the operator",
            _most(bounds.operator_gib * _GIB, float(_OPERATOR_BYTES)),
            "a cluster more: each has an operator",
        ),
        CellWall(
            "cores of a cell",
            _most(bounds.target_cores * busy, unit.cpu_s),
            "more cores; then a cell more",
        ),
    )
    return sorted(found, key=lambda wall: wall.workloads)


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """A fleet of cells.

    Attributes:
        n_workloads: Of the whole fleet.
        cells: How many.
        cores: Of all cells, with what is left idle.
        database_cores: Those of the databases.
        memory_gib: Bought with the cores.
        disk_tib: Of all databases, once the retention holds.
        growth_tib_day: What is added in a day.
        log_mib_s: Of all databases.
        push_mbit_s: Requests of the push API.
        jobs_s: Jobs of all brokers.
        usd_month: Cores, memory and disks.
    """

    n_workloads: int
    cells: int
    cores: float
    database_cores: float
    memory_gib: float
    disk_tib: float
    growth_tib_day: float
    log_mib_s: float
    push_mbit_s: float
    jobs_s: float
    usd_month: float

    @property
    def cell_workloads(self) -> float:
        """Of one cell."""
        return self.n_workloads / self.cells


def plan(
    n_workloads: int, unit: WorkloadCost, bounds: CellBounds, prices: CloudPrices
) -> FleetPlan:
    """Cells and what they take: as many as the first wall asks for."""
    cells = max(1, math.ceil(n_workloads / walls(unit, bounds)[0].workloads))
    per_s = n_workloads / unit.step_s
    cores = per_s * unit.cpu_s / bounds.use
    memory_gib = prices.gib_per_core * cores
    disk_gib = n_workloads * unit.kept_bytes / _GIB
    running = cores * prices.core_hour + memory_gib * prices.gib_hour
    return FleetPlan(
        n_workloads,
        cells,
        cores,
        per_s * unit.database_cpu_s / bounds.use,
        memory_gib,
        disk_gib / 1024.0,
        per_s * unit.growth_bytes * _DAY_S / _TIB,
        per_s * unit.log_bytes / _MIB,
        per_s * unit.push_bytes * 8.0 / 1e6,
        per_s * unit.jobs,
        running * _MONTH_H + disk_gib * prices.disk_gib_month,
    )


def _most(bound: float, each: float) -> float:
    return bound / each if each > 0 else math.inf
