"""Puts a trace's series on the fleet's step grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.simulator.fleet.arrays import BoolArray, FloatArray
from services.simulator.fleet.trace_file import TraceFile, TraceSeries
from services.simulator.fleet.trace_metadata import TraceError


def aligned(trace: TraceFile, step_s: int) -> tuple[list[TraceSeries], int]:
    """Series shifted by less than an interval onto the epoch-aligned grid, and the shift."""
    shift_s = int(trace.series[0].time_s[0]) % trace.interval_s
    for s in trace.series:
        if int(s.time_s[0]) % trace.interval_s != shift_s:
            raise TraceError(
                f"irregular grid: workload {s.workload!r} is not on the grid of the others"
            )
    return [replace(s, time_s=s.time_s - shift_s) for s in trace.series], shift_s


def resampled(series: TraceSeries, interval_s: int, step_s: int, is_flow: BoolArray) -> TraceSeries:
    """Merge intervals into steps: flows add up, levels are averaged.

    A step with at least half of its intervals known is known: a level is their mean, a flow their
    mean times the number of intervals. Otherwise it is unobserved. Intervals are the workload's
    own where its rows are farther apart than the file's.
    """
    k = step_s // interval_s
    own_s = series.interval_s
    n_own = max(1.0, step_s / max(interval_s, own_s or 0))
    first = -(-int(series.time_s[0]) // step_s) * step_s
    n = (int(series.time_s[-1]) + interval_s - first) // step_s
    D = series.values.shape[1]
    if n <= 0:
        return TraceSeries(series.workload, np.array([first]), np.full((1, D), np.nan), own_s)
    cell = (series.time_s - first) // interval_s
    inside = (cell >= 0) & (cell < n * k)
    dense = np.full((n * k, D), np.nan)
    dense[cell[inside]] = series.values[inside]
    blocks = dense.reshape(n, k, D)
    known = np.isfinite(blocks)
    n_known = known.sum(axis=1)
    mean = np.where(known, blocks, 0.0).sum(axis=1) / np.maximum(n_known, 1)
    merged = mean * np.where(is_flow, n_own, 1)
    merged[n_known * 2 < n_own] = np.nan
    merged[n_known == 0] = np.nan
    return TraceSeries(series.workload, first + step_s * np.arange(n), merged, own_s)


def panel(series: TraceSeries, start_s: int, T: int, step_s: int) -> FloatArray:
    """(T, D) values on the fleet's grid, NaN where there is no row."""
    panel = np.full((T, series.values.shape[1]), np.nan)
    cell = (series.time_s - start_s) // step_s
    inside = (cell >= 0) & (cell < T)
    panel[cell[inside]] = series.values[inside]
    return panel
