"""Misses against load, learned over the workloads of a group: data, draws, what follows of them.

A workload's stated capacity is what a replica serves within its objective. So what is expected of
it, and pooled, is the knee: the load at which `prior_share` of what can be cured is missed. The
capacity of `decider.belief.misses` lies beyond it, further for a gentle slope:

    capacity = knee * (1 / prior_share - 1)**(1 / slope)

Loads near the knee say much of it and little of the slope; told by its knee, a response's two
parameters are nearly independent. The model that PyMC samples is `decider.belief.model.miss_model`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from decider.errors import require
from decider.miss_draws import MissDraws
from decider.types import FloatArray, IntArray

PRIOR_SHARE = 0.05
"""Share of requests that may miss at the stated capacity, where no objective says another."""
KNEE, SLOPE, FLOOR, CONCENTRATION = range(4)
"""Columns of a response's coordinates: log knee over the stated capacity, log slope, logit floor,
log concentration."""
MEANS = np.array([0.0, np.log(12.0), logit(0.002), np.log(60.0)])
"""What is expected of them. A floor of 3 % is unlikely, of 20 % possible."""
GROUP_SIGMAS = np.array([0.3, 0.5])
"""Standard deviation of a group's knee and slope around what is expected."""
SPREADS = np.array([0.15, 0.3])
"""Median standard deviation of the workloads' knees and slopes around their group's."""
SPREAD_SIGMA = 0.5
"""Standard deviation of the logarithm of a spread."""
OWN_SIGMAS = np.array([1.6, 1.2])
"""Standard deviation of a workload's floor and concentration: they are not pooled."""
N_BINS, MAX_STEPS = 20, 200


@dataclass(frozen=True, slots=True)
class MissData:
    """Misses of steps and the loads they were measured at.

    Counts are rounded to whole requests, for a rate over a step is none; no more requests are
    missed than there were. Steps without requests say nothing and change nothing.

    Attributes:
        missed: (N,) requests of a step that missed a goal; >= 0.
        total: (N,) requests of the step; >= missed.
        load: (N,) load per ready replica in that step; > 0.
        workload: (N,) index of the workload.
        prior_capacity: (W,) stated capacity, what a replica serves within the objective; > 0.
        prior_cv: (W,) relative error that each stated capacity may have on its own; >= 0.
        group: (W,) index of each workload's group: those that are pooled.
        prior_share: (W,) share of requests that the objective lets miss, in (0, 1).
    """

    missed: FloatArray
    total: FloatArray
    load: FloatArray
    workload: IntArray
    prior_capacity: FloatArray
    prior_cv: FloatArray
    group: IntArray
    prior_share: FloatArray

    def __post_init__(self) -> None:
        """Round the counts, and refuse data that no model could use."""
        n_workloads = self.prior_capacity.size
        for name in ("prior_capacity", "prior_cv", "group", "prior_share"):
            shape = getattr(self, name).shape
            require(shape == (n_workloads,) and n_workloads > 0, f"{name} {shape} must be (W,)")
        require(self.workload.shape == self.load.shape, "workload must be (N,), as load")
        missed, total = whole_counts(self.load, self.missed, self.total)
        object.__setattr__(self, "missed", missed)
        object.__setattr__(self, "total", total)
        _require_all(self.prior_capacity > 0, self.prior_capacity, "prior_capacity must be > 0")
        _require_all(self.prior_cv >= 0, self.prior_cv, "prior_cv must be >= 0")
        is_share = (self.prior_share > 0) & (self.prior_share < 1)
        _require_all(is_share, self.prior_share, "prior_share must lie in (0, 1)")
        require(bool((self.group >= 0).all()), "group must be >= 0")
        is_known = (self.workload >= 0) & (self.workload < n_workloads)
        require(bool(is_known.all()), f"workload must index the {n_workloads} workloads")

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.group.max()) + 1

    @property
    def prior_sigma(self) -> FloatArray:
        """(W,) standard deviation of the logarithm that `prior_cv` stands for."""
        return np.sqrt(np.log1p(self.prior_cv**2))


@dataclass(frozen=True, slots=True)
class PooledDraws:
    """Draws of how knees (0) and slopes (1) spread over the workloads of a group.

    Attributes:
        location: (P, 2, G) location per group of log knee over the stated capacity, of log slope.
        spread: (P, 2) standard deviation of a group's workloads.
    """

    location: FloatArray
    spread: FloatArray


@dataclass(frozen=True, slots=True)
class NewMember:
    """A workload of a group that has no steps.

    Attributes:
        group: Index of its group.
        prior_capacity: Its stated capacity.
        prior_cv: Relative error that this may have on its own.
        prior_share: Share of requests that its objective lets miss.
    """

    group: int
    prior_capacity: float
    prior_cv: float = 0.0
    prior_share: float = PRIOR_SHARE

    def __post_init__(self) -> None:
        """Refuse what no workload states."""
        check_stated(self.prior_capacity, self.prior_cv, self.prior_share)


