"""AWS predictive scaling: forecast, refresh, buffer and target tracking by hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.policies.grid import GridView
from services.simulator.policies.predictive.aws_predictive import AwsPredictive, weekly_load

NAN = float("nan")
HOUR_S = 3600.0
MONDAY_S = 4 * 86_400.0 + 7 * 86_400.0 * 2000
"""A Monday, 00:00 UTC: the epoch was a Thursday. Its hour of the week, from the epoch, is 96."""


def see(demand, *, step_s=HOUR_S, now_s=None, replicas=1.0, low=0.0, high=1000.0):
    """One setting, one workload; by default the history begins on a Monday."""
    demand = np.atleast_2d(np.asarray(demand, dtype=float))
    spec = np.full((1, 1), replicas)
    return GridView(
        now_s=MONDAY_S + demand.shape[1] * step_s if now_s is None else now_s,
        step_s=step_s,
        demand=demand,
        ready=spec,
        starting=np.zeros((1, 1)),
        replicas=spec,
        capacity=np.ones(1),
        min_replicas=np.full(1, low),
        max_replicas=np.full(1, high),
    )


def once(policy, view):
    return float(policy.decide(view, policy.initial_state())[0][0, 0])


def load_of(demand, **seen):
    return weekly_load(see(demand, **seen), 14 * 86_400.0)[0]


class TestForecast:
    def test_less_than_a_day_is_no_forecast(self):
        assert np.isnan(load_of(np.full(23, 5.0))).all()
        assert np.isfinite(load_of(np.full(24, 5.0))).all()

    def test_unknown_hours_do_not_make_up_a_day(self):
        assert np.isnan(load_of([*np.full(23, 5.0), NAN])).all()

    def test_below_a_week_the_hour_of_the_day_decides(self):
        # Monday 09:00 saw 20, Tuesday 09:00 saw 40: every day at 09:00, 30
        demand = np.full(48, 2.0)
        demand[[9, 33]] = 20.0, 40.0
        by_day = load_of(demand).reshape(7, 24)
        assert (by_day[:, 9] == 30.0).all()
        assert (by_day[:, [8, 10]] == 2.0).all()

    def test_the_hour_of_the_week_averages_two_weeks(self):
        # Monday 09:00 saw 20, a week later 40; other days at 09:00 saw 2
        demand = np.full(336, 2.0)
        demand[[9, 9 + 168]] = 20.0, 40.0
        load = load_of(demand)
        assert load[96 + 9] == 30.0
        assert np.delete(load, 96 + 9) == pytest.approx(2.0)

    def test_older_than_two_weeks_is_forgotten(self):
        demand = np.concatenate([np.full(168, 50.0), np.full(336, 2.0)])
        assert (load_of(demand) == 2.0).all()

    def test_a_missing_hour_of_the_week_takes_the_hour_of_the_day(self):
        demand = np.full(168, 6.0)
        demand[9] = NAN
        demand[9 + 24] = 12.0  # Tuesday; the other five days saw 6
        load = load_of(demand)
        assert load[96 + 9] == 7.0
        assert load[96 + 9 + 24] == 12.0

    def test_hours_are_means_of_complete_clock_hours(self):
        # steps of 20 min from 00:40: the first hour has one step only and is left out, and so
        # is the last; the day's 01:00 has 1, 2, NaN: 1.5
        demand = np.concatenate([[90.0], [1.0, 2.0, NAN], np.full(3 * 23, 4.0), [90.0]])
        now_s = MONDAY_S + 86_400.0 + HOUR_S + 1200.0
        load = load_of(demand, step_s=1200.0, now_s=now_s)
        assert load.reshape(7, 24)[0, 1] == 1.5
        assert np.nanmax(load) == 4.0

    def test_steps_longer_than_an_hour_are_refused(self):
        with pytest.raises(ValueError, match="step_s"):
            load_of(np.full(20, 1.0), step_s=7200.0)


def a_busy_nine(n_steps, *, last=1.0):
    """Five-minute steps from Monday on: 2, but 20 on Monday from 09:00 to 10:00."""
    demand = np.full(n_steps, 2.0)
    demand[108:120] = 20.0
    demand[-1] = last
    return demand


class TestFloor:
    @pytest.mark.parametrize(
        ("minute", "wanted"),
        [
            (530, 2),  # Tuesday 08:50
            (535, 20),  # 08:55: the buffer of 300 s before 09:00
            (540, 20),
            (590, 20),  # 09:50
            (595, 20),  # 09:55: the larger of this hour and the next
            (600, 2),
        ],
    )
    def test_capacity_is_ordered_by_the_buffer_ahead(self, minute, wanted):
        view = see(a_busy_nine(288 + minute // 5), step_s=300.0)
        assert once(AwsPredictive(target_ratio=1.0), view) == wanted

    def test_a_longer_buffer_orders_sooner(self):
        view = see(a_busy_nine(288 + 102), step_s=300.0)  # Tuesday 08:30
        assert once(AwsPredictive(target_ratio=1.0, buffer_s=1500.0), view) == 2
        assert once(AwsPredictive(target_ratio=1.0, buffer_s=1800.0), view) == 20

    def test_a_step_longer_than_the_buffer_orders_early_not_late(self):
        demand = np.full(144 + 53, 2.0)  # steps of 10 min up to Tuesday 08:50
        demand[54:60] = 20.0
        assert once(AwsPredictive(target_ratio=1.0), see(demand, step_s=600.0)) == 20

    def test_target_divides_the_load(self):
        # 20 / 0.6 = 33.3
        view = see(a_busy_nine(288 + 110), step_s=300.0)
        assert once(AwsPredictive(target_ratio=0.6), view) == 34

    def test_the_dynamic_policy_may_ask_for_more(self):
        view = see(a_busy_nine(288 + 110, last=26.0), step_s=300.0)
        assert once(AwsPredictive(target_ratio=1.0), view) == 26

    def test_the_maximum_is_honoured(self):
        view = see(a_busy_nine(288 + 110), step_s=300.0, high=11.0)
        assert once(AwsPredictive(target_ratio=1.0), view) == 11

    def test_unknown_demand_holds_but_the_forecast_may_raise(self):
        quiet = see(a_busy_nine(288 + 60, last=NAN), step_s=300.0, replicas=7.0)
        busy = see(a_busy_nine(288 + 110, last=NAN), step_s=300.0, replicas=7.0)
        assert once(AwsPredictive(target_ratio=1.0), quiet) == 7
        assert once(AwsPredictive(target_ratio=1.0), busy) == 20

    def test_forecasts_are_made_every_six_hours(self):
        policy = AwsPredictive(target_ratio=1.0)
        demand = np.full(36, 3.0)
        _, state = policy.decide(see(demand[:24]), policy.initial_state())
        first = state.load
        demand[24:] = 9.0
        for n in range(25, 30):
            _, state = policy.decide(see(demand[:n]), state)
            assert state.load is first
        _, state = policy.decide(see(demand[:30]), state)
        # Tuesday 00:00 to 06:00 saw 9 after Monday's 3
        assert state.load.reshape(7, 24)[0, 5] == 6.0
        assert state.load.reshape(7, 24)[0, 6] == 3.0


class TestTargetTracking:
    def replay(self, demand, *, cooldown_s, replicas=1.0):
        policy = AwsPredictive(target_ratio=0.5, scale_in_cooldown_s=cooldown_s)
        state, answers = policy.initial_state(), []
        for n in range(1, len(demand) + 1):
            view = see(demand[:n], step_s=60.0, replicas=replicas)
            wanted, state = policy.decide(view, state)
            replicas = float(wanted[0, 0])
            answers.append(replicas)
        return answers

    def test_scale_in_waits_for_the_cooldown(self):
        # out at t=0 (8 / 0.5 = 16); in again 180 s later; 120 s after that nothing, 180 s in
        demand = [8, 4, 4, 4, 2, 2, 2]
        assert self.replay(demand, cooldown_s=180.0) == [16, 16, 16, 8, 8, 8, 4]

    def test_scale_out_does_not_wait(self):
        assert self.replay([2, 4, 8], cooldown_s=600.0) == [4, 8, 16]

    def test_without_cooldown_it_follows(self):
        assert self.replay([8, 4, 2], cooldown_s=0.0) == [16, 8, 4]


@pytest.mark.parametrize(
    "bad",
    [
        {"target_ratio": 0},
        {"buffer_s": 3600},
        {"scale_in_cooldown_s": -1},
        {"refresh_s": 0},
        {"history_s": 3600},
    ],
)
def test_wrong_knobs_are_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        AwsPredictive(**bad)
