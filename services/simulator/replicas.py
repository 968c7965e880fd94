"""Replicas of G settings of W workloads with random start-up times, where GPUs are never short.

The same rules as the engine's (a test holds them equal): a start's clock runs once and never
restarts; scaling down takes what does not serve yet first, the youngest first; the start-up time of
the n-th start of a workload depends on the workload and n only, so that every policy meets the same
luck.

Shapes: G settings, W workloads, A starts on their way, R rows (setting, workload), E pieces of a
step in which the ready replicas are constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.simulator.course import Course
from services.simulator.fleet.arrays import BoolArray, FloatArray, IntArray
from services.simulator.policies.view import RELATIVE_SLACK
from services.simulator.served import ServedTruth


class GridReplicas:
    """Replicas, advanced step by step: `land`, `scale`, and what they do until the step's end.

    Rows in which nothing happens cost nothing but a comparison: work is done for the rows that
    start, stop or land.

    Args:
        course: Where lead times and initial replicas come from.
        n_settings: G.
    """

    def __init__(self, course: Course, n_settings: int) -> None:
        self._lead_s = course.lead_s
        self.shape = (n_settings, course.n_workloads)
        self._workload = np.tile(np.arange(course.n_workloads), n_settings)
        self._spec = np.tile(course.initial.astype(np.int64), n_settings)
        self._ready = self._spec.copy()
        self._n_created = self._spec.copy()
        # columns in order of age; infinite beyond the last start on its way
        self._asked_s = np.full((self._spec.size, 0), np.inf)
        self._lands_s = self._asked_s.copy()
        self._next_s = np.full(self._spec.size, np.inf)
        self._n_used = 0

    @property
    def spec(self) -> IntArray:
        """(G, W) replicas asked for."""
        return self._spec.reshape(self.shape)

    @property
    def ready(self) -> IntArray:
        """(G, W) replicas that serve."""
        return self._ready.reshape(self.shape)

    @property
    def starting(self) -> IntArray:
        """(G, W) replicas asked for that do not serve yet."""
        return self.spec - self.ready

    def start_age_s(self, now_s: float) -> FloatArray:
        """(G, W, A) ages of the starts on their way, oldest first; NaN beyond the last."""
        asked_s = self._asked_s[:, : self._n_used].reshape(*self.shape, self._n_used)
        return np.where(np.isfinite(asked_s), now_s - asked_s, np.nan)

    def land(self, now_s: float) -> None:
        """Starts whose time has come serve from now on."""
        rows = np.flatnonzero(self._next_s <= now_s)
        if rows.size == 0:
            return
        lands_s = self._lands_s[rows, : self._n_used]
        has_landed = lands_s <= now_s
        self._ready[rows] += has_landed.sum(axis=1)
        self._keep(rows, ~has_landed & np.isfinite(lands_s))
        self._n_used = int((self._spec - self._ready).max())

    def scale(self, asked: IntArray, now_s: float) -> None:
        """Ask for (G, W) counts: new starts, or removals of what does not serve yet first."""
        wanted = np.array(asked, dtype=np.int64).ravel()
        change = wanted - self._spec
        starting = self._spec - self._ready
        cut = np.flatnonzero((change < 0) & (starting > 0))
        if cut.size:
            kept = np.maximum(starting[cut] + change[cut], 0)
            self._keep(cut, np.arange(self._n_used) < kept[:, None])
        np.minimum(self._ready, wanted, out=self._ready)
        self._spec = wanted
        rows = np.flatnonzero(change > 0)
        if rows.size:
            self._start(rows, change[rows], starting[rows], now_s)
        self._n_used = int((self._spec - self._ready).max())

    def _start(self, rows: IntArray, new: IntArray, before: IntArray, now_s: float) -> None:
        """Begin `new` starts in each row, behind the `before` that are on their way."""
        self._reserve(int((before + new).max()))
        first = np.cumsum(new) - new
        rank = np.arange(int(new.sum())) - np.repeat(first, new)
        row = np.repeat(rows, new)
        column = np.repeat(before, new) + rank
        ordinal = (self._n_created[row] + rank) % self._lead_s.shape[1]
        lands_s = now_s + self._lead_s[self._workload[row], ordinal]
        self._asked_s[row, column] = now_s
        self._lands_s[row, column] = lands_s
        soonest = np.minimum.reduceat(lands_s, first)
        self._next_s[rows] = np.minimum(self._next_s[rows], soonest)
        self._n_created[rows] += new

    def _reserve(self, size: int) -> None:
        """Room for so many starts on their way; doubled, so that it seldom has to grow."""
        had = self._lands_s.shape[1]
        if size <= had:
            return
        pad = np.full((self._spec.size, max(size, 2 * had) - had), np.inf)
        self._asked_s = np.concatenate([self._asked_s, pad], axis=1)
        self._lands_s = np.concatenate([self._lands_s, pad], axis=1)

    def _keep(self, rows: IntArray, is_kept: BoolArray) -> None:
        """Drop the other starts of these rows; what stays moves to the front in order."""
        used = slice(None, is_kept.shape[1])
        n_kept = is_kept.sum(axis=1)
        if not n_kept.any():
            self._asked_s[rows, used] = self._lands_s[rows, used] = self._next_s[rows] = np.inf
            return
        order = np.argsort(~is_kept, axis=1, kind="stable")
        is_beyond = np.arange(is_kept.shape[1]) >= n_kept[:, None]
        for array in (self._asked_s, self._lands_s):
            moved = array[rows[:, None], order]
            moved[is_beyond] = np.inf
            array[rows, used] = moved
        self._next_s[rows] = moved.min(axis=1)

    def landing_rows(self, end_s: float) -> IntArray:
        """(R,) rows, numbered `setting * W + workload`, in which a start lands before `end_s`."""
        return np.flatnonzero(self._next_s < end_s)

    def pieces(self, rows: IntArray, start_s: float, end_s: float) -> tuple[FloatArray, IntArray]:
        """Lengths of the pieces of a step in seconds, and the replicas ready in each; both (R, E).

        Args:
            rows: Which rows.
            start_s: Start of the step; `land` has been called for it.
            end_s: End of the step.
        """
        lands_s = self._lands_s[rows, : self._n_used]
        edges = np.empty((rows.size, self._n_used + 2))
        edges[:, 0], edges[:, -1] = start_s, end_s
        edges[:, 1:-1] = np.sort(np.minimum(lands_s, end_s), axis=1)
        return edges[:, 1:] - edges[:, :-1], self._ready[rows, None] + np.arange(self._n_used + 1)


@dataclass(frozen=True, slots=True, eq=False)
class GridAccount:
    """Account of one step; arrays (G, W).

    Attributes:
        violation_ratio: Share of the step out of SLA.
        unserved: Mean load beyond what is served within the SLO.
        ready_mean: Time-mean ready replicas.
    """

    violation_ratio: FloatArray
    unserved: FloatArray
    ready_mean: FloatArray


def account(
    replicas: GridReplicas, load: FloatArray, capacity: FloatArray, start_s: float, end_s: float
) -> GridAccount:
    """Account a step exactly.

    Args:
        replicas: After the step's counts were asked for.
        load: (W,) demand in the step, zero where unknown.
        capacity: (W,) true load of one replica.
        start_s: Start of the step.
        end_s: End of the step.
    """
    need = np.ceil(load / capacity * (1.0 - RELATIVE_SLACK))
    ready = replicas.ready.astype(float)
    violation = (need > ready).astype(float)
    unserved = np.maximum(load - ready * capacity, 0.0) * violation
    rows = replicas.landing_rows(end_s)
    if rows.size:
        width_s, serving = replicas.pieces(rows, start_s, end_s)
        share = width_s / (end_s - start_s)
        workload = rows % replicas.shape[1]
        is_out = need[workload, None] > serving
        short = np.maximum(load[workload, None] - serving * capacity[workload, None], 0.0)
        # Shares that add up to a whole may round to a little more.
        violation.reshape(-1)[rows] = np.minimum((share * is_out).sum(axis=1), 1.0)
        unserved.reshape(-1)[rows] = (share * short * is_out).sum(axis=1)
        ready.reshape(-1)[rows] = (share * serving).sum(axis=1)
    return GridAccount(violation, unserved, ready)


def mean_missed(
    replicas: GridReplicas,
    load: FloatArray,
    half: FloatArray,
    served: ServedTruth,
    start_s: float,
    end_s: float,
) -> FloatArray:
    """(G, W) mean share of a step's requests that miss, over its pieces.

    Args:
        replicas: After the step's counts were asked for.
        load: (W,) demand in the step, zero where unknown.
        half: (W,) load of a replica at which half of what can be cured is missed.
        served: How requests are served.
        start_s: Start of the step.
        end_s: End of the step.
    """
    workload = np.arange(replicas.shape[1])
    missed = served.mean(_per_replica(load, replicas.ready), half, workload)
    rows = replicas.landing_rows(end_s)
    if rows.size:
        width_s, serving = replicas.pieces(rows, start_s, end_s)
        of = (rows % replicas.shape[1])[:, None]
        piece = served.mean(_per_replica(load[of], serving), half[of], of)
        share = width_s / (end_s - start_s)
        missed.reshape(-1)[rows] = (share * piece).sum(axis=1)
    return missed


def _per_replica(load: FloatArray, ready: IntArray) -> FloatArray:
    """Load per ready replica: none of no load, endless where nothing is ready."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(load > 0, load / ready, 0.0)
