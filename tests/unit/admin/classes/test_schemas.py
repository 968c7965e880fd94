"""SLA classes as a client reads them."""

from __future__ import annotations

from typing import Any

from services.admin.classes.schemas import SlaClassView
from tests.unit.admin.shapes import documented, nullable, optional, through

CLASS: dict[str, Any] = {
    "name": "gold",
    "priority": 200,
    "n_workloads": 12,
    "epsilon_min": 0.01,
    "epsilon_max": 0.01,
    "kinds": ["TimeFraction"],
    "violation_ratio": 0.004,
    "measured_ratio": 0.006,
    "believed_ratio": 0.002,
    "n_measured": 6,
    "window_s": 86400.0,
    "n_steps": 17280,
    "n_measured_steps": 8640,
    "n_over_promise": 0,
    "gpu_hours": 812.5,
    "cost_usd": 2031.25,
}


def test_a_class_comes_through_whole() -> None:
    assert through(SlaClassView, CLASS) == CLASS
    assert optional(SlaClassView, CLASS) == set()


def test_what_was_not_measured_of_a_class_is_null() -> None:
    assert nullable(SlaClassView, CLASS) == {
        *("violation_ratio", "measured_ratio", "believed_ratio", "gpu_hours", "cost_usd")
    }


def test_the_documented_class_is_one_that_can_be() -> None:
    example = documented(SlaClassView)
    assert through(SlaClassView, example) == CLASS
    n_steps_each = example["window_s"] / 60
    assert example["n_steps"] == example["n_workloads"] * n_steps_each
    assert example["n_measured_steps"] == example["n_measured"] * n_steps_each
    halves = (example["measured_ratio"] + example["believed_ratio"]) / 2
    assert example["violation_ratio"] == halves
    assert example["epsilon_min"] <= example["epsilon_max"]
    assert example["n_over_promise"] <= example["n_workloads"]
    assert example["cost_usd"] == example["gpu_hours"] * 2.5
