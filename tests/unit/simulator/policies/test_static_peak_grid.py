"""Peaks of history at many settings at once."""

from __future__ import annotations

import numpy as np

from services.simulator.policies.static_peak import StaticGrid
from tests.unit.simulator.policies.grid_views import see

NAN = float("nan")


class TestStaticGrid:
    def test_fixed_at_the_first_decision(self):
        policy = StaticGrid(np.array([100.0, 50.0]), np.array([0.0, 0.25]))
        # peak 16: 8; median 8 with 25 %: 10, so 5
        first, state = policy.decide(see([0, 8, 16], n_settings=2), policy.initial_state())
        assert first.ravel().tolist() == [8, 5]
        later, _ = policy.decide(see([0, 8, 16, 90], n_settings=2), state)
        assert later.ravel().tolist() == [8, 5]

    def test_a_workload_without_history_is_fixed_later_and_alone(self):
        policy = StaticGrid()
        held, state = policy.decide(see([[NAN, NAN], [4, 6]], replicas=7), policy.initial_state())
        assert held.tolist() == [[7, 3]]
        later, state = policy.decide(see([[NAN, NAN, 9], [4, 6, 90]]), state)
        assert later.tolist() == [[5, 3]]
        assert policy.decide(see([[NAN, NAN, 9, 90], [4, 6, 90, 9]]), state)[0].tolist() == [[5, 3]]
