"""Runs G settings of a policy on W workloads at once, with random start-up times and enough GPUs.

The same rules as the engine's (a test holds them equal): a start's clock runs once and never
restarts; scaling down takes what does not serve yet first, the youngest first; the start-up time of
the n-th start of a workload depends on the workload and n only, so that every policy meets the same
luck. Demand is constant within a step and all time integrals are exact.

Shapes: G settings, W workloads, T steps, C context steps, A starts on their way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from decider.policies.grid import GridPolicy, GridView
from decider.policies.view import RELATIVE_SLACK

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
PathsAt = Callable[[int], FloatArray | None]
"""Sample paths (W, S, H) for the decision at the start of a step; None: no forecast."""


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What happens to W workloads, whoever decides.

    Attributes:
        history: (W, C) demand before the first step; NaN where unobserved.
        demand: (W, T) demand; NaN where unknown.
        is_live: (W, T) whether the workload exists in the step; others cost and count nothing.
        capacity: (W,) load of one replica that policies are told.
        capacity_factor: (W, T) true capacity over the one told; all ones: policies know it.
        min_replicas: (W,) lower bounds.
        max_replicas: (W,) upper bounds.
        initial: (W,) replicas before the first step, all ready.
        lead_s: (W, N) lead time of the n-th start, n modulo N.
        start_s: Epoch seconds of the first step.
        step_s: Step length in seconds.
    """

    history: FloatArray
    demand: FloatArray
    is_live: BoolArray
    capacity: FloatArray
    capacity_factor: FloatArray
    min_replicas: FloatArray
    max_replicas: FloatArray
    initial: FloatArray
    lead_s: FloatArray
    start_s: float
    step_s: float

    @property
    def n_workloads(self) -> int:
        """W."""
        return int(self.demand.shape[0])

    @property
    def n_steps(self) -> int:
        """T."""
        return int(self.demand.shape[1])

    def need(self) -> FloatArray:
        """(W, T) replicas that hold the demand; zero where it is unknown."""
        per_replica = self.capacity[:, None] * self.capacity_factor
        load = np.nan_to_num(self.demand) / per_replica
        needed: FloatArray = np.ceil(load * (1.0 - RELATIVE_SLACK))
        return needed


@dataclass(frozen=True, slots=True, eq=False)
class GridRun:
    """What G settings did; arrays (G, W, T), zero where the workload does not exist.

    Attributes:
        name: The policy.
        labels: G settings in words.
        asked: Replicas asked for.
        violation_ratio: Share of the step out of SLA; zero where demand is unknown.
        unserved: Mean unserved load over the step, in units of demand.
    """

    name: str
    labels: tuple[str, ...]
    asked: npt.NDArray[np.float32]
    violation_ratio: npt.NDArray[np.float32]
    unserved: npt.NDArray[np.float32]


class Replicas:
    """Replicas of G settings of W workloads, advanced step by step.

    Args:
        course: Where lead times come from.
        n_settings: G.

    Attributes:
        spec: (G, W) replicas asked for.
        ready: (G, W) replicas that serve.
        asked_s: (G, W, A) when each start on its way was asked for, oldest first; infinite: none.
        lands_s: (G, W, A) when it will serve.
    """

    def __init__(self, course: Course, n_settings: int) -> None:
        shape = (n_settings, course.n_workloads)
        self._lead_s = course.lead_s
        self.spec = np.broadcast_to(course.initial, shape).astype(np.int64)
        self.ready = self.spec.copy()
        self.asked_s = np.full((*shape, 0), np.inf)
        self.lands_s = np.full((*shape, 0), np.inf)
        self._n_created = self.spec.copy()

    def land(self, now_s: float) -> None:
        """Starts whose time has come serve from now on."""
        if self.lands_s.shape[2] == 0:
            return
        has_landed = self.lands_s <= now_s
        self.ready += has_landed.sum(axis=2)
        self._keep(~has_landed)

    def scale(self, asked: IntArray, now_s: float) -> None:
        """Ask for counts: new starts, or removals of what does not serve yet first."""
        change = asked - self.spec
        starting = self.spec - self.ready
        kept = np.minimum(starting, np.maximum(starting + change, 0))
        if self.lands_s.shape[2]:
            self._keep(np.arange(self.lands_s.shape[2]) < kept[:, :, None])
        self.ready = np.minimum(self.ready, asked)
        self.spec = asked
        new = np.maximum(change, 0)
        if new.any():
            self._start(new, kept, now_s)

    def _start(self, new: IntArray, before: IntArray, now_s: float) -> None:
        size = int((before + new).max())
        if size > self.lands_s.shape[2]:
            pad = np.full((*self.spec.shape, size - self.lands_s.shape[2]), np.inf)
            self.asked_s = np.concatenate([self.asked_s, pad], axis=2)
            self.lands_s = np.concatenate([self.lands_s, pad], axis=2)
        rank = np.arange(self.lands_s.shape[2]) - before[:, :, None]
        is_new = (rank >= 0) & (rank < new[:, :, None])
        g, w, a = np.nonzero(is_new)
        ordinal = (self._n_created[g, w] + rank[g, w, a]) % self._lead_s.shape[1]
        self.asked_s[g, w, a] = now_s
        self.lands_s[g, w, a] = now_s + self._lead_s[w, ordinal]
        self._n_created += new

    def _keep(self, is_kept: BoolArray) -> None:
        """Drop the other starts; what stays moves to the front in order."""
        is_kept = is_kept & np.isfinite(self.lands_s)
        size = int(is_kept.sum(axis=2).max(initial=0))
        order = np.argsort(~is_kept, axis=2, kind="stable")[:, :, :size]
        still = np.take_along_axis(is_kept, order, axis=2)
        for name in ("asked_s", "lands_s"):
            moved = np.take_along_axis(getattr(self, name), order, axis=2)
            setattr(self, name, np.where(still, moved, np.inf))

    def start_age_s(self, now_s: float) -> FloatArray:
        """(G, W, A) ages of the starts on their way; NaN beyond the last."""
        return np.where(np.isfinite(self.asked_s), now_s - self.asked_s, np.nan)


