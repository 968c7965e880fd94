"""From series to windows, and from windows to the numbers that the network reads.

All inputs of the network are normalised by the window itself, so a forecast is scale equivariant;
what is unobserved or padded is overwritten before anything reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forecaster.config import DAY_S, WindowConfig
from forecaster.errors import IrregularSteps
from forecaster.quantiles import masked_quantiles
from forecaster.scaling import WindowScale, forward_fill, window_scale
from forecaster.types import F32, I64, Bool, Series, Windows

N_BLOCKS = 12
MAX_SCALES_AHEAD = 10.0
"""Most scales that a value of an indicator known ahead lies from its location, see `summarise`."""
EFFECT_RIDGE = 1.0
"""Ridge of the effects of schedules, in squared scales: one switch of a flag outweighs it."""
SHAPE_LEVELS = (0.05, 0.25, 0.75, 0.95)


def window_offsets(window: WindowConfig, step_s: int) -> I64:
    """Offsets in steps from the origin of everything a window reads, `(C + N * M + H,)`.

    First the context, oldest first, then one block per seasonal lag, then the horizon. What may be
    read of them is told by `is_readable`.
    """
    context = np.arange(1 - window.context, 1)
    block = np.arange(1 - window.season_past, window.horizon + 1)
    lags = [max(round(lag / step_s), 1) for lag in window.season_lags_s]
    ahead = np.arange(1, window.horizon + 1)
    return np.concatenate([context, *(block - lag for lag in lags), ahead]).astype(np.int64)


def is_readable(offsets: I64, known_ahead: Sequence[bool], window: WindowConfig) -> Bool:
    """Mask of the `window_offsets` that may be read of each indicator, `(C + N * M + H, D)`.

    An offset > 0 lies in the future. Only the horizon of an indicator known ahead may be read; a
    seasonal lag shorter than the horizon reaches beyond the origin too, and is cut there.
    """
    is_past = offsets <= 0
    is_horizon = np.arange(offsets.size) >= offsets.size - window.horizon
    return np.where(
        np.array(known_ahead, dtype=bool), (is_past | is_horizon)[:, None], is_past[:, None]
    )


def windows_from_offsets(
    rows: Sequence[Series], values: F32, observed: Bool, origin_s: I64, window: WindowConfig
) -> Windows:
    """Split `(B, C + N * M + H, D)` arrays laid out by `window_offsets` into windows.

    Args:
        rows: B series that name the workload, indicators, levels and demand of each row.
        values: Raw values; D is the widest row, the rest is padding.
        observed: Same shape; false where `is_readable` is.
        origin_s: `(B,)`.
        window: Window configuration.
    """
    n_rows, _, width = values.shape
    levels = np.zeros((n_rows, width), dtype=np.int64)
    known_ahead = np.zeros((n_rows, width), dtype=bool)
    for i, series in enumerate(rows):
        levels[i, : len(series.levels)] = series.levels
        known_ahead[i, : len(series.levels)] = series.known_ahead
    season_shape = (n_rows, len(window.season_lags_s), window.season_width, width)
    clean = np.where(observed, values, np.float32(0))
    split, ahead = window.context, values.shape[1] - window.horizon
    return Windows(
        tuple(series.workload for series in rows),
        tuple(series.indicators for series in rows),
        clean[:, :split],
        observed[:, :split],
        clean[:, split:ahead].reshape(season_shape),
        observed[:, split:ahead].reshape(season_shape),
        levels,
        np.array([series.demand_index for series in rows], dtype=np.int64),
        origin_s,
        rows[0].step_s,
        clean[:, ahead:],
        observed[:, ahead:],
        known_ahead,
    )


def gather_windows(
    series: Sequence[Series], which: I64, positions: I64, window: WindowConfig
) -> Windows:
    """Windows of many (series, origin position) pairs.

    Args:
        series: W series; those that `which` names are on one step length.
        which: `(B,)` index into `series`.
        positions: `(B,)` origin as a step index into that series.
        window: Window configuration.

    Raises:
        IrregularSteps: If the series have different step lengths.
    """
    steps_s = sorted({series[i].step_s for i in np.unique(which)} or {s.step_s for s in series})
    if len(steps_s) != 1:
        raise IrregularSteps(f"step_s={steps_s} must be one value in a batch")
    offsets = window_offsets(window, steps_s[0])
    width = max(len(s.indicators) for s in series)
    values = np.zeros((which.size, offsets.size, width), dtype=np.float32)
    observed = np.zeros(values.shape, dtype=bool)
    for i in np.unique(which):
        source, rows = series[i], np.flatnonzero(which == i)
        index = positions[rows][:, None] + offsets
        is_inside = (index >= 0) & (index < source.n_steps)
        index = np.clip(index, 0, max(source.n_steps - 1, 0))
        n_own = len(source.indicators)
        values[rows, :, :n_own] = source.values[index]
        readable = is_readable(offsets, source.known_ahead, window)
        observed[rows, :, :n_own] = source.observed[index] & is_inside[..., None] & readable
    starts = np.array([s.start_s for s in series], dtype=np.int64)
    origin_s = starts[which] + positions * steps_s[0]
    return windows_from_offsets([series[i] for i in which], values, observed, origin_s, window)


def build_windows(
    series: Sequence[Series], window: WindowConfig, origin_s: int | None = None
) -> Windows:
    """One window per series, at the origin asked for or at each series' last step.

    Steps that a series does not reach are unobserved: a stale series is a window that ends in a
    gap.
    """
    positions = np.array(
        [s.n_steps - 1 if origin_s is None else (origin_s - s.start_s) // s.step_s for s in series],
        dtype=np.int64,
    )
    return gather_windows(series, np.arange(len(series)), positions, window)


def one_alone(windows: Windows, target: I64) -> Windows:
    """The windows of one indicator each, `target` `(B,)`, as the demand under a shared name."""
    ahead = windows.future_values.shape[1]

    def column(array: Any) -> Any:
        index = target.reshape(-1, *(1,) * (array.ndim - 1))
        return np.take_along_axis(array, index, axis=-1)

    n_rows = len(windows)
    return replace(
        windows,
        indicators=(("demand",),) * n_rows,
        values=column(windows.values),
        observed=column(windows.observed),
        season_values=column(windows.season_values),
        season_observed=column(windows.season_observed),
        levels=column(windows.levels),
        demand_index=np.zeros(n_rows, dtype=np.int64),
        future_values=np.zeros((n_rows, ahead, 1), dtype=np.float32),
        future_observed=np.zeros((n_rows, ahead, 1), dtype=bool),
        known_ahead=np.zeros((n_rows, 1), dtype=bool),
    )


@dataclass(frozen=True, slots=True)
class WindowSummary:
    """Facts that features, anchors and baselines share about a batch of windows.

    Args:
        scale: Location and scale `(B, D)`.
        quantiles: `(B, D, Q)` raw quantiles of the context.
        filled: `(B, C, D)` context without gaps.
        has_data: `(B, D)` whether anything was observed, or is known ahead.
    """

    scale: WindowScale
    quantiles: F32
    filled: F32
    has_data: Bool


def summarise(windows: Windows, levels: tuple[float, ...]) -> WindowSummary:
    """Order statistics, scale and gap filling of every window; `levels` must hold 0.5.

    The scale of an indicator known ahead is such that no value lies further than
    `MAX_SCALES_AHEAD` from the location: the flag of a rare event is zero throughout most contexts,
    and then has no scale of its own.
    """
    by_row = np.swapaxes(windows.values, 1, 2)
    mask = np.swapaxes(windows.observed, 1, 2)
    quantiles = masked_quantiles(by_row, mask, np.array(levels))
    median = quantiles[..., levels.index(0.5)]
    scale = window_scale(windows.values, windows.observed, median)
    if windows.known_ahead.any():
        reach = np.where(windows.known_ahead, _reach(windows, median) / MAX_SCALES_AHEAD, 0)
        scale = WindowScale(median, np.maximum(scale.scale, reach).astype(np.float32))
    filled = forward_fill(windows.values, windows.observed, median)
    has_data = windows.observed.any(axis=1) | windows.future_observed.any(axis=1)
    return WindowSummary(scale, quantiles, filled, np.asarray(has_data))


def _reach(windows: Windows, location: F32) -> F32:
    """Largest distance of anything a window reads from its location, `(B, D)`."""
    shape = (len(windows), -1, location.shape[1])
    season = windows.season_values.reshape(shape)
    seen = windows.season_observed.reshape(shape)
    values = np.concatenate([windows.values, season, windows.future_values], axis=1)
    observed = np.concatenate([windows.observed, seen, windows.future_observed], axis=1)
    return np.asarray((np.abs(values - location[:, None]) * observed).max(axis=1))


def calendar(origin_s: I64) -> F32:
    """Time of day (two harmonics) and day of week of each origin, `(B, 6)`."""
    day = 2 * np.pi * (origin_s % DAY_S) / DAY_S
    # The epoch was a Thursday; only the phase of the week matters.
    week = 2 * np.pi * (origin_s % (7 * DAY_S)) / (7 * DAY_S)
    waves = [np.sin(day), np.cos(day), np.sin(2 * day), np.cos(2 * day), np.sin(week), np.cos(week)]
    return np.stack(waves, axis=1).astype(np.float32)


def n_features(window: WindowConfig) -> int:
    """Length F of a token's feature vector."""
    n_lags = len(window.season_lags_s)
    season = n_lags * window.season_width + n_lags
    ahead = window.horizon + 1
    return window.recent + N_BLOCKS + season + ahead + len(SHAPE_LEVELS) + 6 + 6 + 1


