"""A shard's outlook: the tables, the risk levels and the plan, before any guard.

Shapes: W workloads, S paths, H horizon, K candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from decider.config import DecideConfig
from decider.planning.backlog import with_backlog
from decider.planning.candidates import CandidateGrid, make_grid
from decider.planning.fallback import Standing
from decider.planning.landing import LandingWeights, landing_weights
from decider.planning.plan import Plan, Program, first_charge, solve
from decider.planning.risk import RiskLevel, risk_level
from decider.planning.scenarios import (
    Scenarios,
    StepTables,
    make_scenarios,
    stage_tables,
    step_tables,
)
from decider.planning.soft_response import Soft, floor_loads, soft_responses, top_need
from decider.planning.soft_tables import soften
from decider.planning.utility import (
    SearchConfig,
    plan_risk,
    search_multiplier,
    step_risk,
    trace_frontier,
)
from decider.types import BoolArray, FloatArray, IntArray, ShardRequest


@dataclass(frozen=True, slots=True)
class Outlook:
    """Everything known about a shard before the guards.

    Attributes:
        scenarios: Demand and capacity.
        grid: Candidates.
        weights: Landing weights.
        steps: Step tables.
        program: The planning problem.
        plan: Its solution.
        levels: Risk level per workload; None where prices alone decide.
        level: (W,) the same as numbers; infinite where prices alone decide.
        charge: (W, K) risk that each first action answers for.
        multiplier: (W,) price of risk in use; 0 where there is none.
        is_feasible: (W,) whether some allowed count keeps the level.
        first_limit: (W,) bound on the risk of the first action.
        floor_load: (W,) load of one replica that the reactive floor counts on.
        owned_step: (W,) step that the decision made now mostly answers for.
    """

    scenarios: Scenarios
    grid: CandidateGrid
    weights: LandingWeights
    steps: StepTables
    program: Program
    plan: Plan
    levels: tuple[RiskLevel | None, ...]
    level: FloatArray
    charge: FloatArray
    multiplier: FloatArray
    is_feasible: BoolArray
    first_limit: FloatArray
    floor_load: FloatArray
    owned_step: IntArray

    def first(self) -> IntArray:
        """(W,) planned first counts."""
        rows = np.arange(self.plan.index.shape[0])
        return np.asarray(self.grid.counts[rows, self.plan.index[:, 0]])

    def risk_at(self, replicas: IntArray) -> FloatArray:
        """(W,) risk that choosing `replicas` now answers for."""
        index = self.grid.index_of(replicas)
        return np.take_along_axis(self.charge, index[:, None], axis=1)[:, 0]


def usable_paths(request: ShardRequest, standings: list[Standing]) -> FloatArray:
    """(W, S, H) paths shifted by their age; zero where they cannot be planned with."""
    paths = np.asarray(request.paths, dtype=float)
    if all(s.is_planned and s.age_steps == 0 for s in standings):
        return paths
    paths = paths.copy()
    for row, standing in enumerate(standings):
        paths[row] = _usable(paths[row], standing)
    return paths


def usable_further(request: ShardRequest, standings: list[Standing]) -> dict[int, FloatArray]:
    """By row, (F, S, H) paths of the further loads, as `usable_paths`."""
    given = ((row, request.further(row)) for row in range(len(standings)))
    return {row: _usable(f, standings[row]) for row, f in given if f is not None}


def _usable(paths: FloatArray, standing: Standing) -> FloatArray:
    """Paths (..., H) of one workload."""
    if not standing.is_planned:
        return np.zeros_like(paths)
    if standing.age_steps == 0:
        return paths
    kept = paths[..., standing.age_steps :]
    padding = np.repeat(kept[..., -1:], standing.age_steps, axis=-1)
    return np.concatenate([kept, padding], axis=-1)


def make_program(
    request: ShardRequest,
    paths: FloatArray,
    elapsed: FloatArray,
    config: DecideConfig,
    soft: dict[int, Soft],
    further: Mapping[int, FloatArray] = MappingProxyType({}),
) -> tuple[Scenarios, LandingWeights, StepTables, Program]:
    """Build the scenario tables and the planning problem.

    Args:
        request: The shard.
        paths: (W, S, H) usable paths.
        elapsed: (W,) share of the present step that has passed.
        config: Settings.
        soft: Responses by row.
        further: By row, (F, S, H) usable paths of further loads.
    """
    scenarios = make_scenarios(request, paths, config.n_pairs, config.spread_sigma, further)
    weights = landing_weights(request, elapsed)
    scenarios = with_backlog(request, scenarios, weights, elapsed, config.max_backlog_steps)
    is_dear = config.shortage_price_ratio > 1.0
    grid = make_grid(
        request.workloads,
        scenarios.need,
        config.max_candidates,
        is_unserved_dear=is_dear,
        top_need=top_need(soft, scenarios.demand),
    )
    steps = soften(soft, scenarios, grid, step_tables(scenarios, grid))
    stages = stage_tables(request, grid, weights, step_risk(request, steps), steps.shortage)
    current = np.array([w.replicas.spec for w in request.workloads], dtype=np.int64)
    program = Program(
        grid,
        stages,
        current,
        config.shortage_price_ratio,
        config.start_cost_steps,
        config.stop_cost_steps,
    )
    return scenarios, weights, steps, program


def look_ahead(request: ShardRequest, standings: list[Standing], config: DecideConfig) -> Outlook:
    """Plan a shard.

    Args:
        request: The shard.
        standings: Where each workload stands on the fallback ladder.
        config: Settings.
    """
    paths = usable_paths(request, standings)
    elapsed = np.array([s.elapsed_ratio for s in standings])
    soft = soft_responses(request)
    further = usable_further(request, standings)
    scenarios, weights, steps, program = make_program(
        request, paths, elapsed, config, soft, further
    )
    levels = tuple(
        risk_level(w.risk, w.sla, request.step_s, config.risk) for w in request.workloads
    )
    level = np.array([np.inf if x is None else x.level for x in levels])
    plan, multiplier, first_limit = _solve(request, program, scenarios, level, config, soft)
    charge = first_charge(program)
    least = np.where(program.grid.is_allowed, charge, np.inf).min(axis=1)
    return Outlook(
        scenarios,
        program.grid,
        weights,
        steps,
        program,
        plan,
        levels,
        level,
        charge,
        multiplier,
        np.asarray(least <= level + 1e-12),
        first_limit,
        floor_loads(soft, request.capacity_draws.mean(axis=1)),
        weights.owned_step,
    )


def _solve(
    request: ShardRequest,
    program: Program,
    scenarios: Scenarios,
    level: FloatArray,
    config: DecideConfig,
    soft: dict[int, Soft],
) -> tuple[Plan, FloatArray, FloatArray]:
    """Solve; returns the multipliers and the limits of the first action's risk too."""
    priced = np.isinf(level)
    is_any = np.array([w.sla.kind == "AnyInWindow" for w in request.workloads])
    carried = np.array([w.risk.log_multiplier is not None for w in request.workloads])
    carried &= ~priced & ~is_any
    searched = ~priced & ~carried
    held = np.array([w.risk.log_multiplier or 0.0 for w in request.workloads])
    multiplier = np.where(carried, np.exp(held), 0.0)
    if searched.any():
        lead = lead_steps(request)
        search = SearchConfig(
            config.n_multipliers,
            config.n_bisections,
            config.max_multiplier,
            config.first_step_ratio,
        )
        risk_of = plan_risk(request, program, scenarios, lead, soft)
        frontier = trace_frontier(program, risk_of, search)
        found, _ = search_multiplier(program, risk_of, level, frontier, search)
        multiplier = np.where(searched, found, multiplier)
    most = np.minimum(config.first_step_ratio * level, 1.0)
    first_limit = np.where(priced | is_any, np.inf, most)
    return solve(program, multiplier, first_limit), multiplier, first_limit


def lead_steps(request: ShardRequest) -> IntArray:
    """(W,) whole steps until a start has landed, by its median lead time."""
    median = np.median(request.lead_time_draws_s, axis=1) / request.step_s
    return np.asarray(np.floor(median), dtype=np.int64)
