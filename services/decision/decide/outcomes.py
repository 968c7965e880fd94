"""Outcomes of finished steps by the believed capacity; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson

from decider import RiskState, StepOutcome, StepPrice, score_step
from services.decision.decide.mix_cost import mix_cost
from services.decision.decide.snapshot_hold import is_lapsed
from services.decision.decide.step_lengths import uncounted
from services.decision.rows.inputs import (
    ShardRows,
    equivalent_of,
    scored_capacity,
    spec_in_force,
)
from services.decision.rows.loads import Sampled
from services.decision.rows.members import ShardMember
from services.decision.rows.pools import pool_views
from services.decision.rows.timeline import ReplicaEvent, step_intervals
from services.decision.rows.variants import ready_and_bound

LOOKBACK_STEPS = 24


@dataclass(frozen=True, slots=True)
class WorkloadOutcomes:
    """Outcomes of a workload's finished steps.

    Attributes:
        rows: Rows of `outcomes`, up to `computed_at`.
        outcomes: The same as values, by step start (epoch seconds).
        before_first: Starts of those that began before a replica was ever ready.
        gpu_hours: GPU-hours of the same steps by GPU type.
        unseen: Rows, by step start, of steps of which replicas had not been seen for too long: what
            they cost is not known.
    """

    rows: tuple[tuple[Any, ...], ...]
    outcomes: Mapping[float, StepOutcome]
    before_first: frozenset[float] = frozenset()
    gpu_hours: Mapping[str, float] = field(default_factory=dict)
    unseen: Mapping[float, tuple[Any, ...]] = field(default_factory=dict)


def replica_events(member: ShardMember, rows: ShardRows) -> list[ReplicaEvent]:
    """Snapshots and changes of the replicas."""
    spec = spec_in_force(member, rows)
    events = [
        ReplicaEvent(s["observed_at"].timestamp(), "snapshot", *ready_and_bound(spec, s))
        for s in rows.states.get(member.id, ())
    ]
    if member.spec.variants:
        return events  # totals are in reference replicas: only snapshots are
    events += [
        ReplicaEvent(c["applied_at"].timestamp(), "scale", int(c["to_replicas"]))
        for c in rows.changes.get(member.id, ())
    ]
    events += [
        ReplicaEvent(p["ready_at"].timestamp(), "ready")
        for p in rows.starts.get(member.id, ())
        if p["ready_at"] is not None
    ]
    return events


def finished_outcomes(
    member: ShardMember,
    rows: ShardRows,
    done: set[float],
    origin_at: datetime,
    now: datetime,
    held_s: float = math.inf,
) -> WorkloadOutcomes:
    """Outcomes of the steps up to the origin that have none yet, and cover no time that has one.

    Steps that began before the first replica was ever ready are not scored. Violations and needed
    replicas go by the capacity that decides now, learned or stated, and by the equivalent demand
    where further loads bind: the risk control must not work against what the planner believes. The
    demand itself is stored as it was measured.

    Args:
        member: The workload.
        rows: The shard's rows, with the capacities believed.
        done: Step starts (epoch seconds) that have an outcome.
        origin_at: The origin.
        now: Time of the computation.
        held_s: How long a snapshot holds.
    """
    step_s = float(member.step_s)
    grid_s = [origin_at.timestamp() - back * step_s for back in range(LOOKBACK_STEPS)][::-1]
    since_s = rows.step_since_s.get(member.id, -math.inf)
    starts_s, states = uncounted(grid_s, done, step_s, since_s), rows.states.get(member.id, ())
    lapsed = {at_s for at_s in starts_s if is_lapsed(states, at_s, at_s + step_s, held_s)}
    scored = _scored(member, rows, [at_s for at_s in starts_s if at_s not in lapsed])
    demand = _by_step(rows.demand.get(member.id), grid_s[0])
    decided = {r["origin_at"].timestamp(): r["id"] for r in rows.recommendations.get(member.id, ())}
    made: list[tuple[Any, ...]] = []
    outcomes: dict[float, StepOutcome] = {}
    for start_s, one in scored.outcomes.items():
        outcome = replace(one, demand=demand.get(start_s))
        if start_s < scored.first_s:
            outcome = replace(outcome, needed_replicas=None, violation_ratio=None, shortage=None)
        outcomes[start_s] = outcome
        step_at = datetime.fromtimestamp(start_s, UTC)
        ready = scored.ready_by_pool.get(start_s)
        made.append(_row(member.id, step_at, decided.get(start_s - step_s), outcome, ready, now))
    unseen = {
        at_s: _unseen_row(member.id, at_s, decided.get(at_s - step_s), demand.get(at_s), now)
        for at_s in lapsed
    }
    before_first = frozenset(at_s for at_s in (*outcomes, *unseen) if at_s < scored.first_s)
    hours = _summed(scored.gpu_hours.values())
    return WorkloadOutcomes(tuple(made), outcomes, before_first, hours, unseen)


def _summed(each: Iterable[Mapping[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for hours in each:
        for gpu_type, amount in hours.items():
            found[gpu_type] = found.get(gpu_type, 0.0) + amount
    return found


@dataclass(frozen=True, slots=True)
class _ScoredSteps:
    """Steps of a workload by what was believed.

    Attributes:
        outcomes: By step start; their demand is the equivalent one.
        first_s: Start of the first step that can be scored.
        gpu_hours: GPU-hours by GPU type, by step start.
        ready_by_pool: Mean ready replicas of each pool or variant, by step start; empty: there is
            one kind of replica.
    """

    outcomes: Mapping[float, StepOutcome]
    first_s: float
    gpu_hours: Mapping[float, Mapping[str, float]]
    ready_by_pool: Mapping[float, Mapping[str, float]] = field(default_factory=dict)


def _scored(member: ShardMember, rows: ShardRows, starts_s: Sequence[float]) -> _ScoredSteps:
    """Steps scored by the replicas of the workload, or by those of the tightest of its pools."""
    spec = member.spec
    if spec.pools:
        return _scored_pools(member, rows, starts_s)
    price = StepPrice(
        scored_capacity(member, rows), spec.gpus_per_replica, spec.price_usd_per_gpu_hour
    )
    step_s, first_s = float(member.step_s), min(starts_s, default=math.inf)
    bound = _by_step(equivalent_of(member, rows), first_s)
    events = replica_events(member, rows)
    outcomes: dict[float, StepOutcome] = {}
    hours: dict[float, Mapping[str, float]] = {}
    for start_s in starts_s:
        end_s = start_s + step_s
        intervals = step_intervals(events, start_s, end_s)
        outcome = score_step(bound.get(start_s), intervals, price)
        if outcome is None:
            continue
        outcomes[start_s], hours[start_s] = outcome, {spec.gpu_type: outcome.gpu_hours}
        if spec.variants:
            held = mix_cost(spec, rows.states.get(member.id, ()), start_s, end_s)
            outcomes[start_s] = replace(outcome, gpu_hours=held.gpu_hours, cost_usd=held.cost_usd)
            hours[start_s] = held.hours_by_type
    has_served = bool(rows.spans.get(member.id))
    scored_s = _first_scored_s(events, rows.risk.get(member.id, RiskState()), has_served)
    ready = {start_s: _ready_of_variants(member, rows, start_s) for start_s in outcomes}
    known = {at: one for at, one in ready.items() if one}
    return _ScoredSteps(outcomes, scored_s, hours, known)


def _ready_of_variants(member: ShardMember, rows: ShardRows, start_s: float) -> dict[str, float]:
    """Mean ready replicas of each variant in a step; empty: it has none, or they were not seen."""
    seen = [
        (s["observed_at"].timestamp(), s["variants"])
        for s in (rows.states.get(member.id, ()) if member.spec.variants else ())
        if s["variants"] is not None
    ]
    found = {}
    for name in (variant.name for variant in member.spec.variants):
        counts = [(at_s, (known.get(name) or {}).get("ready", 0)) for at_s, known in seen]
        events = [ReplicaEvent(at_s, "snapshot", int(ready)) for at_s, ready in counts]
        parts = step_intervals(events, start_s, start_s + float(member.step_s))
        covered_s = sum(part.end_s - part.start_s for part in parts)
        if covered_s > 0:
            ready_s = sum(part.ready * (part.end_s - part.start_s) for part in parts)
            found[name] = float(f"{ready_s / covered_s:.6g}")
    return found


def _scored_pools(member: ShardMember, rows: ShardRows, starts_s: Sequence[float]) -> _ScoredSteps:
    """Steps of which every pool is known; only snapshots tell the pools' replicas apart."""
    seen = replace(rows, changes={}, starts={})
    pools = {
        view.place.name: _scored(view.member, view.rows, starts_s)
        for view in pool_views(member, seen)
    }
    demand = _by_step(rows.demand.get(member.id), min(starts_s, default=math.inf))
    outcomes, hours, ready = {}, {}, {}
    for start_s in starts_s:
        parts = {name: one.outcomes.get(start_s) for name, one in pools.items()}
        known = {name: one for name, one in parts.items() if one is not None}
        if len(known) == len(pools):
            outcomes[start_s] = _joined(list(known.values()), demand.get(start_s))
            hours[start_s] = _summed(one.gpu_hours[start_s] for one in pools.values())
            ready[start_s] = {name: one.ready_mean for name, one in known.items()}
    return _ScoredSteps(outcomes, max(one.first_s for one in pools.values()), hours, ready)


