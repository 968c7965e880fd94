"""Tables of the figures."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.bench.fleet.plan import CellBounds, CloudPrices, WorkloadCost, plan, walls
from services.lab.bench.fleet.report import (
    assumption_rows,
    curve_rows,
    overload_lines,
    overload_rows,
    plan_rows,
    shown,
    stage_rows,
    table_rows,
    wall_rows,
)
from tests.unit.lab.bench.fleet.measured import document

DOCUMENT = document(1000, 1)


def test_the_rows_of_stages_add_up_to_the_last() -> None:
    rows = stage_rows(DOCUMENT)
    values = [float(str(row["CPU-s per 1,000"])) for row in rows]
    assert rows[-1]["stage"] == "all"
    assert sum(values[:-1]) == pytest.approx(values[-1], abs=0.05)


def test_a_point_says_where_it_was_measured() -> None:
    (row,) = curve_rows([DOCUMENT])
    assert row["commit"] == "abc12345"
    assert row["load"] == "1–2.5"
    assert row["workloads"] == "1,000"


def test_points_stand_in_the_order_of_their_size() -> None:
    rows = curve_rows([document(1000, 7), document(1000, 1), document(100, 1)])
    assert [(row["workloads"], row["days"]) for row in rows] == [
        ("100", "1"),
        ("1,000", "1"),
        ("1,000", "7"),
    ]


def test_every_table_has_a_row() -> None:
    assert [row["table"] for row in table_rows(DOCUMENT)] == list(DOCUMENT["tables"])


def test_the_plan_names_its_assumptions() -> None:
    cost = WorkloadCost.of(DOCUMENT)
    slow, bounds = cost.every(300.0), CellBounds()
    plans = {"a": plan(1_000_000, slow, bounds, CloudPrices())}
    plans["b"] = plan(1_000_000, cost, bounds, CloudPrices())
    rows = {str(row["figure"]): row for row in plan_rows(plans)}
    assert rows["workloads"] == {"figure": "workloads", "a": "1,000,000", "b": "1,000,000"}
    assert plans["b"].cores == pytest.approx(5 * plans["a"].cores)
    found = wall_rows({"a": walls(slow, bounds), "b": walls(cost, bounds)})
    assert [row["what is used up"] for row in found] == [one.name for one in walls(cost, bounds)]
    assert all(row["figure"] for row in assumption_rows(CellBounds(), CloudPrices()))


def test_an_overload_is_told_by_class() -> None:
    found: dict[str, Any] = {
        "factor": 2.0,
        "steps": 20,
        "interval_s": 3.25,
        "real_interval_s": 3.5,
        "shards": 6,
        "queue": {"jobs": [3, 5], "shard_jobs": [1, 2]},
        "workers_killed": 2,
        "restarts": 2,
        "after": {"undecided": 0, "twice": 0},
        "by_class": {
            "gold": {
                "workloads": 6,
                "age_steps": {"p50": 1.0, "p99": 2.0, "max": 2.0},
                "decided_each": {"min": 18, "max": 19},
                "superseded_share": 0.05,
                "greatest_run": 1,
            }
        },
    }
    (row,) = overload_rows(found)
    assert (row["decided each"], row["superseded"]) == ("18–19 of 20", "5 %")
    assert any("3, 5" in line for line in overload_lines(found))


def test_what_is_not_known_is_a_dash() -> None:
    assert [shown(value) for value in (None, 1234.5, 0.01234)] == ["–", "1,234", "0.0123"]
