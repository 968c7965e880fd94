"""The true response of a replica to several loads, of which no policy is told.

What the loads of a replica add up to is its use, 1 where it misses the share of requests that a
good step tolerates:

    use(z) = (sum over loads g of (z_g / c_g)**s)**(1 / s)
    mean(z) = floor + (1 - floor) * expit(slope * log use(z) + logit(tolerated))

The law of `drawn`, per workload: the shares that the loads have in the use at their means are
uniform on the simplex (Dirichlet of ones), the logarithm of the sharing exponent s is uniform
between 1 and 8, slope and floor are as in `bench decide --truth served`. No draw looks at the data
but for their mean.

Shapes: W workloads, G loads, the first of them the demand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import expit, logit

from decider import MissDraws
from services.lab.bench.decide.truth import (
    GOOD_SHARE,
    HIGHEST_FLOOR,
    SLOPE,
    SLOPE_SPREAD,
)
from services.simulator.fleet.arrays import FloatArray, IntArray

TOLERATED = 1.0 - GOOD_SHARE
LEAST_SHARING, MOST_SHARING = 1.0, 8.0


class LoadResponse(Protocol):
    """Response of W workloads' replicas to G loads; monotone along each composition of loads."""

    @property
    def capacity(self) -> FloatArray:
        """(W, G) load that a replica carries of that load alone."""
        ...

    def use(self, load: FloatArray, workload: IntArray) -> FloatArray:
        """(...) use of a replica under loads (..., G); homogeneous, 1 at the tolerated share."""
        ...

    def mean(self, load: FloatArray, workload: IntArray) -> FloatArray:
        """(...) mean share of requests that miss under loads (..., G) per ready replica.

        Args:
            load: Infinite where nothing is ready.
            workload: (...) whose replica it is.
        """
        ...

    def draws(self, workload: int, concentration: float) -> MissDraws:
        """One draw of the family that Harmony learns: the truth, or what is nearest to it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class SharedUse:
    """A response of the family that Harmony learns (`LoadResponse`).

    Attributes:
        capacity: (W, G) load that a replica carries of that load alone.
        sharing: (W,) exponent s.
        slope: (W,) steepness on the logarithm of the use.
        floor: (W,) share missed at any load.
    """

    capacity: FloatArray
    sharing: FloatArray
    slope: FloatArray
    floor: FloatArray

    def use(self, load: FloatArray, workload: IntArray) -> FloatArray:
        """See `LoadResponse`."""
        share = load / self.capacity[workload]
        most = share.max(axis=-1)
        exponent = self.sharing[workload]
        with np.errstate(invalid="ignore", divide="ignore"):
            relative = np.where(most[..., None] > 0, share / most[..., None], 0.0)
        is_endless = np.isinf(most)
        total = (np.where(is_endless[..., None], 1.0, relative) ** exponent[..., None]).sum(axis=-1)
        return np.asarray(most * np.where(most > 0, total, 0.0) ** (1.0 / exponent))

    def mean(self, load: FloatArray, workload: IntArray) -> FloatArray:
        """See `LoadResponse`."""
        with np.errstate(divide="ignore"):
            log_use = np.log(self.use(load, workload))
        floor = self.floor[workload]
        curable = expit(self.slope[workload] * log_use + logit(TOLERATED))
        return np.asarray(floor + (1.0 - floor) * curable)

    def draws(self, workload: int, concentration: float) -> MissDraws:
        """See `LoadResponse`."""
        half = self.capacity[workload] * np.exp(-logit(TOLERATED) / self.slope[workload])
        own = (half[0], self.slope[workload], self.floor[workload], concentration)
        return vector_draws(np.array(own), self.sharing[workload], half[1:])


def vector_draws(own: FloatArray, sharing: float, further: FloatArray) -> MissDraws:
    """One draw of a response.

    Args:
        own: (4,) capacity, slope, floor and concentration.
        sharing: Sharing exponent; without further loads it means nothing.
        further: (F,) capacities of the further loads.
    """
    tail = [sharing, *further] if further.size else []
    return MissDraws.from_array(np.array([[*own, *tail]]))


def drawn(usual: FloatArray, rng: np.random.Generator) -> SharedUse:
    """A response by the law above.

    Args:
        usual: (W, G) mean loads per workload; a load at its mean takes its drawn share of the use.
        rng: Source of the draws.
    """
    n_workloads, n_loads = usual.shape
    share = rng.dirichlet(np.ones(n_loads), n_workloads)
    sharing = np.exp(rng.uniform(np.log(LEAST_SHARING), np.log(MOST_SHARING), n_workloads))
    slope = SLOPE * np.exp(SLOPE_SPREAD * rng.standard_normal(n_workloads))
    floor = np.asarray(rng.uniform(0.0, HIGHEST_FLOOR, n_workloads))
    return SharedUse(usual / share, sharing, slope, floor)
