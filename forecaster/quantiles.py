"""Quantile functions given by their values at fixed levels.

A distribution is the vector `q` of its quantiles at `levels`. Between levels it is linear; beyond
the outermost levels it has exponential tails whose rate is taken from the outermost two quantiles,
so that density, distribution function and sampling are exact inverses of each other.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forecaster.types import F32, F64, Bool, Forecast

CHUNK_ROWS = 256
"""Rows whose paths are moved at a time, so that they stay in the processor's cache."""


def masked_quantiles(values: F32, observed: Bool, levels: F64) -> F32:
    """Empirical quantiles of the observed entries along the last axis.

    Args:
        values: `(..., C)`.
        observed: `(..., C)`.
        levels: `(Q,)`.

    Returns:
        `(..., Q)`; zeros where nothing is observed (callers mask those rows).
    """
    ordered = np.sort(np.where(observed, values, np.float32(np.inf)), axis=-1)
    n_seen = observed.sum(axis=-1)
    position = np.maximum(n_seen - 1, 0)[..., None] * levels
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(n_seen - 1, 0)[..., None])
    at_low = np.take_along_axis(ordered, low, axis=-1)
    at_high = np.take_along_axis(ordered, high, axis=-1)
    with np.errstate(invalid="ignore"):
        result = at_low + (at_high - at_low) * (position - low).astype(np.float32)
    return np.where(n_seen[..., None] > 0, result, np.float32(0)).astype(np.float32)


def crps_weights(levels: F64) -> F64:
    """Quadrature weights `(Q,)` such that `2 * sum_k w_k * pinball_k` estimates the CRPS.

    Each level stands for the interval between the midpoints to its neighbours; the weights sum
    to 1.
    """
    edges = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    return np.diff(edges)


def tail_rates(levels: F64) -> tuple[int, float, int, float]:
    """Inner quantiles that set the exponential tails, and the factor to their rate.

    Returns:
        `(low, low_factor, high, high_factor)`: the lower tail has scale
        `(q[low] - q[0]) * low_factor`, the upper tail `(q[-1] - q[high]) * high_factor`.
    """
    n_levels = levels.size
    low, high = min(2, n_levels - 1), max(n_levels - 3, 0)
    low_factor = 1.0 / np.log(levels[low] / levels[0])
    high_factor = 1.0 / np.log((1 - levels[high]) / (1 - levels[-1]))
    return low, float(low_factor), high, float(high_factor)


def interpolation_matrix(levels: F64, u: F64) -> F32:
    """The linear map from quantiles to the values of the quantile function at `u`.

    Args:
        levels: `(Q,)`.
        u: `(S,)` in (0, 1).

    Returns:
        `(S, Q)` matrix M: `M @ q` is the quantile function at `u`, tails included.
    """
    n_levels, n_points = levels.size, u.size
    matrix = np.zeros((n_points, n_levels))
    rows = np.arange(n_points)
    right = np.clip(np.searchsorted(levels, u), 1, n_levels - 1)
    share = (u - levels[right - 1]) / (levels[right] - levels[right - 1])
    inside = (u >= levels[0]) & (u <= levels[-1])
    matrix[rows[inside], right[inside]] = share[inside]
    matrix[rows[inside], right[inside] - 1] = 1 - share[inside]
    low, low_factor, high, high_factor = tail_rates(levels)
    below, above = u < levels[0], u > levels[-1]
    reach = np.log(levels[0] / u[below]) * low_factor
    matrix[rows[below], 0] = 1 + reach
    matrix[rows[below], low] -= reach
    reach = np.log((1 - levels[-1]) / (1 - u[above])) * high_factor
    matrix[rows[above], -1] = 1 + reach
    matrix[rows[above], high] -= reach
    return matrix.astype(np.float32)


def mean_of(quantiles: F32, levels: F64, axis: int = 1) -> F32:
    """Mean of the distribution by the same quadrature as the CRPS, along `axis`."""
    shape = [1] * quantiles.ndim
    shape[axis] = levels.size
    weights = crps_weights(levels).reshape(shape)
    return np.asarray((quantiles * weights).sum(axis=axis), dtype=np.float32)


