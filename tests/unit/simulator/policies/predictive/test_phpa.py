"""The predictive HPA and its two models against cases worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.simulator.policies.predictive.phpa import (
    PHPA_CONFIG,
    PhpaHoltWinters,
    PhpaLinear,
    PhpaRules,
)
from services.simulator.policies.reactive.hpa import HpaConfig, HpaGrid
from services.simulator.policies.reactive.hpa_limits import HpaScalingPolicy, HpaScalingRules

NAN = float("nan")

# ten replicas of capacity 1 at a target of 100 % and no tolerance: the proposal is the load
FREE = HpaConfig(
    tolerance=0.0,
    up=HpaScalingRules((HpaScalingPolicy("Pods", 1000, 15.0),), 0.0),
    down=HpaScalingRules((HpaScalingPolicy("Pods", 1000, 15.0),), 0.0),
)

RULES = PhpaRules(config=FREE)


def linear(history_size=6, look_ahead_s=60.0, **rules):
    return PhpaLinear(100, history_size, look_ahead_s, replace(RULES, **rules))


class TestLinear:
    def test_one_point_is_itself(self, path):
        assert path(linear(look_ahead_s=600), [12], fixed=True) == [12]

    def test_a_line_goes_on(self, path):
        assert path(linear(), [10, 12, 14], fixed=True) == [10, 14, 16]
        assert path(linear(look_ahead_s=120), [10, 12, 14], fixed=True)[-1] == 18

    def test_least_squares(self, path):
        # mean 11, slope (13 - 10) / 2 = 1.5 a step: 11 + 2 * 1.5 = 14 at one step ahead
        assert path(linear(), [10, 10, 13], fixed=True)[-1] == 14

    def test_prediction_is_rounded_up(self, path):
        # the same line at two steps ahead: 11 + 3 * 1.5 = 15.5
        assert path(linear(look_ahead_s=120), [10, 10, 13], fixed=True)[-1] == 16

    def test_only_the_last_points_count(self, path):
        assert path(linear(history_size=2), [90, 10, 12], fixed=True)[-1] == 14
        assert path(linear(history_size=1), [90, 10, 12], fixed=True)[-1] == 12

    def test_a_gap_is_no_point_and_holds(self, path):
        # points at 0 and 120 s: slope 2 a step. The gap holds the ten replicas that there are
        assert path(linear(), [12, NAN, 16], fixed=True) == [12, 10, 18]

    def test_a_gap_takes_no_place_in_the_history(self, path):
        assert path(linear(history_size=2), [12, NAN, 16], fixed=True)[-1] == 18

    def test_a_falling_line_does_not_go_below_the_proposal(self, path):
        assert path(linear(), [16, 14, 12], fixed=True) == [16, 14, 12]

    def test_line_below_zero_is_bounded(self, path):
        policy = linear(look_ahead_s=6000, decision="minimum")
        assert path(policy, [16, 14], fixed=True) == [16, 1]

    def test_history_is_per_workload(self, drive):
        demand = [[10, NAN, 14], [NAN, NAN, 14]]
        got = drive(linear(), demand, fixed=True)
        assert got[-1].tolist() == [[16, 14]]

    def test_sizes_and_horizons_per_setting(self, drive):
        policy = PhpaLinear(100, np.array([6, 2, 6]), np.array([60.0, 60.0, 120.0]), RULES)
        # 10, 10, 13: of three points 14 and 15.5; of two points 16
        assert drive(policy, [10, 10, 13], fixed=True)[-1].tolist() == [[14], [16], [16]]


class TestDecision:
    # 10, 12, 11: mean 11, slope 0.5 a step; proposal 11; two steps ahead 12.5 -> 13
    LOADS = (10, 12, 11)

    @pytest.mark.parametrize(
        ("decision", "wanted"), [("maximum", 13), ("minimum", 11), ("mean", 12), ("median", 12)]
    )
    def test_combines_proposal_and_prediction(self, path, decision, wanted):
        policy = linear(look_ahead_s=120, decision=decision)
        assert path(policy, self.LOADS, fixed=True)[-1] == wanted

    def test_mean_is_rounded_up(self, path):
        # one step ahead 12: (11 + 12) / 2 = 11.5
        assert path(linear(decision="mean"), self.LOADS, fixed=True)[-1] == 12


def test_prediction_stands_between_points(path):
    # points at 0 and 120 s: 10 and 14 make 16 at 180 s, which stands when the load is 8
    got = path(linear(steps_per_point=2), [10, 12, 14, 8], fixed=True)
    assert got == [10, 12, 16, 16]


class TestBehaviour:
    def test_policy_periods_are_a_minute(self, path):
        loads = [90.0] * 3
        got = path(PhpaLinear(60), loads, ready=2, step_s=30)
        # +4 at 0 s; at 30 s the minute's 4 are used up; at 60 s 100 % of 6
        assert got == [6, 6, 12]
        # the HPA's are 15 s, two in a step: 2, 6, 12, then 24, 48; 150 are wanted, 100 allowed
        assert path(HpaGrid(60), loads, ready=2, step_s=30) == [12, 48, 100]
        # and ten of a minute in a step of ten: 2, 6, 12, 24, 48, 96
        assert path(PhpaLinear(60), [90.0], ready=2, step_s=600) == [100]

    def test_prediction_is_stabilised_like_a_proposal(self, path):
        # 14 is predicted at 60 s and holds for the 300 s of the down window
        policy = PhpaLinear(100, rules=PhpaRules(config=replace(PHPA_CONFIG, tolerance=0.0)))
        assert path(policy, [10, 12] + 6 * [5]) == [10, 14, 14, 14, 14, 14, 5, 5]

    def test_guards_come_first(self, see, once):
        assert once(linear(), see(50.0, ready=100, high=40)) == 40
        assert once(linear(), see(50.0, ready=0)) == 0


class TestPhpaHoltWinters:
    SEASON = (10, 12, 16, 13)

    def policy(self, **rules):
        return PhpaHoltWinters(100, 4, rules=replace(RULES, **rules))

    def test_plain_hpa_until_there_are_enough_points_then_one_ahead(self, path):
        got = path(self.policy(), self.SEASON * 4, fixed=True)
        # 14 points are needed: the first forecast, at t = 13, is of t = 14
        assert got[:13] == list((self.SEASON * 4)[:13])
        assert got[13:] == [16, 16, 13]

    def test_points_of_the_history_that_is_shown_count(self, see, once):
        # the first sync sees 16 loads, 15 of which came before it, and forecasts the next one
        loads = self.SEASON * 4
        assert once(self.policy(decision="minimum"), see(loads)) == 10
        assert once(self.policy(decision="minimum"), see(loads[-13:])) == 13

    def test_coarse_points_of_the_history_end_at_the_first_sync(self, see, once):
        policy = PhpaHoltWinters(
            100, 8, rules=replace(RULES, steps_per_point=2, decision="minimum")
        )
        loads = np.stack([np.full(16, 99.0), self.SEASON * 4], axis=1).ravel()
        assert once(policy, see(loads)) == 10

    def test_decision_type_applies(self, path):
        got = path(self.policy(decision="minimum"), self.SEASON * 4, fixed=True)
        assert got[13:] == [12, 13, 10]

    def test_coarse_points(self, path):
        # every second load is a point: the season of 8 steps has 4 points
        policy = PhpaHoltWinters(100, 8, rules=replace(RULES, steps_per_point=2))
        loads = np.repeat(self.SEASON * 4, 2)
        got = path(policy, loads, fixed=True)
        assert got[:26] == list(loads[:26])
        # the forecast of step 28 (16) made at step 26 stands at step 27, and so on
        assert got[26:] == [16, 16, 16, 16, 13, 13]

    def test_gap_holds_and_the_season_keeps_its_place(self, path):
        loads = [*(self.SEASON * 4), NAN, 12.0]
        assert path(self.policy(), loads, fixed=True)[-2:] == [10, 16]

    def test_smoothing_per_setting(self, drive):
        loads = [[*(self.SEASON * 4), 20, 12]]
        policy = PhpaHoltWinters(100, 4, np.array([0.0, 1.0]), 0.0, 0.0, RULES)
        # at t = 16 the load is 10 more than its season. With alpha 0 the level ignores it, so the
        # forecast of t = 17 is 12; with alpha 1 the level takes all of it, so it is 22
        assert drive(policy, loads, fixed=True)[16].tolist() == [[20], [22]]


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: PhpaLinear(0), "target_percent"),
        (lambda: PhpaLinear(np.array([50, 60.5])), "target_percent"),
        (lambda: PhpaLinear(50, history_size=0), "history_size"),
        (lambda: PhpaLinear(50, look_ahead_s=-1.0), "look_ahead_s"),
        (lambda: PhpaHoltWinters(50, 4, alpha=1.1), "alpha"),
        (lambda: PhpaHoltWinters(50, 4, gamma=-0.1), "gamma"),
        (lambda: PhpaHoltWinters(50, 1), "season_steps"),
        (lambda: PhpaHoltWinters(50, 9, rules=PhpaRules(steps_per_point=2)), "season_steps"),
        (lambda: PhpaRules(steps_per_point=0), "steps_per_point"),
        (lambda: PhpaRules(decision="sum"), "decision"),
    ],
)
def test_wrong_settings_are_named(make, named):
    with pytest.raises(ValueError, match=named):
        make()


def test_labels():
    targets = np.array([50, 60])
    line, waves = PhpaLinear(targets), PhpaHoltWinters(targets, 144, alpha=0.2)
    assert (line.name, line.n_settings) == ("phpa_linear", 2)
    assert (waves.name, waves.n_settings) == ("phpa_holt_winters", 2)
    assert line.label(1) == "target 60 %, line of 6 points 60 s ahead"
    assert waves.label(0) == "target 50 %, season 144 steps, smoothing 0.2/0.05/0.3"
    clipped = PhpaRules(config=replace(PHPA_CONFIG, is_clipped=True))
    assert PhpaLinear(50, rules=clipped).name == "phpa_linear_clipped"
