"""The oracle on a grid."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.policies.oracle import OracleGrid
from tests.unit.simulator.policies.grid_views import once, see

NAN = float("nan")


class TestOracleGrid:
    def test_looks_as_far_as_each_setting_says(self):
        policy = OracleGrid(np.array([0.0, 60.0, 61.0, 9000.0]))
        view = see([1.0], n_settings=4, future=[2, 4, 6, 8, 100])
        # 2, 4, 6 over capacity 2; the end of the future is as far as one can see
        assert once(policy, view).ravel().tolist() == [1, 2, 3, 50]

    def test_gaps_in_the_future_are_left_out(self):
        view = see([[1.0], [1.0]], future=[[NAN, 8], [NAN, NAN]], replicas=6)
        assert once(OracleGrid(60.0), view).tolist() == [[4, 6]]

    def test_without_a_future_it_is_an_error(self):
        with pytest.raises(ValueError, match=r"view\.future"):
            once(OracleGrid(60.0), see([1.0]))

    def test_an_ended_future_holds(self):
        assert once(OracleGrid(0.0), see([1.0], future=np.empty((1, 0)), replicas=6)) == 6
