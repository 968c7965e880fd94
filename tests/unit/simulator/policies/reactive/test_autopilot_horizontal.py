"""The horizontal recommender, stabiliser by stabiliser."""

from __future__ import annotations

import pytest

from services.simulator.policies.reactive.autopilot_horizontal import AutopilotH
from tests.unit.simulator.policies.reactive.autopilot_views import once, replay, see

NAN = float("nan")


def horizontal(**knobs):
    free = {
        "target_ratio": 0.5,
        "defer_s": 0,
        "min_change_ratio": 0,
        "max_initialising_ratio": 0.99,
    }
    return AutopilotH(**(free | knobs))


class TestHorizontal:
    def test_peak_of_five_minute_averages(self):
        # averages 3 and 5: 5 / 0.5 = 10; the largest single step, 9, does not count
        demand = [1, 2, 3, 4, 5, 9, 4, 4, 4, 4]
        assert once(horizontal(), see(demand, step_s=60)) == 10

    def test_p95_of_five_minute_averages(self):
        # averages 4 and 10: p95 is 4 + 0.95 * 6 = 9.7, over 0.5 is 19.4
        assert once(horizontal(statistic="p95"), see([4, 10])) == 20

    def test_an_open_window_waits(self):
        assert once(horizontal(), see([3, 3, 3, 3, 3, 50, 50], step_s=60)) == 6

    def test_the_lookback_ends(self):
        # 600 s are two windows: the 9 has left
        assert once(horizontal(lookback_s=600, target_ratio=1), see([9, 4, 3])) == 4

    def test_long_steps_are_their_own_windows(self):
        assert once(horizontal(target_ratio=1), see([4, 6], step_s=600)) == 6

    def test_downscaling_is_deferred(self):
        policy = horizontal(lookback_s=300, defer_s=900, target_ratio=1)
        # the 8 is published until it is 900 s old; then its gap of 6 decays by 2^(-1/12) a step:
        # 5.66 (6 to the nearest whole), 5.35, 5.05, 4.76
        assert replay(policy, [8, 2, 2, 2, 2, 2, 2]) == [8, 8, 8, 8, 7, 7, 7]

    def test_half_of_the_gap_per_hour(self):
        # steps of 30 min from 9 to 1: the gap is 8 * 2^(-1/2) = 5.66, 4, 2.83, 2, 1.41, 1, 0.71
        policy = horizontal(target_ratio=1)
        answers = replay(policy, [1] * 8, step_s=1800, replicas=9)
        # gaps of 5.66 - 0.5 rounded up: 6; 3.5: 4; 2.33: 3; 1.5: 2; 0.91: 1; 0.5: 1; 0.21: 1; 0
        assert answers == [7, 5, 4, 3, 2, 2, 2, 1]

    def test_up_at_once(self):
        assert replay(horizontal(target_ratio=1), [2, 9], replicas=2) == [2, 9]

    @pytest.mark.parametrize(("demand", "wanted"), [(21, 20), (22, 22), (20, 20)])
    def test_small_changes_are_dropped(self, demand, wanted):
        # one of twenty is 5 %; two are 10 %, which is not below
        policy = horizontal(min_change_ratio=0.1, target_ratio=1)
        assert once(policy, see([demand], replicas=20)) == wanted

    def test_a_slow_decay_is_not_lost_to_the_dropped_changes(self):
        policy = horizontal(min_change_ratio=0.1, target_ratio=1)
        answers = replay(policy, [5] * 400, step_s=300, replicas=40)
        # 5 + ceil(35 * 2^(-1/12) - 0.5) = 38 is dropped, 5 + ceil(35 * 2^(-2/12) - 0.5) = 36 is not
        assert answers[:2] == [40, 36]
        assert answers[-1] == 5

    @pytest.mark.parametrize(
        ("ratio", "ready", "replicas", "wanted"),
        [
            (0.5, 4, 4, 8),  # 4 of 8 initialise
            (0.2, 4, 4, 5),  # 1 of 5
            (0.2, 1, 1, 2),  # 1 / 0.8 = 1.25, but one start may always be under way
            (0.5, 4, 12, 12),  # 8 initialise already: no more, and no fewer
            (0.0, 0, 0, 1),
        ],
    )
    def test_growth_is_limited_by_what_initialises(self, ratio, ready, replicas, wanted):
        policy = horizontal(max_initialising_ratio=ratio)
        assert once(policy, see([50], replicas=replicas, ready=ready)) == wanted

    def test_unknown_demand_holds(self):
        assert once(horizontal(), see([NAN, NAN], replicas=7)) == 7
        assert once(horizontal(), see([5, 5], step_s=60, replicas=7)) == 7  # no whole window yet

    @pytest.mark.parametrize(
        "bad",
        [
            {"target_ratio": 0},
            {"lookback_s": 0},
            {"max_initialising_ratio": 1},
            {"statistic": "mean"},
        ],
    )
    def test_wrong_knobs_are_named(self, bad):
        with pytest.raises(ValueError, match=next(iter(bad))):
            AutopilotH(**bad)
