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
    """GPU-hours for a goodput: on the lower hull, in logarithms of the missed share and the hours.

    The least of a family is its leanest point, even where that misses less than asked. None: no
    setting reaches the goodput.
    """
    hull = lower_hull(points)
    if not hull or hull[-1].goodput < goodput:
        return None
    missed = [_log_missed(point.goodput) for point in hull]
    hours = [float(np.log(point.gpu_hours)) for point in hull]
    at = max(_log_missed(goodput), missed[-1])
    return float(np.exp(np.interp(-at, [-one for one in missed], hours)))


def lower_hull(points: Sequence[GoodputPoint]) -> list[GoodputPoint]:
    """Corners of the lower hull of what is reached for the least, by rising goodput and hours."""
    front: list[GoodputPoint] = []
    for point in sorted(points, key=lambda one: (one.gpu_hours, -one.goodput)):
        if not front or point.goodput > front[-1].goodput:
            front.append(point)
    hull: list[GoodputPoint] = []
    for point in front:
        while len(hull) > 1 and not _turns_up(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return hull


def _turns_up(first: GoodputPoint, second: GoodputPoint, third: GoodputPoint) -> bool:
    x = [-_log_missed(point.goodput) for point in (first, second, third)]
    y = [float(np.log(point.gpu_hours)) for point in (first, second, third)]
    return (y[1] - y[0]) * (x[2] - x[1]) < (y[2] - y[1]) * (x[1] - x[0])


def _log_missed(goodput: float) -> float:
    return float(np.log(max(1.0 - goodput, MIN_MISSED)))
