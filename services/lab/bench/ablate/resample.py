"""Paired resamples of days and workloads, and the figures of an arm under them.

The first row of every array is the data as they are; the others are resamples. Shapes: R rows,
W workloads, B blocks of days, G settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.backtest.equal_violation import cost_at as matched_cost
from services.simulator.fleet.arrays import FloatArray

Sums = Mapping[str, Any]
"""Name to (W, B) sums, see `record`."""


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """How often each day and each workload counts.

    Attributes:
        days: (R, B).
        workloads: (R, W).
    """

    days: FloatArray
    workloads: FloatArray

    def mean_of_ratios(self, part: Any, whole: Any) -> FloatArray:
        """(R,) mean over workloads of part over whole, each summed over days."""
        top, bottom = np.asarray(part) @ self.days.T, np.asarray(whole) @ self.days.T
        weight = self.workloads.T * (bottom > 0)
        ratio = top / np.where(bottom > 0, bottom, 1.0)
        return np.asarray((ratio * weight).sum(axis=0) / np.maximum(weight.sum(axis=0), 1.0))

    def share(self, part: Any, whole: Any) -> FloatArray:
        """(R,) part over whole, both summed over days and workloads."""
        top, bottom = np.asarray(part) @ self.days.T, np.asarray(whole) @ self.days.T
        weight = self.workloads.T
        return np.asarray((top * weight).sum(axis=0) / np.maximum((bottom * weight).sum(axis=0), 1))


def draws(n_workloads: int, n_blocks: int, n: int, rng: np.random.Generator) -> Draws:
    """The data as they are, then `n` resamples of W workloads and B blocks."""
    W, B = n_workloads, n_blocks
    days = rng.multinomial(B, np.full(B, 1.0 / B), size=n)
    workloads = rng.multinomial(W, np.full(W, 1.0 / W), size=n)
    return Draws(
        np.vstack([np.ones((1, B)), days]).astype(float),
        np.vstack([np.ones((1, W)), workloads]).astype(float),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """An arm at one promise.

    Attributes:
        rate: (R,) share of time out of SLA, mean over workloads.
        ratio: (R,) cost over the oracle's, mean over workloads.
    """

    rate: FloatArray
    ratio: FloatArray


def point(drawn: Draws, sums: Sums, yard: Sums) -> Point:
    """An arm's rate and cost."""
    return Point(
        drawn.mean_of_ratios(sums["out"], yard["known"]),
        drawn.mean_of_ratios(sums["held"], yard["held"]),
    )


def cost_at(rate: FloatArray, trade: Sequence[Point]) -> FloatArray:
    """(R,) least cost at a rate on the trade that several promises span.

    By the law of `services.backtest.equal_violation`; below the least rate, the cost of that one.
    """
    rates = np.stack([p.rate for p in trade], axis=1)
    ratios = np.stack([p.ratio for p in trade], axis=1)
    asked = np.maximum(rate, rates.min(axis=1))
    return np.array([matched_cost(*row) for row in zip(rates, ratios, asked, strict=True)])