def token_features(windows: Windows, summary: WindowSummary, window: WindowConfig) -> F32:
    """The feature vector of every variate token, `(B, D, F)`, zero on padding."""
    n_rows, n_steps, width = windows.values.shape
    location, scale = summary.scale.location[:, None], summary.scale.scale[:, None]
    z = np.arcsinh((summary.filled - location) / scale)
    block = n_steps // N_BLOCKS
    means = z[:, n_steps - block * N_BLOCKS :].reshape(n_rows, N_BLOCKS, block, width).mean(axis=2)
    season = np.arcsinh((windows.season_values - location[:, None]) / scale[:, None])
    season *= windows.season_observed
    flat = season.reshape(n_rows, -1, width)
    seen = windows.season_observed.mean(axis=2, dtype=np.float32)
    level_at = [int(np.argmin(np.abs(np.array(window.quantile_levels) - v))) for v in SHAPE_LEVELS]
    shape = np.arcsinh((np.moveaxis(summary.quantiles[..., level_at], 2, 1) - location) / scale)
    ahead = ahead_features(windows, summary, window)
    facts = _statistics(windows, summary, z)
    parts = [z[:, -window.recent :], means, flat, seen, *ahead, shape, facts]
    phases = np.broadcast_to(calendar(windows.origin_s)[:, :, None], (n_rows, 6, width))
    is_demand = np.arange(width) == windows.demand_index[:, None]
    stacked = np.concatenate([*parts, phases, is_demand[:, None]], axis=1)
    tokens = np.swapaxes(stacked, 1, 2).astype(np.float32)
    return np.where((windows.levels > 0)[..., None], tokens, np.float32(0))


