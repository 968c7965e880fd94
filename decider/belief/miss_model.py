"""Misses against load, learned over the workloads of a group: data, draws, what follows of them.

The model that PyMC samples is `decider.belief.model.miss_model`; the coordinates of a response are
those of `decider.belief.miss_prior`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decider.belief.miss_prior import (
    FLOOR,
    MEANS,
    OWN_SIGMAS,
    PRIOR_SHARE,
    check_stated,
    to_draws,
)
from decider.belief.miss_steps import require_all, whole_counts
from decider.errors import require
from decider.miss_draws import MissDraws
from decider.types import FloatArray, IntArray

N_NEAR = 20
"""Steps around a workload's average miss that say roughly how often a request is missed there."""


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
        require_all(self.prior_capacity > 0, self.prior_capacity, "prior_capacity must be > 0")
        require_all(self.prior_cv >= 0, self.prior_cv, "prior_cv must be >= 0")
        is_share = (self.prior_share > 0) & (self.prior_share < 1)
        require_all(is_share, self.prior_share, "prior_share must lie in (0, 1)")
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
        return np.asarray(np.sqrt(np.log1p(self.prior_cv**2)))

    def near(self) -> dict[str, FloatArray]:
        """(W,) where each workload's misses are best known, and roughly what they are there.

        That is the log load over the stated capacity of its average miss, or of its average step
        where nothing was missed, and the log odds of a miss in the steps around it.
        """
        n = self.prior_capacity.size
        log_load = np.log(self.load / self.prior_capacity[self.workload])
        near_load, odds = np.zeros(n), np.full(n, MEANS[FLOOR])
        for row in np.unique(self.workload[self.total > 0]):
            of = (self.workload == row) & (self.total > 0)
            near_load[row] = np.average(log_load[of], weights=self.missed[of] + 1e-3)
            closest = np.argsort(np.abs(log_load[of] - near_load[row]), kind="stable")[:N_NEAR]
            missed, total = (c[of][closest].sum() for c in (self.missed, self.total))
            odds[row] = np.log((missed + 0.5) / (total - missed + 0.5))
        return {"log_load": near_load, "log_odds": odds}


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
