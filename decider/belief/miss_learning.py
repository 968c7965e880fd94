"""Before any fit: the wide prior of a response narrowed by a workload's own steps.

Few draws of the prior agree with two hours of steps, so reweighting them is not enough. The prior
is narrowed in rounds: population Monte Carlo (Cappé et al., J. Comput. Graph. Stat. 13, 2004), with
the likelihood let in little by little. Draws come from fixed levels, so the same steps give the
same draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import chdtri, ndtri

from decider.belief.capacity import reweighted_rows
from decider.belief.capacity_update import MIN_EFFECTIVE_RATIO, effective_ratio
from decider.belief.lead_time import latin_levels
from decider.belief.miss_prior import LEAST_VARIANCE, MEANS, MissPrior
from decider.belief.miss_steps import mixes_of, steps_across_loads, whole_counts
from decider.belief.miss_update import MissUpdate, miss_log_likelihood
from decider.belief.occupancy import use_log_likelihood
from decider.miss_draws import NO_MIX
from decider.types import FloatArray

N_PARTICLES = 512
MAX_ROUNDS, MAX_ROUNDS_LOADS = 12, 30
"""Rounds of one load, and of several: these have up to twice the coordinates."""
GOOD_RATIO = 0.35
"""Effective share of the particles from which no further round is needed."""
ROUND_RATIO = 0.1
"""Effective share that a round keeps while it lets in more of the likelihood."""
TAIL_FREEDOM = 5.0
"""Degrees of freedom of a round's Student t: wider than the posterior in every direction."""


def learn_misses(
    prior: MissPrior,
    load: FloatArray,
    missed: FloatArray,
    total: FloatArray,
    n_draws: int,
    mix: FloatArray = NO_MIX,
) -> MissUpdate:
    """Narrow a prior to what steps have shown, however much narrower that is.

    Args:
        prior: What was known before, and what was seen of occupancies.
        load: (N,) load per ready replica, in time order; > 0. Of several (N, 1+F).
        missed: (N,) requests that missed a goal.
        total: (N,) requests.
        n_draws: How many draws are wanted.
        mix: (N, V) share of the stated capacity ready that was each further variant's.
    """
    missed, total = whole_counts(load, missed, total)
    counted = np.flatnonzero(total > 0)
    if counted.size == 0:
        return MissUpdate(prior.draws(n_draws), 1.0, False)
    mix = mixes_of(mix, load)
    kept = counted[steps_across_loads(load[counted], mix[counted])]

    def log_likelihood(z: FloatArray) -> FloatArray:
        columns = (load[kept], missed[kept], total[kept], mix[kept])
        draws = prior.at(z)
        return miss_log_likelihood(draws, *columns) + use_log_likelihood(prior.seen, draws)

    particles = _narrowed(log_likelihood, max(n_draws, N_PARTICLES), prior.mean.size)
    rows = reweighted_rows(particles.z[:, 0], particles.log_weight, n_draws)
    is_short = particles.heat < 1.0 or particles.ratio < MIN_EFFECTIVE_RATIO
    return MissUpdate(prior.at(particles.z[rows]), particles.ratio, is_short)


@dataclass(frozen=True, slots=True)
class _Particles:
    """Weighted draws of one round: (P, D) places, (P,) log weights, power of the likelihood."""

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
        return mean, np.linalg.cholesky(spread + LEAST_VARIANCE * np.eye(mean.size))


def _narrowed(log_likelihood: Callable[[FloatArray], FloatArray], n: int, size: int) -> _Particles:
    """`n` weighted draws of the posterior of `size` z, standard normal before the evidence.

    A round takes draws around those of the last one, and lets in as much of the likelihood as
    leaves it enough effective draws.
    """
    levels = _levels(n, size)
    z = ndtri(levels[:, :size])
    best = _warmed(z, np.zeros(n), log_likelihood(z), 0.0)
    last = best
    for at in range(1, _rounds(size)):
        if best.heat == 1.0 and best.ratio >= GOOD_RATIO:
            break
        mean, root = last.moments()
        own = levels[:, at * (size + 1) : (at + 1) * (size + 1)]
        wide = np.sqrt(TAIL_FREEDOM / chdtri(TAIL_FREEDOM, own[:, -1]))
        y = ndtri(own[:, :-1]) * wide[:, None]
        z = mean + y @ root.T
        tails = 0.5 * (TAIL_FREEDOM + size) * np.log1p((y**2).sum(axis=1) / TAIL_FREEDOM)
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
def _levels(n: int, size: int) -> FloatArray:
    """(n, rounds * levels of a round) fixed levels of all rounds: of each z, and of the tails."""
    return latin_levels(n, _rounds(size) * (size + 1))


def _rounds(size: int) -> int:
    return MAX_ROUNDS if size == MEANS.size else MAX_ROUNDS_LOADS
