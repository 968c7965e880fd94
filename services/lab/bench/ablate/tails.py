"""What lies beyond the last quantile level: the exponential tail against a generalised Pareto one.

Demand above the last quantile, in units of the exponential tail's own scale, is taken for
generalised Pareto: survival `(1 + shape * e / scale)**(-1 / shape)`, exponential at scale 1 and
shape 0. Scale and shape are learned online over a grid, for each workload from its own outcomes and
a shrunk share of all others', once the horizon of a forecast has passed.

Shapes: T steps, W workloads, Q levels, H steps ahead, N pairs of scale and shape.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from forecaster.quantiles import tail_rates
from services.lab.bench.forecast.arm import LEVELS
from services.simulator.fleet.arrays import FloatArray

BEYOND = (0.9975, 0.999, 0.9995, 0.9998, 0.9999)
"""Levels at which a fitted tail is handed to the decider, beside those of the forecast."""
MOST_EXCESS = 50.0
"""Excesses beyond this many scales count as this: an outage says nothing about a tail."""
LEAST_SCALE = 0.02
"""Least scale of a tail, in distances of the last quantile from the median."""


@dataclass(frozen=True, slots=True)
class TailPrior:
    """What is believed before the first excess; chosen on the first 80 % of the data.

    Attributes:
        log_scale_sd: Standard deviation of the scale's logarithm about 0.
        shape_sd: Of the shape about 0, which is never negative.
        others: Most excesses that those of all other workloads are worth.
        logs: (N,) logarithms of scales.
        shapes: (N,) shapes.
    """

    log_scale_sd: float = 0.5
    shape_sd: float = 0.2
    others: float = 5.0
    logs: FloatArray = field(default_factory=lambda: np.tile(np.arange(-1.0, 2.51, 0.25), 9))
    shapes: FloatArray = field(default_factory=lambda: np.repeat(np.arange(9) / 10.0, 15))

    def log_density(self) -> FloatArray:
        """(N,) of the prior."""
        scale, shape = self.logs / self.log_scale_sd, self.shapes / self.shape_sd
        return np.asarray(-0.5 * (scale**2 + shape**2))

    def log_likelihood(self, excess: FloatArray) -> FloatArray:
        """(..., N) of excesses (...)."""
        e = excess[..., None] * np.exp(-self.logs)
        shape = np.where(self.shapes > 0, self.shapes, 1.0)
        heavy = (1.0 + 1.0 / shape) * np.log1p(shape * e)
        return np.asarray(-self.logs - np.where(self.shapes > 0, heavy, e))


def exponential_scale(quantiles: FloatArray, least: float = LEAST_SCALE) -> FloatArray:
    """(T, W, H) scale of the exponential tail of quantiles (T, W, Q, H)."""
    _, _, high, factor = tail_rates(LEVELS)
    last, median = quantiles[:, :, -1], quantiles[:, :, int(np.argmin(np.abs(LEVELS - 0.5)))]
    return np.maximum((last - quantiles[:, :, high]) * factor, least * (last - median))


def fitted_tails(quantiles: FloatArray, actual: FloatArray, prior: TailPrior) -> FloatArray:
    """(T, W, 2) logarithm of the scale, and shape, known when each forecast is made.

    Args:
        quantiles: (T, W, Q, H) forecasts for the steps from t on.
        actual: (T + H - 1, W) demand; NaN where unknown.
        prior: What is believed at first.
    """
    n_steps, n, _, horizon = quantiles.shape
    ahead = np.lib.stride_tricks.sliding_window_view(actual, horizon, axis=0)
    scale = exponential_scale(quantiles)
    with np.errstate(invalid="ignore", divide="ignore"):
        excess = (ahead - quantiles[:, :, -1]) / scale
    is_above = np.isfinite(excess) & (excess > 0)
    own, seen = np.zeros((n, prior.logs.size)), np.zeros(n)
    found = np.empty((n_steps, n, 2))
    found[: min(horizon, n_steps)] = _means(own, seen, prior)
    for t in range(horizon, n_steps):
        above = is_above[t - horizon]
        found[t] = found[t - 1]
        if above.any():
            e = np.minimum(np.where(above, excess[t - horizon], 0.0), MOST_EXCESS)
            likelihood = prior.log_likelihood(e) * above[..., None]
            # Excesses of one event at several steps ahead are one excess.
            own += likelihood.sum(axis=1) / horizon
            seen += above.sum(axis=1) / horizon
            found[t] = _means(own, seen, prior)
    return found


def _means(own: FloatArray, seen: FloatArray, prior: TailPrior) -> FloatArray:
    """(W, 2) posterior means, from log likelihoods (W, N) of `seen` (W,) excesses."""
    others, n_others = own.sum(axis=0) - own, seen.sum() - seen
    share = np.minimum(1.0, prior.others / np.maximum(n_others, 1e-9))
    log_weight = prior.log_density() + own + share[:, None] * others
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    return np.stack([weight @ prior.logs, weight @ prior.shapes], axis=1)


def with_tail(quantiles: FloatArray, tails: FloatArray) -> FloatArray:
    """(T, W, Q + len(BEYOND), H) quantiles, those beyond the last level by tails (T, W, 2)."""
    beyond = excess_at(tails, BEYOND)[..., None] * exponential_scale(quantiles)[:, :, None]
    return np.concatenate([quantiles, quantiles[:, :, -1:] + beyond], axis=2)


def excess_at(tails: FloatArray, levels: tuple[float, ...]) -> FloatArray:
    """(T, W, len(levels)) excess over the last quantile at levels beyond it, in its scale."""
    scale, shape = np.exp(tails[..., :1]), tails[..., 1:]
    log_odds = np.log((1.0 - LEVELS[-1]) / (1.0 - np.array(levels)))
    is_heavy = shape > 1e-9
    safe = np.where(is_heavy, shape, 1.0)
    return np.asarray(scale * np.where(is_heavy, np.expm1(safe * log_odds) / safe, log_odds))
