"""What is expected of a response before any step: its coordinates and their normal law.

A workload's stated capacity is what a replica serves within its objective. So what is expected of
it, and pooled, is the knee: the load at which `prior_share` of what can be cured is missed. The
capacity of `decider.belief.misses` lies beyond it, further for a gentle slope:

    capacity = knee * (1 / prior_share - 1)**(1 / slope)

Loads near the knee say much of it and little of the slope; told by its knee, a response's two
parameters are nearly independent.

Where several loads bind a replica, the knee is that of the equivalent demand. A load that never
binds is bounded from one side only, so what is expected of the others is told relative to the
demand: errors of stated capacities are mostly those of the GPU and the model, and shared. A
coordinate of each further load is the log of its capacity over the demand's, over the stated ratio;
that of sharing is log(sharing - 1), which has no edge.

Of a variant but the first a coordinate is the log of what a replica of it carries over that of the
first, over the stated ratio. It moves only where the mix of ready replicas differs between steps.

Shapes: F further loads, V variants but the first; D coordinates, 4 or 5+F, and V.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, logit, ndtri

from decider.belief.lead_time import latin_levels
from decider.belief.occupancy import FullUse
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
SHARING, RATIO = 4, 5
"""Further columns where there are further loads: log(sharing - 1), then a ratio of each."""
SHARING_MEAN, SHARING_SIGMA = 0.0, 1.2
"""Of log(sharing - 1), a workload's own: an exponent of 2; below 1.1 or above 12 is unlikely."""
RATIO_GROUP_SIGMA, RATIO_SPREAD = 0.3, 0.15
"""As `GROUP_SIGMAS` and `SPREADS`, of every ratio; its mean is the stated one."""
WORTH_SIGMA = 0.35
"""Standard deviation of the log of what a variant carries over what is stated of it relative to the
first: as wide as a stated capacity's own error. A workload's own."""
LEARNED_SPREAD = 0.5
"""Spread of a worth over that before any step, from which it is taken to be learned."""
LEAST_VARIANCE = 1e-8
"""What a covariance of draws that are all alike is given."""


@dataclass(frozen=True, slots=True)
class GroupLaw:
    """What the measured workloads of a group say of one more: a normal law of what is pooled.

    Attributes:
        mean: (2+F,) log knee over the stated capacity, log slope, and of each further load the log
            ratio over the stated one.
        covariance: (2+F, 2+F) of these, of one workload whose stated capacity has no error of its
            own.
    """

    mean: FloatArray
    covariance: FloatArray

    def __post_init__(self) -> None:
        """Refuse what is no law."""
        n = self.mean.size
        is_square = n >= GROUP_SIGMAS.size and self.covariance.shape == (n, n)
        require(is_square, f"covariance {self.covariance.shape} must be (2+F, 2+F), mean (2+F,)")
        is_finite = np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()
        require(bool(is_finite), "mean and covariance must be finite")
        least = float(np.linalg.eigvalsh(self.covariance)[0])
        require(least > 0, f"covariance must be positive definite: its least eigenvalue is {least}")


