"""The law of each step's demand, from its quantile function.

A law is a row of knots with the probability of more demand at each; between knots the probability
falls in a straight line. The exponential tails beyond the outermost levels are taken at knots too,
close enough that between them the probability is never more than 5 % too high.

Shapes: R workloads, Q levels, N knots, H horizon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decider.belief.capacity import RELATIVE_SLACK
from decider.step_quantiles import StepQuantiles
from decider.types import FloatArray, IntArray

N_UPPER, UPPER_RATIO = 16, 1.8
"""Knots of the upper tail, and the fall of the probability from one to the next."""
N_LOWER, LOWER_RATIO = 4, 2.0
"""The same of the lower tail."""
_TAIL_REACH = 2
"""Levels inwards from the outermost to the one that sets a tail's rate."""


@dataclass(frozen=True, slots=True, eq=False)
class DemandLaw:
    """Laws of the demand, which is never negative.

    Attributes:
        knots: (R, H, N) demand, rising.
        above: (R, H, N) probability of more, falling from 1 to 0; mass at a point is where it falls
            between knots at the same demand.
        mean: (R, H) mean demand.
    """

    knots: FloatArray
    above: FloatArray
    mean: FloatArray

    @classmethod
    def of(cls, steps: Sequence[StepQuantiles]) -> DemandLaw:
        """Laws of R workloads whose quantiles are at the same levels.

        Args:
            steps: Their quantile functions, R of them.
        """
        levels = steps[0].levels
        values = np.stack([one.values for one in steps]).transpose(0, 2, 1)
        # In one order of memory whatever their number: sums then do not depend on the company.
        values = np.ascontiguousarray(np.maximum.accumulate(values, axis=2))
        knots, above = _with_tails(levels, values)
        knots, above = _never_negative(knots, above)
        mass = above[:, :, :-1] - above[:, :, 1:]
        mean = 0.5 * (mass * (knots[:, :, 1:] + knots[:, :, :-1])).sum(axis=2)
        return cls(knots, above, mean)

    def rows(self, some: IntArray) -> DemandLaw:
        """The laws of some workloads."""
        return DemandLaw(self.knots[some], self.above[some], self.mean[some])

    def exceeded_with(self, probability: float) -> FloatArray:
        """(R, H) demand that is exceeded with a probability in (0, 1)."""
        left = (self.above >= probability).sum(axis=2, keepdims=True) - 1
        pair = np.concatenate([left, left + 1], axis=2)
        knots = np.take_along_axis(self.knots, pair, axis=2)
        above = np.take_along_axis(self.above, pair, axis=2)
        share = (above[:, :, 0] - probability) / (above[:, :, 0] - above[:, :, 1])
        return np.asarray(knots[:, :, 0] + share * (knots[:, :, 1] - knots[:, :, 0]))


def _with_tails(levels: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Knots (R, H, N) and the probability of more at each (N,), tails included.

    Args:
        levels: (Q,).
        values: (R, H, Q).
    """
    low = min(_TAIL_REACH, levels.size - 1)
    high = max(levels.size - 1 - _TAIL_REACH, 0)
    fall = (values[:, :, low] - values[:, :, 0]) / np.log(levels[low] / levels[0])
    rise = (values[:, :, -1] - values[:, :, high]) / np.log((1 - levels[high]) / (1 - levels[-1]))
    down = np.arange(N_LOWER + 1, 0, -1)
    up = np.arange(1, N_UPPER + 2)
    below = values[:, :, :1] - fall[:, :, None] * (np.log(LOWER_RATIO) * down)
    beyond = values[:, :, -1:] + rise[:, :, None] * (np.log(UPPER_RATIO) * up)
    upper = (1.0 - levels[-1]) * UPPER_RATIO**-up
    upper[-1] = 0.0
    lower = 1.0 - levels[0] * LOWER_RATIO**-down
    lower[:2] = 1.0  # one knot to spare, for what lies below zero
    return (
        np.concatenate([below, values, beyond], axis=2),
        np.concatenate([lower, 1.0 - levels, upper]),
    )


def _never_negative(knots: FloatArray, above: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The law of the demand where it is positive, and what lies below at zero."""
    full = np.broadcast_to(above, knots.shape).copy()
    if knots.min() >= 0:
        return knots, full
    left, right = knots[:, :, :-1], knots[:, :, 1:]
    crosses = (left < 0) & (right > 0)
    share = np.where(crosses, right, 0.0) / np.where(crosses, right - left, 1.0)
    at_zero = full[:, :, 1:] + (full[:, :, :-1] - full[:, :, 1:]) * share
    full[:, :, :-1] = np.where(crosses, at_zero, full[:, :, :-1])
    return np.maximum(knots, 0.0), full


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Second differences of the expected excess: where its slope's slope jumps, and by how much.

    The expected excess `E[(X - x)+]` of a law whose density is constant between knots is
    `1/2 * sum over knots t > x of jump * (t - x)**2`, and minus its slope, the probability of more
    than x, is the sum of `jump * (t - x)`: two sums that only what lies above x enters.

    Attributes:
        knots: (R, H, N) knots in the unit asked for, strictly rising.
        jump: (R, H, N) density below each knot less that above it.
    """

    knots: FloatArray
    jump: FloatArray


GAP = 1e-8
"""Least distance of knots, in shares of their range: so far downwards mass at a point is spread."""
ROUNDING = 8 * float(np.finfo(np.float64).eps)
"""The same in shares of the largest knot: nearer ones may be one number."""


def pieces_of(law: DemandLaw, origin: FloatArray, unit: FloatArray) -> Pieces:
    """Pieces of the laws, in `unit`s (R,) from `origin` (R,)."""
    held = law.knots * (1.0 - RELATIVE_SLACK)
    knots = (held - origin[:, None, None]) / unit[:, None, None]
    n = knots.shape[2]
    gap = GAP * (1.0 + knots[:, :, -1:] - knots[:, :, :1])
    # of millions of replicas, as a slip of a unit makes them, so little would be rounded away
    gap = np.maximum(gap, ROUNDING * np.abs(knots).max(axis=2, keepdims=True))
    knots -= gap * np.arange(n - 1, -1, -1)
    mass = law.above[:, :, :-1] - law.above[:, :, 1:]
    density = mass / (knots[:, :, 1:] - knots[:, :, :-1])
    jump = np.empty_like(knots)
    jump[:, :, 0] = -density[:, :, 0]
    jump[:, :, 1:-1] = density[:, :, :-1] - density[:, :, 1:]
    jump[:, :, -1] = density[:, :, -1]
    return Pieces(knots, jump)
