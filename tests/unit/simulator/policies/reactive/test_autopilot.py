"""Autopilot's three recommenders against cases worked out by hand from their description."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.policies.reactive.autopilot import BUCKET_RATIO, AutopilotMW
from tests.unit.simulator.policies.reactive.autopilot_views import once, replay, see

NAN = float("nan")


class TestMovingWindow:
    @pytest.mark.parametrize(("percentile", "wanted"), [(50, 10), (51, 40), (75, 40), (0, 10)])
    def test_percentile_of_the_load_not_of_the_time(self, percentile, wanted):
        # one window: 4 x 10 and 1 x 40 are 40 of load each, so that half of it lies at 10;
        # by time, even the p75 would be 10
        policy = AutopilotMW(percentile, margin=0.0)
        assert once(policy, see([10, 10, 10, 10, 40], step_s=60)) == wanted

    @pytest.mark.parametrize(("percentile", "wanted"), [(42, 10), (44, 80)])
    def test_weights_halve_with_age(self, percentile, wanted):
        # weights 1/4, 1/2, 1: load 80/4 = 20 at 80 and 15 at 10, of which 15/35 = 42.9 %
        policy = AutopilotMW(percentile, half_life_s=300, margin=0.0)
        assert once(policy, see([80, 10, 10])) == wanted

    @pytest.mark.parametrize(("percentile", "wanted"), [(19, 10), (21, 80)])
    def test_without_decay_the_same_history_weighs_more(self, percentile, wanted):
        # 20 of load at 10, 80 at 80: 20 %
        policy = AutopilotMW(percentile, half_life_s=1e12, margin=0.0)
        assert once(policy, see([80, 10, 10])) == wanted

    @pytest.mark.parametrize(("percentile", "wanted"), [(33, 20), (34, 80)])
    def test_steps_of_one_window_weigh_the_same(self, percentile, wanted):
        # 5 x 80 / 2 = 200 in the older window, 5 x 20 = 100 in the newer: a third at 20
        policy = AutopilotMW(percentile, half_life_s=300, margin=0.0)
        assert once(policy, see([80] * 5 + [20] * 5, step_s=60)) == wanted

    def test_an_open_window_is_the_newest(self):
        # windows: 5 x 80 at half weight, 1 x 20: average (200 + 20) / (2.5 + 1) = 62.86
        policy = AutopilotMW(half_life_s=300, margin=0.0, statistic="average")
        assert once(policy, see([80] * 5 + [20], step_s=60)) == 63

    def test_weighted_average(self):
        # (1/4 * 80 + 1/2 * 10 + 10) / 1.75 = 20
        policy = AutopilotMW(half_life_s=300, margin=0.0, statistic="average")
        assert once(policy, see([80, 10, 10])) == 20

    def test_peak_of_its_window(self):
        policy = AutopilotMW(margin=0.0, statistic="peak", peak_window_s=600)
        assert once(policy, see([80, 10, 30])) == 30
        assert once(policy, see([80, 10, NAN])) == 10

    def test_margin(self):
        # 40 * 1.12 = 44.8
        assert once(AutopilotMW(95), see([40])) == 45

    def test_gaps_are_left_out(self):
        policy = AutopilotMW(half_life_s=300, margin=0.0, statistic="average")
        # (1/4 * 80 + 10) / 1.25 = 24
        assert once(policy, see([80, NAN, 10])) == 24

    def test_the_largest_recent_recommendation_is_published(self):
        policy = AutopilotMW(margin=0.0, hold_s=600, statistic="peak", peak_window_s=300)
        # the 9 is 300 s old, then 600 s, which is no longer younger than 600 s
        assert replay(policy, [9, 2, 1, 1]) == [9, 9, 2, 1]

    def test_without_hold_only_the_present_counts(self):
        policy = AutopilotMW(margin=0.0, hold_s=0, statistic="peak", peak_window_s=300)
        assert replay(policy, [9, 2, 1]) == [9, 2, 1]

    def test_no_demand_is_known_to_be_zero(self):
        for statistic in ("load_adjusted", "average", "peak"):
            policy = AutopilotMW(statistic=statistic)
            assert once(policy, see([0, 0], replicas=7)) == 0
            assert once(policy, see([NAN, NAN], replicas=7)) == 7

    def test_demand_beyond_the_buckets_asks_for_more_than_allowed(self):
        assert once(AutopilotMW(), see([1e9], high=50)) == 50

    def test_buckets_are_fine(self):
        # a bucket stands for the mean of its samples: within 1 % of each
        view = see(np.linspace(100, 200, 500), step_s=300)
        policy = AutopilotMW(50, half_life_s=1e12, margin=0.0)
        # half of the load of a uniform density on [100, 200] lies below sqrt(25000) = 158.1
        assert once(policy, view) == pytest.approx(158.1, rel=BUCKET_RATIO - 1)

    def test_time_cannot_run_backwards(self):
        policy = AutopilotMW()
        _, state = policy.decide(see([1, 2, 3]), policy.initial_state())
        with pytest.raises(ValueError, match="already seen"):
            policy.decide(see([1, 2]), state)

    @pytest.mark.parametrize(
        "bad",
        [
            {"percentile": 101},
            {"half_life_s": 0},
            {"margin": -1},
            {"hold_s": -1},
            {"statistic": "x"},
        ],
    )
    def test_wrong_knobs_are_named(self, bad):
        with pytest.raises(ValueError, match=next(iter(bad))):
            AutopilotMW(**bad)

    def test_label(self):
        policy = AutopilotMW(np.array([95.0, 99.0]))
        assert policy.label(1) == "load-adjusted p99, half-life 12 h + 12 %, held 1 h"
