"""What is expected of a response before any step: its coordinates and their normal law.

A workload's stated capacity is what a replica serves within its objective. So what is expected of
it, and pooled, is the knee: the load at which `prior_share` of what can be cured is missed. The
capacity of `decider.belief.misses` lies beyond it, further for a gentle slope:

    capacity = knee * (1 / prior_share - 1)**(1 / slope)

Loads near the knee say much of it and little of the slope; told by its knee, a response's two
parameters are nearly independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtri

from decider.belief.lead_time import latin_levels
from decider.errors import require
from decider.miss_draws import MissDraws
from decider.types import FloatArray

PRIOR_SHARE = 0.05
"""Share of requests that may miss at the stated capacity, where no objective says another."""
KNEE, SLOPE, FLOOR, CONCENTRATION = range(4)
"""Columns of a response's coordinates: log knee over the stated capacity, log slope, logit floor,
log concentration."""
MEANS = np.array([0.0, np.log(12.0), logit(0.002), np.log(60.0)])
"""What is expected of them. A floor of 3 % is unlikely, of 20 % possible."""
GROUP_SIGMAS = np.array([0.3, 0.5])
"""Standard deviation of a group's knee and slope around what is expected."""
SPREADS = np.array([0.15, 0.3])
"""Median standard deviation of the workloads' knees and slopes around their group's."""
SPREAD_SIGMA = 0.5
"""Standard deviation of the logarithm of a spread."""
OWN_SIGMAS = np.array([1.6, 1.2])
"""Standard deviation of a workload's floor and concentration: they are not pooled."""
LEAST_VARIANCE = 1e-8
"""What a covariance of draws that are all alike is given."""


@dataclass(frozen=True, slots=True)
class MissPrior:
    """Normal law of a response's coordinates (`decider.belief.miss_model`).

    Attributes:
        mean: (4,) their means.
        root: (4, 4) lower triangle whose product with its transpose is their covariance.
        prior_capacity: Stated capacity.
        prior_share: Share of requests that may miss there.
    """

    mean: FloatArray
    root: FloatArray
    prior_capacity: float
    prior_share: float

    @classmethod
    def stated(cls, prior_capacity: float, prior_cv: float, prior_share: float) -> MissPrior:
        """What is expected of a workload of which nothing but its stated capacity is known.

        It is the prior of `decider.belief.model.miss_model` for a group of one.
        """
        check_stated(prior_capacity, prior_cv, prior_share)
        own = np.array([np.sqrt(np.log1p(prior_cv**2)), 0.0])
        spread = SPREADS * np.exp(SPREAD_SIGMA**2)  # root mean square of the lognormal
        pooled = np.sqrt(GROUP_SIGMAS**2 + spread**2 + own**2)
        root: FloatArray = np.diag(np.concatenate([pooled, OWN_SIGMAS]))
        return cls(MEANS, root, prior_capacity, prior_share)

    @classmethod
    def of_draws(cls, draws: MissDraws, prior_capacity: float, prior_share: float) -> MissPrior:
        """The normal law with the mean and covariance of draws: of a group's new workload, say."""
        check_stated(prior_capacity, 0.0, prior_share)
        coordinates = to_coordinates(draws, prior_capacity, prior_share)
        spread = np.cov(coordinates, rowvar=False) if coordinates.shape[0] > 1 else 0.0
        lower = np.linalg.cholesky(spread + LEAST_VARIANCE * np.eye(MEANS.size))
        root: FloatArray = lower.astype(np.float64)
        return cls(coordinates.mean(axis=0), root, prior_capacity, prior_share)

    def draws(self, n_draws: int) -> MissDraws:
        """Stratified draws: each coordinate of a diagonal law has its quantiles."""
        return self.at(ndtri(latin_levels(n_draws, MEANS.size)))

    def at(self, z: FloatArray) -> MissDraws:
        """The responses at (P, 4) standard normal values."""
        return to_draws(self.mean + z @ self.root.T, self.prior_capacity, self.prior_share)


def prior_draws(
    prior_capacity: float, prior_cv: float, prior_share: float, n_draws: int
) -> MissDraws:
    """Stratified draws of the response of a workload that has neither a fit nor steps.

    Args:
        prior_capacity: Stated capacity: what a replica serves within the objective.
        prior_cv: Relative error that it may have, beyond the 35 % that every stated one may.
        prior_share: Share of requests that the objective lets miss.
        n_draws: How many.
    """
    return MissPrior.stated(prior_capacity, prior_cv, prior_share).draws(n_draws)


def to_draws(coordinates: FloatArray, prior_capacity: float, prior_share: float) -> MissDraws:
    """The response that (P, 4) coordinates are those of."""
    knee, slope, floor, concentration = np.clip(coordinates, *_REACH).T
    log_capacity = knee - logit(prior_share) * np.exp(-slope)
    return MissDraws(
        prior_capacity * np.exp(np.clip(log_capacity, -_FAR, _FAR)),
        np.exp(slope),
        expit(floor),
        np.exp(concentration),
    )


def to_coordinates(draws: MissDraws, prior_capacity: float, prior_share: float) -> FloatArray:
    """(P, 4) the inverse of `to_draws`."""
    knee = np.log(draws.load_within(prior_share) / prior_capacity)
    floor = logit(np.maximum(draws.floor, 1e-12))
    return np.stack([knee, np.log(draws.slope), floor, np.log(draws.concentration)], axis=1)


_FAR = 200.0
_REACH = (np.array([-20.0, -4.0, -30.0, -20.0]), np.array([20.0, 9.0, 15.0, 20.0]))
"""Coordinates beyond these tell no response from another, and would overflow."""


def check_stated(prior_capacity: float, prior_cv: float, prior_share: float) -> None:
    """Refuse a stated capacity, its error or a share that nobody can mean."""
    is_positive = np.isfinite(prior_capacity) and prior_capacity > 0
    require(bool(is_positive), f"prior_capacity={prior_capacity} must be finite and > 0")
    require(bool(np.isfinite(prior_cv) and prior_cv >= 0), f"prior_cv={prior_cv} must be >= 0")
    require(0 < prior_share < 1, f"prior_share={prior_share} must lie in (0, 1)")
