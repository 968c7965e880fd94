"""What a replica truly serves, over what everyone is told that it serves.

Every policy is told the stated capacity. Steps out of SLA are scored by the true one; Harmony
learns from those by the stated one, as the product does without a latency indicator.

* `stated`: the true capacity is the stated one.
* `off`: it is `ratio` times the stated one, from the first step to the last.
* `drifting`: the ratio wanders between 0.7 and 1.3 and forgets within a day. With z a standard
  normal that follows `z' = a z + sqrt(1 - a**2) e`, `a = exp(-step / day)`, e standard normal:

      log ratio = log 0.7 + (log 1.3 - log 0.7) * Phi(z)

  So in the long run the logarithm is uniform between the bounds (median ratio 0.954). A step of ten
  minutes moves it by 2.9 % at most (standard deviation). Each workload drifts on its own.

Shapes: W workloads, T steps of prelude and test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from scipy.special import ndtr

from services.kernel.clock import make_rng
from services.kernel.errors import InvalidInput
from services.simulator.course import Course
from services.simulator.fleet.arrays import FloatArray

DAY_S = 86_400.0
DEFAULT_RATIO = 0.9
LOWEST_RATIO, HIGHEST_RATIO = 0.5, 1.5
LOWEST_DRIFT, HIGHEST_DRIFT = 0.7, 1.3
TOLD_TRUTH = "told_capacity"
"""Harmony as deployed that is told the true capacity at every step."""


class TruthKind(StrEnum):
    """How the true capacity differs from the stated one."""

    STATED = "stated"
    OFF = "off"
    DRIFTING = "drifting"


@dataclass(frozen=True, slots=True)
class CapacityTruth:
    """The true capacity over the stated one.

    Attributes:
        kind: How it differs.
        ratio: By how much; `off` alone has one.
    """

    kind: TruthKind = TruthKind.STATED
    ratio: float | None = None

    def __post_init__(self) -> None:
        """Refuse a ratio out of bounds, and one that would mean nothing."""
        if self.kind is not TruthKind.OFF:
            if self.ratio is not None:
                raise InvalidInput(f"--truth-ratio={self.ratio:g}: only --truth=off has a ratio")
            return
        if self.ratio is None or not LOWEST_RATIO <= self.ratio <= HIGHEST_RATIO:
            raise InvalidInput(
                f"--truth-ratio={self.ratio}: must be between {LOWEST_RATIO:g} and "
                f"{HIGHEST_RATIO:g}"
            )

    @property
    def is_stated(self) -> bool:
        """Whether the stated capacity is the true one."""
        return self.kind is TruthKind.STATED


def truth_of(kind: str, ratio: float | None) -> CapacityTruth:
    """The options of the command; `off` without a ratio is 10 % below.

    Raises:
        InvalidInput: An unknown kind, or a ratio out of bounds or without `off`.
    """
    if kind not in list(TruthKind):
        raise InvalidInput(f"--truth={kind}: must be one of {', '.join(TruthKind)}")
    known = TruthKind(kind)
    if known is TruthKind.OFF and ratio is None:
        ratio = DEFAULT_RATIO
    return CapacityTruth(known, ratio)


def with_truth(course: Course, truth: CapacityTruth, seed: int) -> Course:
    """The course with its true capacities; everyone is told the stated ones as before."""
    if truth.is_stated:
        return course
    shape = course.demand.shape
    factor = np.full(shape, truth.ratio) if truth.ratio else _drift(course, seed)
    return replace(course, capacity_factor=factor, is_truth_measured=False)


def told_truth(course: Course) -> Course:
    """The same course for a policy that is told the true capacity at every step."""
    return replace(course, told_factor=course.capacity_factor)


def in_true_units(course: Course) -> Course:
    """The same course with demand in units of what a replica truly serves in its step.

    Whoever knows the future knows the capacity of later steps too. Demand that is left unserved
    comes out in those units.
    """
    return replace(
        course,
        demand=course.demand / course.capacity_factor,
        capacity_factor=np.ones(course.demand.shape),
    )


def _drift(course: Course, seed: int) -> FloatArray:
    """(W, T) the law of `drifting`; a course that is cut short has the same first steps."""
    rng = make_rng(seed, "bench", "decide", "truth")
    draws = rng.standard_normal((course.n_steps, course.n_workloads))
    keep = math.exp(-course.step_s / DAY_S)
    z = draws.copy()
    for t in range(1, course.n_steps):
        z[t] = keep * z[t - 1] + math.sqrt(1.0 - keep**2) * draws[t]
    low, high = math.log(LOWEST_DRIFT), math.log(HIGHEST_DRIFT)
    return np.asarray(np.exp(low + (high - low) * ndtr(z.T)))