@dataclass(frozen=True, slots=True)
class MissPrior:
    """Normal law of a response's coordinates (`decider.belief.miss_model`).

    Attributes:
        mean: (D,) their means.
        root: (D, D) lower triangle whose product with its transpose is their covariance.
        prior_capacity: Stated capacity.
        prior_share: Share of requests that may miss there.
        further_capacity: (F,) stated capacities of the further loads.
        seen: What occupancies tell beside it of full replicas: no normal law of the coordinates.
    """

    mean: FloatArray
    root: FloatArray
    prior_capacity: float
    prior_share: float
    further_capacity: tuple[float, ...] = ()
    seen: tuple[FullUse, ...] = ()

    @classmethod
    def stated(
        cls,
        prior_capacity: float,
        prior_cv: float,
        prior_share: float,
        further_capacity: Sequence[float] = (),
        n_variants: int = 0,
    ) -> MissPrior:
        """What is expected of a workload of which nothing but its stated capacities is known.

        It is the prior of `decider.belief.model.miss_model` for a group of one.
        """
        check_stated(prior_capacity, prior_cv, prior_share, further_capacity)
        own = np.array([np.sqrt(np.log1p(prior_cv**2)), 0.0])
        spread = SPREADS * np.exp(SPREAD_SIGMA**2)  # root mean square of the lognormal
        pooled = np.sqrt(GROUP_SIGMAS**2 + spread**2 + own**2)
        sigmas = np.concatenate([pooled, OWN_SIGMAS])
        if further_capacity:
            ratio = np.hypot(RATIO_GROUP_SIGMA, RATIO_SPREAD * np.exp(SPREAD_SIGMA**2))
            ratios = np.repeat(np.hypot(ratio, own[0]), len(further_capacity))
            sigmas = np.concatenate([sigmas, [SHARING_SIGMA], ratios])
        sigmas = np.concatenate([sigmas, np.repeat(worth_sigma(prior_cv), n_variants)])
        root: FloatArray = np.diag(sigmas)
        means = expected_means(len(further_capacity), n_variants)
        return cls(means, root, prior_capacity, prior_share, tuple(further_capacity))

    def of_group(self, law: GroupLaw, prior_cv: float) -> MissPrior:
        """The same workload where others of its group were measured: it borrows strength.

        Args:
            law: What they say of one more.
            prior_cv: Relative error that its stated capacity may have on its own.
        """
        n_further = len(self.further_capacity)
        n_known = law.mean.size - GROUP_SIGMAS.size
        require(n_known == n_further, f"a group of {n_known} further loads, it has {n_further}")
        own = np.full(law.mean.size, np.log1p(prior_cv**2))
        own[1] = 0.0  # a slope has no stated value to be wrong
        at = [KNEE, SLOPE, *range(RATIO, RATIO + n_further)]
        mean, covariance = self.mean.copy(), self.root @ self.root.T
        mean[at] = law.mean
        covariance[np.ix_(at, at)] = law.covariance + np.diag(own)
        root: FloatArray = np.linalg.cholesky(covariance).astype(np.float64)
        return replace(self, mean=mean, root=root)

    @classmethod
    def of_draws(
        cls,
        draws: MissDraws,
        prior_capacity: float,
        prior_share: float,
        further_capacity: Sequence[float] = (),
    ) -> MissPrior:
        """The normal law with the mean and covariance of draws."""
        check_stated(prior_capacity, 0.0, prior_share, further_capacity)
        coordinates = to_coordinates(draws, prior_capacity, prior_share, further_capacity)
        spread = np.cov(coordinates, rowvar=False) if coordinates.shape[0] > 1 else 0.0
        lower = np.linalg.cholesky(spread + LEAST_VARIANCE * np.eye(coordinates.shape[1]))
        root: FloatArray = lower.astype(np.float64)
        mean = coordinates.mean(axis=0)
        return cls(mean, root, prior_capacity, prior_share, tuple(further_capacity))

    def draws(self, n_draws: int) -> MissDraws:
        """Stratified draws: each coordinate of a diagonal law has its quantiles."""
        return self.at(ndtri(latin_levels(n_draws, self.mean.size)))

    def at(self, z: FloatArray) -> MissDraws:
        """The responses at (P, D) standard normal values."""
        coordinates = self.mean + z @ self.root.T
        return to_draws(coordinates, self.prior_capacity, self.prior_share, self.further_capacity)


def worth_sigma(prior_cv: float) -> float:
    """Standard deviation of the log of a worth before any step."""
    return float(np.hypot(WORTH_SIGMA, np.sqrt(np.log1p(prior_cv**2))))


def worth_in_force(draws: MissDraws, prior_cv: float) -> FloatArray:
    """(V,) median worth of each variant but the first; 1, as stated, where it was not learned.

    Without steps of another mix what all replicas carry together moves a worth a little, for it may
    be any variant's. Only a spread that steps have more than halved is taken to be of the variant.
    """
    spread = np.log(draws.worth).std(axis=0)
    is_learned = spread < LEARNED_SPREAD * worth_sigma(prior_cv)
    return np.asarray(np.where(is_learned, np.median(draws.worth, axis=0), 1.0))


