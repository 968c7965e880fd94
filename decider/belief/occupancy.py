"""What is taken of a replica tells the load that fills it.

An engine keeps what it has computed for the requests in flight in a room of its own: the KV cache
of a language model. By Little's law the share of it that is taken is

    occupancy = load per replica * seconds in flight * room per request / room

A request stays longer the more a replica has in hand, so it rises a little faster than load. Where
requests leave no such room behind, as at a pool for prefill, time is what is taken: the share of it
in which a replica works is that of the load that it could do, and rises as the load does. Both are

    occupancy = full * use**power

with use the load over that of a full replica (`decider.use`). Requests come and end unevenly, so
where the mean is `full` all is taken at times. Beyond that requests wait, or lose what was computed
for them, and nearly all of them miss: a full replica is one of which half of the requests miss
(`decider.miss_draws`). Misses tell of that edge when it is reached; occupancy does before.

The constants are by an engine that no one here wrote (docs/decisions/0129, 0130).

Shapes: F further loads, N steps, P draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from decider.errors import require
from decider.miss_draws import MissDraws
from decider.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class OccupancyLaw:
    """How occupancy rises with use.

    Attributes:
        full: Mean occupancy at full use.
        power: How much faster than the logarithm of use its own rises.
        power_sigma: How well that is known.
    """

    full: float
    power: float
    power_sigma: float


ROOM = OccupancyLaw(full=0.7, power=1.15, power_sigma=0.15)
"""Of the share of the room that is taken."""
TIME = OccupancyLaw(full=0.85, power=1.0, power_sigma=0.05)
"""Of the share of time in which a replica works."""
OWN_SIGMA = 0.1
"""Standard deviation of the logarithm of use, however full the replica that was seen."""
LEAST_OCCUPANCY, MOST_OCCUPANCY = 0.01, 0.9
"""Means beyond these tell of no edge: of nothing in flight, of a room that cannot fill further."""
NEAREST_SHARE, LEAST_MINUTES = 0.2, 4
"""The law is read where loads were nearest to a full replica's: in this share of the minutes, at
least so many."""
ROUNDS = 3
"""Which loads these are is told by the law that is read there: so often it is read again."""
MINUTES_ALIKE = 4.0
"""Minutes overlap, and neighbours are alike: so many tell as much as one."""


@dataclass(frozen=True, slots=True)
class FullUse:
    """Normal law of how much of a replica loads use, by the room that they were seen to take.

    Attributes:
        loads: (1+F,) loads per ready replica (demand, *further); 0: falls on another pool.
        log_use: Mean of the logarithm of their use of a replica.
        sigma: Its standard deviation.
    """

    loads: FloatArray
    log_use: float
    sigma: float

    def __post_init__(self) -> None:
        """Refuse a law of nothing."""
        is_known = bool(np.isfinite(self.loads).all() and (self.loads >= 0).all())
        is_some = self.loads.ndim == 1 and bool((self.loads > 0).any())
        require(is_known and is_some, f"loads={self.loads.tolist()} must be >= 0, one of them > 0")
        require(bool(np.isfinite(self.log_use)), f"log_use={self.log_use} must be finite")
        require(0 < self.sigma < np.inf, f"sigma={self.sigma} must be finite and > 0")

    def log_likelihood(self, draws: MissDraws) -> FloatArray:
        """(P,) log likelihood of draws of a response, up to a constant."""
        off = draws.log_use(self.loads[None])[:, 0] - self.log_use
        return np.asarray(-0.5 * (off / self.sigma) ** 2)

    def restated(self, capacity: FloatArray) -> FloatArray:
        """(1+F,) stated capacities; those of the loads here as they were measured.

        Stated ones may be off by any factor, and what is expected around them is narrow. Where
        several loads fall on the pool, all are moved by the same factor.

        Args:
            capacity: (1+F,) what is stated of each load alone.
        """
        of_pool = self.loads > 0
        stated_use = (self.loads / capacity)[of_pool].max()
        return np.where(of_pool, capacity * stated_use / np.exp(self.log_use), capacity)


def full_use(loads: FloatArray, occupancy: FloatArray, by: OccupancyLaw = ROOM) -> FullUse | None:
    """What means of minutes tell; None: too few of them tell anything.

    Args:
        loads: (N, 1+F) loads per ready replica; those of other pools 0.
        occupancy: (N,) share that was taken, mean of the replicas; NaN: not known.
        by: How it rises with use.

    Raises:
        InvalidRequest: Shapes differ.
    """
    shapes = f"loads {loads.shape}, occupancy {occupancy.shape}"
    is_matched = loads.ndim == 2 and occupancy.shape == loads.shape[:1]
    require(is_matched, f"{shapes}: must be (N, 1+F) and (N,)")
    is_told = (occupancy >= LEAST_OCCUPANCY) & np.isfinite(loads).all(axis=1)
    is_told &= loads.max(axis=1, initial=0.0) > 0
    loads, occupancy = loads[is_told], occupancy[is_told]
    if (occupancy < MOST_OCCUPANCY).sum() < LEAST_MINUTES:
        return None
    at = _nearest_to_full(loads, occupancy, by)
    where, mean = loads[at].mean(axis=0), float(np.log(occupancy[at].mean() / by.full) / by.power)
    told = _told_by_each(loads[at], occupancy[at], where, by)
    scatter = told.std() * np.sqrt(min(1.0, MINUTES_ALIKE / at.size))
    sigmas = (OWN_SIGMA, by.power_sigma / by.power * mean, scatter)
    return FullUse(where, mean, float(np.linalg.norm(sigmas)))


def _nearest_to_full(loads: FloatArray, occupancy: FloatArray, by: OccupancyLaw) -> IntArray:
    """Minutes whose loads were nearest to those of a full replica, from below.

    They are picked by their load. Those whose occupancy is nearest to full were fuller by chance
    than their load makes a replica, or less full where it is over full: they are where the search
    begins.
    """
    where = loads.mean(axis=0)
    told, share = _told_by_each(loads, occupancy, where, by), loads @ where / (where @ where)
    n = max(LEAST_MINUTES, int(NEAREST_SHARE * occupancy.size))
    off = np.where(occupancy < MOST_OCCUPANCY, np.abs(np.log(occupancy / by.full)), np.inf)
    at = np.argsort(off, kind="stable")[: min(n, int(np.isfinite(off).sum()))]
    log_use = float(told[at].mean())
    for _ in range(ROUNDS):
        far = np.log(share) + log_use
        at = np.lexsort((np.abs(far), far > 0))[:n]
        mean = occupancy[at].mean() / by.full
        log_use = float(np.log(mean) / by.power - np.log(share[at].mean()))
    return at


def _told_by_each(
    loads: FloatArray, occupancy: FloatArray, where: FloatArray, by: OccupancyLaw
) -> FloatArray:
    """(N,) what each minute says of the logarithm of the use that loads `where` (1+F,) make."""
    return np.asarray(
        np.log(occupancy / by.full) / by.power - np.log(loads @ where / (where @ where))
    )


def use_log_likelihood(seen: Sequence[FullUse], draws: MissDraws) -> FloatArray:
    """(P,) log likelihood of all that occupancies tell; of nothing 0."""
    told = [one.log_likelihood(draws) for one in seen]
    return np.asarray(np.sum(told, axis=0)) if told else np.zeros(draws.slope.size)


def restated_capacity(seen: Sequence[FullUse], capacity: FloatArray) -> FloatArray:
    """(1+F,) stated capacities, as far as occupancies tell as they were measured."""
    for one in seen:
        capacity = one.restated(capacity)
    return capacity
