"""Lead times by what a start had to do first: a law for each cause, and one for what is not told.

A start whose image is on its node takes another time than one that pulls it, and a restored
snapshot another again: one lognormal of them all lies where no start ever is. Each cause has a
belief of its own (`decider.belief.lead_time`). Of a start whose cause is not known each cause has a
share, found together with the beliefs by expectation-maximisation. Where no cause is known at all,
two unknown ones are tried, and kept if the starts are likelier by more than they cost (BIC).

Shapes: N starts, K causes, P draws.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.special import log_ndtr, stdtr

from decider.belief.lead_time import (
    MIN_SIGMA,
    LeadTimeBelief,
    most_telling_age_s,
    predictive_draws,
    truncated_moments,
    update_belief,
)
from decider.errors import require
from decider.types import BoolArray, FloatArray

UNKNOWN = ""
"""Cause of a start that nothing tells the cause of."""
SHORT, LONG = "short", "long"
"""Two causes that were found in starts that nothing tells the cause of."""
MIN_FINISHED = 8
"""Finished starts before two unknown causes are looked for."""
MIN_OF_CAUSE = 3.0
"""Starts that an unknown cause must explain to be one, and that a told one needs to speak alone."""
_FLAT = 1e-3
"""Starts that the location of an unknown cause is worth before any was seen."""
_SIGMA, _N_SIGMA = 0.3, 1.0
"""Spread of an unknown cause before any start was seen, and how many starts that is worth."""
_N_MEAN_OF_CAUSE, _N_SCALE_OF_CAUSE = 0.05, 4.0
"""Starts that the location and the spread of a told cause are worth before any was seen."""
_N_ITERATIONS, _N_HALVINGS = 30, 50
_SETTLED = 1e-6
"""Change of a location or scale of logarithms below which a fit is done."""
_KEPT_FLEET = 16_384
"""Services whose laws are kept from one decision to the next."""


@dataclass(frozen=True, slots=True, eq=False)
class ObservedStarts:
    """Starts, finished or on their way.

    Attributes:
        seconds: (N,) lead time, or age where it is not finished; > 0.
        is_censored: (N,) it is still on its way at that age.
        causes: (N) cause of each; `UNKNOWN`: nothing tells.
    """

    seconds: FloatArray
    is_censored: BoolArray
    causes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse starts that do not belong together."""
        n = self.seconds.size
        found = f"seconds, is_censored and causes have {n}, {self.is_censored.size}"
        is_whole = self.is_censored.size == len(self.causes) == n
        require(is_whole, f"{found} and {len(self.causes)} entries, must have as many")

    @property
    def is_open(self) -> BoolArray:
        """(N,) nothing tells the cause."""
        return np.array([cause == UNKNOWN for cause in self.causes], dtype=bool)


@dataclass(frozen=True, slots=True)
class CauseLaw:
    """What is believed of the starts of one cause.

    Attributes:
        cause: `UNKNOWN` of starts that nothing tells the cause of, unless two were found in them.
        belief: Their lead time.
        share: How many of the starts were of it, in (0, 1).
    """

    cause: str
    belief: LeadTimeBelief
    share: float


def learn_causes(
    prior: LeadTimeBelief,
    starts: ObservedStarts,
    by_cause: Mapping[str, LeadTimeBelief] | None = None,
) -> tuple[CauseLaw, ...]:
    """Laws of the causes of some starts; a single one where nothing tells them apart.

    Args:
        prior: Belief about any start.
        starts: The starts.
        by_cause: Beliefs about the starts of a cause, where they are known; of others little is
            believed before they were seen.
    """
    known = tuple(sorted((by_cause or {}).items()))
    if starts.is_censored.any():  # ages differ at each look: nothing would be found again
        return _learn(prior, starts, dict(known))
    return _learned(prior, starts.seconds.tobytes(), starts.causes, known)


@lru_cache(maxsize=_KEPT_FLEET)
def _learned(
    prior: LeadTimeBelief,
    seconds: bytes,
    causes: tuple[str, ...],
    known: tuple[tuple[str, LeadTimeBelief], ...],
) -> tuple[CauseLaw, ...]:
    """The laws of finished starts; a service starts pods far more rarely than it decides."""
    done = np.frombuffer(seconds)
    starts = ObservedStarts(done, np.zeros(done.size, dtype=bool), causes)
    return _learn(prior, starts, dict(known))


