"""Between fits: whole draws of a response reweighted by what steps have shown since.

Where a fit is stored, each of its draws is a particle (`update_misses`). Where nothing was fitted
yet, few draws of the wide prior agree with two hours of steps. Then the prior is narrowed in rounds
(`learn_misses`): adaptive importance sampling (Cappé et al., "Population Monte Carlo", 2004) with
the likelihood let in little by little. Draws come from fixed levels, so the same steps give the same
draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import chdtri, gammaln, ndtri

from decider.belief.capacity import reweighted_rows
from decider.belief.capacity_update import MIN_EFFECTIVE_RATIO, effective_ratio, update_rows
from decider.belief.lead_time import latin_levels
from decider.belief.miss_model import (
    GROUP_SIGMAS,
    MEANS,
    OWN_SIGMAS,
    SPREAD_SIGMA,
    SPREADS,
    check_stated,
    steps_across_loads,
    to_coordinates,
    to_draws,
    whole_counts,
)
from decider.miss_draws import MissDraws, inside
from decider.types import FloatArray

N_PARTICLES = 512
MAX_ROUNDS = 12
GOOD_RATIO = 0.35
"""Effective share of the particles from which no further round is needed."""
ROUND_RATIO = 0.1
"""Effective share that a round keeps while it lets in more of the likelihood."""
TAIL_FREEDOM = 5.0
"""Degrees of freedom of a round's Student t: wider than the posterior in every direction."""
_N_LEVELS = MEANS.size + 1


@dataclass(frozen=True, slots=True)
class MissUpdate:
    """Response draws after new evidence.

    Attributes:
        draws: Draws, equally weighted.
        effective_ratio: Effective share of the particles that they were taken from, in (0, 1].
        needs_refit: Whether that share was too small: then the draws are as wide as before, or
            wider than the evidence allows.
    """

    draws: MissDraws
    effective_ratio: float
    needs_refit: bool


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
        root = np.diag(np.concatenate([pooled, OWN_SIGMAS]))
        return cls(MEANS, root, prior_capacity, prior_share)

    @classmethod
    def of_draws(cls, draws: MissDraws, prior_capacity: float, prior_share: float) -> MissPrior:
        """The normal law with the mean and covariance of draws: of a group's new workload, say."""
        check_stated(prior_capacity, 0.0, prior_share)
        coordinates = to_coordinates(draws, prior_capacity, prior_share)
        spread = np.cov(coordinates, rowvar=False) if coordinates.shape[0] > 1 else 0.0
        root = np.linalg.cholesky(spread + _LEAST_VARIANCE * np.eye(MEANS.size))
        return cls(coordinates.mean(axis=0), root, prior_capacity, prior_share)

    def draws(self, n_draws: int) -> MissDraws:
        """Stratified draws: each coordinate of a diagonal law has its quantiles."""
        return self.at(ndtri(latin_levels(n_draws, MEANS.size)))

    def at(self, z: FloatArray) -> MissDraws:
        """The responses at (P, 4) standard normal values."""
        return to_draws(self.mean + z @ self.root.T, self.prior_capacity, self.prior_share)


_LEAST_VARIANCE = 1e-8


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


def miss_log_likelihood(
    draws: MissDraws, load: FloatArray, missed: FloatArray, total: FloatArray
) -> FloatArray:
    """Log likelihood of steps with counted misses, beta-binomial around each draw's response.

    Args:
        draws: P draws.
        load: (N,) load per ready replica; > 0.
        missed: (N,) requests that missed a goal; >= 0.
        total: (N,) requests; a step without any says nothing.

    Returns:
        (P,) log likelihood up to a constant; the same bytes in whatever order the steps come.
    """
    missed, total = whole_counts(load, missed, total)
    order = np.lexsort((total, missed, load))
    order = order[total[order] > 0]
    share = inside(draws.miss(load[order]))
    missed, total = missed[order], total[order]
    near = draws.concentration[:, None]
    terms = _log_rising(share * near, missed) + _log_rising((1.0 - share) * near, total - missed)
    return np.asarray((terms - _log_rising(near, total)).sum(axis=1))


def _log_rising(start: FloatArray, count: FloatArray) -> FloatArray:
    """log(start * (start + 1) * ... * (start + count - 1)), broadcast; 0 for none."""
    return np.asarray(gammaln(start + count) - gammaln(start))


