"""Joint paths of several loads as one: the equivalent demand of each scenario.

It is found scenario by scenario, each with its own draw, before anything is averaged: what the
loads of a path do together depends on all of them (`decider.use`).

Shapes: F further loads, S paths, N scenarios, H horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from decider.tables.pairing import Spreading, paired_draws
from decider.types import FloatArray, ShardRequest
from decider.use import log_use


@dataclass(frozen=True, slots=True, eq=False)
class UsablePaths:
    """Usable paths of one workload.

    Attributes:
        demand: (S, H).
        further: (F, S, H) further loads; path s of each belongs with path s of the demand.
    """

    demand: FloatArray
    further: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class LoadPaths:
    """Loads of one workload, and what a replica carries of each alone.

    Attributes:
        paths: Its usable paths.
        capacity: (1+F, N) capacity for each alone, by scenario.
        sharing: (N,) sharing exponents; None: the tightest load binds.
        spreading: How scenarios are made of the paths.
    """

    paths: UsablePaths
    capacity: FloatArray
    sharing: FloatArray | None
    spreading: Spreading

    @classmethod
    def of(
        cls, request: ShardRequest, row: int, paths: UsablePaths, spreading: Spreading
    ) -> LoadPaths:
        """The loads of the workload in `row`: with its response, else as stated.

        Args:
            request: The shard.
            row: The workload.
            paths: Its usable paths.
            spreading: How scenarios are made of them.
        """
        n = paths.demand.shape[0] * spreading.n_pairs
        response = request.response(row)
        if response is not None:
            picked = paired_draws(response.capacity.size, n)
            capacity = np.vstack([response.capacity, response.further.T])[:, picked]
            return cls(paths, capacity, response.sharing[picked], spreading)
        draws = request.capacity_draws[row]
        further = np.array(request.workloads[row].further_capacity)
        alone = draws[paired_draws(draws.size, n)]
        capacity = np.vstack([alone, np.repeat(further[:, None], n, axis=1)])
        return cls(paths, capacity, None, spreading)

    def equivalent(self, demand: FloatArray) -> FloatArray:
        """(N, H) equivalent demand of each scenario, by its own draw.

        Args:
            demand: (N, H) the demand itself in each scenario.
        """
        loads = self.spreading.scenarios(self.paths.further)
        if self.sharing is None:
            others = loads * (self.capacity[0] / self.capacity[1:])[:, :, None]
            return np.asarray(np.maximum(demand, others.max(axis=0)))
        with np.errstate(divide="ignore"):
            log_share = np.log(np.concatenate([demand[None], loads]))
        log_share -= np.log(self.capacity)[:, :, None]
        use = np.exp(log_use(log_share, self.sharing[:, None]))
        return np.asarray(use * self.capacity[0][:, None])

    def shares(self, step: int) -> FloatArray:
        """(1+F, N) share of its own capacity that each load takes of one replica, in one step."""
        at = slice(step, step + 1)
        paths = np.concatenate([self.paths.demand[None, :, at], self.paths.further[:, :, at]])
        return np.asarray(self.spreading.scenarios(paths)[:, :, 0] / self.capacity)
