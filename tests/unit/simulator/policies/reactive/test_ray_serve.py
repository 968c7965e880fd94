"""Ray Serve's autoscaling against cases worked out by hand from the algorithm's description."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.simulator.policies.reactive.ray_serve import RayServe

NAN = float("nan")
# capacity 4: a target of 2 ongoing requests per replica
AT_2 = {"capacity": 4.0}
HALF = 0.5


class TestUp:
    def test_ongoing_over_target(self, see, once):
        assert once(RayServe(HALF), see(12, ready=4, **AT_2)) == 6
        assert once(RayServe(HALF), see(12.1, ready=4, **AT_2)) == 7

    def test_only_after_more_than_thirty_seconds(self, path):
        loads = [12.0] * 5
        # 10 s steps: 10, 20 and 30 s are not more than 30 s; the fourth step makes 40
        assert path(RayServe(HALF), loads, ready=4, step_s=10, **AT_2) == [4, 4, 4, 6, 6]

    def test_every_change_waits_anew(self, path):
        loads = [12.0] * 4 + [16.0] * 4
        got = path(RayServe(HALF, look_back_s=10), loads, ready=4, step_s=10, **AT_2)
        assert got == [4, 4, 4, 6, 6, 6, 6, 8]

    def test_factor_closes_a_part_of_the_gap(self, see, once):
        # desired 8: ceil(4 + 0.4 * 4) = ceil(5.6)
        assert once(RayServe(HALF, upscale_factor=0.4), see(16, ready=4, **AT_2)) == 6

    def test_counts_from_the_spec_while_starts_are_under_way(self, see, once):
        view = see(16, ready=4, starting=2, **AT_2)
        assert once(RayServe(HALF, upscale_factor=0.5), view) == 7  # ceil(6 + 0.5 * 2)


class TestDown:
    def test_only_after_more_than_ten_minutes(self, path):
        got = path(RayServe(HALF), [4.0] * 12, ready=4, **AT_2)
        assert got == [4] * 10 + [2, 2]  # ten steps are 600 s, not more than 600 s

    def test_another_direction_starts_it_anew(self, path):
        # 8 / 2 = 4 is the count there is: no direction
        got = path(RayServe(HALF), [4.0] * 9 + [8.0] + [4.0] * 11, ready=4, **AT_2)
        assert got == [4] * 20 + [2]

    def test_the_opposite_direction_starts_it_anew(self, path):
        policy = RayServe(HALF, upscale_delay_s=90)
        got = path(policy, [4.0] * 9 + [10.0] + [4.0] * 11, ready=4, **AT_2)
        assert got == [4] * 20 + [2]

    def test_an_unknown_step_neither_counts_nor_ends_it(self, path):
        got = path(RayServe(HALF), [4.0] * 5 + [NAN] * 3 + [4.0] * 6, ready=4, **AT_2)
        assert got == [4] * 13 + [2]

    def test_stuck_by_rounding_goes_down_by_one(self, see, once):
        policy = RayServe(HALF, downscale_factor=0.5, downscale_delay_s=0)
        # desired 9: ceil(10 - 0.5) = 10 would stay for ever
        assert once(policy, see(18, ready=10, **AT_2)) == 9

    def test_not_stuck_where_the_whole_gap_rounds_up_too(self, see, once):
        policy = RayServe(HALF, downscale_factor=0.5, downscale_delay_s=0)
        assert once(policy, see(19, ready=10, **AT_2)) == 10  # ceil(9.5) = 10

    def test_factor_closes_a_part_of_the_gap(self, see, once):
        policy = RayServe(HALF, downscale_factor=0.25, downscale_delay_s=0)
        assert once(policy, see(8, ready=10, **AT_2)) == 9  # ceil(10 - 0.25 * 6) = ceil(8.5)


class TestZero:
    def test_wakes_at_once_to_the_larger_of_factor_and_need(self, see, once):
        policy = RayServe(HALF, upscale_factor=2.5)
        asleep = {"ready": 0, "low": 0, "step_s": 10.0}
        assert once(policy, see(2, **asleep, **AT_2)) == 3  # ceil(2.5) > 1
        assert once(policy, see(19, **asleep, **AT_2)) == 10

    def test_sleeps_without_demand(self, see, once):
        assert once(RayServe(HALF), see(0, ready=0, low=0, **AT_2)) == 0


def test_look_back_averages_steps(see, once):
    # 30 s of 10 s steps: (6 + 12 + 18) / 3 = 12
    policy = RayServe(HALF, upscale_delay_s=0)
    assert once(policy, see([900, 6, 12, 18], ready=4, step_s=10, **AT_2)) == 6


def test_bounds_come_before_the_direction(see):
    # wants 2, but 4 is the least: no direction, so nothing to persist
    policy = RayServe(HALF)
    wanted, state = policy.decide(see(4, ready=4, low=4, **AT_2), policy.initial_state())
    assert wanted[0, 0] == 4
    assert state.persisted_s[0, 0] == 0


def test_unknown_demand_holds_even_if_a_direction_is_due(path):
    policy = RayServe(HALF, downscale_delay_s=0)
    assert path(policy, [NAN, 4.0], ready=4, **AT_2) == [4, 2]


@given(load=st.floats(0, 200), more=st.floats(0, 200), ready=st.integers(1, 60))
def test_more_demand_never_wants_fewer(see, once, load, more, ready):
    policy = RayServe(HALF, downscale_delay_s=0, upscale_factor=0.7, downscale_factor=0.3)
    low, high = see(load, ready=ready, **AT_2), see(load + more, ready=ready, **AT_2)
    assert once(policy, low) <= once(policy, high)


@pytest.mark.slow
@given(load=st.floats(0, 200), ready=st.integers(1, 90), factor=st.floats(0.05, 1))
def test_constant_load_ends_at_what_it_needs(path, load, ready, factor):
    policy = RayServe(HALF, downscale_delay_s=0, upscale_factor=factor, downscale_factor=factor)
    got = path(policy, [load] * 130, ready=ready, low=0, high=200, **AT_2)
    assert got[-1] == got[-2] == np.ceil(load / 2 * (1 - 1e-9))


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("target_ratio", 0.0),
        ("look_back_s", 0.0),
        ("upscale_delay_s", -1.0),
        ("downscale_delay_s", -1.0),
        ("upscale_factor", 0.0),
        ("downscale_factor", np.array([0.5, -1])),
    ],
)
def test_wrong_settings_are_named(knob, value):
    with pytest.raises(ValueError, match=knob):
        RayServe(**{knob: value})


def test_labels():
    policy = RayServe(np.array([0.3, 0.75]), upscale_factor=0.5)
    assert (policy.name, policy.n_settings) == ("ray_serve", 2)
    assert policy.label(1) == "target 0.75 of capacity, factors 0.5 up, 1 down"
