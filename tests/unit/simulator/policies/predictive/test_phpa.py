"""The predictive HPA and its two models against cases worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.simulator.policies.predictive.holt_winters import (
    HoltWintersState,
    SeasonalSeries,
    Smoothing,
    advance,
    fit,
    initial_values,
    n_initial_points,
)
from services.simulator.policies.predictive.linear_trend import RecentPoints, extrapolated
from services.simulator.policies.predictive.phpa import (
    PHPA_CONFIG,
    PhpaHoltWinters,
    PhpaLinear,
    PhpaRules,
)
from services.simulator.policies.reactive.hpa import HpaConfig, HpaGrid, RatePolicy, ScalingRules

NAN = float("nan")
# ten replicas of capacity 1 at a target of 100 % and no tolerance: the proposal is the load
FREE = HpaConfig(
    tolerance=0.0,
    up=ScalingRules((RatePolicy("Pods", 1000, 15.0),), 0.0),
    down=ScalingRules((RatePolicy("Pods", 1000, 15.0),), 0.0),
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
        assert path(HpaGrid(60), loads, ready=2, step_s=30) == [6, 12, 24]

    def test_prediction_is_stabilised_like_a_proposal(self, path):
        # 14 is predicted at 60 s and holds for the 300 s of the down window
        policy = PhpaLinear(100, rules=PhpaRules(config=replace(PHPA_CONFIG, tolerance=0.0)))
        assert path(policy, [10, 12] + 6 * [5]) == [10, 14, 14, 14, 14, 14, 5, 5]

    def test_guards_come_first(self, see, once):
        assert once(linear(), see(50.0, ready=100, high=40)) == 40
        assert once(linear(), see(50.0, ready=0)) == 0


class TestHoltWintersRecursion:
    BY = Smoothing(*(np.array(x) for x in (0.5, 0.2, 0.4)))

    def state(self):
        season = (np.array(2.0), np.array(-2.0))
        return HoltWintersState(np.array(10.0), np.array(1.0), season)

    def test_one_point_by_hand(self):
        after = advance(self.state(), np.array(14.0), self.BY)
        assert after.level == pytest.approx(0.5 * (14 - 2) + 0.5 * (10 + 1))  # 11.5
        assert after.trend == pytest.approx(0.2 * (11.5 - 10) + 0.8 * 1)  # 1.1
        assert after.season[0] == -2.0
        assert after.season[1] == pytest.approx(0.4 * (14 - 10 - 1) + 0.6 * 2)  # 2.4
        assert after.forecast() == pytest.approx(11.5 + 1.1 - 2)

    def test_a_gap_counts_as_forecast(self):
        gap = advance(self.state(), np.array(NAN), self.BY)
        # 10 + 1 + 2 = 13 as forecast: level 11, trend 1, season 2 stay on their line
        assert [gap.level, gap.trend, *gap.season] == pytest.approx([11, 1, -2, 2])


class TestHoltWintersInitialValues:
    def test_points_needed(self):
        # 2S, and 10 + 2 floor(S / 2)
        assert [n_initial_points(s) for s in (2, 3, 8, 9, 10, 144)] == [12, 12, 18, 18, 20, 288]

    def test_line_and_season_by_hand(self):
        # 3 + 2 t, plus 1 on even and less 1 on odd t: 4, 4, 8, 8, ...
        t = np.arange(12.0)
        state = initial_values(3 + 2 * t + np.where(t % 2 == 0, 1, -1), 2)
        # m_1 = (4 / 2 + 4 + 8 / 2) / 2 = 5 = 3 + 2: on the line; before the first point it is 1
        assert [state.level, state.trend, *state.season] == pytest.approx([1, 2, 1, -1])

    def test_one_peak_by_hand(self):
        # S = 3, one 9 at t = 4: m_t = 3 for t = 3, 4, 5, else 0 over t = 1 .. 10
        points = np.zeros(12)
        points[4] = 9
        state = initial_values(points, 3)
        # y - m is -3, 6, -3 at t = 3, 4, 5 (phases 0, 1, 2), else 0. Phases 0 and 2 have the
        # three centres 3, 6, 9 and 2, 5, 8; phase 1 has four: 1, 4, 7, 10
        raw = np.array([-3 / 3, 6 / 4, -3 / 3])
        assert list(state.season) == pytest.approx(list(raw - raw.mean()))
        # line: mean 0.9; sum of (x - 5.5) m = 3 (-2.5 - 1.5 - 0.5) = -13.5; 82.5 below
        slope = -13.5 / 82.5
        assert state.trend == pytest.approx(slope)
        assert state.level == pytest.approx(0.9 - slope * (5.5 + 1))

    def test_too_few_points_are_refused(self):
        with pytest.raises(ValueError, match="must be 12"):
            initial_values(np.zeros(11), 2)
        with pytest.raises(ValueError, match="n_season"):
            initial_values(np.zeros(12), 1)


@given(
    intercept=st.floats(-50, 50),
    slope=st.floats(-3, 3),
    season=st.lists(st.floats(-20, 20), min_size=2, max_size=9),
    smoothing=st.tuples(*(st.floats(0, 1) for _ in range(3))),
)
def test_a_line_plus_a_season_is_forecast_exactly(intercept, slope, season, smoothing):
    n = n_initial_points(len(season))
    t = np.arange(n + len(season) + 1)
    values = intercept + slope * t + np.array(season)[t % len(season)]
    by = Smoothing(*(np.array(x) for x in smoothing))
    state = fit(values[:n], len(season), by)
    for value in values[n:]:
        assert state.forecast() == pytest.approx(value, abs=1e-7)
        state = advance(state, np.array(value), by)


class TestSeasonalSeries:
    BY = Smoothing(*(np.array([[x]]) for x in (0.5, 0.1, 0.3)))

    def grow(self, points):
        series = SeasonalSeries()
        for point in points:
            series = series.with_point(point, 4, self.BY)
        return series

    def test_one_point_at_a_time_equals_a_fit_of_all(self):
        points = np.random.default_rng(1).uniform(0, 9, (40, 1, 3))
        whole = fit(points[:14], 4, self.BY)
        for point in points[14:]:
            whole = advance(whole, point, self.BY)
        got = self.grow(points)
        assert got.points == ()
        np.testing.assert_allclose(got.smoothed.forecast(), whole.forecast())

    def test_a_late_series_is_like_one_alone(self):
        points = np.random.default_rng(2).uniform(0, 9, (40, 1, 3))
        points[:11, 0, 2] = NAN
        together = self.grow(points).smoothed.forecast()
        alone = self.grow(points[11:, :, 2:]).smoothed.forecast()
        early = self.grow(points[:, :, :2]).smoothed.forecast()
        np.testing.assert_allclose(together, np.concatenate([early, alone], axis=1))

    def test_an_early_gap_repeats_the_point_before(self):
        points = np.random.default_rng(3).uniform(0, 9, (14, 1, 1))
        points[5] = points[4]
        holed = points.copy()
        holed[5] = NAN
        np.testing.assert_array_equal(
            self.grow(holed).smoothed.forecast(), self.grow(points).smoothed.forecast()
        )

    def test_a_series_without_a_point_stays_unknown(self):
        points = np.full((40, 1, 2), 5.0)
        points[:, 0, 1] = NAN
        got = self.grow(points).smoothed.forecast()[0]
        assert got[0] == pytest.approx(5.0)
        assert np.isnan(got[1])


class TestPhpaHoltWinters:
    SEASON = (10, 12, 16, 13)

    def policy(self, **rules):
        return PhpaHoltWinters(100, 4, rules=replace(RULES, **rules))

    def test_plain_hpa_until_there_are_enough_points_then_one_ahead(self, path):
        got = path(self.policy(), self.SEASON * 4, fixed=True)
        # 14 points are needed: the first forecast, at t = 13, is of t = 14
        assert got[:13] == list((self.SEASON * 4)[:13])
        assert got[13:] == [16, 16, 13]

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


@given(
    values=st.lists(st.integers(0, 90), min_size=2, max_size=12),
    gaps=st.lists(st.integers(1, 9), min_size=12, max_size=12),
    ahead_s=st.floats(0, 3600),
)
def test_line_agrees_with_numpy(values, gaps, ahead_s):
    times_s = 1.7e9 + 60.0 * np.cumsum(gaps[: len(values)])
    points = RecentPoints.empty(20, (1, 1))
    for at_s, value in zip(times_s, values, strict=True):
        points = points.with_point(float(at_s), np.array([[float(value)]]))
    got = extrapolated(points, np.array([[20.0]]), np.array([[times_s[-1] + ahead_s]]))
    slope, intercept = np.polyfit(times_s - times_s[-1], values, 1)
    assert got[0, 0] == pytest.approx(intercept + slope * ahead_s, abs=1e-6)


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
