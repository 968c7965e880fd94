"""Scores of predictive distributions.

The pinball loss carries no factor 2; the CRPS does: `CRPS = 2 * integral of pinball over levels`
(Gneiting and Raftery, 2007, section 4.2).
"""

from __future__ import annotations

import numpy as np

from forecaster.quantiles import crps_weights
from forecaster.types import F32, F64, Bool


def pinball(quantiles: F32, levels: F64, actual: F32) -> F32:
    """Pinball loss of each quantile.

    Args:
        quantiles: `(B, Q, H)`.
        levels: `(Q,)`.
        actual: `(B, H)`.

    Returns:
        `(B, Q, H)`, in the unit of the demand.
    """
    error = actual[:, None, :] - quantiles
    tau = levels[None, :, None]
    return np.asarray(np.maximum(tau * error, (tau - 1) * error), dtype=np.float32)


def crps_of_quantiles(quantiles: F32, levels: F64, actual: F32) -> F32:
    """CRPS by quadrature over the levels, `(B, H)`."""
    weights = crps_weights(levels)[None, :, None]
    return np.asarray(2 * (pinball(quantiles, levels, actual) * weights).sum(1), dtype=np.float32)


def crps_of_samples(samples: F32, actual: F32) -> F32:
    """CRPS of equally likely samples, `(B, S)` against `(B,)`, by the sorted formula.

    `E|X - y| - E|X - X'| / 2` with both expectations over the empirical distribution.
    """
    ordered = np.sort(samples.astype(np.float64), axis=1)
    n_samples = ordered.shape[1]
    weight = 2 * np.arange(1, n_samples + 1) - n_samples - 1
    spread = (ordered * weight).sum(1) / n_samples**2
    return np.asarray(np.abs(ordered - actual[:, None]).mean(1) - spread, dtype=np.float32)


def coverage(quantiles: F32, levels: F64, actual: F32, observed: Bool) -> F64:
    """Share of observed values at or below each quantile, `(Q,)`; NaN when nothing is observed."""
    below = (actual[:, None, :] <= quantiles) & observed[:, None, :]
    n_seen = observed.sum()
    if n_seen == 0:
        return np.full(levels.size, np.nan)
    return np.asarray(below.sum(axis=(0, 2)) / n_seen, dtype=np.float64)


def masked_mean(values: F32, observed: Bool) -> float:
    """Mean of the observed entries; NaN when there are none."""
    n_seen = int(observed.sum())
    return float(values[observed].mean(dtype=np.float64)) if n_seen else float("nan")


def variogram_score(paths: F32, actual: F32, power: float = 0.5) -> F32:
    """Variogram score of joint paths (Scheuerer and Hamill, 2015), equal weights.

    Args:
        paths: `(B, S, H)`.
        actual: `(B, H)`.
        power: Order of the variogram.

    Returns:
        `(B,)`.
    """
    upper = np.triu_indices(actual.shape[1], k=1)
    seen = np.abs(actual[:, upper[0]] - actual[:, upper[1]]) ** power
    expected = (np.abs(paths[:, :, upper[0]] - paths[:, :, upper[1]]) ** power).mean(axis=1)
    return np.asarray(((seen - expected) ** 2).sum(axis=1), dtype=np.float32)
