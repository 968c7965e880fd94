"""The course of a race: sub-steps beneath a decision benchmark's steps."""

from __future__ import annotations

import numpy as np
import pytest

from services.kernel.errors import InvalidInput
from services.lab.bench.decide.task import DecideOptions
from services.lab.bench.race.bridge import Bridge
from services.lab.bench.race.course import (
    FIRST_COUNTED,
    TUNING,
    WARM_UP,
    coarser,
    make_race_task,
    race_grid,
)
from tests.unit.lab.bench.decide.tasks import START_S, bench_task, wave

OPTIONS = DecideOptions(max_test_steps=40, max_prelude_steps=20, max_history_steps=30)


def fine_task(n_steps=1200):
    return bench_task([wave(n_steps), wave(n_steps, seed=1)], step_s=60)


def test_the_trace_s_own_sub_steps_have_the_means_of_harmony_s_steps():
    grid = race_grid(60.0, 300.0, 60.0, Bridge.NONE)
    task = make_race_task(fine_task(), grid, 120.0, OPTIONS, 7)
    own, course = task.decide.course, task.course
    assert course.step_s == 60.0
    assert own.step_s == 300.0
    for fine, coarse in ((course.demand, own.demand), (course.history, own.history)):
        np.testing.assert_allclose(fine.reshape(2, -1, 5).mean(axis=2), coarse, rtol=1e-6)
    np.testing.assert_array_equal(course.lead_s, 120.0)
    assert course.start_s == own.start_s
    assert course.start_s % 300 == START_S % 300 == 0


def test_a_bridged_trace_keeps_the_means_and_decides_at_its_own_steps():
    grid = race_grid(600.0, 600.0, 60.0, Bridge.WALK)
    trace = bench_task([wave(600)])
    task = make_race_task(trace, grid, 30.0, OPTIONS, 7)
    assert (grid.per_step, grid.step_s) == (10, 600.0)
    fine = task.course.demand.reshape(1, -1, 10).mean(axis=2)
    np.testing.assert_allclose(fine, task.decide.course.demand, rtol=1e-9)
    assert task.decide.options.lead_median_steps == pytest.approx(0.05)


def test_steps_that_do_not_fit_are_refused():
    with pytest.raises(InvalidInput, match="150 s must be a multiple of 60 s"):
        race_grid(60.0, 150.0, 60.0, Bridge.NONE)


def test_a_coarser_trace_starts_on_its_grid_and_leaves_out_what_is_unknown():
    trace = fine_task(n_steps=607)
    trace.series[0].observed[0:5] = False
    trace.series[0].observed[6] = False
    found = coarser(trace, 5).series[0]
    assert (found.step_s, found.n_steps, found.start_s % 300) == (300, 121, 0)
    assert not found.observed[0, 0]
    known = np.r_[5, 7:10]
    assert found.values[1, 0] == pytest.approx(trace.series[0].values[known, 0].mean(), rel=1e-6)
    assert coarser(trace, 1) is trace


def test_blocks_are_warm_up_then_tuning_then_what_is_counted():
    grid = race_grid(60.0, 120.0, 60.0, Bridge.NONE)
    task = make_race_task(fine_task(), grid, 120.0, OPTIONS, 7)
    block = task.blocks(5, 10)
    assert block.size == 2 * (20 + 40)
    assert (block[:10] == WARM_UP).all()
    assert (block[10:40] == TUNING).all()
    np.testing.assert_array_equal(block[40:], np.repeat(FIRST_COUNTED + np.arange(4), 20))
