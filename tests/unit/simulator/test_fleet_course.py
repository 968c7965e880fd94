"""Courses of a fleet's history."""

from __future__ import annotations

import numpy as np

from services.simulator.fleet_course import history_course
from tests.unit.simulator.fleets import make_fleet
from tests.unit.simulator.noisy_fleet import noisy_fleet


class TestHistoryCourse:
    def test_it_begins_where_asked_and_keeps_what_is_before_as_context(self):
        fleet = noisy_fleet(1, n_history=50, gap=0.0)
        course = history_course(fleet, 20)
        np.testing.assert_array_equal(course.history, fleet.demand[:, :20])
        np.testing.assert_array_equal(course.demand, fleet.demand[:, 20:50])
        assert course.start_s == 20 * 60
        assert course.lead_s.tolist() == [[100.0], [107.0]]

    def test_it_starts_at_sixty_per_cent_of_the_first_known_demand(self):
        demand = np.full((2, 20), 6.0)
        observed = np.ones((2, 20), dtype=bool)
        demand[0, :3], observed[0, :3] = 50.0, False
        observed[1] = False
        fleet = make_fleet(demand, n_history=10, observed=observed)
        # 6 / 0.6; nothing known: the lower bound
        assert history_course(fleet).initial.tolist() == [10.0, 1.0]
        assert np.isnan(history_course(fleet).measured()[0, :3]).all()
        assert history_course(fleet).demand[0, 0] == 50.0
