"""The peak of history, by hand."""

from __future__ import annotations

import pytest

from services.simulator.policies import Solo, StaticGrid
from tests.unit.simulator.policies.workload_views import once, see

NAN = float("nan")


class TestStaticPeak:
    def test_peak_of_the_history_for_ever(self):
        policy = Solo(StaticGrid())
        first, state = policy.decide(see([1, 9, 4]), policy.initial_state())
        assert first == 5
        assert policy.decide(see([1, 9, 4, 40]), state)[0] == 5

    def test_percentile_and_margin(self):
        assert once(Solo(StaticGrid(percentile=50, margin=0.25)), see([0, 8, 16])) == 5

    def test_no_observation_holds_and_decides_later(self):
        policy = Solo(StaticGrid())
        held, state = policy.decide(see([NAN, NAN], replicas=7), policy.initial_state())
        assert held == 7
        assert policy.decide(see([NAN, 9]), state)[0] == 5

    def test_wrong_knobs(self):
        with pytest.raises(ValueError, match="percentile"):
            Solo(StaticGrid(percentile=101))
