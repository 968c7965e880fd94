"""Joint scenarios of a service's pools: what their counts miss together.

A scenario is one joint path of all loads with one posterior draw. Each pool's loads take a use of
its own replicas, and what requests miss follows from the uses together, with the service's sharing
exponent (`decider.use`). Without a response a step is out of SLA where any pool is short.

Shapes: P pools, F further loads of the service, S scenarios, H horizon, M moments: a step with a
count of every pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from decider.tables.pairing import paired_draws
from decider.tables.scenarios import Scenarios
from decider.tables.soft_response import Soft
from decider.types import FloatArray, IntArray, ShardRequest
from decider.use import log_use

N_AT_ONCE = 64
"""Moments whose scenarios are held at once: few enough for a processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class PoolDraws:
    """The service's response, paired with the scenarios.

    Attributes:
        log_use: (P, H, S) logarithm of what one replica of each pool would be used; -inf: nothing.
        slope: (S,) slopes.
        sharing: (S,) sharing exponents.
        index: (S,) classes of bad steps; empty for a promise of requests.
        soft: The response under the promise.
    """

    log_use: FloatArray
    slope: FloatArray
    sharing: FloatArray
    index: IntArray
    soft: Soft

    @classmethod
    def of(
        cls, request: ShardRequest, rows: tuple[int, ...], scenarios: Scenarios, soft: Soft
    ) -> PoolDraws:
        """Draws of the service in `rows`."""
        whole = request.responses[rows[0]]
        assert whole is not None, "the caller found a response"
        picked = paired_draws(whole.capacity.size, scenarios.demand.shape[1])
        uses = []
        for row in rows:
            own = request.response(row)
            assert own is not None, "the pools of a service have one response"
            with np.errstate(divide="ignore"):
                log_demand = np.log(scenarios.demand[row].T.astype(float))
            uses.append(log_demand - np.log(own.capacity[picked]))
        index = soft.index[picked] if soft.bad is not None else soft.index
        return cls(np.stack(uses), whole.slope[picked], whole.sharing[picked], index, soft)

    def log_odds(self, steps: IntArray, counts: FloatArray) -> FloatArray:
        """(M, S) log odds of the share that misses; -inf without load, inf without replicas."""
        with np.errstate(divide="ignore"):
            log_counts = np.log(counts.T)[:, :, None]
        load = self.log_use[:, steps]
        with np.errstate(invalid="ignore"):
            share = np.where(np.isneginf(load), -np.inf, load - log_counts)
        return np.asarray(self.slope * log_use(share, self.sharing))

    def out(self, log_odds: FloatArray) -> FloatArray:
        """(M, S) what the promise counts: the share that misses, or that the step is bad."""
        if self.soft.bad is None:
            return np.asarray(expit(log_odds))
        return self.soft.bad.probability(log_odds.T, self.index).T


@dataclass(frozen=True, slots=True, eq=False)
class PoolScenarios:
    """What the pools of one service miss together.

    Attributes:
        rows: (P,) their rows in the shard.
        need: (P, H, S) replicas needed of each.
        weight: (H, S) requests over their mean; None: a promise of time.
        draws: The response; None: every pool has a sharp edge.
    """

    rows: tuple[int, ...]
    need: FloatArray
    weight: FloatArray | None
    draws: PoolDraws | None

    @classmethod
    def of(
        cls,
        request: ShardRequest,
        rows: tuple[int, ...],
        scenarios: Scenarios,
        soft: Mapping[int, Soft],
    ) -> PoolScenarios:
        """The scenarios of the service in `rows`; all of its pools are planned, or none is."""
        requests = scenarios.raw[rows[0]].T.astype(float)
        is_of_requests = request.workloads[rows[0]].sla.kind == "DemandFraction"
        mean = max(float(np.ascontiguousarray(requests).mean()), 1e-300)
        one = soft.get(rows[0])
        return cls(
            rows,
            np.ascontiguousarray(scenarios.need[list(rows)].transpose(0, 2, 1)),
            requests / mean if is_of_requests else None,
            None if one is None else PoolDraws.of(request, rows, scenarios, one),
        )

    def risk(self, steps: IntArray, counts: FloatArray) -> FloatArray:
        """(M,) risk of steps (M,) on counts (M, P) that are ready throughout."""
        found = np.empty(steps.size)
        for first in range(0, steps.size, N_AT_ONCE):
            at = slice(first, first + N_AT_ONCE)
            out = self.out(steps[at], counts[at])
            if self.weight is not None:
                out = out * self.weight[steps[at]]
            found[at] = np.ascontiguousarray(out).mean(axis=1)
        return found

    def any_out(self, counts: FloatArray) -> float:
        """Probability that any step is out of SLA, over joint paths, on counts (H, P).

        Given a scenario's draw, the scatter of one step is none of another's.
        """
        out = self.out(np.arange(counts.shape[0]), counts)
        return float((1.0 - np.prod(1.0 - out, axis=0)).mean())

    def out(self, steps: IntArray, counts: FloatArray) -> FloatArray:
        """(M, S) what each scenario counts for: a share that misses, or a chance to be out."""
        if self.draws is not None:
            return self.draws.out(self.draws.log_odds(steps, counts))
        is_short = self.need[:, steps] > counts.T[:, :, None]
        return is_short.any(axis=0).astype(float)

    def missed(self, step: int, counts: FloatArray) -> FloatArray:
        """(S,) share of a step's requests that counts (P,) could cure but do not, by scenario."""
        steps = np.array([step])
        if self.draws is None:
            return np.asarray(self.out(steps, counts[None])[0])
        return np.asarray(expit(self.draws.log_odds(steps, counts[None])[0]))
