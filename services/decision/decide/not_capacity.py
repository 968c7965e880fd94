"""Whether more requests miss than the load explains: a fault that no replica cures; pure.

The last hour is compared with what the response says of its loads as it was learned from the day
before alone: the response that decides has taken the hour in already, and explains whatever it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from decider import FloatArray, MissDraws
from services.decision.beliefs.miss_data import MIN_STEPS, MissSteps

LEAST_REQUESTS = 200
"""Requests that the hour and the day before must have had each."""
N_DEVIATIONS = 3.0
LOAD_NOISE = 1.05
"""The hour's median load has risen where it is more than so many times that of the day before."""
N_LEARNED = 200
"""Steps of the day before that are learned from, evenly spread: a fault that goes on for hours is
then a small part of them, however new it is."""
_LEAST_SHOWN = 0.01


@dataclass(frozen=True, slots=True)
class TwoSpans:
    """Final measured steps of one workload.

    Attributes:
        hour: Those of the last hour.
        before: Those of the day before it.
    """

    hour: MissSteps
    before: MissSteps

    @classmethod
    def of(cls, steps: MissSteps, hour_from_s: float) -> TwoSpans:
        """Split at the start of the hour (epoch seconds), which belongs to the day before."""
        is_of_hour = steps.steps_s > hour_from_s
        return cls(steps.rows(np.flatnonzero(is_of_hour)), steps.rows(np.flatnonzero(~is_of_hour)))

    @property
    def is_enough(self) -> bool:
        """Both have as many requests as a judgement needs."""
        least = min(self.hour.total.sum(), self.before.total.sum())
        return self.before.size >= MIN_STEPS and least >= LEAST_REQUESTS

    def suspicion(self) -> float:
        """By how many deviations more missed than in the day before at such loads.

        0 where a load has risen above its median, or there are too few requests. The larger, the
        more it is worth to learn a response; what is not above `N_DEVIATIONS` needs none.
        """
        if not self.is_enough:
            return 0.0
        hour, before = (one.load.reshape(one.size, -1) for one in (self.hour, self.before))
        if (np.median(hour, axis=0) > LOAD_NOISE * np.median(before, axis=0)).any():
            return 0.0
        is_like = (before <= hour.max(axis=0)).all(axis=1)
        like = self.before.rows(np.flatnonzero(is_like))
        n, n_like = self.hour.total.sum(), max(1.0, like.total.sum())
        share = like.missed.sum() / n_like
        variance = n * share * (1.0 - share) * _dispersion(like, share)
        return float((self.hour.missed.sum() - n * share) / math.sqrt(max(1.0, variance)))

    def evidence(self) -> MissSteps:
        """Steps of the day before that the response is learned from."""
        n = self.before.size
        at = np.unique(np.linspace(0, n - 1, min(n, N_LEARNED)).round().astype(np.int64))
        return self.before.rows(at)


def _dispersion(steps: MissSteps, share: float) -> float:
    """How many times more the misses of steps scatter than by chance alone; at least 1."""
    chance = float((steps.total * share * (1.0 - share)).sum())
    if chance <= 0.0:
        return 1.0
    return max(1.0, float(((steps.missed - steps.total * share) ** 2).sum()) / chance)


def not_capacity_message(spans: TwoSpans, draws: MissDraws) -> str:
    """What is wrong and what to do; empty: the load explains the hour's misses.

    Args:
        spans: The hour, no load of it above its median of the day before.
        draws: The response as learned from the day before.
    """
    hour = spans.hour
    expected, deviation = expected_misses_of(hour, draws)
    missed, total = float(hour.missed.sum()), float(hour.total.sum())
    if missed <= expected + N_DEVIATIONS * deviation:
        return ""
    return (
        f"more requests miss than this load explains, {_percent(missed / total)} against "
        f"{_percent(expected / total)} expected in the last hour: look at the release, upstream "
        "errors, prompts longer than before; more replicas would not help"
    )


def expected_misses_of(steps: MissSteps, draws: MissDraws) -> tuple[float, float]:
    """Mean and standard deviation of how many requests miss in all steps together.

    Of the beta-binomial in each step, and of the draws beside it.
    """
    share = draws.miss(steps.load, steps.mix)
    near = draws.concentration[:, None]
    total: FloatArray = steps.total[None, :]
    spread = 1.0 + np.maximum(0.0, total - 1.0) / (near + 1.0)
    means = (total * share).sum(axis=1)
    variances = (total * share * (1.0 - share) * spread).sum(axis=1)
    return float(means.mean()), math.sqrt(float(variances.mean() + means.var()))


def _percent(share: float) -> str:
    scaled = 100.0 * share
    if scaled < _LEAST_SHOWN:
        return f"less than {_LEAST_SHOWN:g} %"
    return f"{scaled:.0f} %" if scaled >= 9.95 else f"{scaled:.2g} %"
