"""What a replica truly serves, over what everyone is told that it serves.

Every policy is told the stated capacity. Steps out of SLA are scored by the true one. Harmony that
measures nothing learns from those by the stated one; Harmony that measures what requests feel
learns from that.

* `stated`: the true capacity is the stated one.
* `off`: it is `ratio` times the stated one, from the first step to the last.
* `drifting`: the ratio wanders between 0.7 and 1.3 and forgets within a day. With z a standard
  normal that follows `z' = a z + sqrt(1 - a**2) e`, `a = exp(-step / day)`, e standard normal:

      log ratio = log 0.7 + (log 1.3 - log 0.7) * Phi(z)

  So in the long run the logarithm is uniform between the bounds (median ratio 0.954). A step of ten
  minutes moves it by 2.9 % at most (standard deviation). Each workload drifts on its own.
* `served`: requests are served by a response (`services.simulator.served`), and a step is out of
  SLA when more than 5 % of its requests miss. The load at which that share misses is a ratio of the
  stated capacity: `ratio`, or log-uniform between 0.7 and 1.3, drawn once for each workload. The
  logarithm of the slope is normal around log 12 (standard deviation 0.4), that of the concentration
  around log 150 (0.5); the floor is uniform up to 0.3 %; a unit of demand is 500 requests a step,
  and fewer than 20 count as 20, as a promise of time merges such steps.

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
from services.simulator.served import ServedTruth

DAY_S = 86_400.0
DEFAULT_RATIO = 0.9
LOWEST_RATIO, HIGHEST_RATIO = 0.5, 1.5
LOWEST_DRIFT, HIGHEST_DRIFT = 0.7, 1.3
SLOPE, SLOPE_SPREAD = 12.0, 0.4
CONCENTRATION, CONCENTRATION_SPREAD = 150.0, 0.5
HIGHEST_FLOOR = 0.003
REQUESTS_PER_UNIT = 500.0
MIN_REQUESTS = 20.0
GOOD_SHARE = 0.95
TOLD_TRUTH = "told_capacity"
"""Harmony as deployed that is told the true capacity at every step, or the response."""
MEASURED = "measured"
"""Harmony as deployed that measures what requests feel, and learns from it."""


class TruthKind(StrEnum):
    """How the true capacity differs from the stated one."""

    STATED = "stated"
    OFF = "off"
    DRIFTING = "drifting"
    SERVED = "served"


@dataclass(frozen=True, slots=True)
class CapacityTruth:
    """The true capacity over the stated one.

    Attributes:
        kind: How it differs.
        ratio: By how much; `off` has one, and `served` may have one.
    """

    kind: TruthKind = TruthKind.STATED
    ratio: float | None = None

    def __post_init__(self) -> None:
        """Refuse a ratio out of bounds, and one that would mean nothing."""
        if self.kind not in (TruthKind.OFF, TruthKind.SERVED):
            if self.ratio is not None:
                raise InvalidInput(
                    f"--truth-ratio={self.ratio:g}: only --truth=off and served have a ratio"
                )
            return
        if self.kind is TruthKind.SERVED and self.ratio is None:
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
    served = None
    if truth.kind is TruthKind.SERVED:
        served = _response(course, seed)
        low, high = math.log(LOWEST_DRIFT), math.log(HIGHEST_DRIFT)
        rng = make_rng(seed, "bench", "decide", "ratio")
        drawn = np.exp(rng.uniform(low, high, course.n_workloads))
        factor = np.repeat(drawn[:, None], shape[1], axis=1)
    if truth.kind is TruthKind.DRIFTING:
        factor = _drift(course, seed)
    if truth.ratio is not None:
        factor = np.full(shape, truth.ratio)
    return replace(course, capacity_factor=factor, is_truth_measured=False, served=served)


def told_truth(course: Course) -> Course:
    """The same course for a policy that is told the true capacity at every step."""
    return replace(course, told_factor=course.capacity_factor)


def measured_truth(course: Course) -> Course:
    """The same course for a policy whose objective is measured: what requests feel is known."""
    return replace(course, is_truth_measured=True)


def in_true_units(course: Course) -> Course:
    """The same course with demand in units of what a replica truly serves in its step.

    Whoever knows the future knows the capacity of later steps too. Demand that is left unserved
    comes out in those units.
    """
    return replace(
        course,
        demand=course.demand / course.capacity_factor,
        capacity_factor=np.ones(course.demand.shape),
        served=None,
    )


def _response(course: Course, seed: int) -> ServedTruth:
    """The law of `served`, the luck of every step included."""
    n, rng = course.n_workloads, make_rng(seed, "bench", "decide", "served")
    slope = SLOPE * np.exp(SLOPE_SPREAD * rng.standard_normal(n))
    concentration = CONCENTRATION * np.exp(CONCENTRATION_SPREAD * rng.standard_normal(n))
    floor = rng.uniform(0.0, HIGHEST_FLOOR, n)
    luck = rng.uniform(1e-6, 1.0 - 1e-6, (course.n_steps, n)).T
    requests = np.maximum(REQUESTS_PER_UNIT * np.nan_to_num(course.demand), MIN_REQUESTS)
    return ServedTruth(slope, floor, concentration, requests, GOOD_SHARE, luck)


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
