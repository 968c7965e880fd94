"""Statistics of demand over trailing windows given in seconds, on a grid of whole steps.

Demand is known as one average per completed step. A window of `window_s` seconds that ends now
overlaps the last steps; a window no longer than one step sees the last completed step alone.
"""

from __future__ import annotations

import math

import numpy as np

from services.simulator.policies.view import FloatArray

_GUARD = 1e-9


def recent_steps(demand: FloatArray, step_s: float, window_s: float) -> FloatArray:
    """(W, n) the steps of `demand` (W, C) that a trailing window touches, at least one if C > 0."""
    n_steps = max(1, math.ceil(window_s / step_s - _GUARD))
    return demand[:, -n_steps:]


def window_mean(demand: FloatArray, step_s: float, window_s: float) -> FloatArray:
    """Mean of step averages over the last `window_s` seconds, weighted by overlap.

    Args:
        demand: (W, C) step averages, oldest first; NaN where unknown.
        step_s: Step length in seconds.
        window_s: Window in seconds, > 0.

    Returns:
        (W,) mean over the known part of the window; NaN where none of it is known.
    """
    recent = recent_steps(demand, step_s, window_s)
    starts_s = step_s * np.arange(recent.shape[1] - 1, -1, -1)
    overlap_s = np.clip(window_s - starts_s, 0.0, step_s)
    is_known = np.isfinite(recent)
    weight_s = (is_known * overlap_s).sum(axis=1)
    total = (np.where(is_known, recent, 0.0) * overlap_s).sum(axis=1)
    mean: FloatArray = np.divide(
        total, weight_s, out=np.full(recent.shape[0], np.nan), where=weight_s > 0
    )
    return mean


def window_max(demand: FloatArray, step_s: float, window_s: float) -> FloatArray:
    """(W,) largest known step of `demand` (W, C) that the window touches; NaN where none is."""
    recent = recent_steps(demand, step_s, window_s)
    is_known = np.isfinite(recent)
    highest = np.where(is_known, recent, -np.inf).max(axis=1, initial=-np.inf)
    largest: FloatArray = np.where(is_known.any(axis=1), highest, np.nan)
    return largest