def _learn(
    prior: LeadTimeBelief, starts: ObservedStarts, known: Mapping[str, LeadTimeBelief]
) -> tuple[CauseLaw, ...]:
    """The laws, from the starts themselves."""
    told = {cause for cause in starts.causes if cause != UNKNOWN}
    names = sorted((told | known.keys()) - {SHORT, LONG} if told else known.keys())
    has_unknown = UNKNOWN in starts.causes
    if not names:
        return _two_unknown(prior, starts) or (_single(prior, starts),)
    if len(names) == 1 and has_unknown:
        names.append(UNKNOWN)
    if len(names) == 1:
        return (_single(known.get(names[0], prior), starts, names[0]),)
    few = {name for name in names if _n_finished(starts, name) < MIN_OF_CAUSE}
    believed = {name: known.get(name, prior if name in few else _of_cause(prior)) for name in names}
    starts = _telling(believed, starts)
    priors = [
        known.get(name, _of_cause(prior) if name in few else _vague(starts)) for name in names
    ]
    return _fit(names, priors, starts, _first_shares(names, starts)).laws


def _telling(believed: Mapping[str, LeadTimeBelief], starts: ObservedStarts) -> ObservedStarts:
    """The starts, those on their way no older than one of its cause tells of (docs/decisions/0111).

    One whose cause is not told may be of the slowest.

    Args:
        believed: Beliefs about the starts of each cause before any was seen.
        starts: The starts.
    """
    causes, is_done = np.array(starts.causes), ~starts.is_censored
    most = {
        name: most_telling_age_s(prior, starts.seconds[is_done & (causes == name)])
        for name, prior in believed.items()
    }
    slowest = max(most.values())
    told = np.array([slowest if c == UNKNOWN else most.get(c, slowest) for c in starts.causes])
    return replace(
        starts, seconds=np.where(is_done, starts.seconds, np.minimum(starts.seconds, told))
    )


def _single(prior: LeadTimeBelief, starts: ObservedStarts, cause: str = UNKNOWN) -> CauseLaw:
    done, ages = starts.seconds[~starts.is_censored], starts.seconds[starts.is_censored]
    return CauseLaw(cause, update_belief(prior, done, ages, n_iterations=12), 1.0)


def _n_finished(starts: ObservedStarts, cause: str) -> int:
    is_own = np.array([each == cause for each in starts.causes], dtype=bool)
    return int((is_own & ~starts.is_censored).sum())


def _of_cause(prior: LeadTimeBelief) -> LeadTimeBelief:
    """A belief about one cause of which next to no start was seen: about as any start.

    Its first start moves it nearly whole. But one that is still on its way, or two, leave a law
    that can be planned with.
    """
    return LeadTimeBelief(prior.mu, max(prior.sigma, _SIGMA), _N_MEAN_OF_CAUSE, _N_SCALE_OF_CAUSE)


def _vague(starts: ObservedStarts) -> LeadTimeBelief:
    """A belief that says little but that starts of one cause take about as long as each other."""
    middle = float(_logs(starts).mean())
    return LeadTimeBelief(middle, _SIGMA, _FLAT, _N_SIGMA)


def _logs(starts: ObservedStarts) -> FloatArray:
    return np.log(np.maximum(starts.seconds, 1e-3))


def _first_shares(names: Sequence[str], starts: ObservedStarts) -> FloatArray:
    """(N, K) shares of the causes in each start: its own where it is told, else all alike."""
    shares = np.full((len(starts.causes), len(names)), 1.0 / len(names))
    for k, name in enumerate(names):
        if name != UNKNOWN:
            is_own = np.array([cause == name for cause in starts.causes], dtype=bool)
            shares[is_own] = np.arange(len(names)) == k
    if UNKNOWN in names:  # what is not told is another cause until the laws say otherwise
        is_open = starts.is_open
        shares[is_open] = np.array([0.9 if name == UNKNOWN else 0.1 for name in names])
    return shares


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    laws: tuple[CauseLaw, ...]
    log_likelihood: float


