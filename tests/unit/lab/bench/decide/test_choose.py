"""Settings are chosen on the prelude alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.lab.bench.decide.run import best_rival, choose
from services.lab.bench.decide.task import DecideTask
from services.simulator.grid_run import GridRun
from tests.unit.lab.bench.decide.results import make_result
from tests.unit.lab.bench.decide.tasks import decide_task, wave

FIRST = 10


@pytest.fixture(scope="module")
def task() -> DecideTask:
    return decide_task([wave(1000), wave(1000, seed=1)], max_prelude_steps=110)


def run_with(task: DecideTask, rates: list[float], costs: list[float]) -> GridRun:
    """Settings with one rate and one cost from step to step."""
    shape = (len(rates), *task.course.demand.shape)
    out = np.broadcast_to(np.array(rates)[:, None, None], shape).astype(np.float32)
    asked = np.broadcast_to(np.array(costs)[:, None, None], shape).astype(np.float32)
    labels = tuple(str(g) for g in range(len(rates)))
    return GridRun("p", labels, asked, out, np.zeros_like(out), asked, out, out)


def test_the_cheapest_that_kept_the_promise(task: DecideTask) -> None:
    run = run_with(task, [0.0, 0.04, 0.02, 0.2], [50, 20, 30, 10])
    assert choose(task, run, FIRST, 0.05) == (1, True)
    assert choose(task, run, FIRST, 0.03) == (2, True)
    assert choose(task, run, FIRST, 0.5) == (3, True)


def test_where_none_kept_it_the_one_that_violated_least_and_costs_least(task: DecideTask) -> None:
    run = run_with(task, [0.2, 0.1, 0.1], [10, 40, 30])
    assert choose(task, run, FIRST, 0.05) == (2, False)


def test_the_counted_part_is_never_read(task: DecideTask) -> None:
    run = run_with(task, [0.0, 0.04, 0.2], [50, 20, 10])
    before = choose(task, run, FIRST, 0.05)
    out, asked = run.measured_ratio.copy(), run.asked.copy()
    out[..., task.n_prelude :] = 1.0 - out[..., task.n_prelude :]
    asked[..., task.n_prelude :] = 100.0 - asked[..., task.n_prelude :]
    changed = replace(run, violation_ratio=out, asked=asked)
    assert choose(task, changed, FIRST, 0.05) == before == (1, True)


def test_the_warm_up_is_not_read_and_the_last_step_of_the_prelude_is(task: DecideTask) -> None:
    run = run_with(task, [0.0, 0.0], [20, 10])
    out = run.measured_ratio.copy()
    out[1, :, :FIRST] = 1.0
    assert choose(task, replace(run, measured_ratio=out), FIRST, 0.001) == (1, True)
    out = run.measured_ratio.copy()
    out[1, :, task.n_prelude - 1] = 1.0
    assert choose(task, replace(run, measured_ratio=out), FIRST, 0.001) == (0, True)


def test_unknown_steps_and_workloads_unknown_in_the_prelude_count_for_nothing() -> None:
    quiet = wave(1000, seed=1)
    quiet[580:700] = np.nan
    task = decide_task([wave(1000), quiet], max_prelude_steps=110)
    assert not task.is_known[1, : task.n_prelude].any()
    run = run_with(task, [0.0, 0.0], [20, 10])
    out = run.measured_ratio.copy()
    out[1, 1] = 1.0
    assert choose(task, replace(run, measured_ratio=out), FIRST, 0.001) == (1, True)


def test_policies_that_read_harmonys_forecasts_are_no_rivals() -> None:
    result = make_result()
    assert best_rival(result, 0.01) == ("trailing_percentile", pytest.approx(2.0))
    del result.policies["trailing_percentile"]
    assert best_rival(result, 0.01) is None
    assert best_rival(result, 0.05) == ("hpa", pytest.approx(1.75))
