"""Puts rows at any times on one regular grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.simulator.fleet.arrays import FloatArray, IntArray
from services.simulator.fleet.trace_file import TraceSeries
from services.simulator.fleet.trace_metadata import TraceError

_HOUR_S, _DAY_S = 3600, 86_400
STEPS_S = (
    *(1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(hours * _HOUR_S for hours in (1, 2, 3, 4, 6, 8, 12)),
    _DAY_S,
)
"""Usual lengths of steps, in seconds."""
NEARLY = 0.8
"""A step may be so much shorter than the median gap: some steps then have no row."""
_CONCENTRATED = 0.7
"""Times keep to one place of their steps where they are as close as this (1: all on one place)."""
_EARLY = 0.125
"""A time so little before the end of a step, in steps, is one of the next that came early."""


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
    return _usual_step(times_ms, STEPS_S)


def spacing(times_ms: IntArray, step_s: int) -> int:
    """Seconds of the steps that one workload's irregular rows are averaged over; `step_s` at least.

    Those of a workload with a row in no more than every second step are farther apart, as its
    median gap has it: times that scatter have no common divisor (`own_interval`), and would share
    a longer step, or leave it empty, where they are not kept in its middle.

    Args:
        times_ms: (N,) its sorted times.
        step_s: Length of the steps of all.
    """
    n_steps = int(times_ms[-1] - times_ms[0]) // (1000 * step_s) + 1
    longer = [step for step in STEPS_S if step > step_s and step % step_s == 0]
    if times_ms.size < 2 or 2 * times_ms.size > n_steps + 1 or not longer:
        return step_s
    return _usual_step([times_ms], [step_s, *longer])


def _usual_step(times_ms: Sequence[IntArray], steps_s: Sequence[int]) -> int:
    gap_s = float(np.median(_gaps(times_ms))) / 1000.0
    return next((step for step in steps_s if step >= NEARLY * gap_s), steps_s[-1])


def _gaps(times_ms: Sequence[IntArray]) -> IntArray:
    gaps = [np.diff(t) for t in times_ms if t.size > 1]
    if not gaps:
        raise TraceError("too short: one row per workload")
    return np.concatenate(gaps)


def own_interval(time_s: IntArray, interval_s: int) -> int:
    """Seconds of the coarsest grid that a workload's own times lie on; `interval_s` at least."""
    gaps = np.diff(time_s)
    return max(interval_s, int(np.gcd.reduce(gaps))) if gaps.size else interval_s


def place_in_step(times_ms: IntArray, interval_s: int) -> int:
    """Milliseconds by which steps are to begin off the multiples of their length.

    Samples of a step each that come a little early and a little late are to lie in the middle of
    steps: at an edge two would share one, and the next would hold none. Times that keep to no place
    of the step leave the steps where they are.

    Args:
        times_ms: (N,) times of one workload.
        interval_s: Length of a step.
    """
    step = 1000 * interval_s
    turn = np.exp(2j * np.pi * (times_ms % step) / step).mean()
    if abs(turn) < _CONCENTRATED:
        return 0
    centre = float(np.angle(turn)) / (2 * np.pi) * step
    off = (times_ms - centre + step / 2) % step - step / 2
    place = (centre + float(np.median(off)) + _EARLY * step) % step - _EARLY * step
    return round(place - step / 2)


def _steps_of(times_ms: IntArray, interval_s: int, begin_ms: int) -> IntArray:
    return (times_ms - begin_ms) // (1000 * interval_s)


def steps_shared(times_ms: IntArray, interval_s: int, begin_ms: int) -> int:
    """Steps in which more than one row lies."""
    _, n_rows = np.unique(_steps_of(times_ms, interval_s, begin_ms), return_counts=True)
    return int(np.sum(n_rows > 1))


def averaged(
    workload: str, times_ms: IntArray, values: FloatArray, interval_s: int, begin_ms: int = 0
) -> TraceSeries:
    """Means of what was measured in each interval; NaN where nothing was.

    Args:
        workload: Its name.
        times_ms: (N,) sorted times.
        values: (N, D), NaN where unknown.
        interval_s: Length of an interval; intervals begin at multiples of it.
        begin_ms: How far off those multiples what is averaged begins (`place_in_step`).
    """
    places, group = np.unique(_steps_of(times_ms, interval_s, begin_ms), return_inverse=True)
    known = np.isfinite(values)
    total = np.zeros((places.size, values.shape[1]))
    count = np.zeros_like(total)
    np.add.at(total, group, np.where(known, values, 0.0))
    np.add.at(count, group, known)
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return TraceSeries(workload, places * interval_s, mean)
