"""How many GPUs a replica had in each step of a window, by what the step was priced at; pure.

Specs are edited, and neither decisions nor outcomes say how many GPUs a replica had. Since the spec
was changed last it is what the spec says. Before, the GPU-hours of a step tell it, where no replica
was starting: all that held GPUs were ready then, and these are counted.

Shapes: T steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from services.advisory.counterfactual import HOUR_S
from services.simulator.fleet.arrays import BoolArray, FloatArray

Span = tuple[datetime, datetime]
_WHOLE = 1e-6
"""So far, relative to it, may a sum of floats lie from a whole number."""


@dataclass(frozen=True, slots=True)
class ReplicaGpus:
    """What is stored of the GPUs of a replica.

    Attributes:
        now: What the spec says.
        since: When the workload's row was changed last; the spec is no younger.
        starting: When replicas were starting before, as snapshots tell.
    """

    now: int
    since: datetime
    starting: Sequence[Span] = ()

    def of_steps(
        self, start_s: float, step_s: float, ready: FloatArray, gpu_hours: FloatArray
    ) -> FloatArray:
        """(T,) GPUs of a replica in each step; NaN: that cannot be told.

        A step that does not tell has what the nearest ones before and after it have, where these
        agree.

        Args:
            start_s: Epoch seconds of the first step.
            step_s: Step length in seconds.
            ready: (T,) mean replicas that were ready; NaN: not known.
            gpu_hours: (T,) GPU-hours of the step; NaN: not known.
        """
        found = np.full(ready.size, np.nan)
        told = (ready > 0) & ~self._is_starting(start_s, step_s, ready.size)
        np.divide(gpu_hours * HOUR_S / step_s, ready, out=found, where=told)
        whole = np.rint(found)
        is_whole = (whole >= 1) & (np.abs(found - whole) <= _WHOLE * whole)
        found = np.where(is_whole, whole, np.nan)
        ends_s = start_s + step_s * np.arange(1, ready.size + 1)
        found[ends_s > self.since.timestamp()] = self.now
        return _filled(found, self.now)

    def _is_starting(self, start_s: float, step_s: float, n_steps: int) -> BoolArray:
        """(T,) replicas were starting at some time of the step."""
        found = np.zeros(n_steps, dtype=bool)
        for from_at, to_at in self.starting:
            first = math.floor((from_at.timestamp() - start_s) / step_s)
            last = math.ceil((to_at.timestamp() - start_s) / step_s)
            found[max(0, first) : max(0, last)] = True
        return found


def _filled(found: FloatArray, after: float) -> FloatArray:
    """Steps between two that agree have the same; after the last one stands `after`."""
    known = np.append(found, after)
    at, steps = np.flatnonzero(np.isfinite(known)), np.arange(found.size)
    following = known[at[np.searchsorted(at, steps)]]
    place = np.searchsorted(at, steps, side="right") - 1
    agrees = (place >= 0) & (known[at[place]] == following)
    return np.where(agrees, following, np.nan)
