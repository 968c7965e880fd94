"""Autopilot's three recommenders against cases worked out by hand from their description."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.policies.grid import GridView
from services.simulator.policies.reactive.autopilot import BUCKET_RATIO, AutopilotMW
from services.simulator.policies.reactive.autopilot_horizontal import AutopilotH
from services.simulator.policies.reactive.autopilot_ml import AutopilotML

NAN = float("nan")
DAY_S = 86_400.0 * 20_000


def see(demand, *, step_s=300.0, now_s=None, replicas=3.0, ready=None, high=1000.0, low=0.0):
    """One setting, one workload; by default the history begins at midnight."""
    demand = np.atleast_2d(np.asarray(demand, dtype=float))
    spec = np.full((1, 1), replicas)
    return GridView(
        now_s=DAY_S + demand.shape[1] * step_s if now_s is None else now_s,
        step_s=step_s,
        demand=demand,
        ready=spec if ready is None else np.full((1, 1), float(ready)),
        starting=np.zeros((1, 1)),
        replicas=spec,
        capacity=np.ones(1),
        min_replicas=np.full(1, low),
        max_replicas=np.full(1, high),
    )


def once(policy, view):
    return float(policy.decide(view, policy.initial_state())[0][0, 0])


def replay(policy, demand, *, first=1, follows=True, **seen):
    """Answers at every boundary from the `first` completed step on."""
    state, answers = policy.initial_state(), []
    replicas = seen.pop("replicas", 3.0)
    for n in range(first, len(demand) + 1):
        wanted, state = policy.decide(see(demand[:n], replicas=replicas, **seen), state)
        answers.append(float(wanted[0, 0]))
        replicas = answers[-1] if follows else replicas
    return answers


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


def learner(**knobs):
    plain = {
        "change_weight": 0.0,
        "switch_weight": 0.0,
        "half_lives_s": (1e12,),
        "margins": (0.0,),
        "cost_half_life_s": 300.0,
    }
    return AutopilotML(**(plain | knobs))


class TestMl:
    @pytest.mark.parametrize(("weight", "wanted"), [(4, 8), (1, 5), (100, 10), (0.01, 1)])
    def test_a_limit_is_the_quantile_of_its_weights(self, weight, wanted):
        # needs 1..10: the smallest n with a share of weight / (weight + 1) at or below it
        assert once(learner(overrun_weight=weight), see(range(1, 11))) == wanted

    def test_margin(self):
        # 8 * 1.25 = 10
        assert once(learner(overrun_weight=4, margins=(0.25,)), see(range(1, 11))) == 10

    def test_memory_decays(self):
        # weights 1/4 for 9, then 1/2 and 1 for 2: 1/7 lies above 2, so that p80 is 2 and p90 is 9
        assert once(learner(overrun_weight=4, half_lives_s=(300.0,)), see([9, 2, 2])) == 2
        assert once(learner(overrun_weight=9, half_lives_s=(300.0,)), see([9, 2, 2])) == 9

    @pytest.mark.parametrize(("switch", "change", "wanted"), [(0.5, 0.5, 8), (2.0, 0.5, 4)])
    def test_the_cheapest_model_with_penalties(self, switch, change, wanted):
        # margins 0 and 100 % over the median 4: limits 4 and 8. A need of 8 charges the first
        # with half (cost half-life one step) of 4 = 2, the second with 0 plus the penalties.
        policy = learner(
            overrun_weight=1.0, margins=(0.0, 1.0), switch_weight=switch, change_weight=change
        )
        assert replay(policy, [4, 4, 4, 8], first=3) == [4, wanted]

    def test_underruns_are_charged(self):
        # the need of 8 costs (2, 0); the 4 idle replicas of the next step make it (1, 2)
        policy = learner(overrun_weight=1.0, margins=(0.0, 1.0))
        assert replay(policy, [4, 4, 4, 8, 4], first=3) == [4, 8, 4]

    @pytest.mark.parametrize(("price", "wanted"), [(0.6, 6), (0.7, 4)])
    def test_a_limit_is_left_for_more_than_the_price_of_a_change(self, price, wanted):
        # memory 1/3 at 4, 2/3 at 6: limit 4 costs 2/3 * 2 = 1.33, limit 6 1/3 * 2 = 0.67
        policy = learner(overrun_weight=1.0, half_lives_s=(300.0,), change_weight=price)
        assert replay(policy, [4, 6]) == [4, wanted]

    @pytest.mark.parametrize(("price", "cost"), [(0.5, 1.25), (0.7, 1.0)])
    def test_a_change_of_limit_is_charged_to_the_model(self, price, cost):
        # as above: at a price of 0.5 the limit moves from 4 to 6, at 0.7 it stays. The need of 6
        # exceeds the limit of 4 by 2; half of 2, with the price of the change where there is one
        policy = learner(overrun_weight=1.0, half_lives_s=(300.0,), change_weight=price)
        _, state = policy.decide(see([4]), policy.initial_state())
        _, state = policy.decide(see([4, 6]), state)
        assert state.cost.item() == pytest.approx(cost)

    def test_a_gap_changes_nothing(self):
        policy = learner(overrun_weight=4, half_lives_s=(300.0,), margins=(0.0, 0.5))
        _, before = policy.decide(see([9, 2, 2]), policy.initial_state())
        wanted, after = policy.decide(see([9, 2, 2, NAN]), before)
        assert wanted == 2
        np.testing.assert_array_equal(before.weight, after.weight)
        np.testing.assert_array_equal(before.cost, after.cost)

    def test_unknown_demand_holds_until_it_is_known(self):
        assert replay(learner(), [NAN, NAN, 5], replicas=7) == [7, 7, 5]

    @pytest.mark.parametrize(
        "bad", [{"overrun_weight": 0}, {"margins": (-1.0,)}, {"half_lives_s": ()}]
    )
    def test_wrong_knobs_are_named(self, bad):
        with pytest.raises(ValueError, match=next(iter(bad))):
            AutopilotML(**bad)
