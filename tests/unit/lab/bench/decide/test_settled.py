"""Rates over days 2 to 8 of deciding: which steps count, and what is said of all services."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.lab.bench.decide.settled import (
    settled_figures,
    settled_part,
    settled_rows,
    settled_sums,
)
from services.simulator.grid_run import GridRun
from tests.unit.lab.bench.decide.tasks import decide_task, wave

DAY = 144
TASK = decide_task(
    [wave(15 * DAY), wave(15 * DAY, seed=1)], max_prelude_steps=2 * DAY, max_test_steps=4 * DAY
)
KEY = "0.01"


def run_out_from(step: int) -> GridRun:
    """The first workload is out of SLA from a step of the course on."""
    out = np.zeros((1, *TASK.course.demand.shape))
    out[:, 0, step:] = 1.0
    return GridRun("x", ("x",), out, out, out, out, out, out)


def sums(*rates: float, n_days: int = 6) -> dict[str, Any]:
    """Services that are out at a rate, the same on every day."""
    known = [[float(DAY)] * n_days] * len(rates)
    return {"out": [[rate * DAY] * n_days for rate in rates], "known": known}


def dataset(**arms: Any) -> dict[str, Any]:
    return {"settled": {KEY: arms}}


def test_the_first_two_days_of_deciding_are_left_out() -> None:
    assert settled_part(TASK, 0) == slice(2 * DAY, 6 * DAY)
    assert settled_part(TASK, DAY) == slice(3 * DAY, 6 * DAY)


def test_what_lies_before_the_test_part_or_after_day_8_is_left_out() -> None:
    assert settled_part(TASK, -DAY).start == 2 * DAY
    assert settled_part(TASK, -4 * DAY).stop == 4 * DAY


def test_steps_are_summed_by_day() -> None:
    found = settled_sums(TASK, run_out_from(4 * DAY), 0, DAY)
    assert found["out"] == [[0.0, DAY, DAY], [0.0, 0.0, 0.0]]
    assert found["known"] == [[DAY] * 3] * 2


def test_a_run_that_ends_too_early_says_nothing() -> None:
    found = settled_sums(TASK, run_out_from(0), 0, 5 * DAY)
    assert settled_figures([dataset(harmony=found)], KEY) == {}


def test_every_service_of_all_data_sets_counts_once() -> None:
    one, other = dataset(measured=sums(0.0, 0.03)), dataset(measured=sums(0.006))
    found = settled_figures([one, other], KEY)["measured"]
    assert found["true_rate"] == pytest.approx(0.012)
    assert (found["n_services"], found["n_over_twice"]) == (3, 1)
    assert (found["median"], found["worst"]) == pytest.approx((0.006, 0.03))
    low, high = found["interval"]
    assert low == pytest.approx(0.002)
    assert high == pytest.approx(0.022)


def test_services_without_a_known_step_are_no_services() -> None:
    empty = sums(0.5, 0.01)
    empty["known"] = [[0.0] * 6, [float(DAY)] * 6]
    found = settled_figures([dataset(measured=empty), {"data": "of before"}], KEY)["measured"]
    assert found["n_services"] == 1
    assert found["true_rate"] == pytest.approx(0.01)


def test_the_table_has_a_row_per_arm() -> None:
    found = settled_figures([dataset(harmony=sums(0.05), measured=sums(0.01, 0.0))], KEY)
    rows = settled_rows({"summary": {KEY: {"settled": found}}}, KEY)
    assert [row["arm"] for row in rows] == ["harmony", "measured"]
    assert rows[0]["truly out of SLA"] == "5.00%"
    assert rows[0]["over twice the promise"] == 1
    assert settled_rows({"summary": {KEY: {}}}, KEY) == []


def test_a_step_without_known_demand_does_not_count() -> None:
    demand = TASK.course.demand.copy()
    demand[0, 3 * DAY] = np.nan
    task = replace(TASK, course=replace(TASK.course, demand=demand))
    found = settled_sums(task, run_out_from(0), 0, DAY)
    assert found["known"][0] == [DAY - 1, DAY, DAY]
    assert found["out"][0] == [DAY - 1, DAY, DAY]
