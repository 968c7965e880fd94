"""Requests that are served by a response which no policy is told.

Replicas that carry the load z each miss a share of their requests, on average

    mean(z) = floor + (1 - floor) * u**slope / (1 + u**slope),   u = z / half

A step's own share scatters around its mean by a Beta law, and by the number of requests. The luck
of a step is drawn once, so that every policy meets the same: a higher mean never misses less.

Shapes: W workloads, T steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.optimize.elementwise import find_root
from scipy.special import betainc, betaincinv, logit

from services.simulator.fleet.arrays import FloatArray, IntArray

_EXACT = {"xatol": 1e-12, "xrtol": 1e-12}
_LEAST, _MOST = 1e-9, 1.0 - 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class ServedTruth:
    """The response of W workloads over T steps.

    Attributes:
        slope: (W,) steepness of the mean on the logarithm of the load.
        floor: (W,) share missed at any load.
        concentration: (W,) how close a step's share keeps to its mean.
        requests: (W, T) requests of a step.
        good_share: Share of a step's requests that must meet the objective for it to be a good one.
        luck: (W, T) uniform in (0, 1): the level of the step's share in its law.
    """

    slope: FloatArray
    floor: FloatArray
    concentration: FloatArray
    requests: FloatArray
    good_share: float
    luck: FloatArray

    @property
    def tolerated(self) -> float:
        """Share of a good step's requests that may miss."""
        return 1.0 - self.good_share

    def half(self, capacity: FloatArray) -> FloatArray:
        """(W, ...) load at which half is missed, if `capacity` misses the tolerated share."""
        shape = (-1,) + (1,) * (capacity.ndim - 1)
        return np.asarray(capacity / np.exp(logit(self.tolerated) / self.slope.reshape(shape)))

    def mean(self, load: FloatArray, half: FloatArray, workload: IntArray) -> FloatArray:
        """Mean share missed.

        Args:
            load: (...) load per ready replica; infinite where there is none.
            half: (...) load at which half of what can be cured is missed.
            workload: (...) index of the workload of each.
        """
        floor, slope = self.floor[workload], self.slope[workload]
        with np.errstate(over="ignore", divide="ignore"):
            curable = 1.0 / (1.0 + (load / half) ** -slope)
        return np.asarray(floor + (1.0 - floor) * curable)

    def precision(self) -> FloatArray:
        """(W, T) concentration of the Beta law with the same spread as share and count together."""
        own = self.concentration[:, None]
        spread = 1.0 / (own + 1.0) + own / (own + 1.0) / np.maximum(self.requests, 1.0)
        return np.asarray(np.maximum(1.0 / spread - 1.0, 1e-3))

    def share(self, mean: FloatArray, t: int) -> FloatArray:
        """(G, W) share that misses in step `t`, given its mean share."""
        precision, inner = self.precision()[:, t], np.clip(mean, _LEAST, _MOST)
        return np.asarray(betaincinv(inner * precision, (1 - inner) * precision, self.luck[:, t]))

    def part(self, steps: slice) -> ServedTruth:
        """The response over some of the steps."""
        return replace(self, requests=self.requests[:, steps], luck=self.luck[:, steps])

    def largest_good_mean(self) -> FloatArray:
        """(W, T) largest mean at which the step, with its luck, is still a good one."""
        return _largest_good_mean(self)

    def largest_good_load(self, half: FloatArray) -> FloatArray:
        """(W, T) largest load at which the step, with its luck, is still a good one; 0: none.

        Args:
            half: (W, T) load at which half of what can be cured is missed.
        """
        floor = self.floor[:, None]
        curable = np.clip((self.largest_good_mean() - floor) / (1.0 - floor), 0.0, _MOST)
        return np.asarray(half * (curable / (1.0 - curable)) ** (1.0 / self.slope[:, None]))


@lru_cache(maxsize=4)
def _largest_good_mean(truth: ServedTruth) -> FloatArray:
    """Kept: a grid of settings is run in batches over the same truth."""
    precision = truth.precision()

    def beyond_luck(mean: FloatArray, precision: FloatArray, luck: FloatArray) -> FloatArray:
        """Falls as the mean rises; no longer positive where the step is no good one."""
        good = betainc(mean * precision, (1.0 - mean) * precision, truth.tolerated)
        return np.asarray(good - luck)

    ends = np.full(truth.luck.shape, _LEAST), np.full(truth.luck.shape, _MOST)
    found = find_root(beyond_luck, ends, args=(precision, truth.luck), tolerances=_EXACT)
    # without a root the step is a good one at any mean, or at none
    is_good = beyond_luck(ends[1], precision, truth.luck) >= 0.0
    largest = np.where(found.success, found.x, np.where(is_good, *ends[::-1]))
    largest.flags.writeable = False
    return largest
