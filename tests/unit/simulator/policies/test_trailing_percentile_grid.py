"""Trailing percentiles of many windows at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from services.simulator.policies.trailing_percentile import (
    TrailingPercentileGrid,
    known_percentiles,
    ordered_percentile,
)
from tests.unit.simulator.policies.grid_views import once, see

NAN = float("nan")


class TestTrailingPercentileGrid:
    def test_each_setting_has_its_window_percentile_and_margin(self):
        policy = TrailingPercentileGrid(
            np.array([120.0, 240.0, 240.0]), np.array([100.0, 50.0, 50.0]), np.array([0.0, 0.0, 1])
        )
        # demand 20, 6, 4, 8: the peak of two steps is 8 (4 replicas); the median of four is 7
        # (3.5, so 4), doubled 14 (7)
        assert once(policy, see([20, 6, 4, 8], n_settings=3)).ravel().tolist() == [4, 4, 7]

    def test_gaps_are_left_out_per_workload(self):
        policy = TrailingPercentileGrid(240.0, 50.0, 0.0)
        # medians of 6, 8; of 2, 4, 6, 8; of nothing
        demand = [[NAN, 6, NAN, 8], [2, 4, 6, 8], [NAN, NAN, NAN, np.inf]]
        assert once(policy, see(demand, replicas=9)).tolist() == [[4, 3, 9]]

    def test_no_history_holds(self):
        view = see(np.empty((2, 0)), replicas=4)
        assert once(TrailingPercentileGrid(), view).tolist() == [[4, 4]]

    def test_label(self):
        policy = TrailingPercentileGrid(np.array([900.0, 21_600.0]), 99.0, 0.15)
        assert policy.label(1) == "p99 of 6 h + 15 %"

    @pytest.mark.parametrize("bad", [{"window_s": 0}, {"percentile": -1}, {"margin": -1}])
    def test_wrong_knobs_are_named(self, bad):
        with pytest.raises(ValueError, match=next(iter(bad))):
            TrailingPercentileGrid(**{k: np.array([50.0, v]) for k, v in bad.items()})

    @given(
        values=arrays(
            float,
            st.tuples(st.integers(1, 4), st.integers(1, 60)),
            elements=st.one_of(st.floats(0, 1e6), st.just(NAN)),
        ),
        percentiles=arrays(float, st.integers(1, 25), elements=st.floats(0, 100)),
    )
    def test_percentiles_are_those_of_the_sorted_known_values(self, values, percentiles):
        # up to 25 percentiles: both the selection and the sort are tried
        found = known_percentiles(values, percentiles)
        for w, row in enumerate(values):
            known = np.sort(row[np.isfinite(row)]).tolist()
            for p, percentile in enumerate(percentiles):
                if known:
                    assert found[p, w] == ordered_percentile(known, percentile)
                else:
                    assert np.isnan(found[p, w])
