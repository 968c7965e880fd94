"""Exact accounting of one step: time out of SLA, shortage, GPU time.

One set of rules for every run: the engine-driven one, the demo over HTTP and the fast tuning model.
Demand is constant within a step, replicas are piecewise constant, so all integrals are exact sums.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from decider.policies.view import RELATIVE_SLACK

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class ReplicaInterval(Protocol):
    """Replicas that hold from `start_s` until `end_s`."""

    @property
    def start_s(self) -> float: ...  # noqa: D102
    @property
    def end_s(self) -> float: ...  # noqa: D102
    @property
    def ready(self) -> int: ...  # noqa: D102
    @property
    def bound(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class StepAccount:
    """What one workload did in one step.

    Attributes:
        duration_s: Time covered by the intervals.
        known_s: Time in which the demand is known; all of it or nothing.
        violation_s: Time with more demand than the ready replicas serve within the SLO.
        shortage: Integral of the demand that was not served within the SLO, load x seconds.
        gpu_s: GPU-seconds held by starting and ready replicas.
        busy_gpu_s: GPU-seconds of ready capacity that demand used.
        ready_mean: Time-mean ready replicas.
        bound_mean: Time-mean starting and ready replicas.
    """

    duration_s: float
    known_s: float
    violation_s: float
    shortage: float
    gpu_s: float
    busy_gpu_s: float
    ready_mean: float
    bound_mean: float


def is_out_of_sla(demand: FloatArray, ready: FloatArray, capacity: FloatArray) -> BoolArray:
    """Whether demand exceeds what the ready replicas serve within the SLO.

    A relative slack absorbs rounding, so that exactly enough is enough. Unknown demand (NaN) is
    not out of SLA, and must be left out of the denominator too.
    """
    return np.asarray(demand > capacity * ready * (1.0 + RELATIVE_SLACK))


def account_step(
    intervals: Iterable[ReplicaInterval],
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
    pieces = [(i.start_s, i.end_s, i.ready, i.bound) for i in intervals]
    if not pieces:
        raise ValueError("intervals must cover the step, got none")
    start, end, ready, bound = np.array(pieces, dtype=float).T
    length = end - start
    if np.any(length < 0) or np.any(np.abs(start[1:] - end[:-1]) > 1e-6):
        raise ValueError(f"intervals must be contiguous and in order, got {pieces}")
    duration_s = float(length.sum())
    is_known = bool(np.isfinite(demand))
    load = demand if is_known else 0.0
    served = np.minimum(load, capacity_per_replica * ready)
    out = is_out_of_sla(np.full(ready.shape, load), ready, np.asarray(capacity_per_replica))
    gpu_s = float((bound * length).sum()) * gpus_per_replica
    safe_s = duration_s if duration_s > 0 else 1.0
    return StepAccount(
        duration_s=duration_s,
        known_s=duration_s if is_known else 0.0,
        violation_s=float(length[out].sum()),
        shortage=float(((load - served) * length)[out].sum()),
        gpu_s=gpu_s,
        busy_gpu_s=float((served * length).sum()) / capacity_per_replica * gpus_per_replica,
        ready_mean=float((ready * length).sum()) / safe_s,
        bound_mean=float((bound * length).sum()) / safe_s,
    )
