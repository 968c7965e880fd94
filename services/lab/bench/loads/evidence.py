"""What one promise has counted of one workload, and what is made of a posterior.

Shapes: N steps, F further loads, P draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decider import MissDraws, MissPrior
from services.lab.bench.decide.measured import EVIDENCE_S
from services.lab.bench.decide.truth import GOOD_SHARE
from services.simulator.fleet.arrays import FloatArray

FIRST_LOOKS = (1, 2, 4, 8, 16)
"""Counted steps after which there is a look at the evidence in any case."""


@dataclass(frozen=True, slots=True, eq=False)
class LoadSteps:
    """Counted steps of a workload under one promise, oldest first.

    Attributes:
        at_s: (N,) start.
        load: (N, 1 + F) named loads per ready replica.
        missed: (N,) requests that missed.
        total: (N,) requests.
        n_seen: Steps counted so far, those forgotten included.
    """

    at_s: FloatArray
    load: FloatArray
    missed: FloatArray
    total: FloatArray
    n_seen: int = 0

    @classmethod
    def none(cls, n_loads: int) -> LoadSteps:
        """Nothing was counted yet."""
        return cls(np.zeros(0), np.zeros((0, n_loads)), np.zeros(0), np.zeros(0))

    def with_step(self, at_s: float, load: FloatArray, missed: float, total: float) -> LoadSteps:
        """One more, without those that are too old."""
        kept = self.at_s > at_s - EVIDENCE_S
        return LoadSteps(
            np.append(self.at_s[kept], at_s),
            np.concatenate([self.load[kept], load[None]]),
            np.append(self.missed[kept], missed),
            np.append(self.total[kept], total),
            self.n_seen + 1,
        )


def is_due(n_seen: int, workload: int, every: int) -> bool:
    """Whether it is time to look: often at first, then `every` steps, workloads in turn."""
    if n_seen <= FIRST_LOOKS[-1]:
        return n_seen in FIRST_LOOKS
    return (n_seen + workload) % every == 0


def at_mean(draws: MissDraws, stated: FloatArray) -> MissDraws:
    """One draw at the mean of the coordinates that Harmony learns in: the spread is thrown away.

    Args:
        draws: A posterior.
        stated: (1 + F,) stated capacities, which the coordinates are relative to.
    """
    capacity, *further = stated.tolist()
    law = MissPrior.of_draws(draws, capacity, 1.0 - GOOD_SHARE, further)
    return law.at(np.zeros((1, law.mean.size)))


def equivalent_past(response: MissDraws, loads: FloatArray) -> FloatArray:
    """(N,) equivalent demand of past loads (N, 1 + F) by the middle draw; NaN where unknown."""
    known = np.isfinite(loads).all(axis=1)
    found = np.full(len(loads), np.nan)
    if known.any():
        found[known] = np.median(response.equivalent(loads[known]), axis=0)
    return found
