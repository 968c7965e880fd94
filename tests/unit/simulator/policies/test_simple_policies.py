"""Static peak, trailing percentile and oracle against hand-computed cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from services.simulator.policies import (
    OracleGrid,
    PolicyView,
    Solo,
    StaticGrid,
    TrailingPercentileGrid,
)
from services.simulator.policies.view import replicas_for

NAN = float("nan")


def see(demand, *, future=None, replicas=3, low=1, high=50, step_s=60.0, capacity=2.0):
    return PolicyView(
        now_s=0.0,
        step_s=step_s,
        demand=np.asarray(demand, dtype=float),
        ready=replicas,
        starting=0,
        pending=0,
        replicas=replicas,
        capacity_per_replica=capacity,
        min_replicas=low,
        max_replicas=high,
        future=None if future is None else np.asarray(future, dtype=float),
    )


def once(policy, view):
    return policy.decide(view, policy.initial_state())[0]


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


@given(replicas=st.integers(0, 10_000), capacity=st.floats(1e-3, 1e6))
def test_whole_replicas_serve_their_own_capacity(replicas, capacity):
    assert replicas_for(replicas * capacity, capacity) == replicas


@pytest.mark.parametrize(
    "bad",
    [
        {"step_s": 0.0},
        {"capacity": 0.0},
        {"low": 9, "high": 3},
        {"replicas": -1},
    ],
)
def test_a_view_that_cannot_be_acted_on_is_refused(bad):
    with pytest.raises(ValueError, match="must"):
        see([1.0], **bad)