def _joined(pools: Sequence[StepOutcome], demand: float | None) -> StepOutcome:
    """A step out of what it was for each pool: replicas and costs add up, the tightest violates.

    The shortage is the largest share of its load that a pool left unserved, times the demand. What
    is not known of one pool is not known.
    """
    ready, gpu_hours = sum(one.ready_mean for one in pools), sum(one.gpu_hours for one in pools)
    cost = sum(one.cost_usd for one in pools)
    whole = StepOutcome(None, ready, None, None, None, gpu_hours, cost)
    if demand is None:
        return whole
    needed = violation = unserved = 0.0
    for one in pools:
        if one.needed_replicas is None or one.violation_ratio is None:
            return whole
        needed += one.needed_replicas
        violation = max(violation, one.violation_ratio)
        if one.demand and one.shortage:
            unserved = max(unserved, one.shortage / one.demand)
    return replace(
        whole,
        demand=demand,
        needed_replicas=round(needed),
        violation_ratio=violation,
        shortage=unserved * demand,
    )


def _by_step(series: Sampled | None, first_s: float) -> dict[float, float]:
    """Finite values by step start, of those from `first_s` on."""
    if series is None:
        return {}
    starts_s, values = series
    is_asked = (starts_s >= first_s) & np.isfinite(values)
    return dict(zip(starts_s[is_asked].tolist(), values[is_asked].tolist(), strict=True))


