"""Candidate counts per workload: a short grid that holds every count worth considering."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decider.types import BoolArray, FloatArray, IntArray, WorkloadInput


@dataclass(frozen=True, slots=True)
class CandidateGrid:
    """Counts `low + stride * i`, i < K, per workload.

    Attributes:
        counts: (W, K) candidate counts; the grid also serves as the axis of the risk tables.
        low: (W,) first count.
        stride: (W,) distance between neighbours; 1 unless the range is very wide.
        last: (W,) index of each workload's own largest candidate. The grid is as wide as the widest
            workload of the shard, but what lies beyond its own end is nothing to a workload: its
            decision does not depend on its company.
        is_allowed: (W, K) whether the count may be chosen (within the workload's bounds).
    """

    counts: IntArray
    low: IntArray
    stride: IntArray
    last: IntArray
    is_allowed: BoolArray

    def rows(self, some: IntArray) -> CandidateGrid:
        """The grids of some workloads."""
        last, is_allowed = self.last[some], self.is_allowed[some]
        return CandidateGrid(self.counts[some], self.low[some], self.stride[some], last, is_allowed)

    def index_of(self, replicas: IntArray) -> IntArray:
        """(W, ...) index of the largest candidate that does not exceed `replicas`, clipped."""
        shape = (-1,) + (1,) * (replicas.ndim - 1)
        index = (replicas - self.low.reshape(shape)) // self.stride.reshape(shape)
        return np.asarray(np.minimum(np.maximum(index, 0), self.last.reshape(shape)))

    def row_index(self, row: int, replicas: IntArray) -> IntArray:
        """`index_of` for one workload."""
        index = (replicas - self.low[row]) // self.stride[row]
        return np.asarray(np.minimum(np.maximum(index, 0), self.last[row]))


@dataclass(frozen=True, slots=True, eq=False)
class NeedRange:
    """Replicas between which the counts worth considering lie, whatever the paths are.

    Attributes:
        smallest: (W,); NaN where only the paths tell.
        largest: (W,) the same.
    """

    smallest: FloatArray
    largest: FloatArray


def effective_bounds(workload: WorkloadInput) -> tuple[int, int]:
    """Bounds after the schedule in force; a schedule never leaves the workload's own bounds."""
    limits, control = workload.limits, workload.control
    low = limits.clamp(control.schedule_min) if control.schedule_min is not None else None
    high = limits.clamp(control.schedule_max) if control.schedule_max is not None else None
    minimum = limits.min_replicas if low is None else low
    maximum = limits.max_replicas if high is None else high
    return min(minimum, maximum), maximum


def make_grid(
    workloads: tuple[WorkloadInput, ...],
    need: FloatArray,
    max_candidates: int,
    *,
    is_unserved_dear: bool = True,
    top_need: IntArray | None = None,
    need_range: NeedRange | None = None,
) -> CandidateGrid:
    """Choose the grids.

    Below the smallest need of any scenario every step is out of SLA and each replica less costs
    more in unserved load than it saves; above the largest need nothing is gained: counts outside,
    widened by what is running, cannot be better than those inside.

    Args:
        workloads: W workloads.
        need: (W, S, H) replicas needed per scenario and step.
        max_candidates: Largest K.
        is_unserved_dear: Unserved load costs more than the replicas that would serve it; where it
            does not, the grid reaches down to the lower bounds.
        top_need: (W,) replicas that each grid reaches in any case, within the bounds.
        need_range: Takes the place of the extreme scenarios where it is known.
    """
    bounds = np.array([effective_bounds(w) for w in workloads], dtype=np.int64)
    running = np.array([(w.replicas.spec, w.replicas.ready) for w in workloads], dtype=np.int64)
    smallest, largest = need.min(axis=(1, 2)), need.max(axis=(1, 2))
    if need_range is not None:
        smallest = np.where(np.isnan(need_range.smallest), smallest, need_range.smallest)
        largest = np.where(np.isnan(need_range.largest), largest, need_range.largest)
    cap = np.int64(2**31)
    if top_need is not None:
        largest = np.maximum(largest, top_need)
    top = np.minimum(np.minimum(largest, cap).astype(np.int64) + 1, bounds[:, 1])
    top = np.maximum(top, np.minimum(running[:, 0], bounds[:, 1]))
    top = np.maximum(top, bounds[:, 0])
    bottom = np.minimum(np.minimum(smallest, cap).astype(np.int64) - 1, running.min(axis=1))
    low = np.clip(bottom, 0, top) if is_unserved_dear else np.minimum(bounds[:, 0], top)
    low = np.minimum(low, running.min(axis=1))
    stride = np.maximum(1, -(-(top - low) // (max_candidates - 1)))
    last = (top - low + stride - 1) // stride
    rank = np.arange(int(last.max()) + 1)
    counts = low[:, None] + stride[:, None] * rank
    # The last allowed candidate may step over a coarse grid's top: it is clipped afterwards.
    over = counts >= bounds[:, 1:] + stride[:, None]
    is_allowed = (counts >= bounds[:, :1]) & ~over & (rank <= last[:, None])
    return CandidateGrid(counts, low, stride, last, is_allowed)


def smallest_allowed(grid: CandidateGrid) -> IntArray:
    """(W,) index of the first allowed candidate."""
    return np.asarray(np.argmax(grid.is_allowed, axis=1), dtype=np.int64)
