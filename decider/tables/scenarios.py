"""Scenario tables: what each candidate count risks in each step.

Shapes: W workloads, S scenarios, H horizon, K candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType

import numpy as np

from decider.belief.capacity import replicas_needed
from decider.tables.candidates import CandidateGrid
from decider.tables.landing import LandingWeights
from decider.tables.load_paths import LoadPaths, UsablePaths
from decider.tables.pairing import Spreading, paired_draws
from decider.types import FloatArray, IntArray, ShardRequest


@dataclass(frozen=True, slots=True)
class Scenarios:
    """Demand paths paired with capacity draws.

    Attributes:
        demand: (W, S, H) equivalent demand: what replicas are needed for.
        capacity: (W, S, 1).
        need: (W, S, H) replicas needed.
        raw: (W, S, H) the demand itself: what a promise of requests is weighed by; of a pool that
            of its service. The same array where no workload has further loads or pools.
        loads: By row, the loads of the workloads that have several.
        has_sharp_pools: Pools of some service have no response.
    """

    demand: FloatArray
    capacity: FloatArray
    need: FloatArray
    raw: FloatArray
    loads: Mapping[int, LoadPaths]
    has_sharp_pools: bool = False

    def rows(self, some: IntArray) -> Scenarios:
        """Scenarios of some workloads; `loads` stay those of the shard."""
        names = ("demand", "capacity", "need", "raw")
        return replace(self, **{name: getattr(self, name)[some] for name in names})


@dataclass(frozen=True, slots=True)
class StepTables:
    """Exact Monte Carlo sums per step when `counts` replicas are ready throughout.

    Attributes:
        violation: (W, H, K) V, probability that the step is out of SLA.
        unmet: (W, H, K) share of the horizon's mean step demand that arrives while out of SLA.
        shortage: (W, H, K) U, expected unserved load in replicas.
    """

    violation: FloatArray
    unmet: FloatArray
    shortage: FloatArray


@dataclass(frozen=True, slots=True)
class StageTables:
    """Risk and shortage that a decision at boundary j answers for, in step units.

    Attributes:
        own_risk: (W, H, K) risk in the time that decision j owns, by count.
        drop_risk: (W, H, K) risk in the time before, were capacity only `count`; a drop from a to
            b at j adds `drop[b] - drop[a]`.
        own_shortage: (W, H, K) as `own_risk`, for the shortage.
        drop_shortage: (W, H, K) as `drop_risk`, for the shortage.
        held_risk: (W,) risk in the time before what the first decision owns, if nothing drops.
        held_shortage: (W,) the same for the shortage.
    """

    own_risk: FloatArray
    drop_risk: FloatArray
    own_shortage: FloatArray
    drop_shortage: FloatArray
    held_risk: FloatArray
    held_shortage: FloatArray

    def rows(self, some: IntArray) -> StageTables:
        """The tables of some workloads."""
        return StageTables(*(getattr(self, one.name)[some] for one in fields(self)))


def make_scenarios(
    request: ShardRequest,
    paths: FloatArray,
    spreading: Spreading | None = None,
    further: Mapping[int, FloatArray] = MappingProxyType({}),
    of_soft: Spreading | None = None,
) -> Scenarios:
    """Pair every path with capacity draws and spread factors (a fixed assignment).

    A path's loads are spread alike, each around its own mean, and then taken as one demand. Where a
    response is known they are spread by another factor (docs/decisions/0073).

    Args:
        request: The shard.
        paths: (W, S, H) usable paths.
        spreading: How paths are spread of who has no response; None: they are taken as they are.
        further: By row, (F, S, H) usable paths of its further loads.
        of_soft: The same of who has a response; None: as many scenarios of paths as they are.
    """
    n_draws = request.capacity_draws.shape[1]
    spreading = Spreading() if spreading is None else spreading
    of_soft = replace(spreading, sigma=0.0) if of_soft is None else of_soft
    soft = [row for row in range(len(request.workloads)) if request.response(row) is not None]
    raw = spreading.scenarios(paths)
    if soft and spreading.n_pairs > 1:
        raw[soft] = of_soft.scenarios(paths[soft])
    loads = {
        row: LoadPaths.of(
            request, row, UsablePaths(paths[row], more), of_soft if row in soft else spreading
        )
        for row, more in further.items()
    }
    demand = raw.copy() if loads else raw
    for row, one in loads.items():
        demand[row] = one.equivalent(raw[row])
    picked = paired_draws(n_draws, demand.shape[1])
    services = request.services()
    if services:
        raw = raw.copy()
        for rows in services.values():
            raw[list(rows)] = raw[_demand_row(request, rows)]
    capacity = request.capacity_draws[:, picked][:, :, None]
    is_sharp = any(request.response(rows[0]) is None for rows in services.values())
    return Scenarios(demand, capacity, replicas_needed(demand, capacity), raw, loads, is_sharp)


def _demand_row(request: ShardRequest, rows: tuple[int, ...]) -> int:
    """Row of the pool that the demand of a service falls on."""
    pools = {row: request.workloads[row].pool for row in rows}
    return next(row for row, pool in pools.items() if pool is not None and 0 in pool.loads)


def step_tables(scenarios: Scenarios, grid: CandidateGrid) -> StepTables:
    """V, the unmet share and U for every step and candidate: O(S H + H K) per workload."""
    n, n_scenarios, horizon = scenarios.need.shape
    size = grid.counts.shape[1]
    low, stride = grid.low[:, None, None], grid.stride[:, None, None]
    # need > low + stride * i  <=>  ceil((need - low) / stride) > i
    bins = np.clip(np.ceil((scenarios.need - low) / stride), 0, size).astype(np.int64)
    for i in np.flatnonzero(grid.is_uneven):
        bins[i] = np.searchsorted(grid.counts[i], scenarios.need[i])
    row = np.arange(n)[:, None, None] * horizon + np.arange(horizon)
    flat = (row * (size + 1) + bins).ravel()

    def above(weights: FloatArray | None) -> FloatArray:
        length = n * horizon * (size + 1)
        flat_weights = None if weights is None else np.ascontiguousarray(weights).ravel()
        sums = np.bincount(flat, flat_weights, minlength=length).reshape(n, horizon, size + 1)
        # From the top down, so that where nothing lies above the sum is exactly zero.
        return np.cumsum(sums[:, :, :0:-1], axis=2)[:, :, ::-1].astype(float)

    broad = np.broadcast_to(scenarios.capacity, scenarios.need.shape)
    mean_capacity = scenarios.capacity.mean(axis=1)[:, :, None]
    demand_above = above(scenarios.demand)
    shortage = demand_above - grid.counts[:, None, :] * above(broad)
    # With a response all this is found anew: see `decider.tables.soft_tables`.
    is_sharp = any(one.sharing is None for one in scenarios.loads.values())
    is_sharp = is_sharp or scenarios.has_sharp_pools
    raw_above = above(scenarios.raw) if is_sharp else demand_above
    step_demand = np.ascontiguousarray(scenarios.raw.mean(axis=1)).mean(axis=1)
    scale = np.maximum(step_demand, 1e-300)[:, None, None] * n_scenarios
    return StepTables(
        above(None) / n_scenarios,
        raw_above / scale,
        np.maximum(shortage, 0.0) / (n_scenarios * mean_capacity),
    )


def _ready_index(
    request: ShardRequest, grid: CandidateGrid, weights: LandingWeights, *, is_drop: bool
) -> IntArray:
    """(W, G+1, K) table index of what is ready in landing state g when k are asked for.

    Asking for fewer removes what is not ready first: `min(k, ready + landed)`. Asking for more
    adds starts that have landed in the time that the decision owns.
    """
    spec = np.array([w.replicas.spec for w in request.workloads])[:, None, None]
    ready = np.array([min(w.replicas.ready, w.replicas.spec) for w in request.workloads])
    available = ready[:, None, None] + weights.landed[:, :, None]
    counts = grid.counts[:, None, :]
    kept = np.minimum(counts, available)
    if not is_drop:
        kept = np.where(counts > spec, available + counts - spec, kept)
    return grid.index_of(kept)


def _mix(table: FloatArray, index: IntArray, weights: FloatArray) -> FloatArray:
    """Sum over landing states: (W, H, K) of `weights[h, g] * table[h, index[g, k]]`."""
    total = np.zeros((table.shape[0], table.shape[1], index.shape[2]))
    for g in range(index.shape[1]):
        picked = np.take_along_axis(table, index[:, None, g, :], axis=2)
        total += weights[:, :, g, None] * picked
    return total


def _later(table: FloatArray, weights: FloatArray) -> FloatArray:
    """(W, H, K) sum over d of `weights[d] * table[min(j + d, H - 1)]` for every boundary j."""
    horizon = table.shape[1]
    total = np.zeros_like(table)
    for d in range(horizon):
        if not weights[:, d].any():
            continue
        step = np.minimum(np.arange(horizon) + d, horizon - 1)
        total += weights[:, d, None, None] * table[:, step]
    return total


def stage_tables(
    request: ShardRequest,
    grid: CandidateGrid,
    weights: LandingWeights,
    risk: FloatArray,
    shortage: FloatArray,
) -> StageTables:
    """Turn step tables into what each decision answers for.

    Args:
        request: The shard.
        grid: Candidates.
        weights: Landing weights.
        risk: (W, H, K) step risk of the workload's kind.
        shortage: (W, H, K) step shortage.
    """
    asked = _ready_index(request, grid, weights, is_drop=False)
    kept = _ready_index(request, grid, weights, is_drop=True)
    spec = np.array([[w.replicas.spec] for w in request.workloads])
    ready = np.array([[min(w.replicas.ready, w.replicas.spec)] for w in request.workloads])
    held = grid.index_of(np.minimum(spec, ready + weights.landed))[:, :, None]

    def build(table: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        usual = _mix(table, asked, weights.arrival)
        own, drop = _later(usual, weights.own_later), _later(usual, weights.drop_later)
        own[:, 0] = _total(_mix(table, asked, weights.own_first))
        drop[:, 0] = _total(_mix(table, kept, weights.drop_first))
        before = _total(_mix(table, held, weights.drop_first))[:, 0]
        return own, drop, before

    own_risk, drop_risk, held_risk = build(risk)
    own_shortage, drop_shortage, held_shortage = build(shortage)
    return StageTables(own_risk, drop_risk, own_shortage, drop_shortage, held_risk, held_shortage)


def _total(table: FloatArray) -> FloatArray:
    """Sum over steps, one after the other, so that a row's sum does not depend on its shard."""
    total = np.zeros((table.shape[0], table.shape[2]))
    for h in range(table.shape[1]):
        total += table[:, h]
    return total
