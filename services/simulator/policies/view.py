"""Input of a scaling policy, and the one signature that every policy has.

A policy is a pure function with its memory passed in and out. It acts once per step, at the step
boundary, and knows the demand of completed steps only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

RELATIVE_SLACK = 1e-9
"""Relative rounding slack: `ceil(d / c)` replicas must hold `d` in floating point too."""

StateT = TypeVar("StateT")


@dataclass(frozen=True, slots=True)
class PolicyInput:
    """One workload at a step boundary.

    Attributes:
        now_s: Epoch seconds of the boundary.
        step_s: Step length in seconds.
        demand: (T,) demand of completed steps, oldest first; NaN where it was not observed.
        ready: Replicas that serve now.
        starting: Replicas bound to a node but not ready.
        pending: Replicas not yet scheduled.
        replicas: The current spec.
        capacity_per_replica: Load one ready replica serves within the SLO, in units of demand.
        min_replicas: Lower bound.
        max_replicas: Upper bound.
        future: (F,) true demand from the step that begins now. Peeking: given to the oracle only.
    """

    now_s: float
    step_s: float
    demand: FloatArray
    ready: int
    starting: int
    pending: int
    replicas: int
    capacity_per_replica: float
    min_replicas: int
    max_replicas: int
    future: FloatArray | None = None

    def __post_init__(self) -> None:
        """Refuse what no policy could act on."""
        if self.step_s <= 0:
            raise ValueError(f"step_s={self.step_s} must be > 0")
        if not self.capacity_per_replica > 0:
            raise ValueError(f"capacity_per_replica={self.capacity_per_replica} must be > 0")
        if self.demand.ndim != 1:
            raise ValueError(f"demand has shape {self.demand.shape}, must be (T,)")
        if not 0 <= self.min_replicas <= self.max_replicas:
            raise ValueError(
                f"min_replicas={self.min_replicas} and max_replicas={self.max_replicas} "
                "must satisfy 0 <= min <= max"
            )
        if min(self.ready, self.starting, self.pending, self.replicas) < 0:
            raise ValueError("ready, starting, pending and replicas must be >= 0")

    def bounded(self, replicas: int) -> int:
        """`replicas` clamped to [min_replicas, max_replicas]."""
        return max(self.min_replicas, min(self.max_replicas, replicas))

    def hold(self) -> int:
        """The current spec within bounds: the answer when nothing is known."""
        return self.bounded(self.replicas)


class Policy(Protocol[StateT]):
    """A scaling policy: the same signature for ours and for every rival."""

    @property
    def name(self) -> str:
        """Short name used in tables."""
        ...

    def initial_state(self) -> StateT:
        """Memory before the first decision."""
        ...

    def decide(self, view: PolicyInput, state: StateT) -> tuple[int, StateT]:
        """Replicas wanted from `view.now_s` on, and the memory for the next step."""
        ...


def replicas_for(load: FloatArray | float, capacity_per_replica: FloatArray | float) -> FloatArray:
    """Smallest whole number of replicas that serves `load`: `ceil(load / capacity)`.

    NaN stays NaN: an unknown load needs an unknown number.
    """
    return np.ceil(np.asarray(load, dtype=float) / capacity_per_replica * (1.0 - RELATIVE_SLACK))
