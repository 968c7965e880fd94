"""Scores of predictive distributions.

The pinball loss carries no factor 2; the CRPS does: `CRPS = 2 * integral of pinball over levels`
(Gneiting and Raftery, 2007, section 4.2).
"""

from __future__ import annotations

import numpy as np

from forecaster.quantiles import crps_weights
from forecaster.types import F32, F64


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


def below_shares(quantiles: F32, levels: F64, actual: F32) -> F64:
    """1 where a value is below the quantile and 0 where it is above, `(B, Q, H)`.

    A value equal to it (a demand of exactly zero) is neither: it counts as the level, the share
    that a right quantile has below it. Arguments as of `pinball`.
    """
    value = actual[:, None, :]
    return np.where(value == quantiles, levels[None, :, None], value < quantiles)


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


def variogram_score(paths: F32, actual: F32) -> F32:
    """Variogram score of order 1/2 of joint paths (Scheuerer and Hamill, 2015), equal weights.

    Args:
        paths: `(B, S, H)`.
        actual: `(B, H)`.

    Returns:
        `(B,)`.
    """
    upper = np.triu_indices(actual.shape[1], k=1)
    seen = np.sqrt(np.abs(actual[:, upper[0]] - actual[:, upper[1]]))
    expected = np.sqrt(np.abs(paths[:, :, upper[0]] - paths[:, :, upper[1]])).mean(axis=1)
    return np.asarray(((seen - expected) ** 2).sum(axis=1), dtype=np.float32)
