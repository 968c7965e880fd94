"""What is to be said of demand far above all other: it may be an error of the source."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from services.simulator.fleet.trace_file import TraceSeries

_USUAL = 0.99
_FAR = 30.0
"""So many times what is usual: bursts of real services stay below it, slips of units do not."""


def far_peaks(series: Sequence[TraceSeries], column: int) -> tuple[str, ...]:
    """A sentence about the largest demand that stands far above the rest of its service's.

    Args:
        series: The services.
        column: Which of their values is the demand.
    """
    found = [_far_above(one.values[:, column]) for one in series]
    n_steps = sum(steps.size for steps, _ in found)
    if not n_steps:
        return ()
    ratios = [ratio for _, ratio in found]
    worst = int(np.argmax(ratios))
    one, step = series[worst], int(np.nanargmax(series[worst].values[:, column]))
    at = datetime.fromtimestamp(int(one.time_s[step]), UTC)
    more = f"; {n_steps - 1:,} more like it" if n_steps > 1 else ""
    return (
        f"{one.values[step, column]:g} of {one.workload!r} at {at:%Y-%m-%dT%H:%M:%SZ} is "
        f"{ratios[worst]:,.0f} times what 99 % of its steps need{more}: replicas are sized by "
        "the mean, so if that is an error, correct it first",
    )


def _far_above(demand: np.ndarray) -> tuple[np.ndarray, float]:
    """Steps that stand far above the usual ones, and by how many times the largest does."""
    some = demand[np.isfinite(demand) & (demand > 0)]
    if some.size < 1.0 / (1.0 - _USUAL):
        return np.zeros(0, dtype=np.int64), 0.0
    usual = float(np.quantile(some, _USUAL, method="lower"))
    with np.errstate(invalid="ignore"):
        steps = np.flatnonzero(demand > _FAR * usual)
    return steps, float(np.nanmax(demand)) / usual if steps.size else 0.0
