"""Candidate counts per workload: a short grid that holds every count worth considering."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from decider.types import BoolArray, FloatArray, IntArray, WorkloadInput

BODY_SHARES = (0.5, 0.99)
"""Of what may come: what a step needs between these is mostly needed."""


@dataclass(frozen=True, slots=True)
class CandidateGrid:
    """Counts `low + stride * i`, i < K, per workload; of a wide range uneven ones.

    A count between two candidates is taken for the lower one, which is never less risky: what is
    judged so errs on the safe side.

    Attributes:
        counts: (W, K) candidate counts; the grid also serves as the axis of the risk tables.
        low: (W,) first count.
        stride: (W,) distance between neighbours; of uneven ones their unit, 1.
        last: (W,) index of each workload's own largest candidate. The grid is as wide as the widest
            workload of the shard, but what lies beyond its own end is nothing to a workload: its
            decision does not depend on its company.
        is_allowed: (W, K) whether the count may be chosen (within the workload's bounds).
        is_uneven: (W,) whether neighbours are not equally far apart.
    """

    counts: IntArray
    low: IntArray
    stride: IntArray
    last: IntArray
    is_allowed: BoolArray
    is_uneven: BoolArray

    @property
    def top(self) -> IntArray:
        """(W,) each workload's own largest candidate."""
        return np.asarray(np.take_along_axis(self.counts, self.last[:, None], axis=1)[:, 0])

    def rows(self, some: IntArray) -> CandidateGrid:
        """The grids of some workloads."""
        return CandidateGrid(*(getattr(self, one.name)[some] for one in fields(self)))

    def tiled(self, times: int) -> CandidateGrid:
        """The grids of all workloads, so many times one after the other."""
        return self.rows(np.tile(np.arange(self.low.size), times))

    def index_of(self, replicas: IntArray) -> IntArray:
        """(W, ...) index of the largest candidate that does not exceed `replicas`, clipped."""
        shape = (-1,) + (1,) * (replicas.ndim - 1)
        index = (replicas - self.low.reshape(shape)) // self.stride.reshape(shape)
        for row in np.flatnonzero(self.is_uneven):
            index[row] = self._uneven_index(int(row), replicas[row])
        return np.asarray(np.minimum(np.maximum(index, 0), self.last.reshape(shape)))

    def row_index(self, row: int, replicas: IntArray) -> IntArray:
        """`index_of` for one workload."""
        index = (replicas - self.low[row]) // self.stride[row]
        if self.is_uneven[row]:
            index = self._uneven_index(row, replicas)
        return np.asarray(np.minimum(np.maximum(index, 0), self.last[row]))

    def has_neighbours(self, replicas: IntArray) -> BoolArray:
        """(W,) whether the counts next to candidates (W,) are candidates, as far as any may be."""
        rows, at = np.arange(replicas.size), self.index_of(replicas)
        below, above = np.maximum(at - 1, 0), np.minimum(at + 1, self.last)
        is_end = [~self.is_allowed[rows, one] | (one == at) for one in (below, above)]
        here = self.counts[rows, at]
        is_near = [np.abs(self.counts[rows, one] - here) <= 1 for one in (below, above)]
        return np.asarray((is_end[0] | is_near[0]) & (is_end[1] | is_near[1]))

    def _uneven_index(self, row: int, replicas: IntArray) -> IntArray:
        own = self.counts[row, : self.last[row] + 1]
        return np.asarray(np.searchsorted(own, replicas, side="right") - 1, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class NeedRange:
    """Replicas between which the counts worth considering lie, whatever the paths are.

    Attributes:
        smallest: (W,); NaN where only the paths tell.
        largest: (W,) the same.
        body: (W, 2) replicas between which lies what is mostly needed (`BODY_SHARES`); the same.
    """

    smallest: FloatArray
    largest: FloatArray
    body: FloatArray


def effective_bounds(workload: WorkloadInput) -> tuple[int, int]:
    """Bounds after the schedule in force; a schedule never leaves the workload's own bounds."""
    limits, control = workload.limits, workload.control
    low = limits.clamp(control.schedule_min) if control.schedule_min is not None else None
    high = limits.clamp(control.schedule_max) if control.schedule_max is not None else None
    minimum = limits.min_replicas if low is None else low
    maximum = limits.max_replicas if high is None else high
    return min(minimum, maximum), maximum


@dataclass(frozen=True, slots=True, eq=False)
class CandidateRange:
    """Counts worth considering, from which grids are made.

    A range that fits is a grid of all its counts. Of a wide one the counts around a centre are
    candidates, each of them, and beyond there are ever fewer up to the ends, and some of what is
    mostly needed, which later steps of a plan need. So no count near the centre depends on how far
    the ends are. The centre is what runs, until something else is chosen
    (`decider.planning.prepared`).

    Attributes:
        low: (W,) least count.
        top: (W,) largest.
        bounds: (W, 2) least and largest count that may be chosen.
        running: (W, 2) spec and ready.
        body: (W, 2) counts between which lies what is mostly needed; of ranges that fit, anything.
        size: Most candidates of one workload.
        needed: (W,) largest count that any scenario needs, within the bounds.
        is_spaced_evenly: Of wide ranges, too, as before docs/decisions/0109.
    """

    low: IntArray
    top: IntArray
    bounds: IntArray
    running: IntArray
    body: IntArray
    size: int
    needed: IntArray
    is_spaced_evenly: bool = False

    @property
    def is_wide(self) -> BoolArray:
        """(W,) ranges that do not fit, and are not spaced evenly."""
        wide = self.top - self.low > self.size - 1
        return np.asarray(wide & (not self.is_spaced_evenly))

    def beside(self, stuck: IntArray, *, is_bounded: bool = True) -> CandidateRange:
        """The range with as many counts more: those that are needed stand beside what is stuck.

        Where what is asked for beside it hangs as well, as with a release that never gets ready, a
        service would ask for as many again at each decision, until it had every free GPU. So what
        it lacks stands beside what is stuck once.

        Args:
            stuck: (W,) replicas asked for that will hardly serve.
            is_bounded: Whether it reaches no further than that; not so before revision 5.
        """
        most = np.maximum(self.top, self.bounds[:, 1])
        reach = self.top + stuck
        if is_bounded:
            lacking = np.maximum(self.needed - self.running[:, 1], 0)
            reach = np.maximum(self.top, self.needed + np.minimum(stuck, lacking))
        return replace(self, top=np.minimum(reach, most))

    def grid(self, centre: IntArray | None = None) -> CandidateGrid:
        """Candidates, those of wide ranges around a centre (W,); None: around what runs."""
        middle = self.running[:, 0] if centre is None else centre
        stride = np.maximum(1, -(-(self.top - self.low) // (self.size - 1)))
        wide = {
            int(row): self._uneven(int(row), int(middle[row]))
            for row in np.flatnonzero(self.is_wide)
        }
        stride[list(wide)] = 1
        last = (self.top - self.low + stride - 1) // stride
        last[list(wide)] = [own.size - 1 for own in wide.values()]
        rank = np.arange(int(last.max()) + 1)
        counts = self.low[:, None] + stride[:, None] * rank
        for row, own in wide.items():
            counts[row, : own.size] = own
            counts[row, own.size :] = own[-1] + 1 + np.arange(rank.size - own.size)
        # The last allowed candidate may step over a coarse grid's top: it is clipped afterwards.
        over = counts >= self.bounds[:, 1:] + stride[:, None]
        is_allowed = (counts >= self.bounds[:, :1]) & ~over & (rank <= last[:, None])
        is_uneven = np.zeros(last.size, dtype=bool)
        is_uneven[list(wide)] = True
        return CandidateGrid(counts, self.low, stride, last, is_allowed, is_uneven)

    def _uneven(self, row: int, centre: int) -> IntArray:
        """Candidates of one wide range, in order; as many around its centre as there is room."""
        size = max(self.size, LEAST_WIDE)
        reach = size // 6
        found = self._around(row, centre, reach)
        more = (size - found.size) // 2
        while more:
            wider = self._around(row, centre, reach + more)
            if wider.size <= size:
                found, reach = wider, reach + more
            more = min(more // 2, (size - found.size) // 2)
        return found

    def _around(self, row: int, centre: int, reach: int) -> IntArray:
        """Candidates of one wide range, all of those up to `reach` from its centre among them."""
        low, top = int(self.low[row]), int(self.top[row])
        marks = np.array([low, top, self.bounds[row, 0], *self.running[row]])
        size = max(self.size, LEAST_WIDE)
        n_body = size // 6
        n_far = (size - marks.size - 3 * n_body - 1) // 2
        middle = min(max(centre, low), top)
        near = np.arange(max(low, middle - reach), min(top, middle + reach) + 1)
        ends = int(near[0]) - low, top - int(near[-1])
        below, above = (_growing(end, n_far, size // 6) for end in ends)
        first, last = np.clip(self.body[row], low, top)
        body = np.linspace(first, last, n_body).round().astype(np.int64)
        marks = np.clip(marks, low, top)
        return np.unique(np.concatenate([near[0] - below, near, near[-1] + above, body, marks]))


LEAST_WIDE = 16
"""Candidates that a wide range has in any case: its ends, what runs, and some around a centre."""


def _growing(end: int, n: int, first: int) -> IntArray:
    """Distances up to `end`, at most n, ever farther apart, as from `first` on in equal ratios."""
    share = np.arange(1, n + 1) / n
    found = np.ceil(first * np.expm1(share * np.log1p(end / first))).astype(np.int64)
    return np.unique(np.minimum(found, end))


def candidate_range(
    workloads: tuple[WorkloadInput, ...],
    need: FloatArray,
    max_candidates: int,
    *,
    is_unserved_dear: bool = True,
    top_need: IntArray | None = None,
    need_range: NeedRange | None = None,
) -> CandidateRange:
    """Find the counts worth considering.

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
    needed = np.minimum(np.minimum(largest, cap).astype(np.int64) + 1, bounds[:, 1])
    top = np.maximum(needed, np.minimum(running[:, 0], bounds[:, 1]))
    top = np.maximum(top, bounds[:, 0])
    bottom = np.minimum(np.minimum(smallest, cap).astype(np.int64) - 1, running.min(axis=1))
    low = np.clip(bottom, 0, top) if is_unserved_dear else np.minimum(bounds[:, 0], top)
    low = np.minimum(low, running.min(axis=1))
    body = np.stack([low, top], axis=1)
    for row in np.flatnonzero(top - low > max_candidates - 1):
        if need_range is not None and not np.isnan(need_range.body[row]).any():
            body[row] = np.minimum(need_range.body[row], cap)
        else:
            body[row] = _mostly_needed(need[row], 0 if top_need is None else int(top_need[row]))
    return CandidateRange(low, top, bounds, running, body, max_candidates, needed)


def _mostly_needed(need: FloatArray, top_need: int) -> IntArray:
    """(2,) counts between which lies what scenarios (S, H) mostly need.

    Args:
        need: Replicas needed.
        top_need: Where it is more than the most of them, as many times more is needed of all.
    """
    low, high = (np.quantile(need, share, axis=0) for share in BODY_SHARES)
    more = max(1.0, top_need / max(float(need.max()), 1.0))
    ends = np.minimum(np.array([low.min(), more * high.max()]), 2.0**31)
    return np.asarray(ends, dtype=np.int64)


def smallest_allowed(grid: CandidateGrid) -> IntArray:
    """(W,) index of the first allowed candidate."""
    return np.asarray(np.argmax(grid.is_allowed, axis=1), dtype=np.int64)
