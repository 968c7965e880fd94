"""Requests that wait, as load; pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decider import FloatArray, History, SliSteps

N_NEWEST = 3
"""Newest steps of which one must say how many wait: an older queue is not known to be there yet."""


@dataclass(frozen=True, slots=True)
class RequestQueue:
    """Requests of one workload that wait, and the steps that tell what one of them is.

    Attributes:
        waiting: Requests that wait; 0: none does.
        starts_s: (T,) step starts, epoch seconds.
        counts: (T,) requests of each step; NaN: not known, or the step says nothing of them.
    """

    waiting: float
    starts_s: FloatArray
    counts: FloatArray

    def load(self, history: History, step_s: float) -> float | None:
        """Load that waits, in demand of one step; None: no step tells what a request is.

        The median over steps: one that the replicas could not serve counts too few requests.
        """
        if self.waiting == 0.0:
            return 0.0
        back = np.round((history.demand_until_s - self.starts_s) / step_s).astype(np.int64)
        inside = (back >= 1) & (back <= history.demand.size)
        demand = history.demand[history.demand.size - back[inside]]
        ratio = demand / self.counts[inside]
        known = ratio[np.isfinite(ratio) & (ratio >= 0)]
        return self.waiting * float(np.median(known)) if known.size else None


def queue_of(waiting: FloatArray, steps: SliSteps, starts_s: FloatArray) -> RequestQueue | None:
    """The queue at the end of the newest steps; None: it is not known.

    Args:
        waiting: (T,) mean number of requests that waited in each step; NaN: unknown.
        steps: What was measured of the same steps.
        starts_s: (T,) their starts, epoch seconds.
    """
    newest = waiting[-N_NEWEST:]
    known = newest[np.isfinite(newest)]
    if known.size == 0 or known[-1] < 0:
        return None
    tells = np.isfinite(steps.requests) & (steps.requests > 0)
    if steps.is_silent is not None:
        tells &= ~steps.is_silent  # its requests are those that waited
    return RequestQueue(float(known[-1]), starts_s, np.where(tells, steps.requests, np.nan))