def expected_means(n_further: int, n_variants: int = 0) -> FloatArray:
    """(D,) what is expected of the coordinates with so many further loads and variants."""
    more = [SHARING_MEAN, *[0.0] * n_further] if n_further else []
    return np.concatenate([MEANS, more, np.zeros(n_variants)])


def to_draws(
    coordinates: FloatArray,
    prior_capacity: float,
    prior_share: float,
    further_capacity: Sequence[float] = (),
) -> MissDraws:
    """The response that (P, D) coordinates are those of."""
    n_further = len(further_capacity)
    n_alone = expected_means(n_further).size
    worth = np.exp(np.clip(coordinates[:, n_alone:], -_RATIO_REACH, _RATIO_REACH))
    knee, slope, floor, concentration = np.clip(coordinates[:, : MEANS.size], *_REACH).T
    log_capacity = knee - logit(prior_share) * np.exp(-slope)
    capacity = prior_capacity * np.exp(np.clip(log_capacity, -_FAR, _FAR))
    alone = (capacity, np.exp(slope), expit(floor), np.exp(concentration))
    if not n_further:
        return MissDraws(*alone, worth=worth)
    sharing = 1.0 + np.exp(np.clip(coordinates[:, SHARING], *_SHARING_REACH))
    ratio = np.exp(np.clip(coordinates[:, RATIO:n_alone], -_RATIO_REACH, _RATIO_REACH))
    further = capacity[:, None] * (np.array(further_capacity) / prior_capacity) * ratio
    return MissDraws(*alone, sharing, further, worth)


def to_coordinates(
    draws: MissDraws,
    prior_capacity: float,
    prior_share: float,
    further_capacity: Sequence[float] = (),
) -> FloatArray:
    """(P, D) the inverse of `to_draws`."""
    n_stated = len(further_capacity)
    require(n_stated == draws.n_further, f"{n_stated} stated further loads, not {draws.n_further}")
    knee = np.log(draws.load_within(prior_share) / prior_capacity)
    floor = logit(np.maximum(draws.floor, 1e-12))
    alone = [knee, np.log(draws.slope), floor, np.log(draws.concentration)]
    worth = np.log(draws.worth)
    if not further_capacity:
        return np.column_stack([*alone, worth])
    excess = np.log(np.maximum(draws.sharing - 1.0, np.exp(_SHARING_REACH[0])))
    stated = np.array(further_capacity) / prior_capacity
    ratio = np.log(draws.further / draws.capacity[:, None] / stated)
    return np.column_stack([*alone, excess, ratio, worth])


_FAR = 200.0
_REACH = (np.array([-20.0, -4.0, -30.0, -20.0]), np.array([20.0, 9.0, 15.0, 20.0]))
"""Coordinates beyond these tell no response from another, and would overflow."""
_SHARING_REACH, _RATIO_REACH = (-7.0, 4.0), 20.0
"""The same of sharing, from 1.001 to 55, and of ratios and worths."""


def check_stated(
    prior_capacity: float,
    prior_cv: float,
    prior_share: float,
    further_capacity: Sequence[float] = (),
) -> None:
    """Refuse stated capacities, their error or a share that nobody can mean."""
    is_known = all(np.isfinite(c) and c > 0 for c in further_capacity)
    require(is_known, f"further_capacity={tuple(further_capacity)} must be finite and > 0")
    is_positive = np.isfinite(prior_capacity) and prior_capacity > 0
    require(bool(is_positive), f"prior_capacity={prior_capacity} must be finite and > 0")
    require(bool(np.isfinite(prior_cv) and prior_cv >= 0), f"prior_cv={prior_cv} must be >= 0")
    require(0 < prior_share < 1, f"prior_share={prior_share} must lie in (0, 1)")
