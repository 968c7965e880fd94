"""Schedules of a trailing percentile against the policy itself."""

from __future__ import annotations

from itertools import product

import numpy as np

from services.simulator.fleet_course import history_course
from services.simulator.grid_run import simulate_grid
from services.simulator.policies.trailing_percentile import TrailingPercentileGrid
from services.simulator.schedules import trailing_schedules
from tests.unit.simulator.noisy_fleet import noisy_fleet


def test_schedules_are_what_the_policy_asks_for():
    course = history_course(noisy_fleet(3), 60)
    windows, percentiles, margins = (60.0, 600.0, 3600.0), (50.0, 95.0, 100.0), (0.0, 0.3)
    grid = np.array(list(product(windows, percentiles, margins)))
    run = simulate_grid(TrailingPercentileGrid(*grid.T), course)
    for w in range(course.n_workloads):
        schedules = trailing_schedules(course, w, windows, percentiles, margins)
        np.testing.assert_array_equal(np.concatenate(list(schedules)), run.asked[:, w])
