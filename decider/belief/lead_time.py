"""Lead time: scaling to Ready, with starts still on their way as right-censored data.

The fast path is a lognormal with a conjugate normal-inverse-gamma prior, fitted by
expectation-maximisation over the censored starts. The slow, partially pooled path is in
`decider.belief.model`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri, stdtrit

from decider.errors import InvalidRequest, require
from decider.types import FloatArray

MIN_SIGMA = 0.02
_MOST_LOG_S = 69.0
"""Largest logarithm of a draw, either way: of next to nothing seen a law has tails without end."""
_TAIL = 1e-12
_STUCK_Z = 4.0
_LEAST_OF_KIND = 3
_KEPT_RATIO = 0.25
"""Share of the variance of logarithms that is left within two kinds of draws."""


@dataclass(frozen=True, slots=True)
class LeadTimeBelief:
    """Normal-inverse-gamma belief about the logarithm of a lead time in seconds.

    Attributes:
        mu: Location of the mean of log(lead time).
        sigma: Scale: square root of the expected variance.
        n_mean: Observations that the location is worth.
        n_scale: Observations that the scale is worth.
    """

    mu: float
    sigma: float
    n_mean: float = 4.0
    n_scale: float = 4.0

    def __post_init__(self) -> None:
        """Refuse impossible beliefs."""
        if not (math.isfinite(self.mu) and self.sigma >= 0):
            raise InvalidRequest(f"mu={self.mu}, sigma={self.sigma}: need finite mu, sigma >= 0")
        if self.n_mean <= 0 or self.n_scale <= 0:
            raise InvalidRequest("n_mean and n_scale must be > 0")

    @property
    def median_s(self) -> float:
        """Median in seconds."""
        return math.exp(self.mu)

    @classmethod
    def from_median(cls, median_s: float, sigma: float, n: float = 4.0) -> LeadTimeBelief:
        """A belief worth `n` observations from a stated median and log standard deviation."""
        if median_s <= 0:
            raise InvalidRequest(f"median_s={median_s} must be > 0")
        return cls(math.log(median_s), max(sigma, MIN_SIGMA), n, n)


def truncated_moments(bound: FloatArray) -> tuple[FloatArray, FloatArray]:
    """First two moments of a standard normal given that it exceeds `bound`."""
    hazard = np.exp(-0.5 * bound**2 - 0.5 * math.log(2 * math.pi) - log_ndtr(-bound))
    return hazard, 1.0 + bound * hazard


def update_belief(
    prior: LeadTimeBelief,
    durations_s: FloatArray,
    censored_ages_s: FloatArray,
    *,
    n_iterations: int = 40,
) -> LeadTimeBelief:
    """Update a belief with finished starts and with starts that are still on their way.

    One that has taken longer than practically any would counts as no older than that
    (`most_telling_age_s`).

    Args:
        prior: Belief before.
        durations_s: (N,) lead times of starts that became ready.
        censored_ages_s: (M,) ages of starts that have not: their lead time exceeds the age.
        n_iterations: EM iterations.

    Returns:
        The belief after; its weights grow by N plus the observed share of M.
    """
    done = np.log(np.maximum(np.asarray(durations_s, dtype=float), 1e-3))
    ages = np.log(np.maximum(np.asarray(censored_ages_s, dtype=float), 1e-3))
    n = done.size + ages.size
    if n == 0:
        return prior
    if ages.size:
        ages = np.minimum(ages, math.log(most_telling_age_s(prior, durations_s)))
    sigma0 = max(prior.sigma, MIN_SIGMA)
    mu, sigma = prior.mu, sigma0
    weight = prior.n_mean + n
    for _ in range(n_iterations):
        first, second = truncated_moments((ages - mu) / sigma)
        total = done.sum() + (mu + sigma * first).sum()
        squares = (done**2).sum()
        squares += (mu**2 + 2 * mu * sigma * first + sigma**2 * second).sum()
        mu = (prior.n_mean * prior.mu + total) / weight
        spread = squares - 2 * mu * total + n * mu**2 + prior.n_mean * (mu - prior.mu) ** 2
        sigma = math.sqrt(max(prior.n_scale * sigma0**2 + spread, 0.0) / (prior.n_scale + n))
        sigma = max(sigma, MIN_SIGMA)
    # A start that has only just begun says little: count it by the share of its law it has lived.
    seen = done.size + float(ndtr((ages - mu) / sigma).sum())
    return LeadTimeBelief(mu, sigma, prior.n_mean + seen, prior.n_scale + seen)


def most_telling_age_s(prior: LeadTimeBelief, durations_s: FloatArray) -> float:
    """Age in seconds up to which a start that is on its way tells how long starts take.

    Older than `_STUCK_Z` deviations of what the belief and the finished starts say it is stuck.
    Else one that never ends would make the law hours long by its age alone.

    Args:
        prior: Belief before.
        durations_s: (N,) lead times of starts that became ready.
    """
    known = update_belief(prior, durations_s, np.zeros(0))
    spread = known.sigma * math.sqrt(1.0 + 1.0 / known.n_mean)
    return math.exp(min(known.mu + _STUCK_Z * spread, _MOST_LOG_S))


def predictive_draws(belief: LeadTimeBelief, n_draws: int) -> FloatArray:
    """(P,) stratified draws of the posterior predictive (a log Student t), ascending, finite."""
    levels = (np.arange(n_draws) + 0.5) / n_draws
    scale = belief.sigma * math.sqrt(1.0 + 1.0 / belief.n_mean)
    logs = belief.mu + scale * stdtrit(belief.n_scale, levels)
    draws: FloatArray = np.exp(np.clip(logs, -_MOST_LOG_S, _MOST_LOG_S))
    return draws


def draws_of_either(one_s: FloatArray, other_s: FloatArray, chance: float) -> FloatArray:
    """(P,) stratified draws, ascending, of a time that follows one of two laws.

    Args:
        one_s: (P,) draws of the first law.
        other_s: (Q,) draws of the second.
        chance: That it follows the first, in [0, 1].
    """
    require(0.0 <= chance <= 1.0, f"chance={chance} must be in [0, 1]")
    both = np.concatenate([one_s, other_s])
    parts = ((one_s.size, chance), (other_s.size, 1.0 - chance))
    weight = np.concatenate([np.full(n, share / n) for n, share in parts])
    order = np.argsort(both, kind="stable")
    below = np.cumsum(weight[order])
    levels = (np.arange(one_s.size) + 0.5) / one_s.size
    at = np.searchsorted(below, levels, side="left")
    return np.asarray(both[order][np.minimum(at, both.size - 1)])


def latin_levels(n_draws: int, n_columns: int) -> FloatArray:
    """(P, M) Latin hypercube of levels in (0, 1): each column a fixed shuffle of the midpoints.

    The shuffles come from an integer hash (splitmix64), so they need no generator and are the
    same everywhere.
    """
    with np.errstate(over="ignore"):
        key = np.arange(n_draws, dtype=np.uint64)[:, None] * np.uint64(0x9E3779B97F4A7C15)
        key = key + np.arange(1, n_columns + 1, dtype=np.uint64) * np.uint64(0xD1B54A32D192ED03)
        key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        key ^= key >> np.uint64(31)
    ranks = np.argsort(np.argsort(key, axis=0, kind="stable"), axis=0, kind="stable")
    return (ranks + 0.5) / n_draws


@dataclass(frozen=True, slots=True, eq=False)
class _Summary:
    """Draws of a lead time as a mixture of K lognormals.

    Attributes:
        mu: (K,) locations.
        sigma: (K,) scales.
        chance: (K,) their chances, which sum to 1.
    """

    mu: FloatArray
    sigma: FloatArray
    chance: FloatArray

    @classmethod
    def of(cls, draws_s: FloatArray) -> _Summary:
        """One lognormal, or two where the draws (P,) are of two kinds."""
        logs = np.log(np.maximum(draws_s, 1e-3))
        cut = _two_kinds(np.sort(logs))
        parts = [logs] if cut is None else [logs[logs <= cut], logs[logs > cut]]
        return cls(
            np.array([part.mean() for part in parts]),
            np.array([max(float(part.std()), MIN_SIGMA) for part in parts]),
            np.array([part.size / logs.size for part in parts]),
        )


def _two_kinds(logs: FloatArray) -> float | None:
    """Where ascending logarithms (P,) of draws part in two kinds; None: they are of one.

    Cut in two where that leaves the least variance, a lognormal keeps more than a third of it.
    """
    n = logs.size
    if n < 2 * _LEAST_OF_KIND:
        return None
    sizes = np.arange(1, n)
    left, centred = np.cumsum(logs - logs.mean())[:-1], logs - logs.mean()
    total = float((centred**2).sum())
    within = total - left**2 / sizes - left**2 / (n - sizes)
    inside = within[_LEAST_OF_KIND - 1 : n - _LEAST_OF_KIND]
    at = int(np.argmin(inside)) + _LEAST_OF_KIND - 1
    if total <= n * MIN_SIGMA**2 or within[at] > _KEPT_RATIO * total:
        return None
    return float(0.5 * (logs[at] + logs[at + 1]))


def stuck_age_s(draws_s: FloatArray) -> float:
    """Age in seconds beyond which a start is stuck: practically none of a law takes so long.

    Args:
        draws_s: (P,) draws of the lead time.
    """
    law = _Summary.of(draws_s)
    return float(np.exp(np.minimum(law.mu + _STUCK_Z * law.sigma, _MOST_LOG_S)).max())


def residual_draws(draws_s: FloatArray, ages_s: FloatArray) -> FloatArray:
    """Remaining time of starts given their ages: a start's clock never restarts.

    The draws are summarised by a lognormal, or by two where they are of two kinds, whose
    conditional law beyond the age is sampled at stratified levels, shuffled from start to start so
    that starts are nearly independent.

    Args:
        draws_s: (P,) unconditional draws of the lead time.
        ages_s: (M,) ages.

    Returns:
        (P, M) remaining seconds, > 0.
    """
    law = _Summary.of(draws_s)
    levels = latin_levels(draws_s.size, ages_s.size)
    if law.mu.size == 1:
        return _residual(float(law.mu[0]), float(law.sigma[0]), ages_s, levels)
    z = (np.log(np.maximum(ages_s, 1e-9))[:, None] - law.mu) / law.sigma
    alive = law.chance * np.maximum(ndtr(-z), _TAIL)
    is_first = (alive[:, 0] / alive.sum(axis=1))[None, :]
    picked = levels < is_first
    own = np.where(picked, levels / is_first, (levels - is_first) / (1.0 - is_first))
    own = np.clip(own, _TAIL, 1.0 - _TAIL)
    of_kind = [
        _residual(float(m), float(s), ages_s, own) for m, s in zip(law.mu, law.sigma, strict=True)
    ]
    return np.asarray(np.where(picked, of_kind[0], of_kind[1]))


def _residual(mu: float, sigma: float, ages_s: FloatArray, levels: FloatArray) -> FloatArray:
    """(P, M) remaining seconds under one lognormal, at levels (P, M) of what is left of it."""
    z = (np.log(np.maximum(ages_s, 1e-9)) - mu) / sigma
    survival = np.maximum(ndtr(-z), _TAIL)[None, :] * (1.0 - levels)
    total = np.exp(mu - sigma * ndtri(np.maximum(survival, _TAIL * 1e-3)))
    # A start far older than its law knows is stuck: what it has waited is what it may yet wait.
    stuck = ages_s[None, :] * levels / (1.0 - levels)
    return np.maximum(np.where(z > _STUCK_Z, stuck, total - ages_s[None, :]), 1e-3)
