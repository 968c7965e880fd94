"""Holt-Winters with additive trend and season and fixed smoothing, one point at a time.

    l_t = alpha (y_t - s_{t-S}) + (1 - alpha) (l_{t-1} + b_{t-1})
    b_t = beta (l_t - l_{t-1}) + (1 - beta) b_{t-1}
    s_t = gamma (y_t - l_{t-1} - b_{t-1}) + (1 - gamma) s_{t-S}
    forecast of y_{t+1} = l_t + b_t + s_{t+1-S}

Initial values come from the first N = max(2S, 10 + 2h) points, h = floor(S / 2), by the usual
heuristic (Hyndman et al., Forecasting with Exponential Smoothing, 2008, section 2.6.1):

1. Trend m_t for t = h .. N-1-h: the centred moving average over S points; for even S the mean of
   its two neighbours, that is 2h + 1 points with half weight on both ends.
2. Season: s_p = mean of y_t - m_t over those t with t mod S = p, less the mean of all s_p.
3. Line: least squares of m_h .. m_{h+9} on x = 1 .. 10 gives m = a + b x. Then b_{-1} = b, and
   l_{-1} = a - h b: the line taken back to just before the first point.

The recursion then runs over the N points themselves. A series that is a line plus a season is
forecast without error from then on, for any smoothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.simulator.policies.view import BoolArray, FloatArray

N_LINE_POINTS = 10


@dataclass(frozen=True, slots=True)
class Smoothing:
    """Smoothing parameters in [0, 1], broadcastable to the series: level, trend, season."""

    alpha: FloatArray
    beta: FloatArray
    gamma: FloatArray


@dataclass(frozen=True, slots=True)
class HoltWintersState:
    """State after the last point; arrays of one shape, NaN where there are too few points.

    Attributes:
        level: l_t.
        trend: b_t.
        season: S arrays s_{t+1-S} .. s_t: the next point's first.
    """

    level: FloatArray
    trend: FloatArray
    season: tuple[FloatArray, ...]

    def forecast(self) -> FloatArray:
        """One point ahead."""
        return self.level + self.trend + self.season[0]


def n_initial_points(n_season: int) -> int:
    """Points that the initial values need for a season of `n_season` points."""
    return max(2 * n_season, N_LINE_POINTS + 2 * (n_season // 2))


def advance(state: HoltWintersState, point: FloatArray, by: Smoothing) -> HoltWintersState:
    """The state after one more point; an unknown point is taken to be as forecast."""
    expected = state.level + state.trend
    known = np.where(np.isfinite(point), point, state.forecast())
    level = by.alpha * (known - state.season[0]) + (1.0 - by.alpha) * expected
    trend = by.beta * (level - state.level) + (1.0 - by.beta) * state.trend
    season = by.gamma * (known - expected) + (1.0 - by.gamma) * state.season[0]
    return HoltWintersState(level, trend, (*state.season[1:], season))


def initial_values(points: FloatArray, n_season: int) -> HoltWintersState:
    """The state before the first point.

    Args:
        points: (N, ...) the first points, oldest first; an element with a NaN stays NaN.
        n_season: Points per season S, at least 2.

    Raises:
        ValueError: If S is below 2, or N is not `n_initial_points(S)`.
    """
    if n_season < 2:
        raise ValueError(f"n_season={n_season} must be >= 2")
    if points.shape[0] != n_initial_points(n_season):
        raise ValueError(f"{points.shape[0]} points, must be {n_initial_points(n_season)}")
    half = n_season // 2
    trend_line = _centred_mean(points, n_season)
    detrended = points[half : half + trend_line.shape[0]] - trend_line
    phase = (half + np.arange(trend_line.shape[0])) % n_season
    season = np.stack([detrended[phase == p].mean(axis=0) for p in range(n_season)])
    season = season - season.mean(axis=0)

    x = np.arange(1.0, N_LINE_POINTS + 1.0)
    x_mean = x.mean()
    line = trend_line[:N_LINE_POINTS]
    slope = np.tensordot(x - x_mean, line, axes=1) / ((x - x_mean) ** 2).sum()
    level = line.mean(axis=0) - slope * (x_mean + half)
    return HoltWintersState(level, slope, tuple(season))


def fit(points: FloatArray, n_season: int, by: Smoothing) -> HoltWintersState:
    """The state after the first points (N, ...): initial values, then the recursion over them."""
    state = initial_values(points, n_season)
    for point in points:
        state = advance(state, point, by)
    return state


def _centred_mean(points: FloatArray, n_season: int) -> FloatArray:
    """(N - 2h, ...) centred moving average over a season."""
    before = np.zeros((1, *points.shape[1:]))
    sums = np.concatenate([before, np.cumsum(points, axis=0)])
    mean: FloatArray = (sums[n_season:] - sums[:-n_season]) / n_season
    return mean if n_season % 2 else (mean[:-1] + mean[1:]) / 2.0


@dataclass(frozen=True, slots=True)
class SeasonalSeries:
    """Many series on their way to initial values, and the recursion of those that have them.

    Attributes:
        points: The last points, gaps filled with the point before; NaN before the first known one.
            Empty once every series has its initial values.
        smoothed: State of the recursion; None before any series has enough points.
    """

    points: tuple[FloatArray, ...] = ()
    smoothed: HoltWintersState | None = None

    def with_point(self, point: FloatArray, n_season: int, by: Smoothing) -> SeasonalSeries:
        """The series after one more point each, NaN where unknown."""
        smoothed = None if self.smoothed is None else advance(self.smoothed, point, by)
        if smoothed is not None and np.all(np.isfinite(smoothed.level)):
            return SeasonalSeries((), smoothed)
        before = self.points[-1] if self.points else np.full(point.shape, np.nan)
        filled = np.where(np.isfinite(point), point, before)
        n_kept = n_initial_points(n_season)
        points = (*self.points, filled)[-n_kept:]
        if len(points) < n_kept:
            return SeasonalSeries(points, smoothed)
        is_first = np.isfinite(points[0])
        if smoothed is not None:
            is_first &= ~np.isfinite(smoothed.level)
        if is_first.any():
            fitted = fit(np.stack(points), n_season, by)
            smoothed = fitted if smoothed is None else _chosen(is_first, fitted, smoothed)
        return SeasonalSeries(points, smoothed)


def _chosen(is_first: BoolArray, a: HoltWintersState, b: HoltWintersState) -> HoltWintersState:
    """`a` where `is_first`, else `b`."""
    season = (np.where(is_first, x, y) for x, y in zip(a.season, b.season, strict=True))
    return HoltWintersState(
        np.where(is_first, a.level, b.level), np.where(is_first, a.trend, b.trend), tuple(season)
    )
