"""Puts rows at any times on one regular grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.simulator.fleet.arrays import FloatArray, IntArray
from services.simulator.fleet.trace_file import TraceSeries
from services.simulator.fleet.trace_metadata import TraceError

STEPS_S = (1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
NEARLY = 0.8
"""A step may be so much shorter than the median gap: some steps then have no row."""


def interval_of(times_ms: Sequence[IntArray]) -> int | None:
    """Seconds of the grid that all times lie on; None where they are irregular.

    Args:
        times_ms: Sorted times of each workload, without repeats.
    """
    gaps = _gaps(times_ms)
    interval_ms = int(np.median(gaps))
    first = times_ms[0][0]
    is_whole = interval_ms % 1000 == 0 and first % 1000 == 0
    is_regular = not np.any(gaps % interval_ms) and all(
        (t[0] - first) % interval_ms == 0 for t in times_ms
    )
    return interval_ms // 1000 if is_whole and is_regular else None


def likely_interval(times_ms: Sequence[IntArray]) -> int:
    """The shortest usual step, in seconds, not far below the median gap of irregular times."""
    gap_s = float(np.median(_gaps(times_ms))) / 1000.0
    return next((step for step in STEPS_S if step >= NEARLY * gap_s), STEPS_S[-1])


def _gaps(times_ms: Sequence[IntArray]) -> IntArray:
    gaps = [np.diff(t) for t in times_ms if t.size > 1]
    if not gaps:
        raise TraceError("too short: one row per workload")
    return np.concatenate(gaps)


def averaged(workload: str, times_ms: IntArray, values: FloatArray, interval_s: int) -> TraceSeries:
    """Means of what was measured in each interval; NaN where nothing was.

    Args:
        workload: Its name.
        times_ms: (N,) sorted times.
        values: (N, D), NaN where unknown.
        interval_s: Length of an interval; intervals begin at multiples of it.
    """
    cell = times_ms // (1000 * interval_s)
    places, group = np.unique(cell, return_inverse=True)
    known = np.isfinite(values)
    total = np.zeros((places.size, values.shape[1]))
    count = np.zeros_like(total)
    np.add.at(total, group, np.where(known, values, 0.0))
    np.add.at(count, group, known)
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return TraceSeries(workload, places * interval_s, mean)
