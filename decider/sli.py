"""What requests felt: how many of a step missed a goal, and whether that broke the promise.

Goals are counted one by one (histograms know no requests), so how many requests missed any of them
is an interval: at least those of the worst goal, at most the sum over the goals. A threshold off a
bucket edge widens it further: `good` counts up to the edge below it, `upto` to the edge above.
The promise goes by the upper end. Where the edges and the histogram's sum are known, it goes by an
estimate of what met the goal between the two (`decider.between_edges`) in the place of `good`: then
more may have missed. Without `likely` the upper end is sure. Requests that were lost may or may not
be among the observed ones; the interval holds either way.

    a = max_g (total_g - upto_g),   b = sum_g (total_g - met_g),   n = max_g total_g
    low = max(a, lost) / (n + max(lost - a, 0)),   high = min(1, (b + lost) / max(n, lost))

Over several steps each end is a share of sums: of the requests that there are at that end. Those
of the lower are its denominator; where all missed, the upper one's are all that may have.

Shapes: G goals, T steps. Unknown is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decider.errors import require
from decider.types import BoolArray, FloatArray, IntArray, RiskKind

MINUTE_S = 60.0
_ROUNDING = 1e-4
"""Counts come as rates of single precision: what differs by less of the total is equal."""


@dataclass(frozen=True, slots=True, eq=False)
class SliCounts:
    """Counts of each step.

    Attributes:
        total: (G, T) requests that a goal was observed of.
        good: (G, T) those that surely met it.
        upto: (G, T) those that may have met it; `good` again where the threshold is a bucket edge.
        is_of_requests: (G,) the goal counts requests; else tokens (`itl`).
        lost: (T,) requests without an answer.
        waiting: (T,) mean number of requests in the queue.
        likely: (G,) by goal (T,) those that probably met it, between `good` and `upto`; None: there
            is no telling. Empty: of no goal there is.
    """

    total: FloatArray
    good: FloatArray
    upto: FloatArray
    is_of_requests: BoolArray
    lost: FloatArray
    waiting: FloatArray
    likely: tuple[FloatArray | None, ...] = ()

    def __post_init__(self) -> None:
        """Refuse shapes that contradict each other."""
        shape = self.total.shape
        require(len(shape) == 2 and shape[0] >= 1, f"total has shape {shape}, must be (G, T)")
        for name in ("good", "upto"):
            found = getattr(self, name).shape
            require(found == shape, f"{name} has shape {found}, must be {shape} as total")
        goals = self.is_of_requests.shape
        require(goals == shape[:1], f"is_of_requests has shape {goals}, must be {shape[:1]}")
        for name in ("lost", "waiting"):
            found = getattr(self, name).shape
            require(found == shape[1:], f"{name} has shape {found}, must be {shape[1:]}")
        n_likely = len(self.likely)
        require(n_likely in (0, shape[0]), f"likely is of {n_likely} goals, must be of {shape[0]}")

    def probably_met(self) -> FloatArray:
        """(G, T) those that met each goal, as far as there is telling; else those that surely did.

        An estimate that leaves its interval counts as the nearer end.
        """
        found = self.good.copy()
        for row, estimate in enumerate(self.likely):
            if estimate is not None:
                inside = np.clip(
                    estimate, self.good[row], np.maximum(self.good[row], self.upto[row])
                )
                found[row] = np.where(np.isfinite(estimate), inside, self.good[row])
        return found


@dataclass(frozen=True, slots=True, eq=False)
class SliSteps:
    """Misses of each step.

    Attributes:
        requests: (T,) requests of the step; of a silent one those that waited.
        miss_low: (T,) least share of them that missed a goal.
        miss_high: (T,) largest share; where what met a goal is estimated, by that.
        is_silent: (T,) nothing was observed while something waited; None: no step is known to be.
        low_requests: (T,) requests that the least share is of; None: `requests`.
        high_requests: (T,) requests that the largest share is of; None: `requests`.
    """

    requests: FloatArray
    miss_low: FloatArray
    miss_high: FloatArray
    is_silent: BoolArray | None = None
    low_requests: FloatArray | None = None
    high_requests: FloatArray | None = None


def contradictions(counts: SliCounts) -> BoolArray:
    """(G, T) a goal's counts cannot be true: negative, or more good ones than there are."""
    total, good, upto = counts.total, counts.good, counts.upto
    slack = _ROUNDING * np.abs(np.nan_to_num(total)) + 1e-6
    is_negative = (total < 0) | (good < 0) | (upto < 0)
    return np.asarray(
        is_negative | (good > total + slack) | (upto > total + slack) | (good > upto + slack)
    )


