"""Decisions assembled: what a shard's plan says of each workload, and what the budgets granted it.

Shapes: W workloads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from decider.budget.budget import DraftedShard
from decider.budget.reasons import Draft, Grant, name_reason, truthful
from decider.config import DecideConfig
from decider.explain import bound_by, counterfactuals, demand_quantiles, expected_misses
from decider.fleet_types import FleetVerdict
from decider.planning.fallback import Standing
from decider.planning.outlook import Outlook
from decider.planning.risk import next_multiplier
from decider.result import (
    Decision,
    Direction,
    GuardStep,
    PoolCount,
    PoolRecord,
    QueueNote,
    ReachNote,
    SpotNote,
)
from decider.tables.candidates import effective_bounds
from decider.tables.reach import wanted_steps
from decider.types import BoolArray, FloatArray, IntArray, ShardRequest, WorkloadInput


@dataclass(frozen=True, slots=True, eq=False)
class PlannedShard:
    """All that a shard's decisions say whatever the GPU budgets leave of its counts.

    Attributes:
        shard: The drafts.
        quantiles: Demand quantiles of each workload.
        counterfactuals: Counts of each workload had it been asked for something else.
        config: Settings.
        now_s: Epoch seconds of the decision.
        valid_until_s: Epoch seconds until which it may be applied.
    """

    shard: DraftedShard
    quantiles: Sequence[Mapping[str, float]]
    counterfactuals: Sequence[Mapping[str, int]]
    config: DecideConfig
    now_s: float
    valid_until_s: float

    @classmethod
    def of(
        cls, shard: DraftedShard, config: DecideConfig, now_s: float, valid_until_s: float
    ) -> PlannedShard:
        """The plan of a drafted shard."""
        quantiles = demand_quantiles(shard.outlook)
        others = counterfactuals(shard.request, shard.outlook, config)
        return cls(shard, quantiles, others, config, now_s, valid_until_s)


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """What the outlook says of the counts granted.

    Attributes:
        final: (W,) the counts.
        before: (W,) risk of what runs.
        after: (W,) risk of the counts.
        carried: (W,) risk of what the model asks for, where it is not trusted; else of the counts.
        lower: (W,) risk of one replica fewer than those, infinite where fewer are not allowed; of a
            service with pools one of whichever risks the least.
        planned: (W,) risk of what the model asked for before the guards.
        is_short: (W,) more was wanted than there may be: a bound, a guard or a budget holds it; of
            a pool, or of another of its service.
        held: (W,) risk before anything decided now can land.
    """

    final: IntArray
    before: FloatArray
    after: FloatArray
    carried: FloatArray
    lower: FloatArray
    planned: FloatArray
    is_short: BoolArray
    held: FloatArray

    def telling(self, row: int, level: float, first_limit: float) -> float:
        """Risk that the price of a row follows: its own, as far as a price decided it.

        Args:
            row: The row.
            level: Its level.
            first_limit: Bound on the risk of its first action.
        """
        risk = float(self.carried[row])
        if self.is_short[row]:
            risk = min(risk, level)
        else:  # it may have been held above the plan
            risk = max(risk, min(level, float(self.planned[row])))
        is_least = self.lower[row] > first_limit  # a lower price buys nothing
        return max(risk, level) if is_least else risk


def _judge(
    shard: DraftedShard, grants: Sequence[Grant], mixes: Mapping[int, Sequence[int]]
) -> _Judged:
    """What the outlook says of grants, and of the mixes of the rows that have variants."""
    outlook, drafts = shard.outlook, shard.drafts
    spec = np.array([w.replicas.spec for w in shard.request.workloads], dtype=np.int64)
    final = np.array([g.final for g in grants], dtype=np.int64)
    own = np.array(
        [d.model if d.model is not None else n for d, n in zip(drafts, final, strict=True)]
    )
    now: dict[int, Sequence[int]] = {}
    asked = dict(mixes)
    for row in outlook.mix_survival:
        variants, draft = shard.request.workloads[row].variants, drafts[row]
        now |= {} if variants is None else {row: variants.carrying(variants.current)}
        asked |= {row: draft.mix.counts} if draft.model is not None and draft.mix else {}
    own = own.astype(np.int64)
    least = np.array([effective_bounds(w)[0] for w in shard.request.workloads])
    return _Judged(
        final,
        outlook.risk_at(spec, now),
        outlook.risk_at(final, mixes),
        outlook.risk_at(own, asked),
        _lower(shard, own, least),
        outlook.risk_at(np.array([d.raw if d.model is None else d.model for d in drafts])),
        _is_short(shard, final),
        outlook.risk_held(),
    )


def _lower(shard: DraftedShard, own: IntArray, least: IntArray) -> FloatArray:
    """(W,) `_Judged.lower` of counts; earlier decisions lowered all pools of a service at once."""
    outlook = shard.outlook
    if shard.revision > 4:
        return outlook.risk_one_fewer(own, least)
    return np.where(own > least, outlook.risk_at(np.maximum(own - 1, 0)), np.inf)


def _is_short(shard: DraftedShard, final: IntArray) -> BoolArray:
    """(W,) whether more was wanted than was granted, or than may ever be."""
    raw = np.array([d.raw for d in shard.drafts])
    is_own = np.array([d.model is None for d in shard.drafts])
    is_short = is_own & ((final < raw) | ~shard.outlook.is_feasible)
    for service in shard.outlook.services:
        at = list(service.rows)
        is_short[at] = is_short[at].any()
    return is_short


def record(
    planned: PlannedShard,
    grants: Sequence[Grant],
    rows: Sequence[int],
    mixes: Mapping[int, Sequence[int]] = MappingProxyType({}),
) -> dict[int, Decision]:
    """Decisions of some rows by row.

    Args:
        planned: The plan of the shard.
        grants: W grants; a pool's decision depends on those of its whole service.
        rows: The rows.
        mixes: Counts of the variants of the rows that have some.
    """
    if not rows:
        return {}
    judged = _judge(planned.shard, grants, mixes)
    return {row: _recorded(planned, grants, judged, row) for row in rows}


def _recorded(
    planned: PlannedShard, grants: Sequence[Grant], judged: _Judged, row: int
) -> Decision:
    shard, final = planned.shard, judged.final
    request, outlook, w = shard.request, shard.outlook, shard.request.workloads[row]
    draft, grant, standing = shard.drafts[row], grants[row], shard.standings[row]
    others = planned.counterfactuals[row]
    spec = int(w.replicas.spec)
    is_planned, level = standing.replicas is None, outlook.levels[row]
    told = _told if planned.config.revision > 4 else float
    reason, binding = name_reason(w, draft, grant)
    if planned.config.revision > 3:
        reason = truthful(reason, draft)
    delta = int(final[row]) - spec
    counts = (spec, int(final[row]), *others.values())
    made = Decision(
        workload=w.workload,
        current=spec,
        raw=draft.raw,
        final=int(final[row]),
        direction=_direction(delta),
        reason=reason,
        binding_constraint=binding,
        rung=standing.rung,
        guard_trace=_trace(standing, draft, grant),
        risk_target=w.sla.epsilon,
        risk_level=level.level if level and is_planned else None,
        risk_before=told(judged.before[row]) if is_planned else None,
        risk_after=told(judged.after[row]) if is_planned else None,
        log_multiplier=_log_multiplier(outlook, row) if is_planned else None,
        next_log_multiplier=_carried(outlook, row, w, judged, planned.config)
        if standing.is_planned
        else w.risk.log_multiplier,
        risk_committed=float(judged.held[row]) if is_planned else None,
        is_budget_exhausted=level is not None and level.budget.is_exhausted,
        cost_delta_usd_per_hour=w.hardware.usd_per_hour(delta),
        plan=_plan(outlook.grid.counts[row, outlook.plan.index[row]], is_planned=is_planned),
        quantiles=planned.quantiles[row] if is_planned else {},
        counterfactuals=others if is_planned else {},
        shadow_price_usd_per_gpu_hour=grant.price,
        fleet_cap=grant.cap,
        valid_until_s=planned.valid_until_s,
        budget_demand=grant.demand,
        model_replicas=draft.model,
        model_held=draft.model_held,
        expected_misses=expected_misses(request, outlook, row, counts, final)
        if is_planned
        else None,
        bound_by=bound_by(request, outlook, row, final) if is_planned else (),
        reach=_reach(request, row) if is_planned else None,
        pools=_pools(shard, grants, row),
        spot=_spot(w, draft),
        is_short=bool(judged.is_short[row]),
    )
    return _with_queue(made, request, row, draft)


def _told(risk: float) -> float:
    """What a decision answers for as the share of a step that it is told as.

    It is counted in steps: taking replicas away also answers for all those before others could
    land, and the requests of a busy step are more than a mean one's. Prices need that sum.
    """
    return min(float(risk), 1.0)


def _with_queue(decision: Decision, request: ShardRequest, row: int, draft: Draft) -> Decision:
    """The decision with what waits, and the count were it nothing."""
    w = request.workloads[row]
    if not w.waiting_load or request.response(row) is None:
        return decision
    others = dict(decision.counterfactuals)
    if draft.quiet is not None:
        low, high = effective_bounds(w)
        quiet, raw = (max(low, min(high, count)) for count in (draft.quiet, decision.raw))
        # at a bound the queue changed nothing, whatever lies beyond it
        others["nothing_waiting"] = quiet if quiet < raw else decision.raw
    queue = QueueNote(w.waiting_requests, w.waiting_load)
    return replace(decision, queue=queue, counterfactuals=others)


def _spot(workload: WorkloadInput, draft: Draft) -> SpotNote | None:
    """Replicas on spot nodes, where the count was planned with their interruptions."""
    spot, ready = workload.replicas.spot, workload.replicas.ready
    if spot is None or draft.unlost is None:
        return None
    low, high = effective_bounds(workload)
    asked, unlost = (max(low, min(high, count)) for count in (draft.raw, draft.unlost))
    return SpotNote(spot.replicas, ready, spot.nodes, spot.hours_between, asked - unlost)


def _reach(request: ShardRequest, row: int) -> ReachNote | None:
    """How far a decision looked, where its starts may take longer than the forecast reaches."""
    wanted = wanted_steps(request.lead_time_draws_s[row], request.step_s)
    n_forecast = request.n_forecast or request.horizon
    if not request.reach or wanted <= n_forecast:
        return None
    return ReachNote(request.horizon, n_forecast, wanted)


def _pools(shard: DraftedShard, grants: Sequence[Grant], row: int) -> PoolRecord | None:
    """What the pools of a row's service were decided."""
    workloads, service = shard.request.workloads, shard.outlook.service_of(row)
    own = workloads[row].pool
    if service is None or own is None:
        return None
    counts = []
    for other in service.rows:
        pool, grant = workloads[other].pool, grants[other]
        assert pool is not None, "the rows of a service are pools"
        cut = None if grant.cap is None else FleetVerdict(grant.cap, grant.price, grant.detail)
        counts.append(PoolCount(pool.name, grant.final, pool.loads, cut))
    return PoolRecord(own.service, own.name, tuple(counts))


