"""Features of gradient-boosted trees: one row per window, target and step ahead.

Trees cannot subtract, so everything is measured from the target's last value, in the mean absolute
deviation of its window; what they predict is in the same unit, hence scale equivariant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from forecaster.config import WindowConfig
from forecaster.features import WindowSummary, ahead_features, calendar, summarise
from forecaster.network.model import Vocabulary
from forecaster.quantiles import masked_quantiles
from forecaster.types import F32, I64, Bool, Windows

T = TypeVar("T", bound=np.generic)
RECENT_LAGS = 24
OLD_LAGS = (30, 36, 48, 72, 96, 120, 143)
ROLLS = (3, 6, 12, 36, 144)
SHAPE_LEVELS = np.array([0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98])
AROUND = np.arange(-2, 2)
"""Seasonal steps read around each step ahead."""
BEFORE = 6
"""Seasonal steps before the origin's own position whose mean says how that day stood."""
MIN_SCALE_SHARE = np.float32(0.05)
"""Smallest scale of a context as a share of that of all a window reads, earlier days included: a
still stretch of a lively series stays comparable."""
CATEGORICAL = (0, 1)
"""Columns that are ids: workload and indicator; 0 where unknown."""
MISSING = np.float32(np.nan)


@dataclass(frozen=True, slots=True)
class TreeInputs:
    """Features of B windows of one target each.

    Args:
        by_window: `(B, F1)`, NaN where unknown.
        by_step: `(B, H, F2)`, NaN where unknown.
        location: `(B,)` the last value, from which targets are measured.
        scale: `(B,)` their unit, > 0.
    """

    by_window: F32
    by_step: F32
    location: F32
    scale: F32

    def rows(self, row: I64, step: I64) -> F32:
        """The features `(R, F1 + F2)` of windows `row` at steps ahead `step`, from 0."""
        return np.concatenate([self.by_window[row], self.by_step[row, step]], axis=1)


def tree_inputs(
    windows: Windows, targets: I64, vocabulary: Vocabulary, window: WindowConfig
) -> TreeInputs:
    """Features of one indicator of every window, at every step ahead.

    Args:
        windows: B windows.
        targets: `(B,)` the indicator that is forecast.
        vocabulary: Names known from training.
        window: Window configuration.
    """
    one = _target_alone(windows, targets)
    summary = summarise(one, (0.5,))
    workload, roles = vocabulary.ids(windows)
    role = np.take_along_axis(roles, targets[:, None], axis=1)[:, 0]
    unit = _long_scale(one, summary)
    scale = np.maximum(summary.scale.scale[:, 0], MIN_SCALE_SHARE * unit)
    past = summary.filled[..., 0]
    last = past[:, -1]
    observed = one.observed[..., 0]
    z = (past - last[:, None]) / scale[:, None]
    by_window = [
        np.stack([workload, role], axis=1).astype(np.float32),
        level_facts(observed, last, summary.scale.location[:, 0], scale, unit),
        lags(z),
        rolls(z),
        shape(one.values[..., 0], observed, last, scale, (window.recent, window.context)),
    ]
    ahead = np.arange(1, window.horizon + 1)
    steps = np.broadcast_to(ahead.astype(np.float32)[:, None], (len(windows), ahead.size, 1))
    clock = calendar((windows.origin_s[:, None] + ahead * windows.step_s).ravel())
    by_step = [
        steps,
        clock.reshape(len(windows), ahead.size, -1),
        seasons(
            one.season_values[..., 0],
            one.season_observed[..., 0],
            last,
            scale,
            np.tile(ahead, (len(windows), 1)),
            window.season_past,
        ),
        _schedules(windows, targets, window),
    ]
    return TreeInputs(
        np.concatenate(by_window, axis=1).astype(np.float32),
        np.concatenate(by_step, axis=2).astype(np.float32),
        last.astype(np.float32),
        scale,
    )


def _target_alone(windows: Windows, targets: I64) -> Windows:
    """The same windows with the target as their only indicator, and their demand."""
    at = targets[:, None]

    def of_target(values: NDArray[T]) -> NDArray[T]:
        index = at.reshape(-1, *(1,) * (values.ndim - 1))
        return np.asarray(np.take_along_axis(values, index, axis=-1))

    n_rows = len(windows)
    return Windows(
        windows.workloads,
        (("",),) * n_rows,
        of_target(windows.values),
        of_target(windows.observed),
        of_target(windows.season_values),
        of_target(windows.season_observed),
        of_target(windows.levels),
        np.zeros(n_rows, dtype=np.int64),
        windows.origin_s,
        windows.step_s,
    )


