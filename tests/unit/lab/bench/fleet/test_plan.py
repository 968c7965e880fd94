"""The arithmetic from a measured fleet to a larger one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.lab.bench.fleet.plan import CellBounds, CloudPrices, WorkloadCost, plan, walls

DOCUMENT: dict[str, Any] = {
    "workloads": 1000,
    "step_s": 60,
    "cpu_s_per_1000_total": 12.0,
    "cpu_s_per_1000_database": {"forecast": 2.0, "decide": 1.5},
    "cpu_s_per_1000_other": {"workers": 1.0, "database": 0.5, "broker": 0.1},
    "wal_mib_per_cycle": 60.0,
    "db_growth_mib_per_cycle": 18.0,
    "push_bytes_per_observation": 100.0,
    "observations_per_cycle": 8000.0,
    "jobs_per_cycle": 20.0,
    "tables": {
        "decisions": {"growth_bytes_per_cycle": 10_000_000.0},
        "forecasts": {"growth_bytes_per_cycle": 6_000_000.0},
        "workloads": {"growth_bytes_per_cycle": 5000.0},
        "risk_states": {"growth_bytes_per_cycle": -4096.0},
    },
}
UNIT = WorkloadCost.of(DOCUMENT, {"decisions": 120.0, "forecasts": 14.0})
BOUNDS, PRICES = CellBounds(), CloudPrices()


def test_a_workload_takes_its_share_of_what_was_measured() -> None:
    assert UNIT.cpu_s == pytest.approx(0.012)
    assert UNIT.database_cpu_s == pytest.approx(0.004)
    assert UNIT.push_bytes == pytest.approx(800.0)
    assert UNIT.log_bytes == pytest.approx(60 * 2**20 / 1000)
    assert UNIT.jobs == pytest.approx(0.02)


def test_what_is_kept_is_what_the_retention_keeps() -> None:
    """Tables that do not forget hold a row for each workload: they are no part of the growth."""
    steps = 1440.0
    assert UNIT.kept_bytes == pytest.approx(10_000 * 120 * steps + 6_000 * 14 * steps)


def test_a_million_at_12_ms_a_minute_is_two_hundred_busy_cores() -> None:
    found = plan(1_000_000, UNIT, BOUNDS, PRICES)
    assert found.cores * BOUNDS.use == pytest.approx(200.0)
    assert found.database_cores * BOUNDS.use == pytest.approx(66.67, abs=0.01)
    assert found.log_mib_s == pytest.approx(1000.0)
    assert found.push_mbit_s == pytest.approx(1e6 / 60 * 800 * 8 / 1e6)
    assert found.growth_tib_day == pytest.approx(18 * 1000 * 1440 / 2**20)
    by_hand = found.cores * 0.04 * 730 + found.memory_gib * 0.005 * 730
    assert found.usd_month == pytest.approx(by_hand + found.disk_tib * 1024 * 0.1)


def test_no_cell_is_larger_than_its_first_wall() -> None:
    found = plan(1_000_000, UNIT, BOUNDS, PRICES)
    first = walls(UNIT, BOUNDS)[0]
    assert found.cell_workloads <= first.workloads
    assert plan(int(first.workloads), UNIT, BOUNDS, PRICES).cells == 1


def test_walls_come_in_the_order_in_which_they_are_met() -> None:
    found = walls(UNIT, BOUNDS)
    assert [wall.workloads for wall in found] == sorted(wall.workloads for wall in found)
    assert found[0].name == "disk of the database"
    light = replace(UNIT, kept_bytes=1e6)
    assert walls(light, BOUNDS)[0].name == "log of the database"


def test_costs_are_in_proportion_to_the_workloads() -> None:
    one, ten = (plan(n, UNIT, BOUNDS, PRICES) for n in (100_000, 1_000_000))
    assert ten.usd_month == pytest.approx(10 * one.usd_month)
    assert ten.cells == pytest.approx(10 * one.cells, abs=10)


def test_what_takes_nothing_ends_no_cell() -> None:
    idle = replace(UNIT, log_bytes=0.0)
    assert walls(idle, BOUNDS)[-1].workloads == float("inf")


def test_steps_of_another_length_cost_the_same_each() -> None:
    slow = UNIT.every(300.0)
    assert slow.cpu_s == UNIT.cpu_s
    assert slow.kept_bytes == pytest.approx(UNIT.kept_bytes / 5)
    assert slow.every(60.0) == UNIT
