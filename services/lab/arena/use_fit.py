"""Fits the response that Harmony decides by to points of a table.

use(z) = (sum over loads g of (z_g / c_g)**s)**(1/s),   s >= 1
miss(z) = floor + (1 - floor) * use**slope / (1 + use**slope)
missed ~ BetaBinomial(requests, miss(z), concentration)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln, expit, logit

from services.kernel.errors import InvalidInput
from services.lab.arena.requests import FloatArray, IntArray

_MAX_SHARING = 64.0
"""From here on the loads' use is their largest but for a percent."""
_EDGE = 1e-9
_SLOPES = (2.0, 6.0, 12.0)
"""Slopes that a fit starts from."""


@dataclass(frozen=True, slots=True)
class UseResponse:
    """A fitted response.

    Attributes:
        capacity: (L,) load per replica that alone would miss half of what can be cured.
        sharing: Exponent s; inf: the tightest load binds.
        slope: Steepness on the logarithm of the use.
        floor: Share that misses at any load.
        concentration: How close a point keeps to its expected share.
    """

    capacity: FloatArray
    sharing: float
    slope: float
    floor: float
    concentration: float

    def log_use(self, loads: FloatArray) -> FloatArray:
        """(N,) logarithm of the use at loads (N, L)."""
        shares = np.log(np.maximum(loads, 1e-300)) - np.log(self.capacity)
        # scipy's logsumexp takes many times as long for so few figures
        most = shares.max(axis=1)
        if math.isinf(self.sharing):
            return np.asarray(most)
        away = np.exp(self.sharing * (shares - most[:, None]))
        return np.asarray(most + np.log(away.sum(axis=1)) / self.sharing)

    def miss(self, loads: FloatArray) -> FloatArray:
        """(N,) expected share of misses at loads (N, L)."""
        return np.asarray(self.floor + (1.0 - self.floor) * expit(self.slope * self.log_use(loads)))


@dataclass(frozen=True, slots=True)
class FitData:
    """Points to fit to.

    Attributes:
        loads: (N, L) loads per replica and second, > 0.
        missed: (N,) requests that missed a goal.
        total: (N,) requests.
    """

    loads: FloatArray
    missed: IntArray
    total: IntArray


def fit_use(data: FitData, sharing: float | None = None) -> UseResponse:
    """The most likely response.

    Args:
        data: Points.
        sharing: A sharing exponent that is given, not fitted; one load has none.

    Raises:
        InvalidInput: There are fewer points than figures to fit.
    """
    n_points, n_loads = data.loads.shape
    if n_points < n_loads + 5:
        raise InvalidInput(f"{n_points} points are too few to fit a response of {n_loads} loads")
    given = 1.0 if n_loads == 1 else sharing
    middle = np.median(np.log(data.loads), axis=0)

    def response(at: FloatArray) -> UseResponse:
        fitted = min(1.0 + math.exp(min(at[-1], 50.0)), _MAX_SHARING)
        return UseResponse(
            capacity=np.exp(at[:n_loads] + middle),
            sharing=fitted if given is None else given,
            slope=math.exp(at[n_loads]),
            floor=float(expit(at[n_loads + 1])),
            concentration=math.exp(at[n_loads + 2]),
        )

    def loss(at: FloatArray) -> float:
        return -log_likelihood(response(at), data)

    bounds = [(-8.0, 12.0)] * n_loads + [(-2, 5), (-14, 1), (-1, 9), (-6, 5)]
    spread = np.full(n_loads, 0.5 * math.log(n_loads))
    tails = [[math.log(slope), logit(1e-3), math.log(50.0), 0.0] for slope in _SLOPES]
    starts = [np.concatenate([spread, tail]) for tail in tails]
    if given is None:
        # The likelihood has several tops: loads that share and loads that do not are both tried.
        ends = ((_SHARED, fit_use(data, 1.0)), (_APART, fit_use(data, math.inf)))
        starts += [np.append(_at(fitted, middle), tail) for tail, fitted in ends]
    fits = [
        minimize(loss, np.clip(start, *np.array(bounds).T), method="L-BFGS-B", bounds=bounds)
        for start in starts
    ]
    return response(min(fits, key=lambda fit: float(fit.fun)).x)


_SHARED, _APART = -5.0, 3.0
"""Logarithms of s - 1 from which a fit of the sharing exponent starts."""


def _at(fitted: UseResponse, middle: FloatArray) -> FloatArray:
    tail = [math.log(fitted.slope), logit(fitted.floor), math.log(fitted.concentration)]
    return np.concatenate([np.log(fitted.capacity) - middle, tail])


def log_likelihood(response: UseResponse, data: FitData) -> float:
    """Logarithm of the points' likelihood, without the part that no fit changes."""
    share = _EDGE + (1.0 - 2.0 * _EDGE) * response.miss(data.loads)
    good, bad = (1.0 - share) * response.concentration, share * response.concentration
    return float(
        (betaln(data.missed + bad, data.total - data.missed + good) - betaln(bad, good)).sum()
    )