def _two_unknown(prior: LeadTimeBelief, starts: ObservedStarts) -> tuple[CauseLaw, ...] | None:
    """Laws of two unknown causes; None: one explains the starts as well."""
    logs = _logs(starts)
    done = np.sort(logs[~starts.is_censored])
    if done.size < MIN_FINISHED:
        return None
    # begun at the split that leaves the least variance
    sizes = np.arange(1, done.size)
    left, squares = np.cumsum(done)[:-1], (done**2).sum()
    within = squares - left**2 / sizes - (done.sum() - left) ** 2 / (done.size - sizes)
    cut = int(np.argmin(within))
    slow = np.exp(done[cut + 1 :] if done.size - cut > MIN_OF_CAUSE else done)
    most = most_telling_age_s(_of_cause(prior), slow)
    logs = np.where(starts.is_censored, np.minimum(logs, math.log(most)), logs)
    starts = replace(starts, seconds=np.exp(logs))
    vague = _vague(starts)
    one = _fit([SHORT], [vague], starts, np.ones((logs.size, 1)))
    is_long = logs > 0.5 * (done[cut] + done[cut + 1])
    first = np.stack([np.where(is_long, 0.02, 0.98), np.where(is_long, 0.98, 0.02)], axis=1)
    two = _fit([SHORT, LONG], [vague, vague], starts, first)
    is_worth = 2.0 * (two.log_likelihood - one.log_likelihood) > 3.0 * math.log(logs.size)
    least = min(law.share for law in two.laws) * logs.size
    return two.laws if is_worth and least >= MIN_OF_CAUSE else None


def _fit(
    names: Sequence[str],
    priors: Sequence[LeadTimeBelief],
    starts: ObservedStarts,
    shares: FloatArray,
) -> _Fit:
    """Beliefs about K causes, and the shares of them.

    Args:
        names: The causes, K of them.
        priors: What is believed of each before.
        starts: The starts.
        shares: (N, K) shares to begin with; those of starts whose cause is told stay.
    """
    logs, is_open = _logs(starts), starts.is_open
    beliefs = [LeadTimeBelief(p.mu, max(p.sigma, MIN_SIGMA), 1.0, 1.0) for p in priors]
    if all(p.n_mean <= _FLAT for p in priors):  # nothing is believed: the shares begin
        beliefs = [_middle(logs, shares[:, k]) for k in range(len(priors))]
    likelihood = np.zeros_like(shares)
    for _ in range(_N_ITERATIONS):
        before = beliefs
        beliefs = [
            _updated(prior, belief, starts.is_censored, logs, shares[:, k])
            for k, (prior, belief) in enumerate(zip(priors, beliefs, strict=True))
        ]
        likelihood = np.stack([_log_density(b, logs, starts.is_censored) for b in beliefs], axis=1)
        likelihood += np.log(_weights(shares))
        relative = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
        shares[is_open] = (relative / relative.sum(axis=1, keepdims=True))[is_open]
        if all(_is_close(a, b) for a, b in zip(before, beliefs, strict=True)):
            break
    top = likelihood.max(axis=1)
    total = top + np.log(np.exp(likelihood - top[:, None]).sum(axis=1))
    laws = tuple(
        CauseLaw(name, belief, float(weight))
        for name, belief, weight in zip(names, beliefs, _weights(shares), strict=True)
    )
    return _Fit(laws, float(total.sum()))


def _is_close(one: LeadTimeBelief, other: LeadTimeBelief) -> bool:
    return max(abs(one.mu - other.mu), abs(one.sigma - other.sigma)) < _SETTLED


def cause_shares(laws: Sequence[CauseLaw], starts: ObservedStarts) -> FloatArray:
    """(N, K) probability that each start was of each cause; that of a told one is its own."""
    shares = _first_shares([law.cause for law in laws], starts)
    logs, is_open = _logs(starts), starts.is_open
    found = [_log_density(law.belief, logs, starts.is_censored) for law in laws]
    likelihood = np.stack(found, axis=1) + np.log([law.share for law in laws])
    relative = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    shares[is_open] = (relative / relative.sum(axis=1, keepdims=True))[is_open]
    return shares


def _weights(shares: FloatArray) -> FloatArray:
    """(K,) share of the starts that each cause has, half a start being believed of each before."""
    n, k = shares.shape
    return np.asarray((shares.sum(axis=0) + 0.5) / (n + 0.5 * k))


def _middle(logs: FloatArray, shares: FloatArray) -> LeadTimeBelief:
    total = max(float(shares.sum()), _FLAT)
    mu = float((shares * logs).sum()) / total
    sigma = math.sqrt(max(float((shares * (logs - mu) ** 2).sum()) / total, MIN_SIGMA**2))
    return LeadTimeBelief(mu, sigma, 1.0, 1.0)


