"""Runs G settings of a policy on W workloads at once, with random start-up times and enough GPUs.

Demand is constant within a step and all time integrals are exact. `replicas` holds the rules of
starting and stopping.

Shapes: G settings, W workloads, T steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from services.simulator.course import Course
from services.simulator.fleet.arrays import BoolArray, F32Array, FloatArray
from services.simulator.policies.grid import GridPolicy, GridView
from services.simulator.replicas import GridAccount, GridReplicas, account, mean_missed
from services.simulator.served import ServedTruth

PathsAt = Callable[[int], FloatArray | None]
"""Sample paths (W, S, H) for the decision at the start of a step; None: no forecast."""


@dataclass(frozen=True, slots=True, eq=False)
class GridRun:
    """Run of G settings; arrays (G, W, T), zero where the workload does not exist.

    Attributes:
        name: The policy.
        labels: G settings in words.
        asked: Replicas asked for.
        violation_ratio: Share of the step out of SLA in truth; zero where demand is unknown.
        unserved: Mean unserved load over the step, in units of demand.
        ready_mean: Time-mean ready replicas.
        believed_ratio: Share of the step out of SLA by the capacity that policies are told.
        measured_ratio: Share of the step out of SLA as the product measures it.
    """

    name: str
    labels: tuple[str, ...]
    asked: F32Array
    violation_ratio: F32Array
    unserved: F32Array
    ready_mean: F32Array
    believed_ratio: F32Array
    measured_ratio: F32Array


class _Step(NamedTuple):
    """Outcome of one step: in truth, and (G, W) shares out of SLA as believed and as measured.

    `missed` (G, W) is the share of the requests that missed; None where nobody is shown it.
    """

    true: GridAccount
    believed: FloatArray
    measured: FloatArray
    missed: FloatArray | None = None


class _GridRecorder:
    """Steps of a run, time first while it is written: a step is then one block of memory.

    What is believed needs memory of its own only where policies are told another capacity.
    """

    def __init__(self, course: Course, replicas: GridReplicas) -> None:
        self._course = course
        shape = (course.n_steps, *replicas.shape)
        n = 4 if course.is_truth_told() else 5
        self._arrays = [np.zeros(shape, dtype=np.float32) for _ in range(n)]

    def add(self, t: int, wanted: FloatArray, step: _Step) -> None:
        """Write step `t`; zero where a workload does not live."""
        true, live = step.true, self._course.is_live[:, t]
        outcome = (true.violation_ratio, true.unserved, true.ready_mean)
        for array, value in zip(self._arrays, (wanted, *outcome, step.believed), strict=False):
            np.multiply(value, live, out=array[t], casting="same_kind")

    def run(self, policy: GridPolicy[Any]) -> GridRun:
        """What was written, time last."""
        labels = tuple(policy.label(g) for g in range(policy.n_settings))
        asked, true, unserved, ready, *other = (np.moveaxis(a, 0, 2) for a in self._arrays)
        believed = other[0] if other else true
        measured = self._course.measured_violation(true, believed)
        return GridRun(policy.name, labels, asked, true, unserved, ready, believed, measured)


def simulate_grid(
    policy: GridPolicy[Any],
    course: Course,
    paths_at: PathsAt | None = None,
    *,
    n_future: int = 0,
    shows_missed: bool = False,
) -> GridRun:
    """Run a policy's whole grid over a course.

    Args:
        policy: G settings.
        course: What happens.
        paths_at: Forecasts, for policies that read them.
        n_future: Steps of the true future that the policy is shown: the oracle's only.
        shows_missed: The policy is shown which share of the requests missed their objective.
    """
    seen, n_before = course.measured(), course.history.shape[1]
    told_capacity, outcome_of = course.told_capacity(), _outcomes(course, shows_missed)
    replicas = GridReplicas(course, policy.n_settings)
    state, last = policy.initial_state(), _LastStep()
    record = _GridRecorder(course, replicas)
    for t in range(course.n_steps):
        now_s = course.start_s + t * course.step_s
        replicas.land(now_s)
        view = GridView(
            now_s,
            course.step_s,
            seen[:, : n_before + t],
            replicas.ready.astype(float),
            replicas.starting.astype(float),
            replicas.spec.astype(float),
            told_capacity[:, t],
            course.min_replicas,
            course.max_replicas,
            None if paths_at is None else paths_at(t),
            course.demand[:, t : t + n_future] if n_future else None,
            replicas.start_age_s(now_s),
            last.violation,
            last.missed,
            last.ready,
        )
        wanted, state = policy.decide(view, state)
        replicas.scale(wanted.astype(np.int64), now_s)
        step = outcome_of(replicas, t)
        last = _last_step(step, np.isfinite(seen[:, n_before + t]))
        record.add(t, wanted, step)
    return record.run(policy)


class _LastStep(NamedTuple):
    """What a policy is shown of the last step, (G, W) each; None: nothing."""

    violation: FloatArray | None = None
    missed: FloatArray | None = None
    ready: FloatArray | None = None


def _last_step(step: _Step, is_seen: BoolArray) -> _LastStep:
    """The last step, unknown where its demand was not observed."""
    missed = None if step.missed is None else np.where(is_seen, step.missed, np.nan)
    return _LastStep(np.where(is_seen, step.measured, np.nan), missed, step.true.ready_mean)


def _outcomes(course: Course, shows_missed: bool) -> Callable[[GridReplicas, int], _Step]:
    """What becomes of step `t` with its replicas, by the true capacity and by the one told."""
    load = np.nan_to_num(course.demand)
    true_capacity, told_capacity = course.true_capacity(), course.told_capacity()
    is_truth_told = course.is_truth_told()
    served_of = None if course.served is None else _served(course, course.served)

    def outcome(replicas: GridReplicas, t: int) -> _Step:
        start_s = course.start_s + t * course.step_s
        end_s = start_s + course.step_s
        true = account(replicas, load[:, t], true_capacity[:, t], start_s, end_s)
        missed = true.violation_ratio if shows_missed else None
        if served_of is not None:
            true, missed = served_of(replicas, t, true, shows_missed)
        believed = true.violation_ratio
        if not is_truth_told:
            told = account(replicas, load[:, t], told_capacity[:, t], start_s, end_s)
            believed = told.violation_ratio
        measured = course.measured_violation(true.violation_ratio, believed)
        return _Step(true, believed, measured, missed)

    return outcome


_ServedOf = Callable[[GridReplicas, int, GridAccount, bool], tuple[GridAccount, FloatArray | None]]


def _served(course: Course, served: ServedTruth) -> _ServedOf:
    """A step's account by what its requests felt: it is out of SLA, or it is not."""
    load = np.nan_to_num(course.demand)
    half, limit = served.half(course.true_capacity()), served.largest_good_mean()

    def felt(
        replicas: GridReplicas, t: int, account: GridAccount, shows_missed: bool
    ) -> tuple[GridAccount, FloatArray | None]:
        start_s = course.start_s + t * course.step_s
        times = (start_s, start_s + course.step_s)
        mean = mean_missed(replicas, load[:, t], half[:, t], served, *times)
        out = (mean > limit[:, t]).astype(float)
        missed = served.share(mean, t) if shows_missed else None
        return replace(account, violation_ratio=out), missed

    return felt
