"""The price of risk: from a risk level to the multiplier that makes the plan keep it.

Shapes: W workloads, S scenarios, H horizon, L multipliers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from decider.planning.plan import Plan, Program, solve
from decider.planning.pool_risk import PoolRisk, Terms
from decider.tables.candidates import CandidateGrid
from decider.tables.scenarios import Scenarios, StepTables
from decider.tables.soft_response import Soft
from decider.types import BoolArray, FloatArray, IntArray, ShardRequest

RiskOf = Callable[[Plan, FloatArray], FloatArray]
"""(W,) risk of a plan, given limits (W,). Where it is surely above its limit, another risk that is
above it may stand for it: joint scenarios are looked at where they can change the verdict."""
SETTLED = -np.inf
"""Limit where nothing more is asked of a row."""
TOLERANCE = 1e-12


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
        multiplier: (L, W).
        risk: (L, W) risk of the plan under each; after the first that keeps the level, no risk
            there need be exact.
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
    grid: CandidateGrid,
    judged: Judged,
    lead_steps: IntArray,
    rows: IntArray,
) -> RiskOf:
    """Make the measure of a plan's risk: mean over its decisions, joint for `AnyInWindow`.

    The pools of a service have their joint risk, all of them the same. It is at least that of each
    pool alone: where that is above the limit, it stands for the joint one.

    Args:
        request: The shard.
        grid: Candidates of the workloads that are planned.
        judged: What plans are judged by, of the whole shard.
        lead_steps: (W,) whole steps until a start lands, of the whole shard.
        rows: (R,) rows of the shard that are planned, rising; all pools of a service or none.
    """
    is_any = np.array([request.workloads[row].sla.kind == "AnyInWindow" for row in rows])
    any_at, lead = np.flatnonzero(is_any), lead_steps[rows]
    scenarios = judged.scenarios.rows(rows[any_at])
    soft = {i: judged.soft[row] for i, row in enumerate(rows[any_at]) if row in judged.soft}
    services = [_Service.of(one, rows, is_any) for one in judged.services]

    def risk_of(plan: Plan, limit: FloatArray) -> FloatArray:
        if not any_at.size and not services:
            return plan.mean_risk
        counts = np.take_along_axis(grid.counts, plan.index, axis=1)
        risk = plan.mean_risk.copy()
        if any_at.size:
            risk[any_at] = any_in_window(scenarios, counts[any_at], lead[any_at], soft)
        for one in services:
            at = one.at
            if limit[at[0]] == SETTLED:
                continue
            if one.terms is None:
                risk[at] = one.joint.any_in_window(*_in_force(counts[at], lead[at]))
                continue
            alone = float(risk[at].max())
            is_above = alone > limit[at[0]] + TOLERANCE
            risk[at] = alone if is_above else one.joint.plan(risk[at], counts[at], one.terms)
        return risk

    return risk_of


@dataclass(frozen=True, slots=True, eq=False)
class _Service:
    """A service with pools among the rows that are planned.

    Attributes:
        joint: Its joint risk.
        at: (P,) where its pools are among the rows.
        terms: Time that its decisions answer for; None: a promise about any step of the window.
    """

    joint: PoolRisk
    at: IntArray
    terms: Terms | None

    @classmethod
    def of(cls, joint: PoolRisk, rows: IntArray, is_any: BoolArray) -> _Service:
        """The service of `joint` among `rows` (R,), some of which promise `is_any` (R,)."""
        at = np.searchsorted(rows, joint.rows)
        return cls(joint, at, None if is_any[at[0]] else joint.all_terms())


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """Grid and bisection of the multiplier search."""

    n_multipliers: int
    n_bisections: int
    max_multiplier: float


def search_multiplier(
    program: Program,
    risk_of: RiskOf,
    level: FloatArray,
    is_broken: BoolArray,
    search: SearchConfig,
    most: FloatArray | None = None,
) -> FloatArray:
    """Smallest multiplier whose plan keeps the level: a grid, then bisection on the logarithm.

    Of a broken service the level is for what is added to the least risk that it can have: a pool
    that has reached its most replicas is short whatever the others do, and they are not to pay any
    price for what they cannot cure.

    Args:
        program: The problem.
        risk_of: Judge of plans.
        level: (W,) risk level.
        is_broken: (W,) pools of services whose promise one of their pools breaks by itself.
        search: Settings.
        most: (W,) largest multipliers tried, where they are more than that of the settings.

    Returns:
        (W,) multiplier; where none keeps the level, the largest.
    """
    most = np.maximum(0.0 if most is None else most, np.full(level.size, search.max_multiplier))
    limit = np.where(is_broken, np.inf, level)
    frontier = trace_frontier(program, risk_of, limit, search, most)
    reached = np.where(is_broken, level + frontier.risk.min(axis=0), level)
    keeps = frontier.risk <= reached + TOLERANCE
    feasible = np.asarray(keeps.any(axis=0))
    last = len(frontier.multiplier) - 1
    at, rows = np.where(feasible, np.argmax(keeps, axis=0), last), np.arange(level.size)
    high = np.log(frontier.multiplier[at, rows])
    before = np.log(frontier.multiplier[np.maximum(at - 1, 0), rows])
    low = np.where(at > 0, before, high - 1.0)
    asked = np.where(feasible, reached, SETTLED)
    for _ in range(search.n_bisections):
        middle = 0.5 * (low + high)
        kept = risk_of(solve(program, np.exp(middle)), asked) <= reached + TOLERANCE
        high = np.where(feasible & kept, middle, high)
        low = np.where(feasible & ~kept, middle, low)
    return np.exp(high)


def trace_frontier(
    program: Program, risk_of: RiskOf, limit: FloatArray, search: SearchConfig, most: FloatArray
) -> Frontier:
    """Solve the programme on a logarithmic grid of multipliers, which goes on where it must.

    Args:
        program: The problem.
        risk_of: Judge of plans.
        limit: (W,) level whose first multiplier is looked for; infinite where the risk under every
            multiplier is asked for.
        search: Settings.
        most: (W,) largest multipliers, no less than that of the settings. They are tried only
            where a limit is looked for that no smaller one keeps.
    """
    grid = np.geomspace(0.3, search.max_multiplier, search.n_multipliers).tolist()
    ratio, value = grid[-1] / grid[-2], 0.0
    most = np.where(np.isfinite(limit), most, search.max_multiplier)  # whoever else goes on
    asked, prices, risks = limit.copy(), [np.zeros_like(limit)], []
    while grid or (np.isfinite(asked) & (prices[-1] < most)).any():
        value = grid.pop(0) if grid else value * ratio
        prices.append(np.minimum(value, most))
        risk = np.maximum(risk_of(solve(program, prices[-1]), asked), 0.0)
        asked[np.isfinite(limit) & (risk <= limit + TOLERANCE)] = SETTLED
        risks.append(risk)
    return Frontier(np.stack(prices[1:]), np.stack(risks))