def _long_scale(one: Windows, summary: WindowSummary) -> F32:
    """Mean absolute deviation of context and earlier days from the context's median, `(B,)` > 0."""
    n_rows = len(one)
    parts = (one.values[..., 0], one.season_values[..., 0].reshape(n_rows, -1))
    masks = (one.observed[..., 0], one.season_observed[..., 0].reshape(n_rows, -1))
    values, seen = np.concatenate(parts, axis=1), np.concatenate(masks, axis=1)
    deviation = np.abs(values - summary.scale.location) * seen
    spread = deviation.sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    return np.asarray(np.maximum(spread, summary.scale.scale[:, 0]), dtype=np.float32)


def level_facts(observed: Bool, last: F32, location: F32, scale: F32, unit: F32) -> F32:
    """Place of the last value in its context, and the context in its series, `(B, 5)`.

    Args:
        observed: `(B, C)`.
        last: `(B,)` the last value.
        location: `(B,)` median of the context.
        scale: `(B,)` unit of the features.
        unit: `(B,)` unit of the series.
    """
    n_steps = observed.shape[1]
    stale = n_steps - np.where(observed, np.arange(1, n_steps + 1), 0).max(axis=1)
    facts = [
        (last - location) / scale,
        np.arcsinh(last / scale),
        np.log(scale / unit),
        stale,
        observed.mean(axis=1),
    ]
    return np.stack(facts, axis=1).astype(np.float32)


def lags(z: F32) -> F32:
    """Values at recent steps and some older ones of a context `(B, C)`, newest first."""
    n_steps = z.shape[1]
    kept = [lag for lag in (*range(1, RECENT_LAGS), *OLD_LAGS) if lag < n_steps]
    return z[:, [n_steps - 1 - lag for lag in kept]]


def rolls(z: F32) -> F32:
    """Mean, spread and ends of the newest stretches of a context `(B, C)`, and mean steps."""
    parts = []
    for width in ROLLS:
        part = z[:, -width:]
        parts += [part.mean(axis=1), part.std(axis=1), part.min(axis=1), part.max(axis=1)]
    parts += [np.abs(np.diff(z[:, -width:], axis=1)).mean(axis=1) for width in (12, 144)]
    return np.stack(parts, axis=1)


def shape(values: F32, observed: Bool, last: F32, scale: F32, stretches: tuple[int, ...]) -> F32:
    """Quantiles of the newest stretches, measured from the last value, NaN without data.

    Args:
        values: `(B, C)`.
        observed: `(B, C)`.
        last: `(B,)` the last value.
        scale: `(B,)` unit of the features.
        stretches: Numbers of steps.
    """
    parts = []
    for n_steps in stretches:
        seen = observed[:, -n_steps:]
        found = masked_quantiles(values[:, -n_steps:], seen, SHAPE_LEVELS)
        found = (found - last[:, None]) / scale[:, None]
        parts.append(np.where(seen.any(axis=1, keepdims=True), found, MISSING))
    return np.concatenate(parts, axis=1)


def seasons(values: F32, observed: Bool, last: F32, scale: F32, ahead: I64, past: int) -> F32:
    """Per season the values around each step ahead, their move, that day's level, `(B, K, F)`.

    Args:
        values: `(B, N, T)` stretches of earlier seasons.
        observed: `(B, N, T)`.
        last: `(B,)` the last value.
        scale: `(B,)` unit of the features.
        ahead: `(B, K)` steps ahead, from 1.
        past: Steps of a stretch up to the origin's own position.
    """
    z = (np.where(observed, values, MISSING) - last[:, None, None]) / scale[:, None, None]
    row = np.arange(z.shape[0])[:, None, None]
    at = np.minimum(past - 1 + ahead[..., None] + AROUND, z.shape[2] - 1)
    parts = []
    for n in range(z.shape[1]):
        around = z[row, n, at]
        move = around[..., 2:3] - z[:, n, past - 1][:, None, None]
        before = _nanmean(z[:, n, past - BEFORE : past])
        level = np.broadcast_to(before[:, None, None], (*ahead.shape, 1))
        parts += [around, move, level]
    return np.concatenate(parts, axis=2)


def _nanmean(values: F32) -> F32:
    seen = np.isfinite(values)
    count = seen.sum(axis=1)
    mean = np.where(seen, values, 0).sum(axis=1) / np.maximum(count, 1)
    return np.where(count > 0, mean, MISSING).astype(np.float32)


def _schedules(windows: Windows, targets: I64, window: WindowConfig) -> F32:
    """The change that schedules known ahead will bring, `(B, H, 1)`; NaN without a schedule."""
    shape = (len(windows), window.horizon, 1)
    if not windows.future_observed.any():
        return np.full(shape, MISSING, dtype=np.float32)
    effect, _ = ahead_features(windows, summarise(windows, (0.5,)), window)
    own = np.take_along_axis(effect, targets[:, None, None], axis=2)
    known = np.asarray(windows.future_observed.any(axis=(1, 2)))
    return np.where(known[:, None, None], own, MISSING).astype(np.float32)
