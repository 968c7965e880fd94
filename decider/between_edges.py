"""How many requests met a threshold between two bucket edges of a histogram, estimated.

The counts at the two edges leave an interval that may be nearly everything: latencies of an engine
lie close together, and a bucket may hold most of them. What a histogram also tells is the sum. A
log-normal law from an offset (what a request takes alone) has three parameters, which the shares at
the two edges and the mean determine:

    met(x) = Phi((log(x - offset) - centre) / spread),   0 <= offset < lower edge

It only divides those of a step that lie between the edges: how many there are is counted.

Offset and spread are found of a step together with as many before it as it takes to have some
thousand observations: few of one step lie beyond the upper edge, and steps of another load have
another law. The centre follows from the step's own mean. Where no offset gives the mean, the
nearest does. The line through both edges without an offset counts too many misses wherever waits
are skewed; an estimate is never beyond it.

Shapes: T steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from decider.errors import require
from decider.types import FloatArray, IntArray

_N_HALVINGS = 30
_LEAST_RISE = 1e-3
_LEAST_BETWEEN = 1e-12
N_OBSERVED = 4000.0
"""Observations that a law is found of."""
AT_LOWER, BEYOND_UPPER = 0.5, 0.05
"""Observations added on either side of a count, so that no share is 0 or 1. Half a one beyond the
upper edge, where there may be none of thousands, would make out a tail that is not there."""
_LARGEST = 0.95
"""Largest offset, as a share of the lower edge: up to it a larger offset means a smaller mean."""


@dataclass(frozen=True, slots=True)
class EdgeGap:
    """A threshold between two bucket edges, in seconds: 0 < below < threshold < above."""

    below_s: float
    threshold_s: float
    above_s: float

    def __post_init__(self) -> None:
        """Refuse what is not in order."""
        require(
            0 < self.below_s < self.threshold_s < self.above_s < np.inf,
            f"below_s={self.below_s}, threshold_s={self.threshold_s}, above_s={self.above_s} "
            "must rise, from above 0",
        )

    @property
    def place(self) -> float:
        """Where the threshold lies between the edges, 0 to 1 in logarithms."""
        return float(np.log(self.threshold_s / self.below_s) / np.log(self.above_s / self.below_s))


@dataclass(frozen=True, slots=True, eq=False)
class EdgeCounts:
    """What a histogram tells of each step; NaN where it is unknown.

    Attributes:
        total: (T,) observations.
        below: (T,) those at or below the lower edge.
        upto: (T,) those at or below the upper edge.
        sum_s: (T,) their sum, in seconds.
    """

    total: FloatArray
    below: FloatArray
    upto: FloatArray
    sum_s: FloatArray


def met_between(gap: EdgeGap, counts: EdgeCounts) -> FloatArray:
    """(T,) observations at or below the threshold; NaN where the sum or a count is unknown."""
    met = np.full(counts.total.shape, np.nan)
    known = np.isfinite(counts.total + counts.below + counts.upto + counts.sum_s)
    known &= (counts.total > 0) & (counts.sum_s >= 0)
    known &= (counts.below >= 0) & (counts.below <= counts.upto)
    if not known.any():
        return met
    columns = (counts.total, counts.below, counts.upto, counts.sum_s)
    own = np.stack([column[known] for column in columns])
    met[known] = own[1] + _part_met(gap, own) * (own[2] - own[1])
    return met


def _part_met(gap: EdgeGap, own: FloatArray) -> FloatArray:
    """(T,) part of the observations between the edges that is at or below the threshold.

    Args:
        gap: The edges.
        own: (4, T) counts of each step: all, below, upto and their sum.
    """
    around = _summed(own)
    level_below = _level(around[1], around[0], AT_LOWER)
    level_above = _level(around[2], around[0], BEYOND_UPPER)
    rise = np.maximum(level_above - level_below, _LEAST_RISE)
    offset, spread = _law(gap, level_below, rise, around[3] / around[0])
    beyond = np.maximum(own[3] / own[0] - offset, 1e-9)
    centre = np.log(beyond) - 0.5 * spread**2
    by_mean = _part(
        *(
            (np.log(x - offset) - centre) / spread
            for x in (gap.below_s, gap.threshold_s, gap.above_s)
        )
    )
    at, start = gap.place, _level(own[1], own[0], AT_LOWER)
    by_line = _part(start, start + at * rise, start + rise)
    return np.maximum(by_mean, by_line)


def _part(below: FloatArray, at: FloatArray, above: FloatArray) -> FloatArray:
    """(T,) part of what lies between two normal levels that is at or below a third.

    0 where nothing lies there.
    """
    over, between = ndtr(-below) - ndtr(-at), ndtr(-below) - ndtr(-above)
    return np.asarray(np.clip(over / np.maximum(between, _LEAST_BETWEEN), 0.0, 1.0))


def _summed(own: FloatArray) -> FloatArray:
    """(4, T) each step with those before it that it takes to have `N_OBSERVED` observations."""
    until = np.cumsum(own, axis=1)
    before = np.concatenate([[0.0], until[0][:-1]])
    first = np.searchsorted(before, until[0] - N_OBSERVED, side="right") - 1
    first = np.clip(first, 0, np.arange(own.shape[1]))
    return np.stack([np.add.reduceat(np.append(row, 0.0), _pairs(first))[::2] for row in own])


def _pairs(first: IntArray) -> IntArray:
    """(2T,) starts and ends of the sums, in turn."""
    return np.stack([first, np.arange(1, first.size + 1)], axis=1).ravel()


def _level(n: FloatArray, total: FloatArray, added: float) -> FloatArray:
    """Normal level of a share; `added` observations are added on either side."""
    beyond = np.maximum(total - n, 0.0) + added
    return np.asarray(-ndtri(beyond / (total + 2.0 * added)))


def _law(
    gap: EdgeGap, level_below: FloatArray, rise: FloatArray, mean: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Offsets in seconds, and spreads of the logarithm beyond them, that give these means."""

    def spread_at(offset: FloatArray) -> FloatArray:
        return np.asarray(np.log((gap.above_s - offset) / (gap.below_s - offset)) / rise)

    lower, upper = np.zeros_like(mean), np.full_like(mean, _LARGEST * gap.below_s)
    for _ in range(_N_HALVINGS):
        offset = 0.5 * (lower + upper)
        spread = spread_at(offset)
        centre = np.log(gap.below_s - offset) - spread * level_below
        is_over = offset + np.exp(np.minimum(centre + 0.5 * spread**2, 50.0)) > mean
        lower, upper = np.where(is_over, offset, lower), np.where(is_over, upper, offset)
    offset = 0.5 * (lower + upper)
    return offset, spread_at(offset)
