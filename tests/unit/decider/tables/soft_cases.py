"""Shards whose workloads have a response, and their tables by brute force."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from decider import MissDraws, ShardRequest, Sla, WorkloadInput, equivalent_capacity
from decider.belief.misses import bad_probability, effective_concentration
from decider.tables.pairing import paired_draws
from decider.tables.scenarios import Scenarios
from decider.types import FloatArray, IntArray, RiskKind
from tests.unit.decider.shards import shard, workload

N_DRAWS = 8


def response(
    seed: int = 0, spread: float = 1.0, n_draws: int = N_DRAWS, **given: float
) -> MissDraws:
    """Draws about a capacity of 10 and a slope of 8."""
    rng = np.random.default_rng(seed)
    middle = {"capacity": 10.0, "slope": 8.0, "concentration": 60.0} | given
    widths = {"capacity": 0.1, "slope": 0.3, "concentration": 0.5}
    values = {
        name: middle[name] * np.exp(spread * width * rng.standard_normal(n_draws))
        for name, width in widths.items()
    }
    floor = np.full(n_draws, given.get("floor", 0.01))
    return MissDraws(values["capacity"], values["slope"], floor, values["concentration"])


def sla(kind: RiskKind = "DemandFraction", epsilon: float | None = 0.01) -> Sla:
    return Sla(epsilon, kind, good_share=0.95)


def soft_shard(
    paths: np.ndarray,
    responses: list[MissDraws | None],
    workloads: list[WorkloadInput] | None = None,
    *,
    like: ShardRequest | None = None,
    **given: Any,
) -> ShardRequest:
    """A shard with responses; the capacities of those that have one are the equivalent ones.

    The rest is that of `like`, where it is given.
    """
    paths = np.asarray(paths, dtype=float)
    paths = paths[None] if paths.ndim == 2 else paths
    owners = workloads or [workload(f"w{i}", sla=sla()) for i in range(len(responses))]
    request = shard(paths, owners, **given)
    if like is not None:
        request = replace(like, workloads=tuple(owners))
    size = max([N_DRAWS, *(r.capacity.size for r in responses if r is not None)])
    rows = [
        request.capacity_draws[row]
        if r is None
        else equivalent_capacity(r, owners[row].sla, owners[row].requests_per_step)
        for row, r in enumerate(responses)
    ]
    capacity = np.stack([np.resize(row, size) for row in rows])
    return replace(request, capacity_draws=capacity, responses=tuple(responses))


def brute_force(
    request: ShardRequest, scenarios: Scenarios, row: int, counts: IntArray
) -> tuple[FloatArray, FloatArray]:
    """(H, K) `violation` and `unmet` of one workload, scenario by scenario."""
    owner, draws = request.workloads[row], request.responses[row]
    assert draws is not None
    demand = scenarios.demand[row]
    n, horizon = demand.shape
    picked = paired_draws(draws.capacity.size, n)
    total = effective_concentration(draws.concentration, owner.requests_per_step)
    risk, weighted = (np.zeros((horizon, counts.size)) for _ in range(2))
    for s in range(n):
        p = picked[s]
        for h in range(horizon):
            for k, count in enumerate(counts):
                share = one_risk(draws, int(p), owner, float(total[p]), demand[s, h], int(count))
                risk[h, k] += share
                weighted[h, k] += share * demand[s, h]
    return risk / n, weighted / (n * demand.mean())


def one_risk(
    draws: MissDraws, p: int, owner: WorkloadInput, total: float, demand: float, count: int
) -> float:
    if demand == 0 or count == 0:
        return float(demand > 0)
    log_odds = draws.slope[p] * (np.log(demand / count) - np.log(draws.capacity[p]))
    if owner.sla.kind == "DemandFraction":
        return float(1.0 / (1.0 + np.exp(-np.clip(log_odds, -500, 500))))
    allowed = 1.0 - float(owner.sla.good_share or 0.0)
    return float(bad_probability(np.array(log_odds), np.array(total), allowed))