def account(
    replicas: Replicas, load: FloatArray, capacity: FloatArray, span: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """Share of a step out of SLA, and its mean unserved load, both (G, W).

    Args:
        replicas: After the step's counts were asked for.
        load: (W,) demand in the step, zero where unknown.
        capacity: (W,) true load of one replica.
        span: Start and end of the step, seconds.
    """
    start_s, end_s = span
    need = np.ceil(load / capacity * (1.0 - RELATIVE_SLACK))
    is_inside = replicas.lands_s < end_s
    if not is_inside.any():
        is_out = need > replicas.ready
        short = np.maximum(load - replicas.ready * capacity, 0.0) * is_out
        return is_out.astype(float), np.asarray(short)
    edges = np.sort(np.where(is_inside, replicas.lands_s, end_s), axis=2)
    first = np.full((*edges.shape[:2], 1), start_s)
    edges = np.concatenate([first, edges], axis=2)
    width = np.diff(edges, axis=2, append=end_s)
    serving = replicas.ready[:, :, None] + np.arange(edges.shape[2])
    is_out = need[:, None] > serving
    short = np.maximum(load[:, None] - serving * capacity[:, None], 0.0) * is_out
    step_s = end_s - start_s
    return (width * is_out).sum(axis=2) / step_s, (width * short).sum(axis=2) / step_s


def simulate_grid(
    policy: GridPolicy[Any],
    course: Course,
    paths_at: PathsAt | None = None,
    *,
    n_future: int = 0,
) -> GridRun:
    """Run a policy's whole grid over a course.

    Args:
        policy: G settings.
        course: What happens.
        paths_at: Forecasts, for policies that read them.
        n_future: Steps of the true future that the policy is shown: the oracle's only.
    """
    G, W, T = policy.n_settings, course.n_workloads, course.n_steps
    seen = np.concatenate([course.history, np.where(course.is_live, course.demand, np.nan)], axis=1)
    n_before = course.history.shape[1]
    true_capacity = course.capacity[:, None] * course.capacity_factor
    replicas = Replicas(course, G)
    state, last = policy.initial_state(), None
    asked = np.zeros((G, W, T), dtype=np.float32)
    violation, unserved = np.zeros_like(asked), np.zeros_like(asked)
    for t in range(T):
        now_s = course.start_s + t * course.step_s
        replicas.land(now_s)
        view = GridView(
            now_s,
            course.step_s,
            seen[:, : n_before + t],
            replicas.ready.astype(float),
            (replicas.spec - replicas.ready).astype(float),
            replicas.spec.astype(float),
            course.capacity,
            course.min_replicas,
            course.max_replicas,
            None if paths_at is None else paths_at(t),
            course.demand[:, t : t + n_future] if n_future else None,
            replicas.start_age_s(now_s),
            last,
        )
        wanted, state = policy.decide(view, state)
        replicas.scale(wanted.astype(np.int64), now_s)
        load = np.nan_to_num(course.demand[:, t])
        out, short = account(replicas, load, true_capacity[:, t], (now_s, now_s + course.step_s))
        live = course.is_live[:, t]
        last = np.where(live & np.isfinite(course.demand[:, t]), out, np.nan)
        asked[:, :, t] = wanted * live
        violation[:, :, t], unserved[:, :, t] = out * live, short * live
    labels = tuple(policy.label(g) for g in range(G))
    return GridRun(policy.name, labels, asked, violation, unserved)
