"""Saturation-based scaling against cases worked out by hand from the algorithm's description."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.simulator.policies.reactive.saturation import Saturation

NAN = float("nan")
# saturated at 0.8 and spare 0.1: up above 70 % of capacity


class TestUp:
    @pytest.mark.parametrize(
        ("load", "wanted"),
        [
            (7.0, 10),  # spare 0.8 - 0.7 = 0.1 is enough
            (7.1, 11),
            (9.0, 11),  # saturated
            (500.0, 11),  # demand above capacity: still one at a time
        ],
    )
    def test_one_more_while_spare_is_short(self, see, once, load, wanted):
        assert once(Saturation(), see(load, ready=10)) == wanted

    def test_saturated_replicas_leave_no_spare(self, see, once):
        policy = Saturation(saturated_ratio=0.9, min_spare_ratio=0.0)
        assert once(policy, see(8.9, ready=10)) == 10
        assert once(policy, see(9.0, ready=10)) == 11

    def test_demand_above_capacity_waits(self, see, once):
        policy = Saturation(saturated_ratio=1.0, min_spare_ratio=0.0)
        assert once(policy, see(9.9, ready=10)) == 10
        assert once(policy, see(10.1, ready=10)) == 11

    def test_own_capacity(self, see, once):
        assert once(Saturation(), see(142.0, ready=10, capacity=20.0)) == 11

    def test_not_above_the_bound(self, see, once):
        assert once(Saturation(), see(9.0, ready=10, high=10)) == 10


class TestDown:
    def test_only_if_the_rest_keeps_spare(self, see, once):
        assert once(Saturation(), see(6.3, ready=10)) == 9  # 6.3 / 9 = 0.7: spare 0.1
        assert once(Saturation(), see(6.4, ready=10)) == 10  # 6.4 / 9 = 0.71

    def test_only_if_the_rest_is_unsaturated(self, see, once):
        policy = Saturation(saturated_ratio=0.9, min_spare_ratio=0.0)
        assert once(policy, see(8.1, ready=10)) == 10  # 8.1 / 9 = 0.9 is saturated
        assert once(policy, see(8.0, ready=10)) == 9

    def test_two_replicas_remain(self, see, once):
        assert once(Saturation(), see(0.0, ready=3)) == 2
        assert once(Saturation(), see(0.0, ready=2)) == 2
        assert once(Saturation(min_unsaturated=1), see(0.0, ready=2)) == 1

    def test_not_below_the_bound(self, see, once):
        assert once(Saturation(), see(0.0, ready=10, low=10)) == 10


class TestPending:
    def test_skips_both_directions(self, see, once):
        assert once(Saturation(), see(50.0, ready=9, starting=1)) == 10
        assert once(Saturation(), see(0.0, ready=9, starting=1)) == 10

    def test_nothing_ready(self, see, once):
        assert once(Saturation(), see(5.0, ready=0, starting=4)) == 4


class TestPeriodAndWindow:
    def test_short_steps_wait_for_the_period(self, path):
        got = path(Saturation(), [50.0] * 7, ready=10, step_s=20)
        assert got == [11, 11, 11, 12, 12, 12, 13]

    def test_long_steps_decide_once_each(self, path):
        assert path(Saturation(), [50.0] * 3, ready=10, step_s=600) == [11, 12, 13]

    def test_the_input_is_the_maximum_of_the_window(self, see, once):
        assert once(Saturation(), see([99, 7.5, 1, 1], ready=10, step_s=20)) == 11
        assert once(Saturation(), see([7.5, 1, 1, 1], ready=10, step_s=20)) == 9

    def test_gaps_are_left_out(self, see, once):
        assert once(Saturation(), see([7.5, NAN, 1], ready=10, step_s=20)) == 11


class TestZero:
    def test_wakes_with_demand_only(self, see, once):
        assert once(Saturation(), see(5.0, ready=0, low=0)) == 1
        assert once(Saturation(), see(0.0, ready=0, low=0)) == 0


def test_unknown_demand_holds(see, once):
    assert once(Saturation(), see([50.0, NAN], ready=10)) == 10


@given(load=st.floats(0, 200), more=st.floats(0, 200), ready=st.integers(0, 60))
def test_more_demand_never_wants_fewer(see, once, load, more, ready):
    low, high = see(load, ready=ready, low=0), see(load + more, ready=ready, low=0)
    assert once(Saturation(), low) <= once(Saturation(), high)


@given(load=st.floats(0.1, 60), ready=st.integers(1, 100))
def test_constant_load_settles_where_it_would_stay(path, load, ready):
    got = path(Saturation(), [load] * 110, ready=ready)
    assert got[-1] == got[-2]
    assert load / got[-1] <= 0.7 + 1e-6


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"saturated_ratio": 0.0}, "saturated_ratio"),
        ({"saturated_ratio": 1.1}, "saturated_ratio"),
        ({"min_spare_ratio": -0.1}, "min_spare_ratio"),
        ({"min_spare_ratio": np.array([0.1, 0.9])}, "min_spare_ratio"),
        ({"min_spare_ratio": 0.8}, "min_spare_ratio"),
        ({"min_unsaturated": -1}, "min_unsaturated"),
        ({"window_s": 0.0}, "window_s"),
        ({"period_s": 0.0}, "period_s"),
    ],
)
def test_wrong_settings_are_named(settings, named):
    with pytest.raises(ValueError, match=named):
        Saturation(**settings)


def test_labels():
    policy = Saturation(np.array([0.5, 0.75]), np.array([0.2, 0.1]))
    assert (policy.name, policy.n_settings) == ("saturation", 2)
    assert policy.label(1) == "saturated at 0.75, spare 0.1"
