"""The two arms that the trust gate compares on past demand, under one rule of lead times.

Shapes: T steps, R settings of the trailing percentile. A count is asked for at the start of a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from decider.belief.capacity import replicas_needed
from decider.config import FallbackConfig, TrailingRule
from decider.planning.fallback import LEAST_CHANGES, scatter_of_changes
from decider.tables.soft_response import Soft
from decider.types import FloatArray

WINDOWS_STEPS = (12, 36, 144)
PERCENTILES = (0.9, 0.98, 1.0)
MARGINS = (0.0, 0.1, 0.25, 0.5)
_REACH = 8.0
"""Logarithms of loads on both sides of the median capacity that a response is tabulated over."""
_N_LOADS = 1601


def trailing_grid(longest_steps: int) -> tuple[TrailingRule, ...]:
    """R settings whose window is at most `longest_steps`; the shortest window is always there."""
    windows = [w for w in WINDOWS_STEPS if w <= longest_steps] or [min(WINDOWS_STEPS)]
    return tuple(TrailingRule(w, q, m) for w in windows for q in PERCENTILES for m in MARGINS)


def trailing_counts(
    demand: FloatArray,
    capacity: float,
    rules: tuple[TrailingRule, ...],
    step_s: float,
    config: FallbackConfig,
) -> FloatArray:
    """Counts that the ladder's trailing rung would have asked for at the start of each step.

    As `decider.planning.fallback`: the percentile of what was observed in the window, and at least
    the last observed demand, of short steps what the newest of them tell; both with the margin. The
    last one alone where too little was observed.

    Args:
        demand: (T,) demand of the steps; NaN where it was not observed.
        capacity: Load of one replica.
        rules: R settings.
        step_s: Step length.
        config: What the ladder calls stale and the last demand, and how many steps it needs.

    Returns:
        (R, T) counts; NaN where the last observed demand is unknown or stale.
    """
    known = np.where(np.isfinite(demand) & (demand >= 0), demand, np.nan)
    most_steps = math.floor(max(config.stale_after_s, step_s) / step_s + 1e-9)
    last = _last_known(known, _told(known, config.averaged_steps(step_s), config), most_steps)
    counts = np.empty((len(rules), known.size))
    for window in sorted({rule.window_steps for rule in rules}):
        chosen = [i for i, rule in enumerate(rules) if rule.window_steps == window]
        ordered, n_known = _sorted_windows(known, window)
        for i in chosen:
            level = _quantile(ordered, n_known, rules[i].percentile)
            level = np.where(n_known >= config.min_observed, np.fmax(level, last), last)
            load = np.where(np.isfinite(last), level, np.nan) * (1.0 + rules[i].margin_ratio)
            counts[i] = np.maximum(replicas_needed(load, np.asarray(capacity)), 0.0)
    return counts


def _told(known: FloatArray, n_steps: int, config: FallbackConfig) -> FloatArray:
    """(T,) last demand as the ladder takes it from each known step and those before it.

    Args:
        known: (T,) demand; NaN where it is unknown.
        n_steps: Newest steps that it follows from.
        config: How far above their mean they must rise to show more than chance.
    """
    if n_steps == 1 or known.size == 0:
        return known
    newest = _windows(known, n_steps)
    count = np.maximum(np.isfinite(newest).sum(axis=1), 1)
    mean = np.where(np.isfinite(known), np.nansum(newest, axis=1) / count, np.nan)
    if not math.isfinite(config.rise_deviations):
        return mean
    before = _windows(known, n_steps + config.n_scatter)[:, : config.n_scatter]
    scatter = _scatter(np.abs(np.diff(before, axis=1)))[:, None]
    backwards = newest[:, :0:-1]
    of = np.arange(1.0, backwards.shape[1] + 1.0)
    shown = np.cumsum(backwards, axis=1) / of - config.rise_deviations * scatter / np.sqrt(of)
    return np.asarray(np.fmax(mean, np.fmax.reduce(shown, axis=1)))


def _scatter(change: FloatArray) -> FloatArray:
    """(T,) standard deviation of single steps by the changes (T, K) between them; NaN: unknown."""
    found = np.full(change.shape[0], np.nan)
    is_told = np.isfinite(change).sum(axis=1) >= LEAST_CHANGES
    if is_told.any():
        found[is_told] = scatter_of_changes(change[is_told])
    return found


def _windows(known: FloatArray, size: int) -> FloatArray:
    """(T, size) each value behind those before it; NaN before the first."""
    return sliding_window_view(np.concatenate([np.full(size - 1, np.nan), known]), size)


def _last_known(known: FloatArray, told: FloatArray, most_steps: int) -> FloatArray:
    """(T,) what the newest known step before each one told.

    It is at most `most_steps` steps older than the one before.
    """
    at = np.where(np.isfinite(known), np.arange(known.size), -1)
    newest = np.concatenate([[-1], np.maximum.accumulate(at)[:-1]]) if at.size else at
    age = np.arange(known.size) - 1 - newest
    return np.where((newest >= 0) & (age <= most_steps), told[newest], np.nan)


def _sorted_windows(known: FloatArray, window: int) -> tuple[FloatArray, FloatArray]:
    """(T, window) values before each step in rising order, unknown ones last, and (T,) how many."""
    padded = np.concatenate([np.full(window, np.nan), known[:-1]])
    ordered = np.sort(sliding_window_view(padded, window), axis=1)
    return ordered, np.isfinite(ordered).sum(axis=1).astype(float)


def _quantile(ordered: FloatArray, n_known: FloatArray, level: float) -> FloatArray:
    """(T,) quantiles of the first `n_known` of each row, linear between order statistics."""
    place = np.maximum(n_known - 1.0, 0.0) * level
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(n_known - 1.0, 0.0).astype(np.int64))
    rows = np.arange(ordered.shape[0])
    below, above = ordered[rows, low], ordered[rows, high]
    return np.asarray(below + (place - low) * (above - below))


Missed = Callable[[FloatArray], FloatArray]
"""From counts that serve (R, T) to the share of each step out of SLA; NaN where it is unknown."""


def beyond_edge(need: FloatArray) -> Missed:
    """Of a capacity: a step is out of SLA as long as fewer serve than the (T,) that it needs."""

    def missed(ready: FloatArray) -> FloatArray:
        is_known = np.isfinite(ready) & np.isfinite(need)
        return np.where(is_known, (need > ready).astype(float), np.nan)

    return missed


def by_response(demand: FloatArray, response: Soft) -> Missed:
    """Of a response: what it says of the demand (T,) on the counts, as decisions are priced.

    A capacity with a sharp edge in its place would count all of a step beyond it as missed, where a
    hundredth of it is: it would judge what is decided by another law than it was decided by.
    """
    middle = float(np.median(np.log(response.draws.capacity)))
    log_loads = middle + np.linspace(-_REACH, _REACH, _N_LOADS)
    risks = response.risk(log_loads)

    def missed(ready: FloatArray) -> FloatArray:
        is_known = np.isfinite(ready) & np.isfinite(demand)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_load = np.log(demand / ready)
        share = np.interp(np.where(is_known, log_load, middle), log_loads, risks)
        return np.where(is_known, np.where(demand > 0, share, 0.0), np.nan)

    return missed


def violation_ratio(asked: FloatArray, missed: Missed, lead_steps: float) -> FloatArray:
    """Share of each step out of SLA when counts are asked for at its start, lead time fixed.

    A start's clock runs once, and scaling down takes what does not serve yet first, the youngest
    first. So a replica serves if its count was asked for without a break for a whole lead time:
    what is ready is the least count in force within the last lead time (exact for a fixed one).

    Args:
        asked: (R, T) counts in force from the start of each step on; NaN: unknown.
        missed: What is out of SLA with the counts that serve.
        lead_steps: Lead time in steps, >= 0.

    Returns:
        (R, T) shares; NaN where a count of the last lead time or the demand is unknown.
    """
    whole = math.floor(lead_steps + 1e-9)
    part = max(0.0, lead_steps - whole)
    part = part if part > 1e-9 else 0.0
    # Until `part` of the step has passed, the count of one boundary more is still within the lead.
    late = missed(_least(asked, whole))
    if part == 0.0:
        return late
    return part * missed(_least(asked, whole + 1)) + (1.0 - part) * late


def _least(asked: FloatArray, n_before: int) -> FloatArray:
    """(R, T) least of each count and the `n_before` before it; NaN where one is unknown."""
    padded = np.concatenate([np.full((asked.shape[0], n_before), np.nan), asked], axis=1)
    return np.asarray(sliding_window_view(padded, n_before + 1, axis=1).min(axis=2))
