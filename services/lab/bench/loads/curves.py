"""What a table of a real engine says: limits, floors and curves by the composition of requests.

A point is a rate of requests with a mean length of prompts and of answers, and the share of the
requests that missed. Of every pair of lengths, a *composition*, the limit is the rate at which the
tolerated share misses beyond the floor; the use of a replica is its rate over that limit.

Shapes: I lengths of prompts, O of answers, K uses, P points, N loads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from services.kernel.errors import InvalidInput
from services.lab.arena.table import ResponseTable
from services.lab.bench.loads.response import TOLERATED
from services.simulator.fleet.arrays import BoolArray, FloatArray, IntArray

LOG_USES = np.linspace(np.log(0.2), np.log(4.0), 61)
_LEAST_SLOPE = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class EngineCurves:
    """What a table says of its compositions.

    Attributes:
        log_input: (I,) logarithms of the mean lengths of prompts, increasing.
        log_output: (O,) of answers.
        log_limit: (I, O) of the limits in requests/s.
        floor: (I, O).
        log_odds: (I, O, K) of the share that misses beyond the floor, at `LOG_USES`.
    """

    log_input: FloatArray
    log_output: FloatArray
    log_limit: FloatArray
    floor: FloatArray
    log_odds: FloatArray

    @classmethod
    def of(cls, points: ResponseTable) -> EngineCurves:
        """Curves of the points of single replicas.

        Raises:
            InvalidInput: A composition of the grid has fewer than two points.
        """
        single = points.replicas == 1
        inputs, outputs = (np.unique(v[single]) for v in (points.mean_input, points.mean_output))
        shape = (inputs.size, outputs.size)
        limit, floor = np.zeros(shape), np.zeros(shape)
        odds = np.zeros((*shape, LOG_USES.size))
        for i, j in np.ndindex(shape):
            rows = np.flatnonzero(
                single & (points.mean_input == inputs[i]) & (points.mean_output == outputs[j])
            )
            rows = rows[np.argsort(points.rate[rows])]
            if rows.size < 2:
                raise InvalidInput(
                    f"the table has {rows.size} points at {inputs[i]:g} and {outputs[j]:g} tokens; "
                    "at least 2 are right"
                )
            floor[i, j] = points.floor[rows].mean()
            limit[i, j], odds[i, j] = _curve(points, rows, float(floor[i, j]))
        return cls(np.log(inputs), np.log(outputs), limit, floor, odds)

    def corners(self, load: FloatArray) -> Corners:
        """The compositions around loads (..., 3); those outside the table are moved to its edge."""
        own = _log_lengths(load)
        first = _Neighbours.of(own[0], self.log_input)
        second = _Neighbours.of(own[1], self.log_output)
        return Corners(
            (first.low, first.low, first.low + 1, first.low + 1),
            (second.low, second.low + 1, second.low, second.low + 1),
            (
                (1.0 - first.share) * (1.0 - second.share),
                (1.0 - first.share) * second.share,
                first.share * (1.0 - second.share),
                first.share * second.share,
            ),
        )

    def covers(self, loads: FloatArray) -> BoolArray:
        """(N,) whether loads (N, 3) are composed as in the table; false without requests."""
        own = _log_lengths(loads)
        lengths = (self.log_input, self.log_output)
        inside = [(m >= x[0]) & (m <= x[-1]) for m, x in zip(own, lengths, strict=True)]
        return np.asarray(inside[0] & inside[1])


@dataclass(frozen=True, slots=True, eq=False)
class Corners:
    """The four compositions around each of some loads, and how much each counts; (...) each."""

    rows: tuple[IntArray, ...]
    columns: tuple[IntArray, ...]
    weights: tuple[FloatArray, ...]

    def mean(self, values: FloatArray, depth: IntArray | None = None) -> FloatArray:
        """(...) weighted mean of values (I, O), or of (I, O, K) at `depth` (...)."""
        total = np.zeros(self.weights[0].shape)
        for row, column, weight in zip(self.rows, self.columns, self.weights, strict=True):
            at = values[row, column] if depth is None else values[row, column, depth]
            total += weight * at
        return total


@dataclass(frozen=True, slots=True, eq=False)
class _Neighbours:
    """Index of the point below each value, and its share of the way to the next one."""

    low: IntArray
    share: FloatArray

    @classmethod
    def of(cls, values: FloatArray, points: FloatArray) -> _Neighbours:
        """Values beyond the ends are moved there; one that is unknown counts as the first."""
        inside = np.clip(np.nan_to_num(values, nan=points[0]), points[0], points[-1])
        low = np.clip(np.searchsorted(points, inside, side="right") - 1, 0, points.size - 2)
        share = (inside - points[low]) / (points[low + 1] - points[low])
        return cls(np.asarray(low, dtype=np.int64), share)


def _curve(points: ResponseTable, rows: IntArray, floor: float) -> tuple[float, FloatArray]:
    """Logarithm of the limit, and (K,) log odds at `LOG_USES`, of points by rate."""
    missed, total = points.missed[rows].sum(axis=1), points.requests[rows].sum(axis=1)
    share = (missed + 0.5) / (total + 1.0)
    curable = np.clip(
        (share - floor) / (1.0 - floor), 0.5 / (total + 1.0), 1.0 - 0.5 / (total + 1.0)
    )
    odds = np.maximum.accumulate(logit(curable))
    log_rate = np.log(points.rate[rows])
    slope = max(float(np.polyfit(log_rate, odds, 1)[0]), _LEAST_SLOPE)
    climbing = odds + 1e-6 * np.arange(odds.size)
    limit = float(_along(np.array([logit(TOLERATED)]), climbing, log_rate, 1.0 / slope)[0])
    return limit, _along(LOG_USES + limit, log_rate, odds, slope)


def _along(at: FloatArray, x: FloatArray, y: FloatArray, slope: float) -> FloatArray:
    """`y` over increasing `x` at points `at`; straight on with a slope beyond the ends."""
    inside = np.interp(at, x, y)
    return np.asarray(inside + slope * (np.minimum(at - x[0], 0.0) + np.maximum(at - x[-1], 0.0)))


def _log_lengths(load: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Logarithms of tokens per prompt and per answer; NaN without requests, or without end."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(load[..., 1] / load[..., 0]), np.log(load[..., 2] / load[..., 0])
