"""A trailing percentile, by hand."""

from __future__ import annotations

from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from services.simulator.policies import Solo, StaticGrid, TrailingPercentileGrid
from tests.unit.simulator.policies.workload_views import once, see

NAN = float("nan")


class TestTrailingPercentile:
    def test_only_the_window_counts(self):
        # last three steps 4, 6, 8: median 6, margin 50 % -> 9 -> ceil(9 / 2)
        policy = Solo(TrailingPercentileGrid(window_s=180, percentile=50, margin=0.5))
        assert once(policy, see([100, 4, 6, 8])) == 5

    def test_percentile_interpolates(self):
        # p75 of 0, 4 is 3 -> ceil(3 / 2)
        policy = Solo(TrailingPercentileGrid(window_s=120, percentile=75, margin=0.0))
        assert once(policy, see([0, 4])) == 2

    def test_gaps_are_left_out_not_zero(self):
        policy = Solo(TrailingPercentileGrid(window_s=240, percentile=0, margin=0.0))
        assert once(policy, see([NAN, 6, NAN, 8])) == 3

    def test_an_empty_window_holds(self):
        policy = Solo(TrailingPercentileGrid(window_s=120))
        assert once(policy, see([30, NAN, NAN], replicas=9)) == 9

    def test_a_window_shorter_than_a_step_is_one_step(self):
        assert TrailingPercentileGrid(window_s=60).n_window_steps(600).tolist() == [1]

    def test_bounds(self):
        assert once(Solo(TrailingPercentileGrid()), see([1000.0])) == 50
        assert once(Solo(TrailingPercentileGrid()), see([0.0])) == 1


@given(
    demand=arrays(float, st.integers(1, 40), elements=st.floats(0, 90)),
    more=st.floats(0, 5),
    window=st.integers(1, 30),
    percentile=st.floats(0, 100),
)
def test_more_demand_never_wants_fewer(demand, more, window, percentile):
    for policy in (
        Solo(TrailingPercentileGrid(60.0 * window, percentile, 0.1)),
        Solo(StaticGrid(percentile)),
    ):
        assert once(policy, see(demand + more)) >= once(policy, see(demand))
