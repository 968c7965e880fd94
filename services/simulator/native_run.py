"""Runs G settings of a policy at its own cadence, on demand that is constant within sub-steps.

`simulate_grid` lets every policy decide once per step. Here a policy decides as often as it does in
life, and what comes of it is added up over sub-steps, however often it decides. A policy sees its
demand in columns of its own cadence: means of complete sub-steps where it is slower than they are,
and the newest complete sub-step where it is faster. Nothing is shown before it is complete.

Work is done where something happens: between two events of a sub-step nothing is accounted.

Shapes: G settings, W workloads, T sub-steps, B blocks of sub-steps, K decisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.simulator.course import Course
from services.simulator.fleet.arrays import FloatArray, IntArray
from services.simulator.policies.grid import GridPolicy, GridView
from services.simulator.replicas import GridReplicas, account

ROUNDING = 1e-6
"""Times that differ by less, in seconds or steps, are the same."""

PathsOf = Callable[[int], FloatArray | None]
"""Sample paths (W, S, H) for a decision, by its number; None: no forecast."""


@dataclass(frozen=True, slots=True, eq=False)
class NativeRun:
    """What came of G settings; arrays (G, W, B), nothing where a workload does not exist.

    Attributes:
        name: The policy.
        labels: G settings in words.
        out_s: Seconds out of SLA, of time whose demand is known.
        shortage: Demand beyond capacity, in demand x seconds.
        held_s: Replicas asked for, in replica-seconds.
    """

    name: str
    labels: tuple[str, ...]
    out_s: FloatArray
    shortage: FloatArray
    held_s: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class NativePace:
    """How often a policy decides, and how its outcomes are added up.

    Attributes:
        cadence_s: Seconds from one decision to the next.
        block: (T,) block of each sub-step of the course.
    """

    cadence_s: float
    block: IntArray


@dataclass(frozen=True, slots=True, eq=False)
class CadenceColumns:
    """Demand as a policy of some cadence sees it.

    Attributes:
        values: (W, C + K) a column per cadence; at decision k the first `n_before + k` are over.
        n_before: C, columns before the first decision.
    """

    values: FloatArray
    n_before: int

    def until(self, decision: int) -> FloatArray:
        """(W, C + decision) what is complete at a decision."""
        return self.values[:, : self.n_before + decision]


def whole_cadence(cadence_s: float, sub_s: float) -> float:
    """The cadence, or where it is longer than a sub-step, the nearest multiple of one."""
    return cadence_s if cadence_s <= sub_s else sub_s * max(1, round(cadence_s / sub_s))


def cadence_columns(course: Course, cadence_s: float) -> CadenceColumns:
    """Demand in columns of a cadence, none of which shows a sub-step before it is complete.

    Args:
        course: A step of it is a sub-step.
        cadence_s: At most a sub-step, or a multiple of it.

    Raises:
        ValueError: If the cadence is longer than a sub-step and no multiple of it.
    """
    seen, n_seen = course.measured(), course.history.shape[1]
    ratio = cadence_s / course.step_s
    if ratio < 1.0 - ROUNDING:
        first = min(1, math.ceil((1 - n_seen) / ratio - ROUNDING))
        ends = np.arange(first, math.ceil(course.n_steps / ratio - ROUNDING) + 1)
        newest = np.floor(ends * ratio + ROUNDING).astype(np.int64) - 1 + n_seen
        values = np.where(newest >= 0, seen[:, np.maximum(newest, 0)], np.nan)
        return CadenceColumns(values, 1 - first)
    per_column = round(ratio)
    if abs(ratio - per_column) > ROUNDING:
        raise ValueError(f"cadence_s={cadence_s} must be a multiple of step_s={course.step_s}")
    if per_column == 1:
        return CadenceColumns(seen, n_seen)
    n_before = n_seen // per_column
    n = n_before + course.n_steps // per_column
    first = n_seen - n_before * per_column
    parts = seen[:, first : first + n * per_column].reshape(seen.shape[0], n, per_column)
    return CadenceColumns(mean_known_part(parts), n_before)


def mean_known_part(parts: FloatArray) -> FloatArray:
    """Means over the last axis of what is known; NaN where nothing is."""
    is_known = np.isfinite(parts)
    n = is_known.sum(axis=-1)
    total = np.where(is_known, parts, 0.0).sum(axis=-1)
    return np.asarray(np.where(n > 0, total / np.maximum(n, 1), np.nan))


def simulate_native(
    policy: GridPolicy[Any],
    course: Course,
    pace: NativePace,
    paths_of: PathsOf | None = None,
    *,
    n_future: int = 0,
) -> NativeRun:
    """Run a policy's whole grid over a course at its own cadence.

    Args:
        policy: G settings.
        course: What happens; its steps are the sub-steps.
        pace: When the policy decides.
        paths_of: Forecasts, for policies that read them.
        n_future: Columns of the true future that the policy is shown: the oracle's only.

    Raises:
        ValueError: If the course is served by requests, which have no account within a step.
    """
    if course.served is not None:
        raise ValueError("course.served must be None: requests are counted by whole steps")
    columns = cadence_columns(course, pace.cadence_s)
    future = _future(course, pace.cadence_s, n_future)
    replicas, books = GridReplicas(course, policy.n_settings), _Books(course, policy, pace)
    told, state = course.told_capacity(), policy.initial_state()
    firsts = decision_numbers(course, pace.cadence_s)
    for t in range(course.n_steps):
        start_s = course.start_s + t * course.step_s
        replicas.land(start_s)
        mark_s = start_s
        for k in range(firsts[t], firsts[t + 1]):
            now_s = course.start_s + k * pace.cadence_s
            if now_s > mark_s + ROUNDING and replicas.landing_rows(now_s + ROUNDING).size:
                mark_s = books.add(replicas, t, mark_s, now_s)
            replicas.land(now_s)
            view = GridView(
                now_s,
                pace.cadence_s,
                columns.until(k),
                replicas.ready.astype(float),
                replicas.starting.astype(float),
                replicas.spec.astype(float),
                told[:, t],
                course.min_replicas,
                course.max_replicas,
                None if paths_of is None else paths_of(k),
                future[:, k : k + n_future] if n_future else None,
                replicas.start_age_s(now_s),
                books.since_last(k),
            )
            wanted, state = policy.decide(view, state)
            asked = wanted.astype(np.int64)
            if not np.array_equal(asked, replicas.spec):
                if now_s > mark_s + ROUNDING:
                    mark_s = books.add(replicas, t, mark_s, now_s)
                replicas.scale(asked, now_s)
        books.add(replicas, t, mark_s, start_s + course.step_s)
    return books.run()


def decision_numbers(course: Course, cadence_s: float) -> list[int]:
    """(T + 1,) number of the first decision at or after the start of each sub-step."""
    starts = np.arange(course.n_steps + 1) * course.step_s / cadence_s
    return [int(k) for k in np.ceil(starts - ROUNDING)]


def _future(course: Course, cadence_s: float, n_future: int) -> FloatArray:
    """(W, K) true demand from each decision to the next; read by the oracle only."""
    if not n_future:
        return course.demand[:, :0]
    n = math.ceil(course.n_steps * course.step_s / cadence_s - ROUNDING)
    at = np.floor(np.arange(n) * cadence_s / course.step_s + ROUNDING).astype(np.int64)
    return course.demand[:, at]


class _Books:
    """Accounts of pieces of sub-steps, added up over blocks and since the last decision."""

    def __init__(self, course: Course, policy: GridPolicy[Any], pace: NativePace) -> None:
        self._course, self._policy, self._pace = course, policy, pace
        shape = (int(pace.block.max(initial=0)) + 1, policy.n_settings, course.n_workloads)
        self._out_s, self._shortage, self._held_s = (np.zeros(shape) for _ in range(3))
        self._load, self._capacity = np.nan_to_num(course.demand), course.true_capacity()
        self._is_known = np.asarray(course.is_live & np.isfinite(course.demand))
        self._since = (np.zeros(shape[1:]), np.zeros(shape[2]))

    def add(self, replicas: GridReplicas, t: int, from_s: float, to_s: float) -> float:
        """Account a piece of sub-step `t` in which nobody decides; returns its end."""
        found = account(replicas, self._load[:, t], self._capacity[:, t], from_s, to_s)
        length_s, block = to_s - from_s, self._pace.block[t]
        known_s = self._is_known[:, t] * length_s
        out_s = found.violation_ratio * known_s
        self._out_s[block] += out_s
        self._shortage[block] += found.unserved * known_s
        self._held_s[block] += replicas.spec * (self._course.is_live[:, t] * length_s)
        total_s, all_known_s = self._since
        self._since = total_s + out_s, all_known_s + known_s
        return to_s

    def since_last(self, decision: int) -> FloatArray | None:
        """(G, W) share of the time since the last decision that was out of SLA; NaN unknown.

        What of the present sub-step is not accounted yet is not complete, and belongs to the next.
        """
        out_s, known_s = self._since
        self._since = np.zeros_like(out_s), np.zeros_like(known_s)
        if decision == 0:
            return None
        safe_s = np.where(known_s > 0, known_s, np.nan)
        return np.asarray(out_s / safe_s)

    def run(self) -> NativeRun:
        """What was added up, blocks last."""
        labels = tuple(self._policy.label(g) for g in range(self._policy.n_settings))
        sums = (np.moveaxis(a, 0, 2) for a in (self._out_s, self._shortage, self._held_s))
        return NativeRun(self._policy.name, labels, *sums)
