"""GPU-hours that a family of settings needs for a goodput.

Shapes: K settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MIN_MISSED = 1e-5
"""Shares of missed requests below this are drawn and reckoned as this."""


@dataclass(frozen=True, slots=True)
class GoodputPoint:
    """What a setting came to.

    Attributes:
        goodput: Share of requests that met both goals.
        gpu_hours: What it took.
    """

    goodput: float
    gpu_hours: float


def hours_at(points: Sequence[GoodputPoint], goodput: float) -> float | None:
    """GPU-hours for a goodput: between neighbours of the front, in logarithms.

    Of the missed share and of the hours. The least of a family is its leanest point, even where
    that misses less than asked. None: no setting reaches the goodput.
    """
    reached = front(points)
    if not reached or reached[-1].goodput < goodput:
        return None
    missed = [_log_missed(point.goodput) for point in reached]
    hours = [float(np.log(point.gpu_hours)) for point in reached]
    return float(np.exp(np.interp(-_log_missed(goodput), [-one for one in missed], hours)))


def front(points: Sequence[GoodputPoint]) -> list[GoodputPoint]:
    """Points that no other beats in both, by rising goodput and hours.

    Not their convex hull: one setting that is hopelessly short would then make those between seem
    cheaper than any that was run.
    """
    found: list[GoodputPoint] = []
    for point in sorted(points, key=lambda one: (one.gpu_hours, -one.goodput)):
        if not found or point.goodput > found[-1].goodput:
            found.append(point)
    return found


def _log_missed(goodput: float) -> float:
    return float(np.log(max(1.0 - goodput, MIN_MISSED)))
