"""Harmony that measures what requests feel: it learns a wrong capacity, and forgets nothing new."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.bench.decide.deployed import Deployed
from services.lab.bench.decide.measured import CountedSteps, Measured, true_responses
from services.lab.bench.decide.truth import GOOD_SHARE, measured_truth, truth_of
from services.simulator.grid_run import GridRun, simulate_grid
from services.simulator.policies.grid import FloatArray
from tests.unit.lab.bench.decide.tasks import decide_task, wave

N_STEPS, LEVEL, N_PATHS = 700, 50.0, 40
CLOSED = Deployed((0.01,), np.array([600.0]))


def run(ratio: float, *, is_measured: bool) -> GridRun:
    """A day and more of two services whose forecasts know the cycle."""
    task = decide_task(
        [wave(N_STEPS, seed=s, level=LEVEL) for s in (0, 1)],
        truth=truth_of("served", ratio),
        max_prelude_steps=100,
        max_test_steps=100,
    )
    course = task.course
    rng = np.random.default_rng(2)
    middle = np.nanmean(course.demand)
    spread = np.exp(0.1 * rng.standard_normal((2, N_PATHS, 3)))

    def paths_at(t: int) -> FloatArray:
        near = course.demand[:, max(0, t - 1), None, None] if t else middle
        return np.asarray(near * spread)

    if not is_measured:
        return simulate_grid(CLOSED, course, paths_at)
    return simulate_grid(Measured(CLOSED), measured_truth(course), paths_at, shows_missed=True)


@pytest.mark.slow
def test_it_learns_that_less_is_served_than_stated() -> None:
    blind, felt = run(0.75, is_measured=False), run(0.75, is_measured=True)
    late = slice(60, None)
    rates = [float(one.violation_ratio[0][:, late].mean()) for one in (blind, felt)]
    assert rates[0] > 0.1
    assert rates[1] < 0.4 * rates[0]
    assert felt.asked[0][:, late].mean() < 2.0 * blind.asked[0][:, late].mean()


@pytest.mark.slow
def test_it_learns_that_more_is_served_than_stated() -> None:
    blind, felt = run(1.3, is_measured=False), run(1.3, is_measured=True)
    assert felt.asked[0][:, 60:].mean() < 0.95 * blind.asked[0][:, 60:].mean()


def test_steps_that_are_too_old_are_forgotten() -> None:
    steps = CountedSteps.none().with_step((0.0, 1.0, 2.0, 100.0))
    later = steps.with_step((86_400.0, 1.1, 0.0, 100.0))
    assert later.load.tolist() == [1.0, 1.1]
    assert later.with_step((2 * 86_400.0 + 1.0, 1.2, 5.0, 100.0)).load.tolist() == [1.1, 1.2]


def test_who_is_told_knows_the_load_that_the_objective_allows() -> None:
    course = decide_task([wave(400)], truth=truth_of("served", 0.8)).course
    (told,) = true_responses(course)
    assert told.load_within(1.0 - GOOD_SHARE) == pytest.approx(0.8 * course.capacity)
