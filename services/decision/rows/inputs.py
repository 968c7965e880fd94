"""From the rows of a workload to the decider's values; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from decider import (
    FloatArray,
    History,
    InterruptionBelief,
    LedgerSpan,
    MissDraws,
    ReplicaState,
    RiskState,
    WorkloadInput,
    capacity_draws,
)
from services.decision.rows import lead_times, translate
from services.decision.rows.lead_times import N_DRAWS
from services.decision.rows.loads import (
    Sampled,
    added_up,
    further_capacity,
    stacked,
    to_demand_alone,
)
from services.decision.rows.members import ShardMember
from services.decision.rows.responses import LearnedResponse
from services.decision.rows.variants import (
    VariantInput,
    learned_spec,
    variant_input,
    with_lead_times,
)
from services.decision.rows.waiting import RequestQueue
from services.kernel.domain import WorkloadSpec


@dataclass(frozen=True, slots=True)
class ShardRows:
    """Rows of a shard by workload id.

    Attributes:
        demand: Step starts (epoch seconds) and values of the observed demand.
        further: The same of the further loads, by name; of workloads that have some.
        states: Replica snapshots in time order.
        changes: Applied scalings in time order.
        starts: Pod starts, oldest first.
        supply: Where the GPUs of a type come from, by type; only of a shard with a service whose
            GPUs may come on new nodes.
        recommendations: Earlier decisions in time order.
        risk: Risk control's memory.
        ends: Ledgers of the least and of the most that was missed.
        spans: Time that the steps of each ledger lie in, by the name of the ledger.
        lead_time_s: Draws of the fitted lead time by scope.
        capacity: Draws of the fitted capacity by scope; a GPU type's are relative to the stated.
        trust: Verdicts on the models; a workload without one is trusted.
        responses: What was learned of the requests under load; a workload without one goes by
            its capacity alone.
        measured_for: What the measured ledgers were counted by, as it is stored.
        own_since_s: Since when a count is one that was decided, epoch seconds; infinite: it is not.
        counted_step_s: Length of the steps that were counted last, where it is known.
        step_since_s: Since when steps are of the length in force, epoch seconds; of workloads whose
            steps were of another one.
        faulty: Workloads of which more requests miss than their load explains: what they miss does
            not teach the risk level.
        queues: Requests that wait.
        interruptions: How often a spot node is interrupted, by GPU type; of those of which it was
            counted.
    """

    demand: Mapping[int, Sampled] = field(default_factory=dict)
    further: Mapping[int, Mapping[str, Sampled]] = field(default_factory=dict)
    states: Mapping[int, Sequence[RowMapping]] = field(default_factory=dict)
    changes: Mapping[int, Sequence[RowMapping]] = field(default_factory=dict)
    starts: Mapping[int, Sequence[RowMapping]] = field(default_factory=dict)
    recommendations: Mapping[int, Sequence[RowMapping]] = field(default_factory=dict)
    risk: Mapping[int, RiskState] = field(default_factory=dict)
    ends: Mapping[int, translate.EndLedgers] = field(default_factory=dict)
    spans: Mapping[int, Mapping[str, LedgerSpan]] = field(default_factory=dict)
    lead_time_s: Mapping[str, FloatArray] = field(default_factory=dict)
    capacity: Mapping[str, FloatArray] = field(default_factory=dict)
    trust: Mapping[int, translate.TrustInForce] = field(default_factory=dict)
    responses: Mapping[int, LearnedResponse] = field(default_factory=dict)
    measured_for: Mapping[int, Any] = field(default_factory=dict)
    own_since_s: Mapping[int, float] = field(default_factory=dict)
    counted_step_s: Mapping[int, float] = field(default_factory=dict)
    step_since_s: Mapping[int, float] = field(default_factory=dict)
    faulty: frozenset[int] = frozenset()
    queues: Mapping[int, RequestQueue] = field(default_factory=dict)
    supply: Mapping[str, RowMapping] = field(default_factory=dict)
    interruptions: Mapping[str, InterruptionBelief] = field(default_factory=dict)


def scopes_of(members: Sequence[ShardMember]) -> list[str]:
    """Posterior scopes that the members may use, their own and their GPU types'."""
    return sorted({scope for m in members for scope in lead_times.scopes(m.id, m.spec)})


def group_rows(rows: Sequence[RowMapping]) -> dict[int, list[RowMapping]]:
    """Rows by workload id, order kept."""
    grouped: dict[int, list[RowMapping]] = {}
    for row in rows:
        grouped.setdefault(int(row["workload_id"]), []).append(row)
    return grouped


def response_of(member: ShardMember, rows: ShardRows, is_bound: bool) -> MissDraws | None:
    """What was learned of a workload's requests; None: nothing was.

    Args:
        member: The workload.
        rows: Its rows.
        is_bound: Further loads count; where they do not, the response is to the demand alone.
    """
    learned = rows.responses.get(member.id)
    if learned is None:
        return None
    return learned.draws if is_bound else to_demand_alone(learned.draws)


