"""Between fits: whole draws of a response reweighted by what steps have shown since.

Each stored draw is a particle. Its likelihood is that of the steps' misses, beta-binomial around
the draw's response. Where nothing was fitted yet, see `decider.belief.miss_learning`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from decider.belief.capacity_update import MIN_EFFECTIVE_RATIO, update_rows
from decider.belief.miss_steps import mixes_of, whole_counts
from decider.miss_draws import NO_MIX, MissDraws, inside
from decider.types import FloatArray


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


def miss_log_likelihood(
    draws: MissDraws,
    load: FloatArray,
    missed: FloatArray,
    total: FloatArray,
    mix: FloatArray = NO_MIX,
) -> FloatArray:
    """Log likelihood of steps with counted misses, beta-binomial around each draw's response.

    Args:
        draws: P draws.
        load: (N,) load per ready replica; > 0. Of several (N, 1+F).
        missed: (N,) requests that missed a goal; >= 0.
        total: (N,) requests; a step without any says nothing.
        mix: (N, V) share of the stated capacity ready that was each further variant's.

    Returns:
        (P,) log likelihood up to a constant; the same bytes in whatever order the steps come.
    """
    missed, total = whole_counts(load, missed, total)
    mix = mixes_of(mix, load)
    order = np.lexsort((*mix.T, total, missed, *np.atleast_2d(load.T)[::-1]))
    order = order[total[order] > 0]
    share = inside(draws.miss(load[order], mix[order]))
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
