"""The HPA against cases worked out by hand from the description of its algorithm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.simulator.policies.reactive.hpa import (
    DEFAULT_DOWN,
    DEFAULT_UP,
    Hpa,
    HpaConfig,
    HpaGrid,
    HpaObservation,
    HpaState,
    hpa_step,
)
from services.simulator.policies.reactive.hpa_limits import HpaScalingPolicy, HpaScalingRules
from services.simulator.policies.view import PolicyInput

WIDE_UP = HpaScalingRules((HpaScalingPolicy("Pods", 1000, 15.0),), 0.0)
FREE_DOWN = replace(DEFAULT_DOWN, stabilisation_s=0.0)
AT_60 = HpaConfig(target_percent=60, up=WIDE_UP, down=FREE_DOWN)


def see(load: float, *, ready: int = 10, now_s: float = 0.0, **changes: object) -> PolicyInput:
    fields: dict = {
        "now_s": now_s,
        "step_s": 60.0,
        "demand": np.array([load]),
        "ready": ready,
        "starting": 0,
        "pending": 0,
        "replicas": ready,
        "capacity_per_replica": 1.0,
        "min_replicas": 1,
        "max_replicas": 100,
    }
    return PolicyInput(**(fields | changes))


def once(config: HpaConfig, view: PolicyInput) -> int:
    policy = Hpa(config)
    return policy.decide(view, policy.initial_state())[0]


@pytest.mark.parametrize(
    ("load", "wanted"),
    [
        (6.0, 10),  # 60 % of a 60 % target: nothing to do
        (6.6, 10),  # 66/60 = 1.10, on the edge of the tolerance
        (6.7, 12),  # 67/60 > 1.10: ceil(67 * 10 / 60) = ceil(11.17)
        (6.699, 10),  # the integer per cent is 66: still within
        (5.4, 10),  # 54/60 = 0.90, on the edge
        (5.3, 9),  # ceil(53 * 10 / 60) = ceil(8.83)
        (7.7, 13),  # ceil(77 * 10 / 60) = ceil(12.83)
        (12.0, 20),  # an unclipped metric may exceed 1
        (0.0, 1),  # ceil(0) = 0, raised to min
        (90.0, 100),  # 150 wanted, clamped to max
    ],
)
def test_ratio_tolerance_and_bounds(load, wanted):
    assert once(AT_60, see(load)) == wanted


def test_exact_multiples_do_not_round_up():
    # 77/70 * 10 is 11.000000000000002 in floating point; the ratio of whole numbers is 11
    config = replace(AT_60, target_percent=70, tolerance=0.05)
    assert once(config, see(7.7)) == 11


def test_clipped_metric_climbs_in_steps():
    config = replace(AT_60, is_clipped=True)
    assert once(config, see(30.0)) == 17  # u = min(30, 10)/10 = 100 %: ceil(100 * 10 / 60)
    assert once(AT_60, see(30.0)) == 50


class TestUnreadyPods:
    def test_counted_as_idle_when_load_is_high(self):
        # 8 ready at 120 %, 8 starting: rho = 2; diluted 9.6/16 = 60 % is on target, so hold
        assert once(AT_60, see(9.6, ready=8, starting=8, replicas=16)) == 16

    def test_diluted_ratio_on_the_other_side_keeps_the_count(self):
        # 6.4/8 = 80 % > 60 %, but 6.4/16 = 40 % < 60 %
        assert once(AT_60, see(6.4, ready=8, starting=8, replicas=16)) == 16

    def test_diluted_ratio_still_high_scales_the_enlarged_set(self):
        # 16/16 = 100 %: ceil(100 * 16 / 60) = 27
        assert once(AT_60, see(16.0, ready=8, starting=4, pending=4, replicas=16)) == 27

    def test_proposal_against_the_direction_keeps_the_count(self):
        # spec 30 while only 12 pods exist: 12/12 = 100 % wants ceil(100*12/60) = 20 < 30
        assert once(AT_60, see(12.0, ready=8, starting=4, replicas=30)) == 30

    def test_not_counted_on_the_way_down(self):
        # 8 ready at 30 %: ceil(30 * 8 / 60) = 4, whatever is starting
        assert once(AT_60, see(2.4, ready=8, starting=8, replicas=16)) == 4

    def test_no_counted_pod_is_an_error_and_holds(self):
        assert once(AT_60, see(5.0, ready=0, starting=7, replicas=7)) == 7


def test_unknown_metric_holds_and_leaves_no_recommendation():
    policy = Hpa(AT_60)
    wanted, state = policy.decide(see(np.nan), policy.initial_state())
    assert wanted == 10
    assert np.isnan(state.proposals[-1].counts).all()


class TestGuards:
    def test_zero_replicas_is_off(self):
        assert once(AT_60, see(50.0, ready=0)) == 0

    def test_above_max_jumps_without_stabilisation_or_rate(self):
        slow = HpaScalingRules((HpaScalingPolicy("Pods", 1, 60.0),), 300.0)
        config = HpaConfig(down=slow)
        assert once(config, see(60.0, ready=100, max_replicas=40)) == 40

    def test_below_min_jumps_without_rate(self):
        slow = HpaScalingRules((HpaScalingPolicy("Pods", 1, 60.0),), 0.0)
        assert once(HpaConfig(up=slow), see(1.0, ready=2, min_replicas=9)) == 9

    def test_outside_the_bounds_the_metric_is_not_asked(self):
        # 6 / 60 % would be 10, and 60 / 60 % would be 100
        assert once(AT_60, see(6.0, ready=100, max_replicas=40)) == 40
        assert once(AT_60, see(60.0, ready=2, min_replicas=9)) == 9


class TestStabilisation:
    def test_down_waits_for_the_highest_recent_proposal(self):
        policy = Hpa(HpaConfig())
        state = policy.initial_state()
        replicas, seen = 10, []
        for i, load in enumerate([4.8, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0]):
            view = see(load, ready=replicas, now_s=60.0 * i)
            replicas, state = policy.decide(view, state)
            seen.append(replicas)
        # the initial record (10) holds until 300 s; the 8 of t=0 leaves at the same time
        assert seen == [10, 10, 10, 10, 10, 5, 5]

    def test_up_window_takes_the_lowest_proposal(self):
        up = replace(WIDE_UP, stabilisation_s=120.0)
        policy = Hpa(replace(AT_60, up=up))
        state = policy.initial_state()
        seen = []
        for i, load in enumerate([6.0, 9.0, 12.0, 12.0]):
            wanted, state = policy.decide(see(load, now_s=60.0 * i), state)
            seen.append(wanted)
        # t=60: the 10 of t=0 is within 120 s; t=120: 15 and 20 remain; t=180: only 20
        assert seen == [10, 10, 15, 20]


class TestRateLimits:
    def test_default_up_is_the_larger_of_four_pods_and_doubling(self):
        config = HpaConfig(target_percent=60)
        assert once(config, see(50.0, ready=2, step_s=15.0)) == 6
        assert once(config, see(50.0, ready=10, step_s=15.0)) == 20

    def test_select_min_and_disabled(self):
        least = replace(DEFAULT_UP, select="Min")
        assert once(HpaConfig(up=least), see(50.0, ready=2, step_s=15.0)) == 4
        assert once(HpaConfig(up=replace(DEFAULT_UP, select="Disabled")), see(50.0)) == 10

    def test_without_behavior_at_most_the_larger_of_double_and_four(self):
        config = HpaConfig(has_behavior=False)
        assert once(config, see(50.0, ready=1, step_s=15.0)) == 4
        assert once(config, see(50.0, ready=7, step_s=15.0)) == 14
        assert once(config, see(50.0, ready=1, step_s=45.0)) == 16
        assert once(config, see(50.0, ready=1, step_s=1e6)) == 84

    def test_a_step_of_minutes_may_rise_by_what_its_syncs_add_up_to(self):
        """+4 or twice as many in ten minutes held back what a controller does in one."""
        # 50 / 60 % is 84: 2, 6, 12, 24, 48, 96 after five syncs of 15 s
        assert once(HpaConfig(), see(50.0, ready=2, step_s=60.0)) == 48
        assert once(HpaConfig(), see(50.0, ready=2, step_s=600.0)) == 84

    def test_a_step_of_minutes_may_fall_by_what_its_syncs_add_up_to(self):
        down = HpaScalingRules((HpaScalingPolicy("Pods", 1, 60.0),), 0.0)
        assert once(HpaConfig(down=down), see(0.6, ready=20)) == 19
        assert once(HpaConfig(down=down), see(0.6, ready=20, step_s=600.0)) == 10

    def test_what_was_added_in_a_long_step_is_over_at_the_next(self):
        up = HpaScalingRules((HpaScalingPolicy("Pods", 4, 60.0),), 0.0)
        policy = Hpa(HpaConfig(up=up))
        replicas, state = policy.decide(see(90.0, step_s=300.0), policy.initial_state())
        assert replicas == 30
        view = see(90.0, ready=replicas, now_s=300.0, step_s=300.0)
        assert policy.decide(view, state)[0] == 50

    def test_a_period_longer_than_the_step_counts_what_was_added(self):
        up = HpaScalingRules((HpaScalingPolicy("Pods", 4, 120.0),), 0.0)
        policy = Hpa(HpaConfig(up=up))
        state = policy.initial_state()
        replicas, seen = 10, []
        for i in range(4):
            view = see(90.0, ready=replicas, now_s=60.0 * i)
            replicas, state = policy.decide(view, state)
            seen.append(replicas)
        # +4, then nothing left of the 120 s period until it has passed
        assert seen == [14, 14, 18, 18]

    def test_percent_down_truncates(self):
        down = HpaScalingRules((HpaScalingPolicy("Percent", 25, 60.0),), 0.0)
        assert once(HpaConfig(down=down), see(0.6, ready=10)) == 7  # trunc(7.5)


def test_arrays_agree_with_single_workloads():
    rng = np.random.default_rng(3)
    n = 50
    load, ready = rng.uniform(0, 30, n), rng.integers(0, 12, n).astype(float)
    unready = rng.integers(0, 5, n).astype(float)
    target = rng.integers(20, 90, n).astype(float)
    ones = np.ones(n)
    seen = HpaObservation(
        0.0, load, ready, unready, ready + unready, 1.3 * ones, ones, 40 * ones, target, 60.0
    )
    together, _ = hpa_step(seen, HpaConfig(), HpaState())
    for i in range(n):
        view = see(
            load[i],
            ready=int(ready[i]),
            starting=int(unready[i]),
            replicas=int(ready[i] + unready[i]),
            capacity_per_replica=1.3,
            max_replicas=40,
        )
        assert once(HpaConfig(target_percent=int(target[i])), view) == together[i]


@given(
    load=st.floats(0, 1e6),
    ready=st.integers(0, 60),
    starting=st.integers(0, 20),
    low=st.integers(0, 10),
    width=st.integers(0, 50),
    clipped=st.booleans(),
)
def test_bounds_always_hold(load, ready, starting, low, width, clipped):
    view = see(
        load,
        ready=ready,
        starting=starting,
        replicas=ready + starting,
        min_replicas=low,
        max_replicas=low + width,
    )
    wanted = once(HpaConfig(is_clipped=clipped), view)
    if ready + starting == 0 and low > 0:
        assert wanted == 0
    else:
        assert low <= wanted <= low + width


@given(load=st.floats(0.1, 50), target=st.integers(10, 95))
def test_constant_load_settles(load, target):
    policy = Hpa(HpaConfig(target_percent=target))
    state = policy.initial_state()
    replicas, seen = 5, []
    for i in range(40):
        view = see(load, ready=replicas, now_s=60.0 * i)
        replicas, state = policy.decide(view, state)
        seen.append(replicas)
    assert len(set(seen[-10:])) == 1


@pytest.mark.parametrize("bad", [{"target_percent": 0}, {"tolerance": -0.1}])
def test_wrong_settings_are_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        HpaConfig(**bad)


class TestGrid:
    TARGETS = np.array([20.0, 60.0, 95.0])

    @pytest.mark.parametrize("is_clipped", [False, True])
    @pytest.mark.parametrize("step_s", [15.0, 60.0, 600.0])
    def test_equals_one_controller_per_setting_and_workload(self, drive, is_clipped, step_s):
        config = HpaConfig(is_clipped=is_clipped)
        demand = np.random.default_rng(5).uniform(0, 30, (2, 25))
        demand[0, 7] = np.nan
        got = drive(HpaGrid(self.TARGETS, config), demand, ready=4, step_s=step_s)
        for g, target in enumerate(self.TARGETS):
            policy = Hpa(replace(config, target_percent=int(target)))
            for w in range(2):
                state, replicas = policy.initial_state(), 4
                for t in range(25):
                    view = see(demand[w, t], ready=replicas, now_s=step_s * t, step_s=step_s)
                    replicas, state = policy.decide(view, state)
                    assert got[t, g, w] == replicas

    def test_the_knob_replaces_the_configured_target(self, drive):
        # 9 / 60 %: 15; 9 / 90 %: 10
        got = drive(HpaGrid(np.array([60, 90]), AT_60), [9.0])
        assert got[0].tolist() == [[15], [10]]

    def test_starting_replicas_are_unready(self, drive):
        # as for one workload: diluted 16/16 = 100 % wants ceil(100 * 16 / 60) = 27
        got = drive(HpaGrid(60, AT_60), [16.0], ready=8, starting=8)
        assert got[0].tolist() == [[27]]

    def test_names_and_labels(self):
        grid = HpaGrid(self.TARGETS)
        assert (grid.name, grid.n_settings, grid.label(1)) == ("hpa", 3, "target 60 %")
        assert HpaGrid(60, HpaConfig(is_clipped=True)).name == "hpa_clipped"

    @pytest.mark.parametrize("bad", [0, 60.5, np.array([60, np.nan])])
    def test_targets_are_whole_per_cents(self, bad):
        with pytest.raises(ValueError, match="target_percent"):
            HpaGrid(bad)