def counts_further(member: ShardMember, rows: ShardRows, paths: FloatArray | None) -> bool:
    """Further loads enter the decision: they were forecast, or at least observed.

    Observed but not forecast, they make the decider go by what was observed. Of which nothing is
    known, they leave the demand alone.
    """
    if paths is not None or not member.spec.further_loads:
        return paths is not None
    known = equivalent_of(member, rows)
    return known is not None and bool(np.isfinite(known[1]).any())


def capacity_of(member: ShardMember, rows: ShardRows) -> FloatArray:
    """(P,) capacity draws that decide: learned ones where there are, else stated mean and cv."""
    learned = learned_capacity(member, rows)
    stated = member.spec.capacity
    return capacity_draws(stated.per_replica, stated.cv, N_DRAWS) if learned is None else learned


def scored_capacity(member: ShardMember, rows: ShardRows) -> float:
    """Capacity that finished steps are scored by: the median of the learned draws that decide.

    Without learned draws it is the stated mean, whatever its cv.
    """
    learned = learned_capacity(member, rows)
    return member.spec.capacity.per_replica if learned is None else float(np.median(learned))


def spec_in_force(member: ShardMember, rows: ShardRows) -> WorkloadSpec:
    """The workload's spec, its variants with the capacities that were learned of them."""
    response = rows.responses.get(member.id)
    return member.spec if response is None else learned_spec(member.spec, response.worth)


def further_of(member: ShardMember, rows: ShardRows) -> tuple[float, ...]:
    """(F,) capacities of the further loads: to that of the demand as they are stated.

    A capacity learned from latencies is one of the equivalent demand: what it says of the demand it
    says of all. With a response it is the response that counts.
    """
    ratio = scored_capacity(member, rows) / member.spec.capacity.per_replica
    if member.id in rows.responses:
        ratio = 1.0
    return tuple(ratio * stated for stated in further_capacity(member.spec))


def equivalent_of(member: ShardMember, rows: ShardRows) -> Sampled | None:
    """Equivalent demand by step, in the unit of `scored_capacity`; NaN: a load is unknown.

    Without further loads it is the demand itself.
    """
    known = rows.demand.get(member.id)
    if known is None or not member.spec.further_loads:
        return known
    response = rows.responses.get(member.id)
    loads = stacked(known, rows.further.get(member.id, {}), member.spec)
    draws = None if response is None else response.draws
    return known[0], added_up(loads, member.spec, draws)


def learned_capacity(member: ShardMember, rows: ShardRows) -> FloatArray | None:
    """(P,) draws of the capacity learned; None: the stated one is in force.

    What requests felt goes before what latencies say. A workload that states a latency objective
    but has no fit of its own takes its stated mean times what the workloads of its GPU type that
    have one turned out to be relative to theirs.
    """
    response = rows.responses.get(member.id)
    if response is not None:
        return _resized(response.capacity)
    fitted = rows.capacity.get(f"workload:{member.id}")
    if fitted is not None:
        return _resized(fitted)
    stated = member.spec.capacity
    relative = rows.capacity.get(f"gpu_type:{member.spec.gpu_type}")
    if relative is not None and stated.latency_indicator:
        return _resized(stated.per_replica * relative)
    return None


def lead_time_of(
    member: ShardMember, rows: ShardRows, now: datetime, variants: VariantInput | None = None
) -> FloatArray:
    """(P,) lead time draws that the total is planned with.

    With variants it is the slowest one's of those that may be given replicas or have some on their
    way: which of them a start will be of is not known yet, and too few in time cost most.
    """
    known = _known(member, rows, now)
    if not member.spec.variants:
        return lead_times.of_workload(member.id, member.spec, known)
    leads = lead_times.of_variants(member.id, member.spec, known)
    return lead_times.slowest(leads, () if variants is None else variants.moving)


def _known(member: ShardMember, rows: ShardRows, now: datetime) -> lead_times.Known:
    starts = rows.starts.get(member.id, ())
    states = rows.states.get(member.id, ())
    rooms = lead_times.rooms_of(states[-1], member.spec) if states else {}
    free = lead_times.free_chances(rooms, starts)
    nodes = {
        name: lead_times.node_startup(rows.supply[name]) for name in free if name in rows.supply
    }
    return lead_times.Known(rows.lead_time_s, starts, now, nodes, free, lead_times.warm_of(rooms))


def _resized(draws: FloatArray) -> FloatArray:
    """`N_DRAWS` evenly spaced order statistics of the draws."""
    at = (np.arange(N_DRAWS) + 0.5) / N_DRAWS
    return np.asarray(np.quantile(draws, at))


