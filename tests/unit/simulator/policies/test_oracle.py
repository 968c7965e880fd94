"""The oracle, by hand."""

from __future__ import annotations

import pytest

from services.simulator.policies import OracleGrid, Solo
from tests.unit.simulator.policies.workload_views import once, see

NAN = float("nan")


class TestOracle:
    def test_covers_the_lead_time_in_whole_steps(self):
        demand = [2, 4, 6, 8, 100]
        assert once(Solo(OracleGrid(0)), see([], future=demand)) == 1
        assert once(Solo(OracleGrid(60)), see([], future=demand)) == 2
        assert once(Solo(OracleGrid(61)), see([], future=demand)) == 3

    def test_unknown_future_holds(self):
        assert once(Solo(OracleGrid(0)), see([], future=[NAN, 90], replicas=4)) == 4

    def test_without_a_future_it_is_an_error(self):
        with pytest.raises(ValueError, match=r"view\.future"):
            once(Solo(OracleGrid(60)), see([1.0]))
