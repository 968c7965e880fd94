"""Harmony under several loads: what it is told, what it learns, and what it asks for."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from services.lab.bench.loads.arms import FULL, TOLD, load_arms
from services.lab.bench.loads.run import LoadBench, policy_of
from services.lab.bench.loads.simulate import simulate_loads
from services.simulator.grid_run import GridRun
from tests.unit.lab.bench.loads.small import NAMES, fake_forecasts, load_task

TASK = load_task(40)
FORECASTS = fake_forecasts(TASK)
ARMS = load_arms(NAMES)


def run(name: str, *, off: float | None = None, epsilon: float = 0.05) -> GridRun:
    """An arm over the small set; `off` is the stated over the true capacity of every load."""
    task = TASK
    if off is not None:
        single = TASK.stated_single * off * TASK.truth.response.capacity / TASK.stated
        stated = off * TASK.truth.response.capacity
        task = replace(TASK, stated=stated, stated_single=single)
    policy = policy_of(LoadBench((task,), (epsilon,), 7, "drawn"), task, ARMS[name])
    return simulate_loads(policy, task, FORECASTS)


@cache
def told() -> GridRun:
    """Harmony that knows the capacities."""
    return run(TOLD)


def rate(found: GridRun) -> float:
    return float(found.violation_ratio[0][:, 20:].mean())


def cost(found: GridRun) -> float:
    return float(found.asked[0][:, 20:].mean())


def test_who_is_told_does_not_depend_on_what_is_stated() -> None:
    low, high = run(TOLD, off=0.8), run(TOLD, off=1.25)
    assert np.array_equal(low.asked, high.asked)
    assert rate(low) < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("name", [FULL, "posterior_mean", "only_requests"])
def test_a_capacity_stated_too_high_is_learned(name: str) -> None:
    found = run(name, off=1.25)
    assert rate(found) < 0.3
    assert float(found.believed_ratio[0][:, 20:].mean()) < 0.05
    assert not np.array_equal(found.asked, told().asked)


def test_a_single_load_believes_in_itself_alone() -> None:
    policy = policy_of(LoadBench((TASK,), (0.05,), 7, "drawn"), TASK, ARMS["only_output_tokens"])
    loads = TASK.truth.loads[:, :, 3]
    assert policy.believed_need(loads) == pytest.approx(loads[:, 2] / TASK.stated_single[:, 2])