def count_misses(counts: SliCounts) -> SliSteps:
    """Requests of each step and the share of them that missed, as an interval.

    Its lower end is sure. So is its upper end but where `likely` has an estimate.

    A step without requests has no misses. One of which nothing was observed while something waited
    has nothing but misses: a saturated engine observes nothing. A step is unknown where any goal
    is, and where counts contradict each other. Losses that are not measured are said nothing of.
    """
    answered = _answered(counts)
    lost = np.where(np.isnan(counts.lost), 0.0, counts.lost)
    scale = _requests_of_a_count(counts, answered)
    sure = scale * np.maximum(counts.total - np.nan_to_num(counts.upto, nan=np.inf), 0.0)
    likely = scale * np.maximum(counts.total - counts.probably_met(), 0.0)
    least, most = sure.max(axis=0), likely.sum(axis=0)
    requests = np.maximum(answered, lost)
    high = np.minimum(1.0, _ratio(most + lost, requests))
    low_requests = answered + np.maximum(lost - least, 0.0)
    low = np.minimum(high, _ratio(np.maximum(least, lost), low_requests))
    high_requests = np.maximum(requests, np.minimum(most, answered) + lost)
    is_bad = contradictions(counts).any(axis=0) | (lost < 0)
    is_unknown = is_bad | np.isnan(requests + low + high)
    is_silent = (
        ~is_bad & (np.nan_to_num(counts.total).max(axis=0) <= 0) & (counts.waiting > 0)
    )  # fmt: skip

    def settled(values: FloatArray, when_silent: FloatArray | float) -> FloatArray:
        return np.where(is_silent, when_silent, np.where(is_unknown, np.nan, values))

    return SliSteps(
        settled(requests, counts.waiting),
        settled(low, 1.0),
        settled(high, 1.0),
        is_silent,
        settled(low_requests, counts.waiting),
        settled(high_requests, counts.waiting),
    )


def _answered(counts: SliCounts) -> FloatArray:
    """(T,) requests observed; tokens stand for them where every goal counts tokens."""
    chosen = counts.is_of_requests if counts.is_of_requests.any() else ~counts.is_of_requests
    return np.asarray(counts.total[chosen].max(axis=0))


def _requests_of_a_count(counts: SliCounts, answered: FloatArray) -> FloatArray:
    """(G, T) requests that one count of a goal stands for: a token, its share of them."""
    of_token = _ratio(np.broadcast_to(answered, counts.total.shape), counts.total)
    return np.where(counts.is_of_requests[:, None], 1.0, of_token)


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """`part / whole`; 0 of nothing."""
    return np.where(whole == 0, 0.0, part / np.where(whole == 0, 1.0, whole))


def promised_violation(
    steps: SliSteps, kind: RiskKind, good_share: float, step_s: float, first_s: float = 0.0
) -> FloatArray:
    """Violation of the promise in each step, in [0, 1]; NaN where it is unknown.

    Of a promise of requests it is the share that missed. Of one of time a minute (a longer step
    stands for its minutes) is bad when fewer than `good_share` of its requests met the goals. One
    with fewer than `1 / (1 - good_share)` requests is bad only if it still is together with as many
    earlier minutes as it takes to have them; where those given do not suffice, one miss is none.

    Args:
        steps: Misses, in time order.
        kind: What is promised; `AnyInWindow` is judged by minutes too.
        good_share: Share of a minute's requests that must meet the goals, in (0, 1).
        step_s: Step length.
        first_s: Start of the first step, epoch seconds: which minute shorter steps lie in.
    """
    require(0 < good_share < 1, f"good_share={good_share} must lie in (0, 1)")
    is_known = np.isfinite(steps.miss_high)
    if kind == "DemandFraction":
        return np.where(is_known, steps.miss_high, np.nan)
    if is_known.size == 0:
        return np.zeros(0)
    minute = _minutes(is_known.size, step_s, first_s)
    requests = np.where(is_known, steps.requests, 0.0)
    missed = requests * np.where(is_known, steps.miss_high, 0.0)
    is_silent = np.zeros(is_known.size, bool) if steps.is_silent is None else steps.is_silent
    total, answered = _sums(minute, requests), _sums(minute, np.where(is_silent, 0.0, requests))
    is_bad = _is_bad(total, _sums(minute, missed), 1.0 - good_share)
    is_bad |= (total > 0) & (answered <= 0)
    return np.where(is_known, is_bad[minute].astype(float), np.nan)


def _minutes(n_steps: int, step_s: float, first_s: float) -> IntArray:
    """(T,) which minute each step lies in, from 0; steps of a minute or more are one each."""
    if step_s >= MINUTE_S:
        return np.arange(n_steps)
    minute = np.floor((first_s + step_s * np.arange(n_steps)) / MINUTE_S + 1e-9).astype(np.int64)
    return np.asarray(minute - minute[0])


def _sums(minute: IntArray, values: FloatArray) -> FloatArray:
    return np.bincount(minute, values).astype(np.float64)


def _is_bad(total: FloatArray, missed: FloatArray, allowed: float) -> BoolArray:
    """More than `allowed` missed in the minute, and in it with the earlier ones it needs."""
    limit = allowed * (1.0 + _ROUNDING)
    needed = 1.0 / allowed
    until, missed_until = (np.concatenate(([0.0], np.cumsum(x))) for x in (total, missed))
    first = np.searchsorted(until, until[1:] - needed * (1.0 - _ROUNDING), side="right") - 1
    first = np.clip(first, 0, np.arange(total.size))
    seen, missed_of_seen = until[1:] - until[first], missed_until[1:] - missed_until[first]
    return np.asarray(
        (missed > limit * total) & (missed_of_seen > limit * np.maximum(seen, needed))
    )
