"""Exact accounting of one step: time out of SLA, shortage, GPU time.

One set of rules for every run that the engine drives, in process or over HTTP; the grid simulator
is held equal to it.
Demand is constant within a step, replicas are piecewise constant, so all integrals are exact sums.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.simulator.engine.specs import Interval
from services.simulator.fleet.arrays import FloatArray
from services.simulator.policies.view import RELATIVE_SLACK


@dataclass(frozen=True, slots=True)
class StepAccount:
    """Account of one workload in one step.

    Attributes:
        duration_s: Time covered by the intervals.
        known_s: Time in which the demand is known; all of it or nothing.
        violation_s: Time with more demand than the ready replicas serve within the SLO.
        shortage: Integral of the demand that was not served within the SLO, load x seconds.
        gpu_s: GPU-seconds held by starting and ready replicas.
        busy_gpu_s: GPU-seconds of ready capacity that demand used.
        ready_mean: Time-mean ready replicas.
    """

    duration_s: float
    known_s: float
    violation_s: float
    shortage: float
    gpu_s: float
    busy_gpu_s: float
    ready_mean: float


def sla_limit(ready: FloatArray | float, capacity: FloatArray | float) -> FloatArray | float:
    """Largest demand that `ready` replicas serve within the SLO: more is out of SLA.

    A relative slack absorbs rounding, so that exactly enough is enough. Unknown demand (NaN)
    compares as not out of SLA, and must be left out of the denominator too.
    """
    return capacity * ready * (1.0 + RELATIVE_SLACK)


def account_step(
    intervals: Iterable[Interval],
    demand: float,
    capacity_per_replica: float,
    gpus_per_replica: int,
) -> StepAccount:
    """Account the intervals of one step.

    Args:
        intervals: Contiguous pieces of the step.
        demand: Demand of the step, NaN if unknown.
        capacity_per_replica: Load that one ready replica serves within the SLO.
        gpus_per_replica: GPUs of one replica.

    Raises:
        ValueError: If the intervals are empty or not in order.
    """
    is_known = math.isfinite(demand)
    load = demand if is_known else 0.0
    duration_s = violation_s = shortage = served = ready_s = bound_s = 0.0
    end_s: float | None = None
    for piece in intervals:
        length_s = piece.end_s - piece.start_s
        if length_s < 0 or (end_s is not None and abs(piece.start_s - end_s) > 1e-6):
            raise ValueError(f"intervals must be contiguous and in order, got {piece} at {end_s}")
        end_s = piece.end_s
        duration_s += length_s
        ready_s += piece.ready * length_s
        bound_s += piece.bound * length_s
        served += min(load, capacity_per_replica * piece.ready) * length_s
        if load > sla_limit(piece.ready, capacity_per_replica):
            violation_s += length_s
            shortage += (load - capacity_per_replica * piece.ready) * length_s
    if end_s is None:
        raise ValueError("intervals must cover the step, got none")
    safe_s = duration_s if duration_s > 0 else 1.0
    return StepAccount(
        duration_s=duration_s,
        known_s=duration_s if is_known else 0.0,
        violation_s=violation_s,
        shortage=shortage,
        gpu_s=bound_s * gpus_per_replica,
        busy_gpu_s=served / capacity_per_replica * gpus_per_replica,
        ready_mean=ready_s / safe_s,
    )


def mean_ready(intervals: Sequence[Interval]) -> float:
    """Time-mean of the ready replicas over contiguous intervals; 0 where they take no time."""
    total_s = sum(piece.end_s - piece.start_s for piece in intervals)
    if total_s <= 0:
        return 0.0
    return sum(piece.ready * (piece.end_s - piece.start_s) for piece in intervals) / total_s
