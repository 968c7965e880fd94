"""Course of a fleet, the same for every policy: demand, capacity, bounds, luck of starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from services.simulator.fleet.arrays import BoolArray, F32Array, FloatArray
from services.simulator.policies.view import RELATIVE_SLACK
from services.simulator.served import ServedTruth

RatioT = TypeVar("RatioT", FloatArray, F32Array)


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """Course of W workloads over T steps. C: context steps; N: start-up draws.

    Attributes:
        history: (W, C) demand before the first step; NaN where unobserved.
        demand: (W, T) demand; NaN where unknown.
        is_live: (W, T) whether the workload exists in the step; others cost and count nothing.
        capacity: (W,) load of one replica as policies know it.
        capacity_factor: (W, T) true capacity over the one that policies know.
        min_replicas: (W,) lower bounds.
        max_replicas: (W,) upper bounds.
        initial: (W,) replicas before the first step, all ready.
        lead_s: (W, N) lead time of the n-th start, n modulo N. The initial replicas count: the
            first start that a policy asks for is number `initial`.
        start_s: Epoch seconds of the first step.
        step_s: Step length in seconds.
        seen: (W, T) demand as measured, which is what policies are shown; NaN where unobserved.
            None: the demand itself.
        told_factor: (W, T) capacity that policies are told in each step, over `capacity`. None:
            `capacity` in every step.
        is_truth_measured: Whether steps out of SLA are measured by the true capacity. False: by
            the one that policies are told.
        served: How requests are served; then `capacity_factor` is that of the load at which a
            replica misses what a good step tolerates, and a step is out of SLA when more of its
            requests miss. None: a step is out of SLA while demand exceeds the true capacity.
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
    seen: FloatArray | None = None
    told_factor: FloatArray | None = None
    is_truth_measured: bool = True
    served: ServedTruth | None = None

    @property
    def n_workloads(self) -> int:
        """W."""
        return int(self.demand.shape[0])

    @property
    def n_steps(self) -> int:
        """T."""
        return int(self.demand.shape[1])

    def true_capacity(self) -> FloatArray:
        """(W, T) load that one replica serves within the SLO."""
        return np.asarray(self.capacity[:, None] * self.capacity_factor)

    def told_capacity(self) -> FloatArray:
        """(W, T) load of one replica that policies are told."""
        if self.told_factor is None:
            return np.broadcast_to(self.capacity[:, None], self.demand.shape)
        return np.asarray(self.capacity[:, None] * self.told_factor)

    def is_truth_told(self) -> bool:
        """Whether what policies are told says which steps are out of SLA."""
        return self.served is None and np.array_equal(self.told_capacity(), self.true_capacity())

    def measured_violation(self, true: RatioT, believed: RatioT) -> RatioT:
        """What the product measures as out of SLA: what feedback and tuning go by.

        Args:
            true: Shares of steps out of SLA by the true capacity, of any shape.
            believed: The same by the capacity that policies are told.
        """
        return true if self.is_truth_measured else believed

    def need(self) -> FloatArray:
        """(W, T) replicas that hold the demand; zero where it is unknown."""
        load = np.nan_to_num(self.demand) / self.true_capacity()
        needed: FloatArray = np.ceil(load * (1.0 - RELATIVE_SLACK))
        return needed

    def measured(self) -> FloatArray:
        """(W, C + T) demand that policies are shown; NaN where the workload does not exist."""
        seen = self.demand if self.seen is None else self.seen
        return np.concatenate([self.history, np.where(self.is_live, seen, np.nan)], axis=1)