def shift_paths(paths: F32, old: F32, new: F32, levels: F64 | None = None) -> F32:
    """Carry paths from one quantile function to another, keeping their ranks.

    The map is linear between the quantiles and shifts by a constant outside them, hence monotone.
    Where several of the old quantiles are one value and the new ones are not, paths of that value
    are spread over the new ones by their ranks. Without levels they all take the lowest.

    Args:
        paths: `(B, S, H)`.
        old: `(B, Q, H)` quantiles the paths came with.
        new: `(B, Q, H)` quantiles they should have.
        levels: `(Q,)`.

    Returns:
        `(B, S, H)`.
    """
    offset = new - old
    result = paths + offset[:, :1]
    gaps, rises = old[:, 1:] - old[:, :-1], offset[:, 1:] - offset[:, :-1]
    is_gap = gaps > 0
    safe = np.where(is_gap, gaps, np.float32(1))
    has_all_gaps = np.asarray(is_gap.all(axis=(0, 2)))
    has_ties = np.asarray(((gaps == 0) & (rises != 0)).any(axis=(0, 2)))
    rank: F64 | None = None
    for k in range(old.shape[1] - 1):
        low, here = old[:, k : k + 1], np.s_[:, k : k + 1]
        step = np.clip((paths - low) / safe[here], 0, 1)
        if not has_all_gaps[k]:
            step = np.where(is_gap[here], step, paths > low)
        if levels is not None and has_ties[k]:
            rank = _ranks(paths) if rank is None else rank
            place = np.clip((rank - levels[k]) / (levels[k + 1] - levels[k]), 0, 1)
            step = np.where((gaps[here] == 0) & (paths == low), place.astype(np.float32), step)
        result = result + step * rises[here]
    return np.asarray(result, dtype=np.float32)


def _ranks(paths: F32) -> F64:
    """Rank of each path at each step, `(B, S, H)` in (0, 1); paths of one value rank as a whole."""
    n_rows, n_paths, horizon = paths.shape
    ranks = np.empty(paths.shape, dtype=np.float64)
    points = np.broadcast_to((np.arange(n_paths) + 0.5) / max(n_paths, 1), (n_rows, n_paths))
    total = paths.sum(axis=2, dtype=np.float64)
    for step in range(horizon):
        order = np.lexsort((total, paths[..., step]), axis=1)
        np.put_along_axis(ranks[..., step], order, points, axis=1)
    return ranks


def with_quantiles(forecast: Forecast, quantiles: F32) -> Forecast:
    """The forecast with other quantiles `(B, Q, H)`; its paths keep their ranks and stay >= 0."""
    paths = np.empty_like(forecast.paths)
    for start in range(0, len(forecast), CHUNK_ROWS):
        at = slice(start, start + CHUNK_ROWS)
        own, levels = forecast.quantiles[at], forecast.quantile_levels
        moved = shift_paths(forecast.paths[at], own, quantiles[at], levels)
        np.maximum(moved, np.float32(0), out=paths[at])
    return replace(forecast, quantiles=quantiles, paths=paths)


def pit_and_log_density(quantiles: F32, levels: F64, actual: F32) -> tuple[F64, F64]:
    """Place of `actual` in each distribution, and the log density there.

    Args:
        quantiles: `(B, Q, H)`, strictly increasing along Q.
        levels: `(Q,)`.
        actual: `(B, H)`.

    Returns:
        PIT scores in (0, 1) and log densities in the unit of the quantiles, both `(B, H)`.
    """
    q = quantiles.astype(np.float64)
    y = actual.astype(np.float64)
    n_levels = levels.size
    right = np.clip((q <= y[:, None]).sum(axis=1), 1, n_levels - 1)
    upper = np.take_along_axis(q, right[:, None], axis=1)[:, 0]
    lower = np.take_along_axis(q, right[:, None] - 1, axis=1)[:, 0]
    gap = np.maximum(upper - lower, np.finfo(np.float64).tiny)
    mass = levels[right] - levels[right - 1]
    u = levels[right - 1] + mass * np.clip((y - lower) / gap, 0, 1)
    log_density = np.log(mass) - np.log(gap)

    low, low_factor, high, high_factor = tail_rates(levels)
    tiny = np.finfo(np.float64).tiny
    rate = np.maximum((q[:, low] - q[:, 0]) * low_factor, tiny)
    reach = np.maximum(q[:, 0] - y, 0) / rate
    is_below = y < q[:, 0]
    u = np.where(is_below, levels[0] * np.exp(-reach), u)
    log_density = np.where(is_below, np.log(levels[0]) - reach - np.log(rate), log_density)
    rate = np.maximum((q[:, -1] - q[:, high]) * high_factor, tiny)
    reach = np.maximum(y - q[:, -1], 0) / rate
    is_above = y > q[:, -1]
    u = np.where(is_above, 1 - (1 - levels[-1]) * np.exp(-reach), u)
    log_density = np.where(is_above, np.log(1 - levels[-1]) - reach - np.log(rate), log_density)
    return np.clip(u, 1e-12, 1 - 1e-12), log_density
