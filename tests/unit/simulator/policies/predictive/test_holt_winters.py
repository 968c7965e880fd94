"""Additive Holt-Winters against its definition."""

from __future__ import annotations

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

NAN = float("nan")


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