def _updated(
    prior: LeadTimeBelief,
    belief: LeadTimeBelief,
    is_censored: BoolArray,
    logs: FloatArray,
    shares: FloatArray,
) -> LeadTimeBelief:
    """One step of the belief about a cause, from its shares (N,) of the starts."""
    first, second = truncated_moments((logs - belief.mu) / belief.sigma)
    mean = np.where(is_censored, belief.mu + belief.sigma * first, logs)
    square = belief.mu**2 + 2 * belief.mu * belief.sigma * first + belief.sigma**2 * second
    square = np.where(is_censored, square, logs**2)
    n, total = float(shares.sum()), float((shares * mean).sum())
    mu = (prior.n_mean * prior.mu + total) / (prior.n_mean + n)
    spread = float((shares * square).sum()) - 2 * mu * total + n * mu**2
    spread += prior.n_mean * (mu - prior.mu) ** 2
    # the location takes one, where it is open; of less than one start no more than that
    n_scale = prior.n_scale + max(0.0, n - n / (prior.n_mean + n))
    sigma = math.sqrt(max((prior.n_scale * prior.sigma**2 + spread) / n_scale, 0.0))
    return LeadTimeBelief(mu, max(sigma, MIN_SIGMA), prior.n_mean + n, n_scale)


def _log_density(belief: LeadTimeBelief, logs: FloatArray, is_censored: BoolArray) -> FloatArray:
    """(N,) log density of each finished start, log probability of more of each other."""
    z = (logs - belief.mu) / belief.sigma
    dense = -0.5 * z**2 - math.log(belief.sigma * math.sqrt(2 * math.pi))
    return np.asarray(np.where(is_censored, log_ndtr(-z), dense))


def mixed_draws(
    laws: Sequence[CauseLaw], n_draws: int, weights: Mapping[str, float] | None = None
) -> FloatArray:
    """(P,) stratified draws of the lead time of a start whose cause is not known yet, ascending.

    Args:
        laws: Laws of the causes.
        n_draws: P.
        weights: How likely the next start is of a cause, where that is known; the others have what
            is left, in proportion to their shares.
    """
    chances = _chances(laws, weights or {})
    kept = tuple((law.belief, c) for law, c in zip(laws, chances, strict=True) if c > 0)
    if len(kept) == 1:
        return predictive_draws(kept[0][0], n_draws)
    return _mixed(kept, n_draws).copy()


@lru_cache(maxsize=_KEPT_FLEET)
def _mixed(kept: tuple[tuple[LeadTimeBelief, float], ...], n_draws: int) -> FloatArray:
    """(P,) draws of a mixture of beliefs, each with its chance."""
    levels = (np.arange(n_draws) + 0.5) / n_draws
    ends = [np.log(predictive_draws(belief, n_draws)[[0, -1]]) for belief, _ in kept]
    low = np.full(n_draws, min(float(end[0]) for end in ends) - 1.0)
    high = np.full(n_draws, max(float(end[1]) for end in ends) + 1.0)
    for _ in range(_N_HALVINGS):
        middle = 0.5 * (low + high)
        below = sum(chance * _below(belief, middle) for belief, chance in kept)
        is_low = np.asarray(below < levels)
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    return np.asarray(np.exp(0.5 * (low + high)))


def _below(belief: LeadTimeBelief, logs: FloatArray) -> FloatArray:
    """(P,) probability of a shorter lead time under the posterior predictive."""
    scale = belief.sigma * math.sqrt(1.0 + 1.0 / belief.n_mean)
    return np.asarray(stdtr(belief.n_scale, (logs - belief.mu) / scale))


def _chances(laws: Sequence[CauseLaw], weights: Mapping[str, float]) -> list[float]:
    """Chance of each law; they sum to 1."""
    known = {law.cause for law in laws if law.cause in weights and law.cause != UNKNOWN}
    given = sum(weights[cause] for cause in known)
    rest = sum(law.share for law in laws if law.cause not in known)
    left = max(0.0, 1.0 - given) if rest > 0 else 0.0
    found = [weights[law.cause] if law.cause in known else left * law.share / rest for law in laws]
    total = sum(found)
    return [one / total for one in found] if total > 0 else [law.share for law in laws]
