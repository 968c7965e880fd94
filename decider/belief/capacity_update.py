"""Between refits: stored capacity draws reweighted by what steps have shown since.

Each stored draw is a particle. Its likelihood is that of the steps' latencies, lognormal around
the draw's curve. When few particles carry the weight, the draws no longer describe the service:
they are kept as they are, and a refit is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decider.belief.capacity import reweight
from decider.belief.response_model import CurveDraws
from decider.errors import InvalidRequest
from decider.types import FloatArray

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
    if draws.size == 0 or draws.shape != log_likelihood.shape:
        raise InvalidRequest(f"shapes {draws.shape} and {log_likelihood.shape} must be one (P,)")
    if not np.isfinite(log_likelihood).all():
        raise InvalidRequest("log_likelihood must be finite")
    ratio = effective_ratio(log_likelihood)
    if ratio < min_effective_ratio:
        return CapacityUpdate(draws, ratio, True)
    return CapacityUpdate(reweight(draws, log_likelihood), ratio, False)
