"""A line through the last points, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from services.simulator.policies.predictive.linear_trend import RecentPoints, extrapolated


@given(
    values=st.lists(st.integers(0, 90), min_size=2, max_size=12),
    gaps=st.lists(st.integers(1, 9), min_size=12, max_size=12),
    ahead_s=st.floats(0, 3600),
)
def test_line_agrees_with_numpy(values, gaps, ahead_s):
    times_s = 1.7e9 + 60.0 * np.cumsum(gaps[: len(values)])
    points = RecentPoints.empty(20, 1, 1)
    for at_s, value in zip(times_s, values, strict=True):
        points = points.with_point(float(at_s), np.array([[float(value)]]))
    got = extrapolated(points, np.array([[20.0]]), np.array([[times_s[-1] + ahead_s]]))
    slope, intercept = np.polyfit(times_s - times_s[-1], values, 1)
    assert got[0, 0] == pytest.approx(intercept + slope * ahead_s, abs=1e-6)
