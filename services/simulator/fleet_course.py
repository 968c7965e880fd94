"""Courses of a fleet: what was measured, and its history with every start at its median time."""

from __future__ import annotations

import numpy as np

from services.simulator.course import Course
from services.simulator.fleet import Fleet
from services.simulator.fleet.arrays import FloatArray
from services.simulator.served_fleet import ServedFleet

INITIAL_UTILISATION = 0.6
"""Utilisation at which the history begins."""


def measured_demand(fleet: Fleet) -> FloatArray:
    """(W, T) demand as policies see it: NaN where the indicator was not observed."""
    seen = np.empty(fleet.demand.shape)
    for i, workload in enumerate(fleet.workloads):
        j = [spec.name for spec in workload.indicators].index(workload.demand)
        seen[i] = np.where(fleet.observed[i, :, j], fleet.values[i, :, j], np.nan)
    return seen


def history_course(fleet: Fleet, first: int = 0, served: ServedFleet | None = None) -> Course:
    """The history of `fleet` from step `first` on; what is before is context.

    Args:
        fleet: The fleet.
        first: The first step.
        served: How the requests of the whole history were served; None: by the stated capacity.
    """
    factor, truth = np.ones((fleet.n_workloads, fleet.n_history - first)), None
    if served is not None:
        truth = served.truth.part(slice(first, None))
        factor = served.true_factor(fleet.capacity)[:, first:]
    part = slice(first, fleet.n_history)
    seen, demand = measured_demand(fleet), fleet.demand[:, part]
    low = np.array([float(w.min_replicas) for w in fleet.workloads])
    high = np.array([float(w.max_replicas) for w in fleet.workloads])
    wanted = np.ceil(_first_known(seen[:, part]) / (INITIAL_UTILISATION * fleet.capacity))
    return Course(
        history=seen[:, :first],
        demand=demand,
        is_live=np.ones(demand.shape, dtype=bool),
        capacity=fleet.capacity,
        capacity_factor=factor,
        min_replicas=low,
        max_replicas=high,
        initial=np.clip(wanted, low, high),
        lead_s=np.array([[w.startup.median_s] for w in fleet.workloads]),
        start_s=float(fleet.start_s + first * fleet.step_s),
        step_s=float(fleet.step_s),
        seen=seen[:, part],
        served=truth,
    )


def _first_known(seen: FloatArray) -> FloatArray:
    """(W,) first observed demand of each workload, 0 if there is none."""
    at = np.argmax(np.isfinite(seen), axis=1)
    first: FloatArray = np.nan_to_num(seen[np.arange(len(seen)), at])
    return first
