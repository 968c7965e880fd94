"""Runs G settings of a policy on W workloads at once, with random start-up times and enough GPUs.

Demand is constant within a step and all time integrals are exact. `replicas` holds the rules of
starting and stopping.

Shapes: G settings, W workloads, T steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.simulator.course import Course
from services.simulator.fleet.arrays import BoolArray, F32Array, FloatArray
from services.simulator.policies.grid import GridPolicy, GridView
from services.simulator.replicas import GridAccount, GridReplicas, account

PathsAt = Callable[[int], FloatArray | None]
"""Sample paths (W, S, H) for the decision at the start of a step; None: no forecast."""


@dataclass(frozen=True, slots=True, eq=False)
class GridRun:
    """Run of G settings; arrays (G, W, T), zero where the workload does not exist.

    Attributes:
        name: The policy.
        labels: G settings in words.
        asked: Replicas asked for.
        violation_ratio: Share of the step out of SLA; zero where demand is unknown.
        unserved: Mean unserved load over the step, in units of demand.
        ready_mean: Time-mean ready replicas.
    """

    name: str
    labels: tuple[str, ...]
    asked: F32Array
    violation_ratio: F32Array
    unserved: F32Array
    ready_mean: F32Array


class _GridRecorder:
    """Steps of a run, time first while it is written: a step is then one block of memory."""

    def __init__(self, n_steps: int, replicas: GridReplicas) -> None:
        self._arrays = [np.zeros((n_steps, *replicas.shape), dtype=np.float32) for _ in range(4)]

    def add(self, t: int, wanted: FloatArray, step: GridAccount, live: BoolArray) -> None:
        """Write step `t`; zero where a workload does not live."""
        values = (wanted, step.violation_ratio, step.unserved, step.ready_mean)
        for array, value in zip(self._arrays, values, strict=True):
            np.multiply(value, live, out=array[t], casting="same_kind")

    def run(self, policy: GridPolicy[Any]) -> GridRun:
        """What was written, time last."""
        labels = tuple(policy.label(g) for g in range(policy.n_settings))
        return GridRun(policy.name, labels, *(np.moveaxis(a, 0, 2) for a in self._arrays))


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
    seen, n_before = course.measured(), course.history.shape[1]
    load, true_capacity = np.nan_to_num(course.demand), course.true_capacity()
    replicas = GridReplicas(course, policy.n_settings)
    state, last = policy.initial_state(), None
    record = _GridRecorder(course.n_steps, replicas)
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
        step = account(replicas, load[:, t], true_capacity[:, t], now_s, now_s + course.step_s)
        last = np.where(np.isfinite(seen[:, n_before + t]), step.violation_ratio, np.nan)
        record.add(t, wanted, step, course.is_live[:, t])
    return record.run(policy)