def update_misses(
    draws: MissDraws,
    log_likelihood: FloatArray,
    min_effective_ratio: float = MIN_EFFECTIVE_RATIO,
) -> MissUpdate:
    """Reweight stored draws, row by row, unless too few of them would carry the evidence.

    Args:
        draws: P stored draws.
        log_likelihood: (P,) log likelihood of everything that came after the fit.
        min_effective_ratio: Smallest effective share of the particles.

    Raises:
        InvalidRequest: Shapes differ, or a likelihood is not a number.
    """
    update = update_rows(draws.capacity, log_likelihood, min_effective_ratio)
    return MissUpdate(draws.rows(update.rows), update.effective_ratio, update.needs_refit)


def learn_misses(
    prior: MissPrior, load: FloatArray, missed: FloatArray, total: FloatArray, n_draws: int
) -> MissUpdate:
    """Narrow a prior to what steps have shown, however much narrower that is.

    Args:
        prior: What was known before.
        load: (N,) load per ready replica, in time order; > 0.
        missed: (N,) requests that missed a goal.
        total: (N,) requests.
        n_draws: How many draws are wanted.
    """
    missed, total = whole_counts(load, missed, total)
    counted = np.flatnonzero(total > 0)
    if counted.size == 0:
        return MissUpdate(prior.draws(n_draws), 1.0, False)
    kept = counted[steps_across_loads(load[counted])]

    def log_likelihood(z: FloatArray) -> FloatArray:
        return miss_log_likelihood(prior.at(z), load[kept], missed[kept], total[kept])

    particles = _narrowed(log_likelihood, max(n_draws, N_PARTICLES))
    rows = reweighted_rows(particles.z[:, 0], particles.log_weight, n_draws)
    is_short = particles.heat < 1.0 or particles.ratio < MIN_EFFECTIVE_RATIO
    return MissUpdate(prior.at(particles.z[rows]), particles.ratio, is_short)


@dataclass(frozen=True, slots=True)
class _Particles:
    """Weighted draws of one round: (P, 4) places, (P,) log weights, power of the likelihood."""

    z: FloatArray
    log_weight: FloatArray
    heat: float

    @property
    def ratio(self) -> float:
        return effective_ratio(self.log_weight)

    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Weighted mean, and the root of the weighted covariance."""
        weight = np.exp(self.log_weight - self.log_weight.max())
        weight /= weight.sum()
        mean = weight @ self.z
        off = self.z - mean
        spread = (weight[:, None] * off).T @ off
        return mean, np.linalg.cholesky(spread + _LEAST_VARIANCE * np.eye(mean.size))


def _narrowed(log_likelihood: Callable[[FloatArray], FloatArray], n: int) -> _Particles:
    """Weighted draws of the posterior of z, standard normal before the evidence.

    A round takes draws around those of the last one, and lets in as much of the likelihood as
    leaves it enough effective draws.
    """
    levels = _levels(n)
    z = ndtri(levels[:, : MEANS.size])
    best = _warmed(z, np.zeros(n), log_likelihood(z), 0.0)
    last = best
    for at in range(1, MAX_ROUNDS):
        if best.heat == 1.0 and best.ratio >= GOOD_RATIO:
            break
        mean, root = last.moments()
        own = levels[:, at * _N_LEVELS : (at + 1) * _N_LEVELS]
        wide = np.sqrt(TAIL_FREEDOM / chdtri(TAIL_FREEDOM, own[:, -1]))
        y = ndtri(own[:, :-1]) * wide[:, None]
        z = mean + y @ root.T
        tails = 0.5 * (TAIL_FREEDOM + MEANS.size) * np.log1p((y**2).sum(axis=1) / TAIL_FREEDOM)
        last = _warmed(z, tails - 0.5 * (z**2).sum(axis=1), log_likelihood(z), last.heat)
        best = max(best, last, key=lambda one: (one.heat, one.ratio))
    return best


def _warmed(z: FloatArray, base: FloatArray, evidence: FloatArray, least: float) -> _Particles:
    """As much of the evidence let in, from `least` up to all, as leaves enough effective draws."""
    if effective_ratio(base + evidence) >= ROUND_RATIO:
        return _Particles(z, base + evidence, 1.0)
    low, high = least, 1.0
    for _ in range(20):
        middle = 0.5 * (low + high)
        is_enough = effective_ratio(base + middle * evidence) >= ROUND_RATIO
        low, high = (middle, high) if is_enough else (low, middle)
    return _Particles(z, base + low * evidence, low)


@lru_cache(maxsize=4)
def _levels(n: int) -> FloatArray:
    """(n, rounds * levels of a round) fixed levels of all rounds."""
    return latin_levels(n, MAX_ROUNDS * _N_LEVELS)
