"""The AIBrix autoscaler against cases worked out by hand from the description of its algorithm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.simulator.policies.reactive.apa import Apa

NAN = float("nan")
# capacity 2: a target of 1 per pod
AT_1 = {"capacity": 2.0}
HALF = 0.5


@pytest.mark.parametrize(
    ("load", "wanted"),
    [
        (11.0, 10),  # ratio 1.1 is within the tolerance
        (11.1, 12),  # ceil(10 * 1.11)
        (19.5, 20),
        (25.0, 20),  # at most ceil(2 * 10)
        (9.0, 10),  # ratio 0.9 is within the tolerance
        (8.9, 9),
        (7.2, 8),
        (3.0, 5),  # at least floor(10 / 2)
        (0.0, 5),
    ],
)
def test_ten_pods(see, once, load, wanted):
    assert once(Apa(HALF), see(load, ready=10, step_s=15.0, **AT_1)) == wanted


def test_odd_counts_halve_downwards(see, once):
    assert once(Apa(HALF), see(1.0, ready=7, **AT_1)) == 3


def test_own_tolerances_and_rates(see, once):
    policy = Apa(HALF, up_tolerance=0.3, down_tolerance=0.4, max_up_rate=1.5, max_down_rate=5.0)
    assert once(policy, see(13.0, ready=10, **AT_1)) == 10
    assert once(policy, see(13.1, ready=10, **AT_1)) == 14
    assert once(policy, see(18.0, ready=10, step_s=15.0, **AT_1)) == 15
    assert once(policy, see(6.0, ready=10, **AT_1)) == 10
    assert once(policy, see(5.9, ready=10, **AT_1)) == 6
    assert once(policy, see(0.5, ready=10, **AT_1)) == 2


class TestStarting:
    def test_an_increase_never_cancels_starts(self, see, once):
        # 5 ready at ratio 1.4 want 7, but 10 are on their way
        assert once(Apa(HALF), see(7.0, ready=5, starting=5, **AT_1)) == 10

    def test_the_ready_pods_alone_are_multiplied(self, see, once):
        # 5 ready at ratio 1.8 want 9; the spec of 6 would want 11
        assert once(Apa(HALF), see(9.0, ready=5, starting=1, **AT_1)) == 9

    def test_a_decrease_counts_ready_pods(self, see, once):
        assert once(Apa(HALF), see(4.0, ready=5, starting=5, **AT_1)) == 4

    def test_without_a_ready_pod_one_is_assumed(self, see, once):
        view = see(5.0, ready=0, starting=1, step_s=15.0, **AT_1)
        assert once(Apa(HALF), view) == 2  # min(5, 2 * 1)


class TestLongSteps:
    """Twice as many in ten minutes held back what the program does in a quarter of one."""

    def test_an_increase_is_what_the_decisions_of_the_step_add_up_to(self, see, once):
        # 4 ready at ratio 20 want 80: 8, 16, 32, 64 in a minute
        assert once(Apa(HALF), see(80.0, ready=4, **AT_1)) == 64
        assert once(Apa(HALF), see(80.0, ready=4, step_s=600.0, **AT_1)) == 80

    def test_a_cooldown_says_how_many_they_are(self, see, once):
        # a decrease each 300 s: 32, 16, 8 in fifteen minutes
        assert once(Apa(HALF), see(1.0, ready=64, step_s=900.0, **AT_1)) == 8
        assert once(Apa(HALF), see(1.0, ready=64, step_s=300.0, **AT_1)) == 32
        slow = Apa(HALF, up_cooldown_s=300.0)
        assert once(slow, see(80.0, ready=4, step_s=600.0, **AT_1)) == 16


class TestCooldown:
    def test_the_first_decrease_does_not_wait(self, path):
        assert path(Apa(HALF), [5.0], ready=10, **AT_1) == [5]

    def test_down_waits_five_minutes_after_any_change(self, path):
        loads = [16.0] + [8.0] * 6
        assert path(Apa(HALF), loads, ready=10, **AT_1) == [16, 16, 16, 16, 16, 8, 8]

    def test_down_after_down_waits_too(self, path):
        loads = [4.0] * 7
        assert path(Apa(HALF), loads, ready=16, **AT_1) == [8, 8, 8, 8, 8, 4, 4]

    def test_up_does_not_wait_unless_told(self, path):
        assert path(Apa(HALF), [4.0, 8.0], ready=8, **AT_1) == [4, 8]
        slow = Apa(HALF, up_cooldown_s=120)
        assert path(slow, [4.0, 8.0, 8.0], ready=8, **AT_1) == [4, 4, 8]

    def test_a_change_that_bounds_prevent_is_none(self, see):
        policy = Apa(HALF)
        _, state = policy.decide(see(16.0, ready=10, high=10, **AT_1), policy.initial_state())
        assert state.changed_at_s[0, 0] == -np.inf


def test_bounds(see, once):
    assert once(Apa(HALF), see(19.0, ready=10, high=15, **AT_1)) == 15
    assert once(Apa(HALF), see(1.0, ready=10, low=7, **AT_1)) == 7


def test_unknown_demand_holds(see, once):
    assert once(Apa(HALF), see([16.0, NAN], ready=10, **AT_1)) == 10


@given(load=st.floats(0, 200), more=st.floats(0, 200), ready=st.integers(1, 60))
def test_more_demand_never_wants_fewer(see, once, load, more, ready):
    low, high = see(load, ready=ready, **AT_1), see(load + more, ready=ready, **AT_1)
    assert once(Apa(HALF), low) <= once(Apa(HALF), high)


@given(load=st.floats(0.1, 90), ready=st.integers(1, 100))
def test_constant_load_settles(path, load, ready):
    got = path(Apa(HALF), [load] * 60, ready=ready, **AT_1)
    assert len(set(got[-10:])) == 1
    # within the dead band, or a whole replica above the target
    assert load / got[-1] <= 1.1 + 1e-6
    assert got[-1] <= np.ceil(load / 0.9)


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("target_ratio", 0.0),
        ("up_tolerance", -0.1),
        ("down_tolerance", 1.1),
        ("max_up_rate", 1.0),
        ("max_down_rate", 1.0),
        ("up_cooldown_s", -1.0),
        ("down_cooldown_s", NAN),
    ],
)
def test_wrong_settings_are_named(knob, value):
    with pytest.raises(ValueError, match=knob):
        Apa(**{knob: value})


def test_labels():
    policy = Apa(np.array([0.3, 0.75]))
    assert (policy.name, policy.n_settings) == ("apa", 2)
    assert policy.label(0) == "target 0.3 of capacity"
