"""Use of a replica: what several loads together take of what it can carry.

    u(z) = (sum over loads g of (z_g / c_g)**s)**(1 / s),   s >= 1

with z_g the load per ready replica and c_g the capacity for that load alone. At s = 1 all loads
share one resource: their shares add up. The larger the sharing exponent s, the more each has a
resource of its own, and the tightest binds. u(x / k) = u(x) / k, so several loads enter a decision
as one equivalent demand, c_0 * u(x), in the unit of the demand.

Shapes: F further loads, N vectors of loads (demand, *further).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from decider.errors import require

FloatArray = npt.NDArray[np.float64]

MAX_FURTHER = 3
"""Most further loads of a workload."""


def log_use(log_share: FloatArray, sharing: FloatArray | float) -> FloatArray:
    """(...) logarithm of the use.

    Args:
        log_share: (1+F, ...) logarithm of each load over its own capacity; -inf: none of it.
        sharing: (...) sharing exponents; infinite: the tightest load alone.
    """
    most = log_share.max(axis=0)
    if np.isinf(sharing).all():
        return np.asarray(most)
    away = log_share - np.where(np.isfinite(most), most, 0.0)
    away *= sharing
    with np.errstate(divide="ignore"):
        return np.asarray(most + np.log(np.exp(away, out=away).sum(axis=0)) / sharing)


def equivalent_demand(
    loads: FloatArray, capacity: FloatArray, sharing: float = math.inf
) -> FloatArray:
    """(N,) demand that alone would use a replica as much as the loads do; NaN where one is unknown.

    Args:
        loads: (N, 1+F) demand and further loads; >= 0.
        capacity: (1+F,) what a replica carries of each alone; > 0.
        sharing: Sharing exponent; infinite: the tightest load binds.

    Raises:
        InvalidRequest: Shapes differ, or a capacity or the exponent is impossible.
    """
    shapes = f"loads {loads.shape}, capacity {capacity.shape}"
    is_matched = loads.ndim == 2 and capacity.shape == loads.shape[1:] and capacity.size > 0
    require(is_matched, f"{shapes}: must be (N, 1+F) and (1+F,)")
    is_positive = bool((np.isfinite(capacity) & (capacity > 0)).all())
    require(is_positive, f"capacity={capacity.tolist()} must be finite and > 0")
    require(sharing >= 1, f"sharing={sharing} must be >= 1")
    if capacity.size == 1:
        return np.asarray(loads[:, 0], dtype=np.float64)
    if math.isinf(sharing):
        return np.asarray((loads * (capacity[0] / capacity)).max(axis=1))
    with np.errstate(divide="ignore"):
        log_share = np.log(loads.T) - np.log(capacity)[:, None]
    return np.asarray(capacity[0] * np.exp(log_use(log_share, sharing)))
