"""Capacity: what one ready replica serves within its SLO, and what that says of a load."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri

from decider.errors import InvalidRequest
from decider.types import FloatArray, IntArray

RELATIVE_SLACK = 1e-9
"""`ceil(d / c)` replicas must hold `d` in floating point too."""
MOST_NEEDED = 1_000_000
"""No workload has so many replicas. Times their GPUs and added over pools it still fits 32 bits."""


def replicas_needed(load: FloatArray, capacity: FloatArray) -> FloatArray:
    """Smallest whole numbers of replicas that hold `load` within the SLO, at most `MOST_NEEDED`."""
    return np.ceil(np.minimum(load / capacity * (1.0 - RELATIVE_SLACK), MOST_NEEDED))


def needed(load: float, capacity: float) -> int:
    """`replicas_needed` of one load, at most `MOST_NEEDED`."""
    return max(0, math.ceil(min(load / capacity * (1.0 - RELATIVE_SLACK), MOST_NEEDED)))


def capacity_draws(mean: float, cv: float, n_draws: int) -> FloatArray:
    """(P,) stratified lognormal draws with the given mean and coefficient of variation."""
    if not mean > 0:
        raise InvalidRequest(f"capacity mean={mean} must be > 0")
    if cv <= 0:
        return np.full(n_draws, float(mean))
    sigma = math.sqrt(math.log1p(cv**2))
    levels = (np.arange(n_draws) + 0.5) / n_draws
    draws: FloatArray = np.exp(math.log(mean) - 0.5 * sigma**2 + sigma * ndtri(levels))
    return draws


SATURATION = 0.95
"""Utilisation from which the fitted curve goes on along its tangent: finite for any load."""


def congestion(rho: FloatArray, sharpness: FloatArray) -> FloatArray:
    """`rho**b / (1 - rho)`, with `1 / (1 - rho)` continued by its tangent from SATURATION on.

    An observed latency is finite whatever the load, so a curve that is fitted must be, too. The
    continuation is once differentiable and rises without bound.

    Args:
        rho: (...) utilisation, > 0; may exceed 1.
        sharpness: (...) exponent b, broadcast against `rho`.
    """
    below = 1.0 / (1.0 - np.minimum(rho, SATURATION))
    beyond = np.maximum(rho - SATURATION, 0.0) / (1.0 - SATURATION) ** 2
    return np.asarray(rho**sharpness * (below + beyond))


def utilisation_within(excess: FloatArray, sharpness: FloatArray) -> FloatArray:
    """Largest utilisation with `rho**b / (1 - rho) <= excess`, by bisection.

    The true curve is inverted, not its continuation: the answer is below 1 and, past SATURATION,
    on the safe side.

    Args:
        excess: (...) bound; 0 where it is not positive.
        sharpness: (...) exponent b, broadcast against `excess`.
    """
    shape = np.broadcast_shapes(excess.shape, sharpness.shape)
    low, high = np.zeros(shape), np.full(shape, 1.0 - 1e-12)
    for _ in range(60):
        middle = 0.5 * (low + high)
        is_within = middle**sharpness <= excess * (1.0 - middle)
        low, high = np.where(is_within, middle, low), np.where(is_within, high, middle)
    return np.where(excess > 0, low, 0.0)


def reweight(draws: FloatArray, log_likelihood: FloatArray) -> FloatArray:
    """Particle update between refits: posterior draws resampled by new evidence.

    Args:
        draws: (P,) stored posterior draws.
        log_likelihood: (P,) log likelihood of the new outcomes under each draw.

    Returns:
        (P,) draws, systematically resampled (deterministic), so equally weighted again.
    """
    return np.asarray(draws[reweighted_rows(draws, log_likelihood)])


def reweighted_rows(order_by: FloatArray, log_likelihood: FloatArray, n_rows: int = 0) -> IntArray:
    """Rows that a systematic, deterministic resampling by new evidence takes.

    Args:
        order_by: (P,) what the rows are lined up by: like ones then stand for each other.
        log_likelihood: (P,) log likelihood of the new evidence under each row.
        n_rows: How many are taken; 0 for as many as there are.

    Returns:
        (n_rows,) indices, some of them more than once, equally weighted again.
    """
    if order_by.shape != log_likelihood.shape:
        raise InvalidRequest(f"shapes differ: {order_by.shape} and {log_likelihood.shape}")
    n_taken = n_rows or order_by.size
    order = np.argsort(order_by, kind="stable")
    weights = np.exp(log_likelihood[order] - log_likelihood.max())
    cumulative = np.cumsum(weights) / weights.sum()
    levels = (np.arange(n_taken) + 0.5) / n_taken
    picked = np.minimum(np.searchsorted(cumulative, levels), order_by.size - 1)
    return np.asarray(order[picked])
