"""Counts that each setting of a trailing percentile asks for over a history, without running it.

Its counts depend on demand only, so that their cost is known at once, and the violations that it
has even if starts took no time at all: the bounds that spare `tuning` most of its grid.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

import numpy as np

from services.simulator.course import Course
from services.simulator.fleet.arrays import FloatArray
from services.simulator.policies import TrailingPercentileGrid
from services.simulator.policies.trailing_percentile import ordered_percentile
from services.simulator.policies.view import replicas_for


def trailing_schedules(
    course: Course,
    workload: int,
    windows_s: tuple[float, ...],
    percentiles: tuple[float, ...],
    margins: tuple[float, ...],
) -> Iterator[FloatArray]:
    """(margins, T) counts of a workload for each window and percentile, percentiles innermost."""
    seen, n_before = course.measured()[workload], course.history.shape[1]
    low, high = course.min_replicas[workload], course.max_replicas[workload]
    factors = 1.0 + np.array(margins)[:, None]
    for window_s in windows_s:
        n_window = int(TrailingPercentileGrid(window_s).n_window_steps(course.step_s)[0])
        for level in trailing_percentiles(seen, n_window, percentiles)[:, n_before:]:
            asked = np.clip(replicas_for(factors * level, course.capacity[workload]), low, high)
            yield _held(asked, float(course.initial[workload]))


def _held(asked: FloatArray, initial: float) -> FloatArray:
    """Replace unknown counts by the last known one."""
    if np.isfinite(asked).all():
        return asked
    columns = np.where(np.isfinite(asked[0]), np.arange(asked.shape[1]), -1)
    last = np.maximum.accumulate(columns)
    held = np.where(last >= 0, asked[:, np.maximum(last, 0)], initial)
    return np.asarray(held)


def trailing_percentiles(
    seen: FloatArray, n_window: int, percentiles: tuple[float, ...]
) -> FloatArray:
    """Percentiles of the window that ends before each step, gaps left out.

    Keeps the window sorted as it slides, so that the cost does not grow with the window.

    Args:
        seen: (T,) demand, NaN where unobserved.
        n_window: Steps in the window.
        percentiles: Percentiles with linear interpolation.

    Returns:
        (len(percentiles), T); NaN where the window holds no observation.
    """
    T = seen.size
    levels = np.full((T, len(percentiles)), np.nan)
    window: list[float] = []
    values = seen.tolist()
    is_known = np.isfinite(seen).tolist()
    for t in range(1, T):
        if is_known[t - 1]:
            insort(window, values[t - 1])
        gone = t - 1 - n_window
        if gone >= 0 and is_known[gone]:
            del window[bisect_left(window, values[gone])]
        if window:
            levels[t] = [ordered_percentile(window, p) for p in percentiles]
    return levels.T
