"""Misses against load, learned over the workloads of a group: data, draws, what follows of them.

The model that PyMC samples is `decider.belief.model.miss_model`; the coordinates of a response are
those of `decider.belief.miss_prior`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from decider.belief.miss_prior import FLOOR, MEANS, GroupLaw, expected_means, to_draws
from decider.belief.miss_steps import mixes_of, require_all, whole_counts
from decider.belief.occupancy import FullUse
from decider.errors import require
from decider.miss_draws import NO_MIX, MissDraws
from decider.types import FloatArray, IntArray

N_NEAR = 20
"""Steps around a workload's average miss that say roughly how often a request is missed there."""


LEAST_SHARE = 1e-6
"""Share of a capacity below which a load is none."""


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
        further_capacity: (W, F) stated capacities of further loads, whose loads are then columns of
            `load`, (N, 1+F); > 0. A workload that has fewer has its own first; the capacities of
            those it has not are infinite and its loads 0.
        mix: (N, V) share of the stated capacity ready in that step that was each variant's but the
            first; every workload has as many. Loads are then per reference replica as stated.
        full: What occupancies tell, each with the index of the workload whose it is; of workloads
            with further loads.
    """

    missed: FloatArray
    total: FloatArray
    load: FloatArray
    workload: IntArray
    prior_capacity: FloatArray
    prior_cv: FloatArray
    group: IntArray
    prior_share: FloatArray
    further_capacity: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    mix: FloatArray = field(default_factory=lambda: NO_MIX)
    full: tuple[tuple[int, FullUse], ...] = ()

    def __post_init__(self) -> None:
        """Round the counts, and refuse data that no model could use."""
        n_workloads = self.prior_capacity.size
        self._settle_loads()
        for name in ("prior_capacity", "prior_cv", "group", "prior_share"):
            shape = getattr(self, name).shape
            require(shape == (n_workloads,) and n_workloads > 0, f"{name} {shape} must be (W,)")
        require(self.workload.shape == self.load.shape[:1], "workload must be (N,), as load")
        object.__setattr__(self, "mix", mixes_of(self.mix, self.load))
        missed, total = whole_counts(self.load, self.missed, self.total)
        object.__setattr__(self, "missed", missed)
        object.__setattr__(self, "total", total)
        require_all(self.prior_capacity > 0, self.prior_capacity, "prior_capacity must be > 0")
        require_all(self.prior_cv >= 0, self.prior_cv, "prior_cv must be >= 0")
        is_share = (self.prior_share > 0) & (self.prior_share < 1)
        require_all(is_share, self.prior_share, "prior_share must lie in (0, 1)")
        require(bool((self.group >= 0).all()), "group must be >= 0")
        rows = np.concatenate([self.workload, [row for row, _ in self.full]])
        is_known = (rows >= 0) & (rows < n_workloads)
        require(bool(is_known.all()), f"workload must index the {n_workloads} workloads")
        widths = {law.loads.size for _, law in self.full}
        is_wide = not widths or (self.n_further > 0 and widths == {1 + self.n_further})
        require(is_wide, f"full: loads of {sorted(widths)} must be of 1+F={1 + self.n_further}")

    def _settle_loads(self) -> None:
        n_workloads = self.prior_capacity.size
        if self.further_capacity.size == 0:
            object.__setattr__(self, "further_capacity", np.zeros((n_workloads, 0)))
        shape = self.further_capacity.shape
        is_known = len(shape) == 2 and shape[0] == n_workloads
        require(is_known, f"further_capacity {shape} must be (W, F)")
        require(bool((self.further_capacity > 0).all()), "further_capacity must be > 0")
        wanted = (1 + self.n_further,) if self.n_further else ()
        is_known = self.load.shape[1:] == wanted
        require(is_known, f"load {self.load.shape} must be (N, 1+F) of F={self.n_further}, or (N,)")

    @property
    def n_further(self) -> int:
        """Most further loads F of a workload."""
        return int(self.further_capacity.shape[1])

    @property
    def n_variants(self) -> int:
        """Variants V of a workload besides the first."""
        return int(self.mix.shape[1])

    @property
    def log_shares(self) -> FloatArray:
        """(N, 1+F) logarithm of each load over its stated capacity."""
        return self._log_shares(self.load, self.workload)

    @property
    def full_log_shares(self) -> FloatArray:
        """(K, 1+F) the same of the loads of `full`."""
        loads = np.array([law.loads for _, law in self.full])
        return self._log_shares(loads, np.array([row for row, _ in self.full], dtype=np.int64))

    def _log_shares(self, loads: FloatArray, workload: IntArray) -> FloatArray:
        capacity = np.column_stack([self.prior_capacity, self.further_capacity])[workload]
        return np.log(np.maximum(loads.reshape(capacity.shape) / capacity, LEAST_SHARE))

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
        where nothing was missed, and the log odds of a miss in the steps around it. Of several
        loads `log_load` is that of the tightest, and `log_shares` (W, 1+F) are those of all. `mix`
        (W, V) is the mix there, of those that have variants.
        """
        n = self.prior_capacity.size
        if self.n_further:
            shares = self.log_shares
            log_load = shares.max(axis=1)
        else:
            log_load = np.log(self.load / self.prior_capacity[self.workload])
            shares = np.zeros((log_load.size, 0))
        near_load, odds = np.zeros(n), np.full(n, MEANS[FLOOR])
        near_shares, near_mix = np.zeros((n, shares.shape[1])), np.zeros((n, self.n_variants))
        for row in np.unique(self.workload[self.total > 0]):
            of = (self.workload == row) & (self.total > 0)
            weights = self.missed[of] + 1e-3
            near_load[row] = np.average(log_load[of], weights=weights)
            near_shares[row] = np.average(shares[of], axis=0, weights=weights)
            near_mix[row] = np.average(self.mix[of], axis=0, weights=weights)
            closest = np.argsort(np.abs(log_load[of] - near_load[row]), kind="stable")[:N_NEAR]
            missed, total = (c[of][closest].sum() for c in (self.missed, self.total))
            odds[row] = np.log((missed + 0.5) / (total - missed + 0.5))
        found: dict[str, FloatArray] = {"log_load": near_load, "log_odds": odds}
        if self.n_variants:
            found["mix"] = near_mix
        return found | {"log_shares": near_shares} if self.n_further else found


