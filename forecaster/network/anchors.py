"""Anchors: simple forecasts read off the window itself, which the head mixes.

Each anchor is a full quantile function per horizon: quantiles of the window, of its recent part, of
the last value plus past h-step changes, and single points (last value, seasonal values). A convex
mixture of them is monotone, and every classical simple forecaster is one corner of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecaster.config import WindowConfig
from forecaster.features import WindowSummary
from forecaster.quantiles import masked_quantiles
from forecaster.scaling import forward_fill
from forecaster.types import F32, F64, I64, Bool, Windows

N_CHANGE_KNOTS = 5


@dataclass(frozen=True, slots=True)
class Anchors:
    """Anchors of G targets per window, in the target's normalised unit.

    Args:
        window: `(B, G, 2, Q)` quantiles of the context and of its recent part.
        change: `(B, G, K, Q)` last value plus quantiles of past changes over K horizons.
        points: `(B, G, P, H)` last value, then per lag the seasonal value and the seasonal value
            shifted by the present level.
        available: `(B, G, 3 + P)`, in the order window, recent, change, points.
        location: `(B, G)`.
        scale: `(B, G)`.
    """

    window: F32
    change: F32
    points: F32
    available: Bool
    location: F32
    scale: F32


def change_knots(window: WindowConfig) -> list[int]:
    """Horizons at which past changes are measured; between them the head interpolates."""
    knots = np.unique(np.round(np.geomspace(1, window.horizon, N_CHANGE_KNOTS)).astype(int))
    return [int(k) for k in knots]


def knot_weights(window: WindowConfig) -> F32:
    """Linear interpolation from the knots to all horizons, `(H, K)`."""
    knots = np.array(change_knots(window), dtype=np.float64)
    steps = np.arange(1, window.horizon + 1, dtype=np.float64)
    columns = [np.interp(steps, knots, np.eye(knots.size)[k]) for k in range(knots.size)]
    return np.stack(columns, axis=1).astype(np.float32)


def n_anchors(window: WindowConfig) -> int:
    """Number of anchors A."""
    return 3 + 1 + 2 * len(window.season_lags_s)


def build_anchors(
    windows: Windows, summary: WindowSummary, targets: I64, window: WindowConfig
) -> Anchors:
    """Anchors of the indicators `targets` `(B, G)` of every window."""
    levels = np.array(window.quantile_levels)
    at = targets[:, None, :]
    values = np.swapaxes(np.take_along_axis(windows.values, at, axis=2), 1, 2)
    observed = np.swapaxes(np.take_along_axis(windows.observed, at, axis=2), 1, 2)
    last = np.take_along_axis(summary.filled[:, -1], targets, axis=1)
    location = np.take_along_axis(summary.scale.location, targets, axis=1)
    scale = np.take_along_axis(summary.scale.scale, targets, axis=1)
    has_data = np.take_along_axis(summary.has_data, targets, axis=1)

    whole = np.take_along_axis(summary.quantiles, targets[..., None], axis=1)
    recent = _recent(values, observed, whole, levels, window)
    change = _changes(values, observed, last, levels, window)
    points, has_season = _points(windows, targets, last, window)
    available = np.concatenate(
        [np.repeat(has_data[..., None], 3, axis=2), np.ones_like(has_data)[..., None], has_season],
        axis=2,
    )
    centre, unit = location[..., None, None], scale[..., None, None]
    return Anchors(
        ((np.stack([whole, recent], axis=2) - centre) / unit).astype(np.float32),
        ((change - centre) / unit).astype(np.float32),
        ((points - centre) / unit).astype(np.float32),
        available,
        location,
        scale,
    )


def _recent(values: F32, observed: Bool, whole: F32, levels: F64, window: WindowConfig) -> F32:
    tail, mask = values[..., -window.recent :], observed[..., -window.recent :]
    quantiles = masked_quantiles(tail, mask, levels)
    return np.where(np.asarray(mask.any(axis=2))[..., None], quantiles, whole)


def _changes(values: F32, observed: Bool, last: F32, levels: F64, window: WindowConfig) -> F32:
    parts = []
    for h in change_knots(window):
        change = values[..., h:] - values[..., :-h]
        mask = observed[..., h:] & observed[..., :-h]
        parts.append(masked_quantiles(change, mask, levels) + last[..., None])
    return np.stack(parts, axis=2)


def _points(windows: Windows, targets: I64, last: F32, window: WindowConfig) -> tuple[F32, Bool]:
    """Point anchors `(B, G, P, H)` and whether each seasonal one `(B, G, P - 1)` is observed."""
    at = targets[:, None, None, :]
    blocks = np.take_along_axis(windows.season_values, at, axis=3)
    mask = np.take_along_axis(windows.season_observed, at, axis=3)
    n_rows, n_lags, width, n_targets = blocks.shape
    level = np.broadcast_to(last[:, None, :], (n_rows, n_lags, n_targets))
    filled = forward_fill(
        np.moveaxis(blocks, 3, 2).reshape(n_rows, n_lags * n_targets, width).swapaxes(1, 2),
        np.moveaxis(mask, 3, 2).reshape(n_rows, n_lags * n_targets, width).swapaxes(1, 2),
        level.reshape(n_rows, n_lags * n_targets),
    )
    season = filled.swapaxes(1, 2).reshape(n_rows, n_lags, n_targets, width).swapaxes(1, 2)
    ahead = season[..., window.season_past :]
    shifted = ahead + last[..., None, None] - season[..., window.season_past - 1, None]
    constant = np.broadcast_to(last[:, :, None, None], (n_rows, n_targets, 1, window.horizon))
    enough = mask.mean(axis=2) >= 0.5
    has_season = np.moveaxis(enough, 2, 1)
    points = np.concatenate([constant, ahead, shifted], axis=2)
    return points, np.concatenate([has_season, has_season], axis=2)
