"""A shard's outlook: the tables, the risk levels and the plan, before any guard.

Shapes: W workloads, S paths, H horizon, K candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from decider.config import DecideConfig
from decider.planning.fallback import Standing
from decider.planning.first_price import first_prices
from decider.planning.joint_limit import prices_within
from decider.planning.plan import Plan, Program, first_charge, solve
from decider.planning.pool_risk import PoolRisk, pool_risks
from decider.planning.prepared import PreparedShard, settled_grid
from decider.planning.risk import RiskLevel, most_asked, risk_level
from decider.planning.utility import (
    Judged,
    SearchConfig,
    plan_risk,
    search_multiplier,
    step_risk,
)
from decider.tables.candidates import CandidateGrid, effective_bounds
from decider.tables.landing import LandingWeights
from decider.tables.mix_survivors import MixSurvival, mix_survival_laws
from decider.tables.scenarios import Scenarios, StepTables
from decider.tables.soft_response import Soft, floor_loads
from decider.tables.survivors import SurvivalLaw, least_within, survival_laws
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
        paid: (W,) the same, but the largest for a pool that breaks the promise at its most replicas
            by itself: nothing that the others do keeps it.
        most_asked: (W,) price of risk that keeping the level may take; 0 in earlier decisions: all
            prices had one bound.
        is_feasible: (W,) whether some allowed count keeps the level.
        first_limit: (W,) bound on the risk of the first action.
        floor_load: (W,) load of one replica that the reactive floor counts on.
        owned_step: (W,) step that the decision made now mostly answers for.
        services: Joint risks of the services that have pools.
        survival: By row, what interruptions of spot nodes leave of any count; of those that have
            replicas there.
        mix_survival: By row, what they leave of any mix; of those whose variants have some there.
        soft: By row, responses under their promise.
        known_risks: Risks with interruptions, by row and count, as far as they were asked for: the
            same counts are asked about again and again.
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
    paid: FloatArray
    most_asked: FloatArray
    is_feasible: BoolArray
    first_limit: FloatArray
    floor_load: FloatArray
    owned_step: IntArray
    services: tuple[PoolRisk, ...] = ()
    survival: Mapping[int, SurvivalLaw] = field(default_factory=dict)
    mix_survival: Mapping[int, MixSurvival] = field(default_factory=dict)
    soft: Mapping[int, Soft] = field(default_factory=dict)
    known_risks: dict[tuple[int, int], float] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def first(self) -> IntArray:
        """(W,) planned first counts."""
        rows = np.arange(self.plan.index.shape[0])
        return np.asarray(self.grid.counts[rows, self.plan.index[:, 0]])

    def risk_at(
        self, replicas: IntArray, mixes: Mapping[int, Sequence[int]] = MappingProxyType({})
    ) -> FloatArray:
        """(W,) risk that choosing `replicas` now answers for; of pools their joint one.

        Args:
            replicas: (W,) counts.
            mixes: By row of `mix_survival`, (V,) counts of the variants; of one without them
                nothing is lost.
        """
        return _joint(self.services, self._alone_at(replicas, mixes), replicas)

    def risk_one_fewer(self, replicas: IntArray, least: IntArray) -> FloatArray:
        """(W,) risk of one replica fewer; infinite where fewer are not allowed.

        Of a service one replica of one pool, which of them risks the least: were each pool lowered
        at once, one of a single replica would be judged at none.

        Args:
            replicas: (W,) counts.
            least: (W,) least counts allowed.
        """
        fewer, may_fall = np.maximum(replicas - 1, 0), replicas > least
        lowered = self._alone_at(fewer)
        risk = np.where(may_fall, lowered, np.inf)
        kept = self._alone_at(replicas) if self.services else lowered
        for one in self.services:
            at = np.array(one.rows)
            is_one = np.eye(at.size, dtype=bool)[may_fall[at]]
            alone = np.where(is_one, lowered[at], kept[at])
            counts = np.where(is_one, fewer[at], replicas[at])
            found = (one.charge(*pair) for pair in zip(alone, counts, strict=True))
            risk[at] = min(found, default=np.inf)
        return risk

    def _alone_at(
        self, replicas: IntArray, mixes: Mapping[int, Sequence[int]] = MappingProxyType({})
    ) -> FloatArray:
        """(W,) risk of each row, as if the other pools of its service never failed."""
        index = self.grid.index_of(replicas)
        risk = np.take_along_axis(self.charge, index[:, None], axis=1)[:, 0]
        for row in self.mix_survival.keys() & mixes.keys():
            own = self.own_risk(row, int(replicas[row]))
            risk[row] += float(self.risks_of_mixes(row, np.array([mixes[row]]))[0]) - own
        for row in self.survival:
            risk[row] += self.risk_of_losses(row, int(replicas[row]))
        return risk

    def level_of_step(self, request: ShardRequest, row: int) -> float:
        """The level of a row for the time that one decision owns; infinite: prices decide."""
        level = float(self.level[row])
        if request.workloads[row].sla.kind == "AnyInWindow":
            level /= request.horizon  # it is for all steps together
        return level

    def own_risk(self, row: int, count: int) -> float:
        """Risk in the time that the decision owns, if none of a count is lost."""
        if self.grid.is_uneven[row]:
            return float(self.owned_risks(row, np.array(count)))
        low, stride = int(self.grid.low[row]), int(self.grid.stride[row])
        at = min(max((count - low) // stride, 0), int(self.grid.last[row]))
        return float(self.program.stages.own_risk[row, 0, at])

    def risk_with_losses(self, row: int, count: int) -> float:
        """The same with interruptions of spot nodes."""
        law = self.survival.get(row)
        if law is None:
            return self.own_risk(row, count)
        if (row, count) not in self.known_risks:
            found = law.expected(partial(self.owned_risks, row), count)
            self.known_risks[row, count] = found
        return self.known_risks[row, count]

    def risk_of_losses(self, row: int, count: int) -> float:
        """What interruptions of spot nodes add to the risk of a row; 0 where none is on one."""
        return self.risk_with_losses(row, count) - self.own_risk(row, count)

    def risks_of_mixes(self, row: int, mixes: IntArray) -> FloatArray:
        """(K,) the same of mixes (K, V), of a row of `mix_survival`."""
        return self.mix_survival[row].expected(partial(self.owned_risks, row), mixes)

    def joint_risk(self, service: PoolRisk, counts: IntArray, weight: float = 1.0) -> float:
        """Risk of a service on counts (P,) of its pools, in the time that the decision owns.

        What interruptions of spot nodes add is in it, weighted, and each pool's by itself: as if no
        other pool failed at that moment.
        """
        alone = [
            self.own_risk(row, int(n)) + weight * self.risk_of_losses(row, int(n))
            for row, n in zip(service.rows, counts, strict=True)
        ]
        return service.charge(np.array(alone), counts)

    def owned_risks(self, row: int, counts: IntArray) -> FloatArray:
        """Risk in the time that the decision owns at counts, in their shape."""
        owned = self.program.stages.own_risk[row, 0]
        return np.asarray(owned[self.grid.row_index(row, counts)])

    def risk_held(self) -> FloatArray:
        """(W,) risk before anything decided now can land; of pools their joint one."""
        held = self.program.stages.held_risk.copy()
        for one in self.services:
            at = list(one.rows)
            held[at] = one.held(held[at])
        return held

    def service_of(self, row: int) -> PoolRisk | None:
        """Joint risk of the service that the pool in `row` belongs to; None: it is no pool."""
        return next((one for one in self.services if row in one.rows), None)


def _joint(services: Sequence[PoolRisk], alone: FloatArray, replicas: IntArray) -> FloatArray:
    """(W,) risk that counts (W,) answer for, from that of each row alone (W,)."""
    risk = alone.copy()
    for one in services:
        at = list(one.rows)
        risk[at] = one.charge(alone[at], replicas[at])
    return risk


def look_ahead(
    request: ShardRequest,
    standings: Sequence[Standing],
    config: DecideConfig,
    known: Mapping[int, Soft] | None = None,
) -> Outlook:
    """Plan a shard.

    Args:
        request: The shard.
        standings: Where each workload stands on the fallback ladder.
        config: Settings.
        known: By row, responses under their promise; None: they are made of the request.
    """
    whole = PreparedShard.of(request, standings, config, known)
    grid = settled_grid(whole, lambda part, grid, _: plan_on(part, grid).first())
    made = plan_on(whole, grid)
    return _with_losses(request, made) if made.survival else made


def plan_on(prepared: PreparedShard, grid: CandidateGrid) -> Outlook:
    """Plan a shard on given candidates; what interruptions take is not judged yet."""
    request, config, soft = prepared.request, prepared.config, prepared.soft
    scenarios, weights = prepared.scenarios, prepared.weights
    steps = prepared.tables(grid)
    program = prepared.program(grid, steps)
    levels = tuple(
        risk_level(w.risk, w.sla, request.step_s, config.risk) for w in request.workloads
    )
    level = np.array([np.inf if x is None else x.level for x in levels])
    own = step_risk(request, steps)
    services = pool_risks(request, scenarios, grid, weights, own, soft)
    judged = Judged(scenarios, soft, services)
    charge = first_charge(program)
    least = np.where(grid.is_allowed, charge, np.inf).min(axis=1)
    is_bound = np.asarray(least > level + 1e-12)
    asked = most_asked(request, grid.top, level) if config.revision > 4 else np.zeros(level.size)
    multiplier = _prices(prepared, program, judged, _PriceAims(level, is_bound, asked))
    is_pool = np.array([w.pool is not None for w in request.workloads])
    largest = np.maximum(config.max_multiplier, asked)
    paid = np.where(is_bound & is_pool, largest, multiplier)
    first_limit = _first_limit(request, level, config)
    if config.revision > 6:
        paid = prices_within(program, services, paid, largest, first_limit)
    plan = solve(program, paid, first_limit)
    if services:
        safest = np.where(grid.is_allowed, charge, np.inf).argmin(axis=1)
        counts = np.take_along_axis(grid.counts, safest[:, None], axis=1)[:, 0]
        least = _joint(services, least, counts)
    return Outlook(
        scenarios,
        grid,
        weights,
        steps,
        program,
        plan,
        levels,
        level,
        charge,
        multiplier,
        paid,
        asked,
        np.asarray(least <= level + 1e-12),
        first_limit,
        floor_loads(soft, request.capacity_draws.mean(axis=1)),
        weights.owned_step,
        services,
        survival_laws(request),
        mix_survival_laws(request),
        soft,
    )


def _with_losses(request: ShardRequest, outlook: Outlook) -> Outlook:
    """The outlook where a level is kept only if it is so with interruptions, too."""
    is_feasible = outlook.is_feasible.copy()
    for row in outlook.survival:
        most, allowed = effective_bounds(request.workloads[row])[1], outlook.level[row] + 1e-12

        def is_kept(n: int, row: int = row, allowed: float = allowed) -> bool:
            return outlook.risk_with_losses(row, n) <= allowed

        top = int(outlook.grid.top[row])
        is_feasible[row] &= is_kept(least_within(is_kept, min(top, most), most))
    for one in outlook.services:
        is_feasible[list(one.rows)] = is_feasible[list(one.rows)].all()
    return replace(outlook, is_feasible=is_feasible)


class _PriceAims(NamedTuple):
    """What prices are to keep, (W,) each.

    Attributes:
        level: Levels; infinite where prices alone decide.
        is_bound: Whether the level is broken at the most replicas, by the row itself.
        most_asked: As in `Outlook`.
    """

    level: FloatArray
    is_bound: BoolArray
    most_asked: FloatArray


def _prices(
    prepared: PreparedShard, program: Program, judged: Judged, aims: _PriceAims
) -> FloatArray:
    """(W,) prices of risk, carried over or found.

    Args:
        prepared: The shard.
        program: The planning problem.
        judged: What plans are judged by.
        aims: What they are to keep.
    """
    request, config, (level, is_bound, asked) = prepared.request, prepared.config, aims
    priced = np.isinf(level)
    is_any = np.array([w.sla.kind == "AnyInWindow" for w in request.workloads])
    carried = np.array([w.risk.log_multiplier is not None for w in request.workloads])
    carried &= ~priced & ~is_any
    searched = ~priced & ~carried
    held = np.array([w.risk.log_multiplier or 0.0 for w in request.workloads])
    multiplier = np.where(carried, np.exp(held), 0.0)
    first = first_prices(request, program, judged, level, np.flatnonzero(searched), asked)
    multiplier[list(first)], searched[list(first)] = list(first.values()), False
    if searched.any():
        lead = lead_steps(request)
        search = SearchConfig(config.n_multipliers, config.n_bisections, config.max_multiplier)
        rows = np.flatnonzero(searched)
        services = [one for one in judged.services if searched[one.rows[0]]]
        part, judged = program.rows(rows), replace(judged, services=services)
        risk_of = plan_risk(request, part.grid, judged, lead, rows)
        is_broken = np.zeros_like(searched)
        for one in services:
            at = list(one.rows)
            is_broken[at] = is_bound[at].any()
        multiplier[rows] = search_multiplier(
            part, risk_of, level[rows], is_broken[rows], search, asked[rows]
        )
    return multiplier


def _first_limit(request: ShardRequest, level: FloatArray, config: DecideConfig) -> FloatArray:
    """(W,) bounds on the risk of the first actions; of a pool on that of its own."""
    is_any = np.array([w.sla.kind == "AnyInWindow" for w in request.workloads])
    most = np.minimum(config.first_step_ratio * level, 1.0)
    return np.where(np.isinf(level) | is_any, np.inf, most)


def lead_steps(request: ShardRequest) -> IntArray:
    """(W,) whole steps until a start has landed, by its median lead time."""
    median = np.median(request.lead_time_draws_s, axis=1) / request.step_s
    return np.asarray(np.floor(median), dtype=np.int64)