@dataclass(frozen=True, slots=True)
class MissPosterior:
    """Draws of the responses of all workloads of a fit.

    Attributes:
        coordinates: (P, 4, W) log knee over the stated capacity, log slope, logit floor, log
            concentration.
        prior_capacity: (W,) stated capacities.
        prior_share: (W,) share at which each one's knee stands.
        pooled: How knees and slopes spread within groups.
    """

    coordinates: FloatArray
    prior_capacity: FloatArray
    prior_share: FloatArray
    pooled: PooledDraws

    def draws(self, row: int) -> MissDraws:
        """Response of workload `row`."""
        n = self.prior_capacity.size
        require(0 <= row < n, f"row={row} must index the {n} workloads of the fit")
        return to_draws(
            self.coordinates[:, :, row],
            float(self.prior_capacity[row]),
            float(self.prior_share[row]),
        )

    def draws_new(self, member: NewMember, rng: np.random.Generator) -> MissDraws:
        """Response of a workload of a group that has no steps: it borrows strength.

        Args:
            member: The workload.
            rng: Generator.
        """
        n_groups = self.pooled.location.shape[2]
        is_known = 0 <= member.group < n_groups
        require(is_known, f"group={member.group} must be one of the {n_groups} groups of the fit")
        noise = rng.standard_normal((self.pooled.spread.shape[0], 4))
        own = np.array([np.sqrt(np.log1p(member.prior_cv**2)), 0.0])
        pooled = self.pooled.location[:, :, member.group]
        pooled = pooled + np.hypot(self.pooled.spread, own) * noise[:, :2]
        alone = MEANS[2:] + OWN_SIGMAS * noise[:, 2:]
        coordinates = np.concatenate([pooled, alone], axis=1)
        return to_draws(coordinates, member.prior_capacity, member.prior_share)


def to_draws(coordinates: FloatArray, prior_capacity: float, prior_share: float) -> MissDraws:
    """The response that (P, 4) coordinates are those of."""
    knee, slope, floor, concentration = np.clip(coordinates, *_REACH).T
    log_capacity = knee - logit(prior_share) * np.exp(-slope)
    return MissDraws(
        prior_capacity * np.exp(np.clip(log_capacity, -_FAR, _FAR)),
        np.exp(slope),
        expit(floor),
        np.exp(concentration),
    )


def to_coordinates(draws: MissDraws, prior_capacity: float, prior_share: float) -> FloatArray:
    """(P, 4) the inverse of `to_draws`."""
    knee = np.log(draws.load_within(prior_share) / prior_capacity)
    floor = logit(np.maximum(draws.floor, 1e-12))
    return np.stack([knee, np.log(draws.slope), floor, np.log(draws.concentration)], axis=1)


_FAR = 200.0
_REACH = (np.array([-20.0, -4.0, -30.0, -20.0]), np.array([20.0, 9.0, 15.0, 20.0]))
"""Coordinates beyond these tell no response from another, and would overflow."""


def check_stated(prior_capacity: float, prior_cv: float, prior_share: float) -> None:
    """Refuse a stated capacity, its error or a share that nobody can mean."""
    is_positive = np.isfinite(prior_capacity) and prior_capacity > 0
    require(bool(is_positive), f"prior_capacity={prior_capacity} must be finite and > 0")
    require(bool(np.isfinite(prior_cv) and prior_cv >= 0), f"prior_cv={prior_cv} must be >= 0")
    require(0 < prior_share < 1, f"prior_share={prior_share} must lie in (0, 1)")


def whole_counts(
    load: FloatArray, missed: FloatArray, total: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Whole requests missed and whole requests in all, at least as many; (N,) each.

    Raises:
        InvalidRequest: Shapes differ, or a value is unknown or impossible.
    """
    shapes = f"load {load.shape}, missed {missed.shape}, total {total.shape}"
    is_one = load.ndim == 1 and load.shape == missed.shape == total.shape
    require(is_one, f"{shapes}: all must be (N,)")
    _require_all(load > 0, load, "load must be finite and > 0: leave out what is unknown")
    for name, counts in (("missed", missed), ("total", total)):
        _require_all(counts >= 0, counts, f"{name} must be finite and >= 0: leave out the unknown")
    whole = np.round(missed)
    return whole, np.maximum(np.round(total), whole)


def steps_across_loads(load: FloatArray) -> IntArray:
    """Which steps to learn from: the newest of each bin of equal width in load, in time order.

    Bins give one step each in turn until `MAX_STEPS` are chosen, so the few steps near the knee are
    kept. That biases nothing: the response is about misses given load.

    Args:
        load: (N,) load per ready replica, in time order.

    Returns:
        Indices, ascending.
    """
    if load.size <= MAX_STEPS:
        return np.arange(load.size)
    low, high = float(load.min()), float(load.max())
    width = max(high - low, 1e-12)
    bins = np.minimum((N_BINS * (load - low) / width).astype(np.int64), N_BINS - 1)
    turn = np.empty(load.size, dtype=np.int64)
    for at in (np.flatnonzero(bins == b)[::-1] for b in range(N_BINS)):
        turn[at] = np.arange(at.size)
    return np.sort(np.argsort(turn, kind="stable")[:MAX_STEPS])


def _require_all(holds: FloatArray, values: FloatArray, message: str) -> None:
    """Refuse the first value that is not finite or for which something does not hold."""
    wrong = np.flatnonzero(~(np.isfinite(values) & np.asarray(holds, dtype=bool)))
    if wrong.size:
        at = int(wrong[0])
        require(False, f"{message}; it is {values[at]:g} at {at}")
