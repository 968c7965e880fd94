"""The Knative autoscaler against cases worked out by hand from the description of its algorithm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.simulator.policies.reactive.kpa import Kpa, KpaState

NAN = float("nan")
# capacity 10: a target of 7 per pod
AT_7 = {"capacity": 10.0}


def calm() -> KpaState:
    """Memory of a controller that has been running outside panic."""
    return KpaState(np.array([[-np.inf]]), np.array([[0.0]]), np.array([[np.inf]]))


class TestStable:
    def test_average_over_target(self, see, once):
        assert once(Kpa(), see(30, ready=4, **AT_7), calm()) == 5  # ceil(30 / 7)
        assert once(Kpa(), see(28, ready=4, **AT_7), calm()) == 4

    def test_target_is_a_share_of_capacity(self, see, once):
        assert once(Kpa(0.5), see(30, ready=4, **AT_7), calm()) == 6

    def test_at_most_halves_the_ready_pods(self, see, once):
        assert once(Kpa(), see(1, ready=9, **AT_7), calm()) == 4  # floor(9 / 2) > ceil(1 / 7)

    def test_up_rate(self, see, once):
        policy = Kpa(max_up_rate=1.5)
        assert once(policy, see(69, ready=3, **AT_7), calm()) == 5  # ceil(1.5 * 3) < 10

    def test_ready_counts_as_one_at_least(self, see, once):
        policy = Kpa(max_up_rate=3.0)
        assert once(policy, see(69, ready=0, replicas=1, **AT_7), calm()) == 3

    def test_bounds(self, see, once):
        assert once(Kpa(), see(700, ready=9, high=20, **AT_7), calm()) == 20
        assert once(Kpa(), see(7, ready=9, low=6, **AT_7), calm()) == 6


class TestWindows:
    def test_a_step_longer_than_the_window_is_the_window(self, see, once):
        assert once(Kpa(), see([700, 7, 28], ready=4, step_s=600, **AT_7), calm()) == 4

    def test_average_over_the_known_part(self, see, once):
        # 20 s steps: the mean of 14 and 28 is 21; the first step of the window is unknown
        view = see([700, NAN, 14, 28], ready=3, step_s=20, **AT_7)
        assert once(Kpa(), view, calm()) == 3

    def test_a_step_partly_in_the_window_counts_for_that_part(self, see, once):
        # 90 s of 60 s steps: (30 * 7 + 60 * 70) / 90 = 49
        policy = Kpa(stable_window_s=90, panic_window_s=90)
        assert once(policy, see([7, 70], ready=7, **AT_7), calm()) == 7

    def test_history_shorter_than_the_window(self, see, once):
        assert once(Kpa(), see([21], ready=3, step_s=2, **AT_7), calm()) == 3


class TestPanic:
    # 2 s steps: 27 at 7, then 3 at 70. Stable (27 * 7 + 3 * 70) / 30 = 13.3 -> 2; panic 70 -> 10
    BURST = (*(27 * [7.0]), *(3 * [70.0]))

    def test_twice_the_ready_pods_is_panic(self, see, once):
        assert once(Kpa(), see(self.BURST, ready=5, step_s=2, **AT_7), calm()) == 10

    def test_less_than_twice_is_not(self, see, once):
        # 10 / 6 < 2: the stable 2, limited to floor(6 / 2)
        assert once(Kpa(), see(self.BURST, ready=6, step_s=2, **AT_7), calm()) == 3

    def test_panic_test_is_before_the_up_limit(self, see, once):
        policy = Kpa(max_up_rate=1.2)
        view = see(self.BURST, ready=5, step_s=2, **AT_7)
        wanted, state = policy.decide(view, calm())
        assert wanted[0, 0] == 6  # panic, limited to ceil(1.2 * 5)
        assert state.panic_at_s[0, 0] == view.now_s

    def test_holds_the_largest_count_until_a_stable_window_has_passed(self, path):
        # t=0: ceil(28/7) = 4, 4/2 = 2 is panic; 0 and 60 s are within the window, 120 s is not
        # t=120: stable 1, limited to floor(4 / 2)
        assert path(Kpa(), [28, 7, 7, 7], ready=2, state=calm(), **AT_7) == [4, 4, 2, 1]

    def test_a_new_panic_forgets_the_old_maximum(self, path):
        loads = [28, 7, 7, 7, 14, 7]
        # t=240: ceil(14/7) = 2, 2/1 = 2 is panic again, and 2 is what it holds
        assert path(Kpa(), loads, ready=2, state=calm(), **AT_7) == [4, 4, 2, 1, 2, 2]

    def test_a_repeated_test_refreshes_the_clock(self, path):
        # t=60: 56/7 = 8, 8/4 = 2 again, so t=120 is still within 60 s of it
        assert path(Kpa(), [28, 56, 7, 7], ready=2, state=calm(), **AT_7) == [4, 8, 8, 4]

    def test_an_unknown_panic_window_reads_as_the_stable_one(self, see):
        loads = (*(27 * [28.0]), *(3 * [NAN]))
        wanted, state = Kpa().decide(see(loads, ready=2, step_s=2, **AT_7), calm())
        assert wanted[0, 0] == 4
        assert state.panic_peak[0, 0] == 4  # 28 / 7 is twice the two ready pods

    def test_starts_in_panic_with_more_than_one_pod(self, path):
        assert path(Kpa(), [7, 7, 7], ready=6, **AT_7) == [6, 6, 3]

    def test_starts_calm_with_one_pod(self, see, once):
        assert once(Kpa(), see(0, ready=1, low=0, **AT_7), Kpa().initial_state()) == 1
        assert once(Kpa(zero_grace_s=0), see(0, ready=1, low=0, **AT_7)) == 0


def test_scale_down_delay_keeps_the_largest_in_its_window(path):
    policy = Kpa(scale_down_delay_s=120)
    # t=60: 2 wanted, but 5 was 60 s ago; t=120: the 5 is 120 s ago and has left
    assert path(policy, [35, 7, 7], ready=5, state=calm(), **AT_7) == [5, 5, 2]


class TestZero:
    def test_only_after_the_grace(self, path):
        assert path(Kpa(), [0, 0], ready=1, low=0, **AT_7) == [1, 0]
        assert path(Kpa(), [0, 0, 0, 0], ready=1, step_s=10, low=0, **AT_7) == [1, 1, 1, 0]

    def test_demand_ends_the_grace(self, path):
        loads = [0, 0, 70, 0, 0, 0, 0]
        policy = Kpa(stable_window_s=10, panic_window_s=10, max_down_rate=100, panic_threshold=99)
        wanted = path(policy, loads, ready=1, step_s=10, low=0, **AT_7)
        assert wanted == [1, 1, 10, 1, 1, 1, 0]

    def test_a_pool_at_zero_stays_there_and_wakes(self, see, once):
        assert once(Kpa(), see(0, ready=0, low=0, **AT_7)) == 0
        assert once(Kpa(), see(20, ready=0, low=0, **AT_7)) == 3


class TestUnknown:
    def test_no_data_is_no_action(self, see, once):
        assert once(Kpa(), see([28, NAN], ready=9, **AT_7), calm()) == 9
        assert once(Kpa(), see(np.zeros((1, 0)), ready=9, **AT_7), calm()) == 9

    def test_memory_stands(self, path):
        # the panic of t=0 holds its 4 before and after the gap
        policy = Kpa(stable_window_s=120, panic_window_s=60)
        loads = [28, NAN, NAN, 7]
        assert path(policy, loads, ready=2, state=calm(), **AT_7) == [4, 4, 4, 2]


@given(
    load=st.floats(0, 500),
    more=st.floats(0, 500),
    ready=st.integers(1, 60),
    ratio=st.floats(0.1, 1),
)
def test_more_demand_never_wants_fewer(see, once, load, more, ready, ratio):
    policy = Kpa(ratio)
    low, high = see(load, ready=ready, **AT_7), see(load + more, ready=ready, **AT_7)
    assert once(policy, low, calm()) <= once(policy, high, calm())


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("target_ratio", 0.0),
        ("target_ratio", np.array([0.5, NAN])),
        ("panic_window_s", 0.0),
        ("stable_window_s", 5.0),
        ("panic_threshold", 1.0),
        ("max_down_rate", 0.5),
        ("scale_down_delay_s", -1.0),
    ],
)
def test_wrong_settings_are_named(knob, value):
    with pytest.raises(ValueError, match=knob):
        Kpa(**{knob: value})


def test_labels():
    policy = Kpa(np.array([0.3, 0.75]))
    assert (policy.name, policy.n_settings) == ("kpa", 2)
    assert policy.label(1) == "target 0.75 of capacity"
