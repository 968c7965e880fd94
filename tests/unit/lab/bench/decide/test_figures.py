"""Figures of one setting's run, exact on runs made by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.lab.bench.decide.figures import (
    epsilon_key,
    geometric_mean,
    number,
    workload_figures,
)
from services.lab.bench.decide.task import DecideTask
from services.simulator.grid_run import GridRun
from tests.unit.lab.bench.decide.results import N_TEST, constant_run, small_task

POSITIVE = st.floats(1e-6, 1e6)


def run_of(task: DecideTask) -> GridRun:
    return constant_run("p", task, [(0.0, 1.0), (0.1, 1.5)])


def test_gpu_hours_are_of_the_counted_part_and_the_setting_asked_for() -> None:
    task = small_task()
    # an hour of 24 and of 36 replicas
    assert workload_figures(task, run_of(task), 0).gpu_hours == pytest.approx([24.0, 24.0])
    assert workload_figures(task, run_of(task), 1).gpu_hours == pytest.approx([36.0, 36.0])


def test_each_rate_is_the_mean_of_its_own_ratio() -> None:
    task = small_task()
    run = run_of(task)
    ones = np.ones_like(run.violation_ratio)
    run = replace(
        run, violation_ratio=0.3 * ones, believed_ratio=0.2 * ones, measured_ratio=0.1 * ones
    )
    figures = workload_figures(task, run, 0)
    assert figures.violation_rate == pytest.approx([0.3, 0.3])
    assert figures.believed_rate == pytest.approx([0.2, 0.2])
    assert figures.measured_rate == pytest.approx([0.1, 0.1])


def test_demand_weighs_the_steps_in_which_it_came() -> None:
    task = small_task()
    demand = task.course.demand.copy()
    demand[0, -N_TEST:] = [1.0, 1.0, 1.0, 1.0, 1.0, 5.0]
    task = replace(task, course=replace(task.course, demand=demand))
    run = run_of(task)
    out = np.zeros_like(run.violation_ratio)
    out[0, 0, -1] = 1.0
    unserved = np.zeros_like(run.unserved)
    unserved[0, 0, -1] = 2.0
    figures = workload_figures(task, replace(run, violation_ratio=out, unserved=unserved), 0)
    assert figures.violation_rate == pytest.approx([1 / 6, 0.0])
    assert figures.demand_weighted_rate == pytest.approx([0.5, 0.0])
    assert figures.unserved == pytest.approx([0.2, 0.0])


def test_nothing_is_said_of_a_workload_whose_demand_is_unknown() -> None:
    task = small_task(unknown=1)
    figures = workload_figures(task, run_of(task), 1)
    for rate in (
        figures.violation_rate,
        figures.believed_rate,
        figures.measured_rate,
        figures.demand_weighted_rate,
        figures.unserved,
    ):
        assert np.isfinite(rate).tolist() == [True, False]
    assert figures.gpu_hours == pytest.approx([36.0, 36.0])


def test_churn_counts_the_change_into_the_first_counted_step_and_none_before() -> None:
    task = small_task()
    run = run_of(task)
    asked = run.asked.copy()
    asked[0, 0, 2] += 50.0  # within the prelude
    asked[0, 0, task.n_prelude :] += 3.0
    figures = workload_figures(task, replace(run, asked=asked), 0)
    # three replicas in an hour
    assert figures.churn_per_day == pytest.approx([3.0 * 24, 0.0])


def test_a_workload_that_is_gone_for_half_the_time_churns_in_the_other_half() -> None:
    task = small_task()
    live = task.course.is_live.copy()
    live[0, -3:] = False
    task = replace(task, course=replace(task.course, is_live=live))
    run = run_of(task)
    asked = run.asked * live
    asked[0, 0, -4] += 1.0
    figures = workload_figures(task, replace(run, asked=asked), 0)
    # the stop at its end is none of the policy's
    assert figures.churn_per_day == pytest.approx([1.0 * 48, 0.0])


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_written_figure_is_near_or_null(value: float) -> None:
    found = number(value)
    if math.isfinite(value):
        assert found == pytest.approx(value, rel=1e-5, abs=1e-300)
        assert found is not None
        assert number(found) == found
    else:
        assert found is None


def test_six_digits_are_written() -> None:
    assert number(1 / 3) == 0.333333
    assert number(1234567.0) == 1234570.0


@given(st.lists(POSITIVE, min_size=1, max_size=8), st.floats(0.1, 10.0))
def test_a_geometric_mean_scales_with_its_figures_and_lies_among_them(
    values: list[float], factor: float
) -> None:
    mean, scaled = geometric_mean(values), geometric_mean(factor * v for v in values)
    assert mean is not None
    assert min(values) * (1 - 1e-5) <= mean <= max(values) * (1 + 1e-5)
    assert scaled == pytest.approx(factor * mean, rel=1e-4)


def test_of_no_figures_there_is_no_mean() -> None:
    assert geometric_mean([]) is None
    assert geometric_mean([2.0, 8.0]) == 4.0


def test_a_promise_is_a_short_key() -> None:
    assert [epsilon_key(e) for e in (0.01, 0.1, 0.025)] == ["0.01", "0.1", "0.025"]