def _log_multiplier(outlook: Outlook, row: int) -> float | None:
    value = float(outlook.multiplier[row])
    return math.log(value) if value > 0 else None


def _carried(
    outlook: Outlook, row: int, workload: WorkloadInput, judged: _Judged, config: DecideConfig
) -> float | None:
    """Price of risk for the next decision; it stays where the level cannot be kept anyway.

    It moves only as far as it could have changed the count. While something else keeps the count
    below the plan it does not rise, while something keeps it above it falls no more than the plan
    by itself would let it, and where one replica fewer would not be taken at any price it does not
    fall: else it would have run away by the time that the plan is followed again.

    A model that is not trusted goes on with the risk of its own counts: what it would ask for is
    what it is judged by.
    """
    used = _log_multiplier(outlook, row)
    if used is None or workload.sla.kind == "AnyInWindow":
        return workload.risk.log_multiplier
    if not outlook.is_feasible[row]:
        return used
    # Of one count the first price is right; pools of a few replicas each begin with too low a one.
    is_first_low = workload.pool is not None and workload.sla.kind == "DemandFraction"
    n_steps = workload.risk.observed_steps if is_first_low else math.inf
    level, risk = float(outlook.level[row]), float(judged.carried[row])
    if config.revision > 1:
        risk = judged.telling(row, level, float(outlook.first_limit[row]))
    most = float(outlook.most_asked[row])
    return next_multiplier(used, risk, level, n_steps, config.risk, most)


def _plan(counts: IntArray, *, is_planned: bool) -> tuple[int, ...]:
    return tuple(int(n) for n in counts) if is_planned else ()


def _direction(delta: int) -> Direction:
    if delta == 0:
        return Direction.HOLD
    return Direction.UP if delta > 0 else Direction.DOWN


def _trace(standing: Standing, draft: Draft, grant: Grant) -> tuple[GuardStep, ...]:
    """The ladder's judgement, the guards, the fleet."""
    first = GuardStep("stale_input", draft.raw, draft.raw, standing.detail)
    last = GuardStep("fleet", draft.guarded, grant.final, grant.detail)
    return (first, *draft.trace, last)