def _first_scored_s(
    events: Sequence[ReplicaEvent], risk: RiskState, has_served: bool = False
) -> float:
    """Start of the first step that can be scored: a replica has been ready by then.

    What a service without any replica yet cannot serve is nobody's violation; it costs what is
    bound. Once a step has been scored, a service without replicas is out of SLA.
    """
    if has_served or risk.observed_steps > 0 or risk.measured_steps > 0:
        return -math.inf
    serving = (e.at_s for e in events if e.kind == "ready" or (e.kind == "snapshot" and e.ready))
    return min(serving, default=math.inf)


def _unseen_row(
    workload_id: int, start_s: float, decision_id: int | None, demand: float | None, now: datetime
) -> tuple[Any, ...]:
    """A step of unknown replicas: what it was asked for is known, and nothing that they did."""
    step_at = datetime.fromtimestamp(start_s, UTC)
    return (workload_id, step_at, decision_id, demand, *(None,) * 7, now)


def _row(
    workload_id: int,
    step_at: datetime,
    decision_id: int | None,
    outcome: StepOutcome,
    ready_by_pool: Mapping[str, float] | None,
    now: datetime,
) -> tuple[Any, ...]:
    return (
        workload_id,
        step_at,
        decision_id,
        outcome.demand,
        outcome.ready_mean,
        outcome.needed_replicas,
        outcome.violation_ratio,
        outcome.shortage,
        outcome.gpu_hours,
        outcome.cost_usd,
        None if ready_by_pool is None else orjson.dumps(ready_by_pool).decode(),
        now,
    )
