"""Counters of single pods as rates of steps, summed over pods that come and go. Pure numpy.

A rate is Prometheus' own (`rate(x[step])`, evaluated at the end of the step), so that what is
written and what is pulled are the same figure:

* Of each series the samples in `[step, step + step_s]` count, two at least. A counter that falls
  began anew: what it shows then is its rise since the sample before.
* The rise between the first and the last sample stands for the whole step: it is extrapolated to
  either end if that is no farther than 1.1 times the mean distance of two samples, else by half
  of that distance; and to the start no farther than to where the counter was 0.
* Rates are taken of each series and then summed: a pod that leaves is no reset of the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.ingest.series.resample import StepGrid
from services.ingest.series.samples import F64, I64, SECOND_US, Samples, join_samples, sort_unique

_FARTHEST = 1.1
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class _Parts:
    """What each series shows in each step, by their pairs (P,): times in seconds."""

    series: I64
    step: I64
    n: I64
    first: F64
    rise: F64
    sampled_s: F64
    before_s: F64
    after_s: F64


def series_rates(samples: Samples, n_series: int, grid: StepGrid) -> F64:
    """Rate per second of each series in each step, (n_series, T); NaN where it has none.

    Args:
        samples: Readings of counters; series in `0..n_series-1`.
        n_series: Number of series.
        grid: The steps.
    """
    rates = np.full((n_series, grid.n_steps), np.nan)
    parts = _parts(sort_unique(samples), grid)
    mean_s = parts.sampled_s / (parts.n - 1)
    before_s = np.where(parts.before_s < _FARTHEST * mean_s, parts.before_s, mean_s / 2)
    after_s = np.where(parts.after_s < _FARTHEST * mean_s, parts.after_s, mean_s / 2)
    since_zero_s = np.full(len(parts.n), np.inf)
    np.divide(parts.sampled_s * parts.first, parts.rise, out=since_zero_s, where=parts.rise > 0)
    reach_s = parts.sampled_s + np.minimum(before_s, since_zero_s) + after_s
    step_s = grid.step_us / SECOND_US
    rates[parts.series, parts.step] = parts.rise * reach_s / parts.sampled_s / step_s
    return rates


def _parts(samples: Samples, grid: StepGrid) -> _Parts:
    """Series and steps with two samples at least; a sample on a border is of both steps."""
    since_us = samples.at_us - grid.start_us
    on_border = samples.where(since_us % grid.step_us == 0)
    step = np.concatenate(
        [(since_us - 1) // grid.step_us, (on_border.at_us - grid.start_us) // grid.step_us]
    )
    both = join_samples([samples, on_border])
    inside = (step >= 0) & (step < grid.n_steps)
    both, step = both.where(inside), step[inside]
    order = np.lexsort((both.at_us, step, both.series))
    both, step = both.where(order), step[order]
    is_first = np.ones(len(both), dtype=bool)
    is_first[1:] = (both.series[1:] != both.series[:-1]) | (step[1:] != step[:-1])
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(both)) - 1
    rise = np.append(0.0, np.diff(both.value))
    rise = np.where(rise < 0, both.value, rise)
    rise[first] = 0.0
    total = np.add.reduceat(rise, first) if len(first) else np.zeros(0)
    kept = last > first
    first, last, total = first[kept], last[kept], total[kept]
    start_us = grid.start_us + step[first] * grid.step_us
    return _Parts(
        both.series[first],
        step[first],
        last - first + 1,
        both.value[first],
        total,
        (both.at_us[last] - both.at_us[first]) / SECOND_US,
        (both.at_us[first] - start_us) / SECOND_US,
        (start_us + grid.step_us - both.at_us[last]) / SECOND_US,
    )


def sum_rates(rates: F64) -> F64:
    """Sum over the series that have a rate in a step, (T,); NaN where none has."""
    known = np.isfinite(rates)
    return np.where(known.any(axis=0), np.where(known, rates, 0.0).sum(axis=0), np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """Cumulative buckets of one histogram, of several pods.

    Attributes:
        rates: (n_series, T) rate of each bucket of each pod.
        pod: (n_series,) the pod.
        edge_s: (n_series,) what the bucket counts up to, infinity for all.
    """

    rates: F64
    pod: I64
    edge_s: F64

    def counted(self, threshold_s: float) -> dict[str, F64]:
        """Rates of all, of those surely and of those perhaps within a threshold, (T,) each.

        Each pod goes by its own edges: the nearest to the threshold that a step has. Where one pod
        lacks a count that it should have, the step's is unknown: its bucket may still come.
        """
        n_steps = self.rates.shape[1]
        sums = {name: np.zeros(n_steps) for name in ("total", "good", "upto")}
        is_seen = np.zeros(n_steps, dtype=bool)
        for pod in np.unique(self.pod).tolist():
            mine = np.flatnonzero(self.pod == pod)
            rates, edges = self.rates[mine], self.edge_s[mine]
            seen = np.isfinite(rates).any(axis=0)
            found = {
                "total": _nearest(rates, edges, np.isposinf(edges)),
                "good": _nearest(rates, edges, edges <= threshold_s * (1 + _SAME)),
                "upto": _nearest(rates, -edges, edges >= threshold_s * (1 - _SAME)),
            }
            for name, values in found.items():
                sums[name] += np.where(seen, values, 0.0)
            is_seen |= seen
        return {name: np.where(is_seen, values, np.nan) for name, values in sums.items()}


def _nearest(rates: F64, key: F64, allowed: NDArray[np.bool_]) -> F64:
    """Per step the known rate of the allowed bucket with the largest key, (T,)."""
    found = np.full(rates.shape[1], np.nan)
    for row in np.argsort(key, kind="stable").tolist():
        if allowed[row]:
            found = np.where(np.isfinite(rates[row]), rates[row], found)
    return found