def ahead_features(
    windows: Windows, summary: WindowSummary, window: WindowConfig
) -> tuple[F32, F32]:
    """Values known of the horizon, `(B, H, D)`, and the share of it that is known, `(B, 1, D)`.

    For an indicator known ahead that is its own course, zero where unknown; for any other the
    change that the schedules will bring, as far as the context shows what they do.
    """
    n_rows, n_ahead, width = windows.future_values.shape
    n_ahead = min(n_ahead, window.horizon)
    values = np.zeros((n_rows, window.horizon, width), dtype=np.float32)
    observed = np.zeros(values.shape, dtype=bool)
    values[:, :n_ahead] = windows.future_values[:, :n_ahead]
    observed[:, :n_ahead] = windows.future_observed[:, :n_ahead]
    share = observed.mean(axis=1, keepdims=True, dtype=np.float32)
    if not observed.any():
        return values, share
    location, scale = summary.scale.location[:, None], summary.scale.scale[:, None]
    course = np.where(observed, (values - location) / scale, np.float32(0))
    past = (summary.filled - location) / scale
    schedules = windows.known_ahead.any(axis=0)
    is_schedule = windows.known_ahead[:, None, schedules]
    change = np.where(observed, course - past[:, -1:], 0)[..., schedules] * is_schedule
    effect = change @ schedule_effects(past[..., schedules] * is_schedule, past)
    return np.arcsinh(np.where(windows.known_ahead[:, None], course, effect)), share


def schedule_effects(schedules: F32, values: F32) -> F32:
    """Change of each indicator per change of each schedule within a context, `(B, K, D)`.

    Ridge regression of step-to-step changes, so that neither level nor slow waves count; without a
    change of the schedule in the context the effect is zero.

    Args:
        schedules: `(B, C, K)`, normalised.
        values: `(B, C, D)`, normalised.
    """
    moved, answer = np.diff(schedules, axis=1), np.diff(values, axis=1)
    transposed = np.swapaxes(moved, 1, 2)
    ridge = EFFECT_RIDGE * np.eye(schedules.shape[2], dtype=np.float32)
    return np.asarray(np.linalg.solve(transposed @ moved + ridge, transposed @ answer))


def _statistics(windows: Windows, summary: WindowSummary, z: F32) -> F32:
    """Six scale-free facts about each window, `(B, 6, D)`."""
    n_steps = z.shape[1]
    recent = z[:, -N_BLOCKS:]
    step = np.arange(1, n_steps + 1)[None, :, None]
    stale = n_steps - np.where(windows.observed, step, 0).max(axis=1)
    facts = [
        np.arcsinh(summary.scale.location / summary.scale.scale),
        np.log(recent.std(axis=1) + 0.05),
        np.abs(np.diff(z, axis=1)).mean(axis=1),
        np.abs(np.diff(recent, axis=1)).mean(axis=1),
        np.log1p(stale),
        windows.observed.mean(axis=1),
    ]
    return np.stack(facts, axis=1).astype(np.float32)
