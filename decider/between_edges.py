"""How many requests met a threshold between two bucket edges of a histogram, estimated.

The counts at the two edges leave an interval that may be nearly everything: latencies of an engine
lie close together, and a bucket may hold most of them. What a histogram also tells is the sum. A
log-normal law from an offset (what a request takes alone) has three parameters, which the shares at
the two edges and the mean determine:

    met(x) = Phi((log(x - offset) - centre) / spread),   0 <= offset < lower edge

Offset and spread are found of all steps together, since few requests of one step lie beyond the
upper edge; the centre of each step follows from its own mean. Loads that differ between the steps
widen the spread, which counts too many misses rather than too few. Where no offset gives the mean,
the nearest does. An estimate never leaves the interval.

Shapes: T steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from decider.errors import require
from decider.types import FloatArray

_N_HALVINGS = 40
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


@dataclass(frozen=True, slots=True)
class _Law:
    """Offset in seconds, and spread of the logarithm beyond it."""

    offset: float
    spread: float


def met_between(gap: EdgeGap, counts: EdgeCounts) -> FloatArray:
    """(T,) observations at or below the threshold; NaN where the sum or a count is unknown."""
    met = np.full(counts.total.shape, np.nan)
    known = np.isfinite(counts.total + counts.below + counts.upto + counts.sum_s)
    known &= (counts.total > 0) & (counts.sum_s >= 0) & (counts.below <= counts.upto)
    if not known.any():
        return met
    total, below, upto, sum_s = (
        column[known] for column in (counts.total, counts.below, counts.upto, counts.sum_s)
    )
    law = _law_of(gap, total.sum(), below.sum(), upto.sum(), sum_s.sum())
    beyond = np.maximum(sum_s / total - law.offset, 1e-9)
    centre = np.log(beyond) - 0.5 * law.spread**2
    share = ndtr((np.log(gap.threshold_s - law.offset) - centre) / law.spread)
    met[known] = np.clip(share * total, below, upto)
    return met


def _law_of(gap: EdgeGap, total: float, below: float, upto: float, sum_s: float) -> _Law:
    """The law with these shares and this mean; half a request is added on either side."""
    levels = ndtri([(min(n, total) + 0.5) / (total + 1.0) for n in (below, upto)])
    rise = max(float(levels[1] - levels[0]), 1e-3)
    mean = sum_s / total

    def at(offset: float) -> tuple[_Law, float]:
        low, high = np.log(gap.below_s - offset), np.log(gap.above_s - offset)
        spread = float(high - low) / rise
        return _Law(offset, spread), offset + float(
            np.exp(min(low - spread * levels[0] + 0.5 * spread**2, 50.0))
        )

    lower, upper = 0.0, _LARGEST * gap.below_s
    for _ in range(_N_HALVINGS):
        middle = 0.5 * (lower + upper)
        lower, upper = (middle, upper) if at(middle)[1] > mean else (lower, middle)
    return at(0.5 * (lower + upper))[0]
