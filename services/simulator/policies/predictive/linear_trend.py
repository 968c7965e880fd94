"""Straight line through the last points of many series at once, by ordinary least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.simulator.policies.view import FloatArray


@dataclass(frozen=True, slots=True)
class RecentPoints:
    """The last known points of each series, newest first; NaN where there are fewer.

    Attributes:
        times_s: (P, G, W) time of each point in epoch seconds.
        values: (P, G, W) its value.
    """

    times_s: FloatArray
    values: FloatArray

    @staticmethod
    def empty(n_points: int, n_settings: int, n_workloads: int) -> RecentPoints:
        """Room for `n_points` points of each of G x W series."""
        nothing = np.full((n_points, n_settings, n_workloads), np.nan)
        return RecentPoints(nothing, nothing)

    def with_point(self, now_s: float, value: FloatArray) -> RecentPoints:
        """The points after one more at `now_s`; a series whose `value` is NaN keeps its own."""
        is_known = np.isfinite(value)
        times_s = np.concatenate([np.full((1, *value.shape), now_s), self.times_s[:-1]])
        values = np.concatenate([value[None], self.values[:-1]])
        if not is_known.all():
            times_s = np.where(is_known, times_s, self.times_s)
            values = np.where(is_known, values, self.values)
        return RecentPoints(times_s, values)


def extrapolated(points: RecentPoints, n_used: FloatArray, at_s: FloatArray) -> FloatArray:
    """Value at `at_s` of the least-squares line through each series' last points.

    It is the intercept of the regression on x = at_s - time. One point stands for itself.

    Args:
        points: The points, with distinct times within a series.
        n_used: Points used, at most; broadcastable to (G, W).
        at_s: Times asked for, in epoch seconds; broadcastable to (G, W).

    Returns:
        (G, W) values; NaN where a series has no point.
    """
    rank = np.arange(points.values.shape[0])[:, None, None]
    is_used = (rank < n_used) & np.isfinite(points.values)
    count = is_used.sum(axis=0)
    divisor = np.maximum(count, 1)
    ahead_s = np.where(is_used, at_s - points.times_s, 0.0)
    values = np.where(is_used, points.values, 0.0)
    ahead_mean_s = ahead_s.sum(axis=0) / divisor
    value_mean = values.sum(axis=0) / divisor
    centred_s = np.where(is_used, ahead_s - ahead_mean_s, 0.0)
    spread = (centred_s**2).sum(axis=0)
    slope = (centred_s * values).sum(axis=0) / np.where(spread > 0, spread, 1.0)
    return np.where(count > 0, value_mean - slope * ahead_mean_s, np.nan)
