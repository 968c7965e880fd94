"""Runs Harmony under several loads, step by step, at G promises at once.

The rules of starting and stopping are `services.simulator.replicas`; a step is out of SLA when more
of its requests miss than the objective tolerates.

Shapes: G settings, W workloads, L loads, C context steps, T steps, S paths, H steps ahead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from services.lab.bench.loads.forecasts import LoadForecasts
from services.lab.bench.loads.task import LoadTask
from services.simulator.fleet.arrays import F32Array, FloatArray
from services.simulator.grid_run import GridRun
from services.simulator.policies.grid import GridView
from services.simulator.replicas import GridReplicas, account


@dataclass(frozen=True, slots=True, eq=False)
class LoadView:
    """What a policy sees at a step boundary.

    Attributes:
        grid: The first load alone, with the paths of it.
        loads: (W, L, C) loads of completed steps, oldest first; NaN where unknown.
        paths: (W, L, S, H) joint paths of all loads; None: there is no forecast.
        last_requests: (W,) requests of the last step.
        usual_requests: (W,) requests of a usual step.
    """

    grid: GridView
    loads: FloatArray
    paths: FloatArray | None
    last_requests: FloatArray
    usual_requests: FloatArray


class LoadPolicy(Protocol):
    """A policy at G settings that sees all loads."""

    @property
    def name(self) -> str:
        """Name in tables."""
        ...

    @property
    def n_settings(self) -> int:
        """G."""
        ...

    def label(self, setting: int) -> str:
        """One setting in words."""
        ...

    def initial_state(self) -> Any:
        """Memory before the first decision."""
        ...

    def decide(self, view: LoadView, state: Any) -> tuple[FloatArray, Any]:
        """(G, W) replicas wanted, and the memory for the next step."""
        ...

    def believed_need(self, loads: FloatArray) -> FloatArray:
        """(W,) replicas for loads (W, L), by the capacities that it was told."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Last:
    """The last step, (G, W) each, NaN where unknown; None before the first."""

    out: FloatArray | None = None
    missed: FloatArray | None = None
    ready: FloatArray | None = None


def simulate_loads(
    policy: LoadPolicy, task: LoadTask, forecasts: LoadForecasts, first_step: int = 0
) -> GridRun:
    """Run a policy over the course; what is measured is what requests felt.

    Args:
        policy: G promises.
        task: What happens.
        forecasts: Paths of every decision.
        first_step: Where to begin; before it the first replicas stand.
    """
    course, luck = task.decide.course, task.truth.luck
    replicas, limit = GridReplicas(course, policy.n_settings), luck.largest_good_mean()
    state, last = policy.initial_state(), _Last()
    shape = (course.n_steps, policy.n_settings, course.n_workloads)
    asked, out, ready, believed = (np.zeros(shape, dtype=np.float32) for _ in range(4))
    asked[:first_step] = replicas.spec
    for t in range(first_step, course.n_steps):
        now_s = course.start_s + t * course.step_s
        times = (now_s, now_s + course.step_s)
        replicas.land(now_s)
        view = _view(task, forecasts, replicas, t, last)
        wanted, state = policy.decide(view, state)
        replicas.scale(wanted.astype(np.int64), now_s)
        need = policy.believed_need(task.truth.loads[:, :, t])
        told = account(replicas, need, np.ones(course.n_workloads), *times)
        mean = task.truth.mean_missed(replicas, t, *times)
        is_out = (mean > limit[:, t]).astype(float)
        is_seen = np.isfinite(task.loads[:, 0, task.n_before + t])
        last = _Last(
            np.where(is_seen, is_out, np.nan),
            np.where(is_seen, luck.share(mean, t), np.nan),
            told.ready_mean,
        )
        live = course.is_live[:, t]
        rows = (wanted, is_out, told.ready_mean, told.violation_ratio)
        for array, value in zip((asked, out, ready, believed), rows, strict=True):
            array[t] = value * live
    return _run(policy, asked, out, ready, believed)


def _run(
    policy: LoadPolicy, asked: F32Array, out: F32Array, ready: F32Array, believed: F32Array
) -> GridRun:
    labels = tuple(policy.label(g) for g in range(policy.n_settings))
    last = [np.moveaxis(array, 0, 2) for array in (asked, out, ready, believed)]
    unserved = np.zeros_like(last[0])  # nobody is left unserved: requests miss
    return GridRun(policy.name, labels, last[0], last[1], unserved, last[2], last[3], last[1])


def _view(
    task: LoadTask, forecasts: LoadForecasts, replicas: GridReplicas, t: int, last: _Last
) -> LoadView:
    """What is known at the start of step `t`."""
    course, requests = task.decide.course, task.truth.luck.requests
    now_s = course.start_s + t * course.step_s
    seen, paths = task.loads[:, :, : task.n_before + t], forecasts.at(t)
    grid = GridView(
        now_s,
        course.step_s,
        seen[:, 0],
        replicas.ready.astype(float),
        replicas.starting.astype(float),
        replicas.spec.astype(float),
        task.stated[:, 0],
        course.min_replicas,
        course.max_replicas,
        None if paths is None else paths[:, 0],
        start_age_s=replicas.start_age_s(now_s),
        last_violation=last.out,
        last_missed=last.missed,
        last_ready=last.ready,
    )
    return LoadView(grid, seen, paths, requests[:, max(t - 1, 0)], requests.mean(axis=1))
