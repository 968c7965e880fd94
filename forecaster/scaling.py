"""Per-window location and scale, and the per-series scale that weighs the loss.

A window is normalised by its own median and mean absolute deviation: both are equivariant, defined
for any window with one observed value, and do not vanish when a few bursts stand on a flat line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecaster.types import F32, Bool

RELATIVE_FLOOR = 1e-3
"""Smallest scale as a share of the window's median magnitude (constant indicators)."""
ABSOLUTE_FLOOR = 1e-6
"""Scale of a window that is zero throughout."""


@dataclass(frozen=True, slots=True)
class WindowScale:
    """Location and scale of each window, both `(B, D)`; scale > 0."""

    location: F32
    scale: F32


def forward_fill(values: F32, observed: Bool, start: F32) -> F32:
    """Fill gaps along axis 1 with the last observed value, leading gaps with `start`.

    Args:
        values: `(B, C, D)`.
        observed: `(B, C, D)`.
        start: `(B, D)`.
    """
    n_steps = values.shape[1]
    step = np.arange(1, n_steps + 1, dtype=np.int32)[None, :, None]
    newest = np.maximum.accumulate(np.where(observed, step, 0), axis=1)
    padded = np.concatenate([start[:, None], values], axis=1)
    return np.take_along_axis(padded, newest, axis=1)


def window_scale(values: F32, observed: Bool, median: F32) -> WindowScale:
    """Robust location and scale of every window.

    Args:
        values: `(B, C, D)`.
        observed: `(B, C, D)`.
        median: `(B, D)`, zero where nothing is observed.
    """
    n_seen = np.maximum(observed.sum(axis=1), 1)
    deviation = np.abs(values - median[:, None]) * observed
    spread = deviation.sum(axis=1) / n_seen
    floor = np.maximum(RELATIVE_FLOOR * np.abs(median), ABSOLUTE_FLOOR)
    return WindowScale(median, np.maximum(spread, floor).astype(np.float32))


def series_scale(values: F32, observed: Bool) -> F32:
    """Mean absolute deviation of a whole training series per indicator, `(D,)`, > 0.

    The loss is counted in this unit, so that windows of one series are weighed by what they add to
    its score and series of different size weigh the same.
    """
    n_seen = np.maximum(observed.sum(axis=0), 1)
    mean = (values * observed).sum(axis=0) / n_seen
    spread = (np.abs(values - mean) * observed).sum(axis=0) / n_seen
    floor = np.maximum(RELATIVE_FLOOR * np.abs(mean), ABSOLUTE_FLOOR)
    return np.asarray(np.maximum(spread, floor), dtype=np.float32)
