"""The main flow: a shard's inputs -> a decision per workload, each with its reason.

ladder -> plan -> reactive floor -> guards -> fleet budget and mix of variants -> record. Pure: no
clock, no I/O, no randomness; the same request gives the same decisions, byte for byte, in any
shard.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from decider.budget.budget import DraftedShard, share_budgets
from decider.budget.pools import keep_promises
from decider.budget.reasons import Draft, Grant, name_reason
from decider.config import DecideConfig
from decider.errors import require
from decider.explain import bound_by, counterfactuals, demand_quantiles, expected_misses
from decider.fleet_types import FleetVerdict
from decider.mix.budget import MixGrant, share_mixes
from decider.mix.record import with_mix
from decider.planning.fallback import (
    DecisionTime,
    Standing,
    last_known_demand,
    stand,
    stand_together,
)
from decider.planning.guards import GuardInput, apply_guards
from decider.planning.outlook import Outlook, look_ahead
from decider.planning.quiet import quiet_counts
from decider.planning.risk import next_multiplier, reactive_floor
from decider.result import Decision, Direction, GuardStep, PoolCount, PoolRecord, QueueNote
from decider.tables.backlog import counted_waiting
from decider.tables.candidates import effective_bounds
from decider.types import IntArray, ShardRequest, WorkloadInput


@dataclass(frozen=True, slots=True)
class ReplicaLoads:
    """Loads that one replica is counted with.

    Attributes:
        capacity: Its mean capacity.
        floor: What the reactive floor counts on.
    """

    capacity: float
    floor: float


@dataclass(frozen=True, slots=True)
class FirstCounts:
    """What the planner wants now.

    Attributes:
        planned: Its count.
        quiet: The same were nothing waiting; None: nothing is.
    """

    planned: int
    quiet: int | None

    @property
    def wanted(self) -> int:
        """More load may be worth fewer replicas (decision record 0025); a queue never is."""
        return max(self.planned, self.quiet or 0)


def decide_shard(
    request: ShardRequest, config: DecideConfig, now_s: float, valid_for_s: float | None = None
) -> tuple[Decision, ...]:
    """Decide for every workload of a shard.

    Args:
        request: The inputs.
        config: Settings.
        now_s: Epoch seconds of the decision.
        valid_for_s: Seconds for which a decision may be applied; None: three steps.

    Returns:
        W decisions in the request's order.
    """
    require(bool(np.isfinite(now_s)), f"now_s={now_s} must be finite")
    capacity = request.capacity_draws.mean(axis=1)
    time = DecisionTime(now_s, request.step_s)
    standings = [
        stand(
            w, request.paths[row], time, float(capacity[row]), config.fallback, request.further(row)
        )
        for row, w in enumerate(request.workloads)
    ]
    for rows in request.services().values():
        pools = [request.workloads[row] for row in rows]
        alone = [standings[row] for row in rows]
        loads = [float(capacity[row]) for row in rows]
        together = stand_together(pools, alone, time, loads, config.fallback)
        for row, standing in zip(rows, together, strict=True):
            standings[row] = standing
    outlook = look_ahead(request, standings, config)
    first, quiet = outlook.first(), quiet_counts(request, standings, config)
    drafts = [
        replace(
            _draft(
                w,
                standings[row],
                FirstCounts(int(first[row]), quiet.get(row)),
                ReplicaLoads(float(capacity[row]), float(outlook.floor_load[row])),
                time,
                config,
            ),
            is_feasible=bool(outlook.is_feasible[row]) or standings[row].replicas is not None,
        )
        for row, w in enumerate(request.workloads)
    ]
    shard = DraftedShard(request, outlook, standings, drafts)
    mixes: dict[int, MixGrant] = {}
    if any(w.variants is not None for w in request.workloads):
        grants, mixes = share_mixes(shard, now_s)
    else:
        grants = share_budgets(shard)
    if outlook.services:
        grants = keep_promises(shard, grants)
    valid_until_s = now_s + (3.0 * request.step_s if valid_for_s is None else valid_for_s)
    decisions = _record(shard, grants, config, valid_until_s)
    return tuple(
        with_mix(d, request.workloads[row], drafts[row], mixes[row]) if row in mixes else d
        for row, d in enumerate(decisions)
    )


def _draft(
    workload: WorkloadInput,
    standing: Standing,
    first: FirstCounts,
    loads: ReplicaLoads,
    time: DecisionTime,
    config: DecideConfig,
) -> Draft:
    """Raw count and guards of one workload."""
    last = last_known_demand(workload, time, config.fallback)
    raw, cause = first.wanted, "price" if workload.sla.epsilon is None else "risk"
    quiet = first.quiet
    if last is not None:
        if quiet is not None:
            quiet = max(quiet, reactive_floor(last, loads.floor, config.reactive_floor_ratio))
            last += counted_waiting(workload.waiting_load or 0.0, last, config.max_backlog_steps)
        floor = reactive_floor(last, loads.floor, config.reactive_floor_ratio)
        if floor > raw:
            raw, cause = floor, "reactive_floor"
    model = raw if standing.is_shadowed else None
    if standing.replicas is not None:
        raw, cause, quiet = standing.replicas, standing.rung, None
    given = GuardInput(workload, time.now_s, last, loads.capacity, config.consolidation_ratio)
    guarded, trace = apply_guards(given, raw)
    return Draft(raw, cause, guarded, trace, model=model, quiet=quiet)


def _record(
    shard: DraftedShard, grants: list[Grant], config: DecideConfig, valid_until_s: float
) -> tuple[Decision, ...]:
    """Assemble the decisions."""
    request, outlook = shard.request, shard.outlook
    standings, drafts = shard.standings, shard.drafts
    spec = np.array([w.replicas.spec for w in request.workloads], dtype=np.int64)
    final = np.array([g.final for g in grants], dtype=np.int64)
    before, after = outlook.risk_at(spec), outlook.risk_at(final)
    own = np.array(
        [d.model if d.model is not None else n for d, n in zip(drafts, final, strict=True)]
    )
    carried, held = outlook.risk_at(own.astype(np.int64)), outlook.risk_held()
    quantiles = demand_quantiles(outlook)
    others = counterfactuals(request, outlook, config)
    plans = np.take_along_axis(outlook.grid.counts, outlook.plan.index, axis=1)
    decisions = []
    for row, w in enumerate(request.workloads):
        planned, level = standings[row].replicas is None, outlook.levels[row]
        reason, binding = name_reason(w, drafts[row], grants[row])
        delta = int(final[row] - spec[row])
        counts = (int(spec[row]), int(final[row]), *others[row].values())
        decisions.append(
            Decision(
                workload=w.workload,
                current=int(spec[row]),
                raw=drafts[row].raw,
                final=int(final[row]),
                direction=_direction(delta),
                reason=reason,
                binding_constraint=binding,
                rung=standings[row].rung,
                guard_trace=_trace(standings[row], drafts[row], grants[row]),
                risk_target=w.sla.epsilon,
                risk_level=level.level if level and planned else None,
                risk_before=float(before[row]) if planned else None,
                risk_after=float(after[row]) if planned else None,
                log_multiplier=_log_multiplier(outlook, row) if planned else None,
                next_log_multiplier=_carried(outlook, row, w, float(carried[row]), config)
                if standings[row].is_planned
                else w.risk.log_multiplier,
                risk_committed=float(held[row]) if planned else None,
                is_budget_exhausted=level is not None and level.budget.is_exhausted,
                cost_delta_usd_per_hour=w.hardware.usd_per_hour(delta),
                plan=_plan(plans[row], planned=planned),
                quantiles=quantiles[row] if planned else {},
                counterfactuals=others[row] if planned else {},
                shadow_price_usd_per_gpu_hour=grants[row].price,
                fleet_cap=grants[row].cap,
                valid_until_s=valid_until_s,
                budget_demand=grants[row].demand,
                model_replicas=drafts[row].model,
                expected_misses=expected_misses(request, outlook, row, counts, final)
                if planned
                else None,
                bound_by=bound_by(request, outlook, row, final) if planned else (),
                pools=_pools(shard, grants, row),
            )
        )
    return tuple(_with_queue(d, request, row, drafts[row]) for row, d in enumerate(decisions))


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


def _pools(shard: DraftedShard, grants: list[Grant], row: int) -> PoolRecord | None:
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
    outlook: Outlook, row: int, workload: WorkloadInput, risk: float, config: DecideConfig
) -> float | None:
    """Price of risk for the next decision; it stays where the level cannot be kept anyway.

    A model that is not trusted goes on with the risk of its own counts: what it would ask for is
    what it is judged by.
    """
    used = _log_multiplier(outlook, row)
    if used is None or workload.sla.kind == "AnyInWindow":
        return workload.risk.log_multiplier
    if not outlook.is_feasible[row]:
        return used
    return next_multiplier(used, risk, float(outlook.level[row]), config.risk)


def _plan(counts: IntArray, *, planned: bool) -> tuple[int, ...]:
    return tuple(int(n) for n in counts) if planned else ()


def _direction(delta: int) -> Direction:
    if delta == 0:
        return Direction.HOLD
    return Direction.UP if delta > 0 else Direction.DOWN


def _trace(standing: Standing, draft: Draft, grant: Grant) -> tuple[GuardStep, ...]:
    """The ladder's judgement, the guards, the fleet."""
    first = GuardStep("stale_input", draft.raw, draft.raw, standing.detail)
    last = GuardStep("fleet", draft.guarded, grant.final, grant.detail)
    return (first, *draft.trace, last)