def risk_memory(member: ShardMember, rows: ShardRows) -> RiskState:
    """Memory of the risk control; a price found before the response was known is none of it.

    Of promises of requests: of time it is carried on (docs/decisions/0094).
    """
    risk, response = rows.risk.get(member.id, RiskState()), rows.responses.get(member.id)
    is_of_requests = translate.measured_unit(member.spec) == "requests"
    if response is None or not (response.is_first and is_of_requests):
        return risk
    return replace(risk, log_multiplier=None)


def workload_input(
    member: ShardMember,
    variants: VariantInput | None,
    forecast: RowMapping,
    rows: ShardRows,
    now: datetime,
) -> WorkloadInput:
    """Everything about one workload, with what is known of its variants, but its large arrays."""
    state, measured = replicas_of(member, rows, now)
    if variants is not None:
        state, measured = variants.replicas, variants.is_measured
    trust = rows.trust.get(member.id, translate.TrustInForce())
    response, queue = rows.responses.get(member.id), rows.queues.get(member.id)
    history = history_of(member, forecast, rows)
    waiting_load = None
    if response is not None and queue is not None:
        waiting_load = queue.load(history, float(member.step_s))
    return WorkloadInput(
        workload=member.key,
        replicas=state,
        limits=translate.to_limits(member.spec),
        sla=translate.to_sla_of_steps(member.spec, float(member.step_s)),
        hardware=translate.to_hardware(member.spec),
        control=translate.to_control(member.spec, now),
        history=history,
        risk=risk_memory(member, rows),
        forecast_rung=translate.forecast_rung(forecast),
        forecast_origin_s=forecast["origin_at"].timestamp(),
        has_replica_state=measured,
        is_model_trusted=trust.is_trusted,
        trust_reason=trust.reason,
        trailing_rule=trust.rule,
        variants=None if variants is None else variants.variants,
        requests_per_step=math.inf if response is None else response.requests_per_step,
        waiting_load=waiting_load,
        waiting_requests=queue.waiting if queue is not None and waiting_load else 0.0,
        carried_load=None if response is None else response.carried_demand(member.spec),
        is_response_borrowed=response is not None and response.is_borrowed,
        is_relearning=member.is_relearning(now),
    )


def variants_of(member: ShardMember, rows: ShardRows, now: datetime) -> VariantInput:
    """Variants and lead times of a workload that has variants."""
    states, earlier = rows.states.get(member.id, ()), rows.recommendations.get(member.id, ())
    newest, last = (found[-1] if found else None for found in (states, earlier))
    known = _known(member, rows, now)
    leads = lead_times.of_variants(member.id, member.spec, known)
    spec = spec_in_force(member, rows)
    seen = {} if newest is None else newest["variants"] or {}
    has_starts = any(one.get("start_ages_s") for one in seen.values())
    stuck_s = lead_times.stuck_ages_s(member.id, member.spec, known) if has_starts else {}
    given = variant_input(spec, newest, last, now, rows.interruptions, stuck_s)
    return with_lead_times(given, leads)


def replicas_of(member: ShardMember, rows: ShardRows, now: datetime) -> tuple[ReplicaState, bool]:
    """Newest replica state, and whether it is known.

    Where none was ever measured, the last decision stands in for it. Of a workload that somebody
    else scales that is all there is to know, unless they report replicas: it counts as carried out.
    """
    states = rows.states.get(member.id, ())
    if states:
        newest = states[-1]
        age_s = (now - newest["observed_at"]).total_seconds()
        rate = rows.interruptions.get(member.spec.gpu_type)
        return translate.aged(translate.to_replica_state(newest, rate), age_s), True
    earlier = rows.recommendations.get(member.id, ())
    count = int(earlier[-1]["desired_replicas"]) if earlier else member.spec.min_replicas
    return ReplicaState(count, count), member.spec.is_external


def history_of(member: ShardMember, forecast: RowMapping, rows: ShardRows) -> History:
    """Equivalent demand on the grid up to the origin, and what was decided and applied before.

    Further loads of which nothing is known at all leave the demand alone.
    """
    step_s = float(member.step_s)
    until_s = forecast["origin_at"].timestamp() + step_s
    demand = np.zeros(0)
    known = equivalent_of(member, rows)
    if known is not None and not np.isfinite(known[1]).any():
        known = rows.demand.get(member.id)
    if known is not None and known[0].size:
        steps_s, values = known
        first_s = float(steps_s[0])
        demand = np.full(max(0, round((until_s - first_s) / step_s)), np.nan)
        at = np.round((steps_s - first_s) / step_s).astype(np.int64)
        inside = (at >= 0) & (at < demand.size)
        demand[at[inside]] = values[inside]
    changes = tuple(
        (c["applied_at"].timestamp(), int(c["to_replicas"]) - int(c["from_replicas"]))
        for c in rows.changes.get(member.id, ())
        if c["from_replicas"] is not None
    )
    earlier = tuple(
        (r["decided_at"].timestamp(), int(r["raw_replicas"]))
        for r in rows.recommendations.get(member.id, ())
        if r["origin_at"] < forecast["origin_at"]
    )
    return History(demand, until_s, changes, earlier)
