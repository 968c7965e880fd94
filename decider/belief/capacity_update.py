"""Between refits: stored capacity draws reweighted by what steps have shown since.

Each stored draw is a particle. Its likelihood is that of the steps' latencies, lognormal around
the draw's curve. When few particles carry the weight, the draws no longer describe the service:
they are kept as they are, and a refit is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decider.belief.capacity import reweighted_rows
from decider.belief.response_model import CurveDraws
from decider.errors import InvalidRequest
from decider.types import FloatArray, IntArray

MIN_EFFECTIVE_RATIO = 0.1
"""Effective share of the particles below which they are kept and a refit is asked for."""


@dataclass(frozen=True, slots=True)
class CapacityUpdate:
    """Capacity draws after new evidence.

    Attributes:
        draws: (P,) draws, equally weighted.
        effective_ratio: Effective share of the particles under the new weights, in (0, 1].
        needs_refit: Whether that share was too small: then `draws` are the stored ones.
    """

    draws: FloatArray
    effective_ratio: float
    needs_refit: bool


def latency_log_likelihood(
    curves: CurveDraws, load: FloatArray, latency_ms: FloatArray
) -> FloatArray:
    """Log likelihood of steps with a measured latency, lognormal around each draw's curve.

    Args:
        curves: P draws.
        load: (N,) load per ready replica; > 0.
        latency_ms: (N,) measured latency; > 0.

    Returns:
        (P,) log likelihood up to a constant; the same bytes in whatever order the steps come.
    """
    if load.ndim != 1 or load.shape != latency_ms.shape:
        raise InvalidRequest(f"load {load.shape}, latency_ms {latency_ms.shape}: both must be (N,)")
    for name, values in (("load", load), ("latency_ms", latency_ms)):
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise InvalidRequest(f"{name} must be finite and > 0: leave out what is unknown")
    order = np.lexsort((latency_ms, load))
    log_latency = np.log(latency_ms[order])
    z = (log_latency - curves.log_latency(load[order])) / curves.noise[:, None]
    return np.asarray(-0.5 * (z**2).sum(axis=1) - load.size * np.log(curves.noise))


def effective_ratio(log_likelihood: FloatArray) -> float:
    """Effective share of P equally weighted particles after reweighting (Kish).

    Args:
        log_likelihood: (P,) log likelihood of the new evidence under each.
    """
    weights = np.exp(log_likelihood - log_likelihood.max())
    return float(weights.sum() ** 2 / (weights**2).sum() / weights.size)


@dataclass(frozen=True, slots=True)
class RowUpdate:
    """Which rows of stored draws stand for them after new evidence.

    Attributes:
        rows: (P,) indices; each row once where too few would carry the evidence.
        effective_ratio: Effective share of the particles under the new weights, in (0, 1].
        needs_refit: Whether that share was too small.
    """

    rows: IntArray
    effective_ratio: float
    needs_refit: bool


def update_capacity(
    draws: FloatArray,
    log_likelihood: FloatArray,
    min_effective_ratio: float = MIN_EFFECTIVE_RATIO,
) -> CapacityUpdate:
    """Reweight stored draws by new evidence, unless too few of them would carry it.

    Args:
        draws: (P,) stored draws.
        log_likelihood: (P,) log likelihood of everything that came after the fit.
        min_effective_ratio: Smallest effective share of the particles.

    Raises:
        InvalidRequest: Shapes differ, or a likelihood is not a number.
    """
    update = update_rows(draws, log_likelihood, min_effective_ratio)
    return CapacityUpdate(draws[update.rows], update.effective_ratio, update.needs_refit)


def update_rows(
    order_by: FloatArray,
    log_likelihood: FloatArray,
    min_effective_ratio: float = MIN_EFFECTIVE_RATIO,
) -> RowUpdate:
    """`update_capacity` for draws of whatever form: which of their rows are taken.

    Args:
        order_by: (P,) what the rows are lined up by.
        log_likelihood: (P,) log likelihood of everything that came after the fit.
        min_effective_ratio: Smallest effective share of the particles.

    Raises:
        InvalidRequest: Shapes differ, or a likelihood is not a number.
    """
    if order_by.size == 0 or order_by.shape != log_likelihood.shape:
        shapes = f"{order_by.shape} and {log_likelihood.shape}"
        raise InvalidRequest(f"shapes {shapes} must be one (P,)")
    if not np.isfinite(log_likelihood).all():
        raise InvalidRequest("log_likelihood must be finite")
    ratio = effective_ratio(log_likelihood)
    if ratio < min_effective_ratio:
        return RowUpdate(np.arange(order_by.size), ratio, True)
    return RowUpdate(reweighted_rows(order_by, log_likelihood), ratio, False)
