"""Outcomes of finished steps by the believed capacity; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from decider import RiskState, StepOutcome, StepPrice, score_step
from services.decision.rows.inputs import (
    ShardMember,
    ShardRows,
    equivalent_of,
    scored_capacity,
)
from services.decision.rows.loads import Sampled
from services.decision.rows.timeline import ReplicaEvent, step_intervals
from services.decision.rows.variants import mix_price

LOOKBACK_STEPS = 24


@dataclass(frozen=True, slots=True)
class WorkloadOutcomes:
    """Outcomes of a workload's finished steps.

    Attributes:
        rows: Rows of `outcomes`, up to `computed_at`.
        outcomes: The same as values, by step start (epoch seconds).
        before_first: Starts of those that began before a replica was ever ready.
    """

    rows: tuple[tuple[Any, ...], ...]
    outcomes: Mapping[float, StepOutcome]
    before_first: frozenset[float] = frozenset()


def replica_events(member: ShardMember, rows: ShardRows) -> list[ReplicaEvent]:
    """Snapshots and changes of the replicas."""
    events = [
        ReplicaEvent(
            s["observed_at"].timestamp(),
            "snapshot",
            int(s["ready_replicas"]),
            int(s["ready_replicas"]) + int(s["starting_replicas"]),
        )
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
) -> WorkloadOutcomes:
    """Outcomes of the steps up to the origin that have none yet.

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
    """
    step_s = float(member.step_s)
    spec = member.spec
    price = StepPrice(
        scored_capacity(member, rows), spec.gpus_per_replica, spec.price_usd_per_gpu_hour
    )
    demand, bound = _by_step(rows.demand.get(member.id)), _by_step(equivalent_of(member, rows))
    decided = {r["origin_at"].timestamp(): r["id"] for r in rows.recommendations.get(member.id, ())}
    events = replica_events(member, rows)
    first_s = _first_scored_s(events, rows.risk.get(member.id, RiskState()))
    made: list[tuple[Any, ...]] = []
    outcomes: dict[float, StepOutcome] = {}
    for back in range(LOOKBACK_STEPS - 1, -1, -1):
        start_s = origin_at.timestamp() - back * step_s
        if start_s in done:
            continue
        intervals = step_intervals(events, start_s, start_s + step_s)
        outcome = score_step(
            bound.get(start_s), intervals, _priced(member, rows, price, start_s + step_s)
        )
        if outcome is None:
            continue
        outcome = replace(outcome, demand=demand.get(start_s))
        if start_s < first_s:
            outcome = replace(outcome, needed_replicas=None, violation_ratio=None, shortage=None)
        outcomes[start_s] = outcome
        step_at = datetime.fromtimestamp(start_s, UTC)
        made.append(_row(member.id, step_at, decided.get(start_s - step_s), outcome, now))
    before_first = frozenset(start_s for start_s in outcomes if start_s < first_s)
    return WorkloadOutcomes(tuple(made), outcomes, before_first)


def _by_step(series: Sampled | None) -> dict[float, float]:
    """Finite values by step start."""
    if series is None:
        return {}
    pairs = zip(*series, strict=True)
    return {float(at_s): float(value) for at_s, value in pairs if math.isfinite(value)}


def _first_scored_s(events: Sequence[ReplicaEvent], risk: RiskState) -> float:
    """Start of the first step that can be scored: a replica has been ready by then.

    What a service without any replica yet cannot serve is nobody's violation; it costs what is
    bound. Once a step has been scored, a service without replicas is out of SLA.
    """
    if risk.observed_steps > 0 or risk.measured_steps > 0:
        return -math.inf
    serving = (e.at_s for e in events if e.kind == "ready" or (e.kind == "snapshot" and e.ready))
    return min(serving, default=math.inf)


def _priced(member: ShardMember, rows: ShardRows, price: StepPrice, end_s: float) -> StepPrice:
    """GPUs and price of a replica: with variants, of the mix that ran when the step ended."""
    if not member.spec.variants:
        return price
    states = rows.states.get(member.id, ())
    newest = next((s for s in reversed(states) if s["observed_at"].timestamp() < end_s), None)
    mix = mix_price(member.spec, newest)
    if mix is None:
        return price
    return replace(
        price, gpus_per_replica=mix.gpus_per_replica, usd_per_gpu_hour=mix.usd_per_gpu_hour
    )


def _row(
    workload_id: int,
    step_at: datetime,
    decision_id: int | None,
    outcome: StepOutcome,
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
        now,
    )
