"""The price of risk: from a risk level to the multiplier that makes the plan keep it.

Shapes: W workloads, S scenarios, H horizon, L multipliers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from decider.planning.plan import Plan, Program, solve
from decider.planning.pool_risk import PoolRisk
from decider.tables.scenarios import Scenarios, StepTables
from decider.tables.soft_response import Soft
from decider.types import BoolArray, FloatArray, IntArray, ShardRequest

RiskOf = Callable[[Plan], FloatArray]


@dataclass(frozen=True, slots=True)
class Judged:
    """What plans are judged by, besides the tables.

    Attributes:
        scenarios: Demand and capacity.
        soft: Responses by row.
        services: Joint risks of the services that have pools.
    """

    scenarios: Scenarios
    soft: Mapping[int, Soft]
    services: Sequence[PoolRisk]


@dataclass(frozen=True, slots=True)
class Frontier:
    """Plans over a grid of multipliers, dearest risk last.

    Attributes:
        multiplier: (L,).
        risk: (L, W) risk of the plan under each.
    """

    multiplier: FloatArray
    risk: FloatArray


def step_risk(request: ShardRequest, tables: StepTables) -> FloatArray:
    """(W, H, K) the step risk of each workload's own kind.

    `AnyInWindow` uses the violation probability too: the sum of a union's terms prices the
    plan, and the joint paths judge it (`any_in_window`).
    """
    is_demand = np.array([w.sla.kind == "DemandFraction" for w in request.workloads])
    if not is_demand.any():
        return tables.violation
    return np.where(is_demand[:, None, None], tables.unmet, tables.violation)


def any_in_window(
    scenarios: Scenarios,
    counts: IntArray,
    lead_steps: IntArray,
    soft: Mapping[int, Soft] = MappingProxyType({}),
) -> FloatArray:
    """(W,) probability that a plan has any violation in the horizon, over joint paths.

    A step's capacity is the least of the counts that were planned within a lead time before it;
    steps before the first landing are not the plan's to answer for. Under a response a violation
    is a bad step.

    Args:
        scenarios: Demand and capacity.
        counts: (W, H) planned counts.
        lead_steps: (W,) whole steps until a start lands.
        soft: By row, the responses of workloads that have one and promise that no step is bad.
    """
    served, answers = _in_force(counts, lead_steps)
    out = (scenarios.need > served[:, None, :]) & answers[:, None, :]
    joint = np.asarray(out.any(axis=2).mean(axis=1))
    for row, one in soft.items():
        steps = answers[row]
        joint[row] = one.any_bad(scenarios.demand[row][:, steps], served[row, steps])
    return joint


def _in_force(counts: IntArray, lead_steps: IntArray) -> tuple[IntArray, BoolArray]:
    """(W, H) counts that serve, and whether the plan answers for the step."""
    horizon = counts.shape[1]
    step = np.arange(horizon)
    served = counts.copy()
    for lag in range(1, int(lead_steps.max(initial=0)) + 1):
        earlier = counts[:, np.maximum(step - lag, 0)]
        served = np.where(lag <= lead_steps[:, None], np.minimum(served, earlier), served)
    answers = step[None, :] >= np.minimum(lead_steps, horizon - 1)[:, None]
    return served, answers


def plan_risk(
    request: ShardRequest,
    program: Program,
    judged: Judged,
    lead_steps: IntArray,
) -> RiskOf:
    """Make the measure of a plan's risk: mean over its decisions, joint for `AnyInWindow`.

    The pools of a service have their joint risk, all of them the same.
    """
    is_any = np.array([w.sla.kind == "AnyInWindow" for w in request.workloads])
    joint_soft = {row: one for row, one in judged.soft.items() if is_any[row]}

    terms = {one.rows[0]: one.all_terms() for one in judged.services if not is_any[one.rows[0]]}

    def risk_of(plan: Plan) -> FloatArray:
        if not is_any.any() and not judged.services:
            return plan.mean_risk
        counts = np.take_along_axis(program.grid.counts, plan.index, axis=1)
        risk = plan.mean_risk
        if is_any.any():
            joint = any_in_window(judged.scenarios, counts, lead_steps, joint_soft)
            risk = np.where(is_any, joint, risk)
        risk = risk.copy()
        for one in judged.services:
            at = list(one.rows)
            if is_any[at[0]]:
                risk[at] = one.any_in_window(*_in_force(counts[at], lead_steps[at]))
            else:
                risk[at] = one.plan(risk[at], counts[at], terms[at[0]])
        return risk

    return risk_of


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """Grid and bisection of the multiplier search."""

    n_multipliers: int
    n_bisections: int
    max_multiplier: float
    first_step_ratio: float


def trace_frontier(program: Program, risk_of: RiskOf, search: SearchConfig) -> Frontier:
    """Solve the programme on a logarithmic grid of multipliers."""
    n = program.current.size
    grid = np.geomspace(0.3, search.max_multiplier, search.n_multipliers)
    risks = []
    for value in grid:
        plan = solve(program, np.full(n, value))
        risks.append(np.maximum(risk_of(plan), 0.0))
    return Frontier(grid, np.stack(risks))


def within_reach(level: FloatArray, frontier: Frontier, broken: Sequence[PoolRisk]) -> FloatArray:
    """(W,) levels to search for; of a broken service what is added to the least that it can have.

    A pool that has reached its most replicas is short whatever the others do: they are not to pay
    any price for what they cannot cure.

    Args:
        level: (W,) levels.
        frontier: Plans over a grid of multipliers.
        broken: Services whose promise one of their pools breaks by itself.
    """
    reached = level.copy()
    for one in broken:
        at = list(one.rows)
        reached[at] += frontier.risk[:, at].min(axis=0)
    return reached


def search_multiplier(
    program: Program,
    risk_of: RiskOf,
    level: FloatArray,
    frontier: Frontier,
    search: SearchConfig,
) -> tuple[FloatArray, BoolArray]:
    """Smallest multiplier whose plan keeps the level: bisection on the logarithm.

    Args:
        program: The problem.
        risk_of: Judge of plans.
        level: (W,) risk level; infinite where prices alone decide.
        frontier: Grid plans, the bisection's starting brackets.
        search: Settings.

    Returns:
        (W,) multiplier, and (W,) whether any multiplier keeps the level.
    """
    keeps = frontier.risk <= level[None, :] + 1e-12
    feasible = np.asarray(keeps.any(axis=0))
    last = len(frontier.multiplier) - 1
    at = np.where(feasible, np.argmax(keeps, axis=0), last)
    high = np.log(frontier.multiplier[at])
    low = np.where(at > 0, np.log(frontier.multiplier[np.maximum(at - 1, 0)]), high - 1.0)
    for _ in range(search.n_bisections):
        middle = 0.5 * (low + high)
        kept = risk_of(solve(program, np.exp(middle))) <= level + 1e-12
        high = np.where(feasible & kept, middle, high)
        low = np.where(feasible & ~kept, middle, low)
    return np.exp(high), feasible