@dataclass(frozen=True, slots=True)
class PooledDraws:
    """Draws of how knees (0), slopes (1) and ratios (2, ...) spread over the workloads of a group.

    Attributes:
        location: (P, 2+F, G) location per group of log knee over the stated capacity, of log slope,
            of the log ratio of each further load.
        spread: (P, 2+F) standard deviation of a group's workloads.
    """

    location: FloatArray
    spread: FloatArray


@dataclass(frozen=True, slots=True)
class MissPosterior:
    """Draws of the responses of all workloads of a fit.

    Attributes:
        coordinates: (P, D, W) log knee over the stated capacity, log slope, logit floor, log
            concentration; with further loads log(sharing - 1) and the log ratio of each; then the
            log worth of each variant but the first.
        prior_capacity: (W,) stated capacities.
        prior_share: (W,) share at which each one's knee stands.
        pooled: How knees, slopes and ratios spread within groups.
        further_capacity: (W, F) stated capacities of further loads; infinite: it has not so many.
    """

    coordinates: FloatArray
    prior_capacity: FloatArray
    prior_share: FloatArray
    pooled: PooledDraws
    further_capacity: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))

    def draws(self, row: int) -> MissDraws:
        """Response of workload `row`."""
        n = self.prior_capacity.size
        require(0 <= row < n, f"row={row} must index the {n} workloads of the fit")
        stated = self.further_capacity[row] if self.further_capacity.size else np.zeros(0)
        further = tuple(stated[np.isfinite(stated)].tolist())
        own, most = (expected_means(n).size for n in (len(further), stated.size))
        columns = [*range(own), *range(most, self.coordinates.shape[1])]
        return to_draws(
            self.coordinates[:, columns, row],
            float(self.prior_capacity[row]),
            float(self.prior_share[row]),
            further,
        )

    def group_law(self, group: int) -> GroupLaw:
        """What a group's workloads say of one more of it.

        Args:
            group: Index of the group.
        """
        n_groups = self.pooled.location.shape[2]
        is_known = 0 <= group < n_groups
        require(is_known, f"group={group} must be one of the {n_groups} groups of the fit")
        location = self.pooled.location[:, :, group]
        of_one = np.diag((self.pooled.spread**2).mean(axis=0))
        return GroupLaw(location.mean(axis=0), np.cov(location, rowvar=False) + of_one)
