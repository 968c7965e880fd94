"""From demand to a benchmark: split, scale, alignment, and unknowns that stay unknown."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.bench.decide.task import DecideOptions, make_decide_task
from tests.unit.lab.bench.decide.tasks import START_S, STEP_S, bench_task, decide_task, wave


def test_the_last_thirty_per_cent_are_counted_after_a_prelude() -> None:
    demand = wave(1000)
    task = decide_task([demand], max_prelude_steps=200, max_history_steps=300)
    course = task.course
    assert task.n_prelude == 200
    assert course.n_steps - task.n_prelude == 300
    assert course.history.shape == (1, 300)
    assert task.forecast.validation_ends == (700,)
    assert task.forecast.train_ends == (round(700 * 0.875),)
    assert course.start_s == START_S + 500 * STEP_S
    scale = task.gpus_per_unit[0]
    np.testing.assert_allclose(course.demand[0], demand[500:] * scale, rtol=1e-6)
    np.testing.assert_allclose(course.history[0], demand[200:500] * scale, rtol=1e-6)


@pytest.mark.parametrize(
    ("step_s", "n_steps", "n_before"),
    [(600, 6000, 2016), (60, 40_000, 14 * 1440), (30, 90_000, 14 * 2880), (60, 2000, 700)],
)
def test_policies_look_back_two_weeks_however_short_the_steps_are(
    step_s: int, n_steps: int, n_before: int
) -> None:
    trace = bench_task([wave(n_steps)], step_s)
    task = make_decide_task(trace, DecideOptions())
    assert task.course.history.shape == (1, n_before)


def test_the_mean_of_the_training_part_is_twenty_gpus() -> None:
    demand = wave(1000)
    demand[700:] *= 7.0  # the test part must not matter
    task = decide_task([demand])
    assert task.gpus_per_unit[0] * demand[:700].mean() == pytest.approx(20.0, rel=1e-6)
    assert task.course.capacity == pytest.approx([0.85])
    assert task.course.max_replicas == pytest.approx([400.0])


def test_fewer_counted_steps_are_the_first_ones() -> None:
    demand = wave(1000)
    short, whole = decide_task([demand], max_test_steps=50), decide_task([demand])
    assert short.course.n_steps - short.n_prelude == 50
    n = short.course.n_steps
    np.testing.assert_array_equal(short.course.demand, whole.course.demand[:, :n])


def test_a_shorter_workload_does_not_exist_beyond_its_ends() -> None:
    long, short = wave(1000), wave(700, seed=1)
    task = decide_task([long, short], max_prelude_steps=400)
    course, n = task.course, task.n_prelude
    assert n == 350  # half of the longest training part
    assert course.is_live[0].all()
    # 210 of the short one's steps are counted; its test part begins where the long one's does
    np.testing.assert_array_equal(course.is_live[1, n:], np.arange(300) < 210)
    assert course.is_live[1, :n].all()
    scale = task.gpus_per_unit[1]
    np.testing.assert_allclose(course.demand[1, n : n + 210], short[490:] * scale, rtol=1e-6)
    assert np.isnan(course.demand[1, n + 210 :]).all()
    assert not task.is_known[1, n + 210 :].any()


def test_a_workload_that_begins_late_does_not_exist_before() -> None:
    task = decide_task([wave(2000), wave(620, seed=1)], max_prelude_steps=600)
    n, before = task.n_prelude, 434
    assert n == 600
    np.testing.assert_array_equal(task.course.is_live[1, :n], np.arange(n) >= n - before)
    assert np.isnan(task.course.history[1]).all()


def test_an_unobserved_step_stays_unknown() -> None:
    demand = wave(1000)
    demand[[650, 800]] = np.nan
    task = decide_task([demand], max_prelude_steps=200)
    course, n = task.course, task.n_prelude
    unknown = np.flatnonzero(np.isnan(course.demand[0]))
    np.testing.assert_array_equal(unknown, [650 - 500, 800 - 500])
    np.testing.assert_array_equal(np.flatnonzero(~task.is_known[0]), unknown)
    assert course.is_live.all()
    assert n == 200


def test_luck_is_drawn_once_and_capacity_varies_around_what_is_told() -> None:
    one = decide_task([wave(1000)], lead_sigma=0.5, capacity_cv=0.1)
    again = decide_task([wave(1000)], lead_sigma=0.5, capacity_cv=0.1)
    np.testing.assert_array_equal(one.course.lead_s, again.course.lead_s)
    np.testing.assert_array_equal(one.course.capacity_factor, again.course.capacity_factor)
    assert np.median(one.course.lead_s) == pytest.approx(STEP_S, rel=0.05)
    assert np.log(one.course.lead_s).std() == pytest.approx(0.5, rel=0.05)
    assert one.course.capacity_factor.mean() == pytest.approx(1.0, abs=0.02)
    assert one.course.capacity_factor.std() == pytest.approx(0.1, rel=0.15)
    other = decide_task([wave(1000)], lead_sigma=0.5, capacity_cv=0.1, seed=8)
    assert (one.course.lead_s != other.course.lead_s).any()


def test_by_default_a_start_takes_one_step_and_capacity_is_known() -> None:
    course = decide_task([wave(1000)]).course
    np.testing.assert_array_equal(course.lead_s, [[STEP_S]])
    assert (course.capacity_factor == 1).all()


def test_decisions_read_three_steps_beyond_the_slowest_starts() -> None:
    assert DecideOptions().n_steps_ahead == 4
    assert DecideOptions(lead_median_steps=2.0).n_steps_ahead == 5
    # exp(2.6 * 0.5) = 3.67 steps for 99.5 % of the starts
    assert DecideOptions(lead_sigma=0.5).n_steps_ahead == 7
    assert DecideOptions(lead_sigma=2.0).n_steps_ahead == 12
