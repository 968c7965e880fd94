"""Exact accounting of a finished step.

A moment is out of SLA when demand exceeds the capacity that is ready. Demand is constant within a
step, replicas are piecewise constant, so the time integrals are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decider.belief.capacity import needed


@dataclass(frozen=True, slots=True)
class ReplicaInterval:
    """Replicas over [start_s, end_s): `ready` serve, `bound` occupy GPUs."""

    start_s: float
    end_s: float
    ready: int
    bound: int


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """One step as it was.

    Attributes:
        demand: Measured demand; None if it was not observed.
        ready_mean: Time mean of the ready replicas.
        needed_replicas: Replicas that would have held the demand; None without demand.
        violation_ratio: Share of the step out of SLA; None without demand.
        shortage: Time mean of the unserved load; None without demand.
        gpu_hours: GPU-hours of the bound replicas.
        cost_usd: Their cost.
    """

    demand: float | None
    ready_mean: float
    needed_replicas: int | None
    violation_ratio: float | None
    shortage: float | None
    gpu_hours: float
    cost_usd: float


@dataclass(frozen=True, slots=True)
class StepPrice:
    """Load, GPUs and dollars of a replica."""

    capacity_per_replica: float
    gpus_per_replica: float
    usd_per_gpu_hour: float


def score_step(
    demand: float | None, intervals: Sequence[ReplicaInterval], price: StepPrice
) -> StepOutcome | None:
    """Account one step.

    Args:
        demand: Demand of the step, None if unobserved (an unknown is never a zero).
        intervals: Replicas over the step; parts not covered count for nothing.
        price: Capacity, GPUs and price.

    Returns:
        The outcome; None when no part of the step is covered.
    """
    covered_s = sum(i.end_s - i.start_s for i in intervals)
    if covered_s <= 0:
        return None
    ready_s = sum((i.end_s - i.start_s) * i.ready for i in intervals)
    bound_s = sum((i.end_s - i.start_s) * i.bound for i in intervals)
    gpu_hours = bound_s * price.gpus_per_replica / 3600.0
    cost = gpu_hours * price.usd_per_gpu_hour
    if demand is None or not np.isfinite(demand):
        return StepOutcome(None, ready_s / covered_s, None, None, None, gpu_hours, cost)
    need = needed(demand, price.capacity_per_replica)
    short_s, out_s = 0.0, 0.0
    for i in intervals:
        span = i.end_s - i.start_s
        if need > i.ready:
            out_s += span
            short_s += span * max(0.0, demand - i.ready * price.capacity_per_replica)
    return StepOutcome(
        float(demand),
        ready_s / covered_s,
        need,
        out_s / covered_s,
        short_s / covered_s,
        gpu_hours,
        cost,
    )
