"""Use cases of the decision service: load -> core -> store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import RowMapping

from decider import InterruptionBelief, learn_interruptions
from services.decision.beliefs.capacity import believed_capacity
from services.decision.beliefs.misses import believed_responses
from services.decision.beliefs.repository import load_draws
from services.decision.budgets.part_budgets import gpu_types_of, stored_gpu_types
from services.decision.budgets.repository import load_gone
from services.decision.decide.granting import GrantedPart, draft_part, grant_part
from services.decision.decide.ledger_spans import to_spans
from services.decision.decide.ledger_terms import MEASURED_FOR, in_terms_of
from services.decision.decide.lock_repository import lock_shard
from services.decision.decide.outcomes import LOOKBACK_STEPS, WorkloadOutcomes
from services.decision.decide.report import (
    log_decisions,
    publish,
    publish_budgets,
    publish_freshness,
)
from services.decision.decide.settling import ShardMemory, measure_steps, store_steps
from services.decision.decide.shard_run import ShardRun
from services.decision.decide.step_lengths import to_step_lengths, to_step_since
from services.decision.rows import repository, translate
from services.decision.rows.inputs import ShardRows, group_rows, scopes_of
from services.decision.rows.lead_times import may_have_new_nodes
from services.decision.rows.members import ShardMember, to_member
from services.decision.rows.observed_loads import load_observed
from services.decision.rows.translate import TrustInForce, without_numbers
from services.decision.trust.repository import load_verdicts
from services.decision.wiring import DecisionDeps
from services.kernel.db.bulkhead import in_parts
from services.kernel.db.retention import not_kept
from services.kernel.db.session import UnitOfWork, unit_of_work
from services.kernel.db.turns import (
    DECIDE as DECIDE_STAGE,
    FORECAST as FORECAST_STAGE,
    LONGEST_WAIT_STEPS,
    Asked,
    is_shed,
    load_waiting,
    note_asked,
    note_done,
    note_rest_done,
    take_turn,
)
from services.kernel.db.workload_errors import DECIDE, error_message, in_bulkheads
from services.kernel.errors import NotFound
from services.kernel.jobs import DECIDE_SHARD, shard_job

HISTORY = timedelta(hours=1)
"""How far back scalings and recommendations matter (HPA's longest windows)."""


@dataclass(frozen=True, slots=True)
class ShardReport:
    """Counts of what one run stored."""

    n_decisions: int
    n_outcomes: int


def decide_shard(
    deps: DecisionDeps, shard: int, origin_at: datetime, *, is_rest: bool = False
) -> ShardReport:
    """Outcomes of finished steps, then a decision for every forecast of the origin without one.

    Harmless when run twice: what is decided stays decided, and a second run for an origin that is
    past, or while forecasts are shed, costs some queries. A run that comes late decides at the
    newest origin instead, and while shards are behind for the urgent workloads only: see
    `services.kernel.db.turns`. Each workload is decided at its newest forecast: where forecasts are
    shed, the others of a shard may have an older one than the urgent ones, or nothing to decide;
    their steps are measured with their next decision.

    Args:
        deps: What the use case needs.
        shard: The shard.
        origin_at: The origin asked for.
        is_rest: It is the turn of those that waited.
    """
    with unit_of_work(deps.engine, deps.sender) as work:
        now = deps.now(work.connection)
        lock_shard(work.connection, shard)
        every = repository.load_workloads(work.connection, shard)
        asked = _AskedRun(shard, origin_at, is_rest, len({row["step_s"] for row in every}) > 1)
        if asked.is_of_some:
            due = repository.load_due_steps(work.connection, shard, origin_at)
            every = [row for row in every if row["step_s"] in due]
        groups = _of_turn(deps, work, every, asked, now) if every else {origin_at: {}}
        if not groups:
            return ShardReport(0, 0)
        types = stored_gpu_types(row["spec"] for found in groups.values() for row in found.values())
        gone = load_gone(work.connection, shard, now)
        moments = [
            (_Moment(work, deps, at, now, types, gone), found) for at, found in groups.items()
        ]
        done = [part for at, found in moments for part in _decide_group(at, found)]
        repository.notify_decisions(work.connection, shard)
    for part in done:
        # that samples reach their source late is not ours
        part.publish(deps.clock.now() - timedelta(seconds=deps.settings.source_late_s))
    return ShardReport(
        sum(len(part.granted.decided) for part in done),
        sum(len(result.rows) for part in done for result in part.results.values()),
    )


class _AskedRun(NamedTuple):
    """A shard's run as it was asked for; of some of its workloads where steps differ in length."""

    shard: int
    origin_at: datetime
    is_rest: bool
    is_of_some: bool


_Found = dict[int, RowMapping]
"""Workloads by id."""


def _of_turn(
    deps: DecisionDeps,
    work: UnitOfWork,
    every: Sequence[RowMapping],
    wanted: _AskedRun,
    now: datetime,
) -> dict[datetime, _Found]:
    """Workloads of a run by the origin that each is decided at; none where nothing is left."""
    connection, shard = work.connection, wanted.shard
    policy = deps.settings.policy_version
    step = timedelta(seconds=max(row["step_s"] for row in every))
    asked = Asked(DECIDE_STAGE, shard, wanted.origin_at, step, wanted.is_of_some)
    turn = take_turn(connection, asked, now)
    done = replace(asked, origin_at=turn.origin_at)
    are_few_forecast = is_shed(connection, replace(done, stage=FORECAST_STAGE))
    # where few were forecast, what is begun is finished
    is_urgent_only = turn.is_urgent_only and not wanted.is_rest and not are_few_forecast
    found = {int(r["id"]): r for r in every if r["is_urgent"] or not is_urgent_only}
    is_waiting = len(found) < len(every)
    if is_waiting:
        work.send_after_commit(shard_job(DECIDE_SHARD, shard, turn.origin_at, is_rest=True))
    if not (turn.is_late or wanted.is_rest or are_few_forecast):
        note_done(connection, done, is_waiting=is_waiting, now=now)
        is_past = repository.is_past(connection, list(found), turn.origin_at, policy)
        return {} if is_past or not found else {turn.origin_at: found}
    first = turn.origin_at - LONGEST_WAIT_STEPS * asked.step
    newest = repository.load_newest(connection, list(found), first, turn.origin_at, policy)
    undecided = [row for row in newest if not row["is_decided"]]
    if not (undecided or turn.is_late):
        return {}  # they are not forecast yet, and wait on
    note_done(connection, done, is_waiting=True, now=now)
    if not is_waiting:
        rest = [r["origin_at"] for r in newest if not found[int(r["workload_id"])]["is_urgent"]]
        note_rest_done(connection, done, max(rest, default=None), now)
    groups: dict[datetime, _Found] = {}
    for row in undecided:
        key = int(row["workload_id"])
        groups.setdefault(row["origin_at"], {})[key] = found[key]
    return groups


@dataclass(frozen=True, slots=True)
class _Moment:
    """What the parts of a shard's run share."""

    work: UnitOfWork
    deps: DecisionDeps
    origin_at: datetime
    now: datetime
    gpu_types: frozenset[str]
    gone: frozenset[int]

    def run(self, found: Sequence[RowMapping]) -> ShardRun:
        """A run over workloads by their rows."""
        members = {m.id: m for m in map(to_member, found)}
        for key in self.gone & members.keys():
            members[key] = replace(members[key], is_budgeted=False)
        return ShardRun(self.work, self.deps, members, self.origin_at, self.now, self.gpu_types)


@dataclass(frozen=True, slots=True)
class _DecidedPart:
    """What was decided for a part of a shard.

    Attributes:
        origin_at: Its origin.
        members: Its workloads.
        results: Outcomes of their finished steps.
        granted: What was decided.
    """

    origin_at: datetime
    members: Mapping[int, ShardMember]
    results: Mapping[int, WorkloadOutcomes]
    granted: GrantedPart

    def publish(self, now: datetime) -> None:
        """Metrics and log lines; called after commit."""
        decided = self.granted.decided
        publish(self.results, decided)
        publish_freshness(decided, self.origin_at, now)
        log_decisions(decided)
        for cluster in {member.cluster for member in self.members.values()}:  # a shard is of one
            gpu_types = {t for member in self.members.values() for t in gpu_types_of(member)}
            step_s = max(member.step_s for member in self.members.values())
            publish_budgets(self.granted.ledger, cluster, gpu_types, step_s)


def _decide_group(at: _Moment, found: _Found) -> list[_DecidedPart]:
    """Decide for the workloads of a run that are decided at one origin."""
    parts = in_bulkheads(
        at.work, DECIDE, list(found), lambda ids: _decide_part(at, [found[i] for i in ids]), at.now
    )
    bare = [
        in_parts(at.work, [one], lambda each: _decide_bare(at, found[each[0].item], each[0].error))
        for one in parts.apart
    ]
    return [*parts.results, *(result for part in bare for result in part.results)]


def _decide_part(at: _Moment, found: Sequence[RowMapping]) -> _DecidedPart:
    """Outcomes, decisions and memory of some workloads of a shard."""
    run = at.run(found)
    capacity = believed_capacity(run.work, run.deps.settings, run.members, run.origin_at)
    responses = believed_responses(run.work, run.deps.settings, run.members, run.origin_at)
    rows = replace(_load_rows(run), capacity=capacity, responses=responses)
    measured = measure_steps(run, rows)
    results, rows = store_steps(run, rows, measured)
    queues = {key: one.queue for key, one in measured.items() if one.queue is not None}
    rows = replace(rows, queues=queues)
    drafted = draft_part(run, _undecided(run), rows)
    memory = ShardMemory.of(run, rows, measured)
    memory.store(
        {one.made.member.id: one.made.whole for group in drafted for one in group.packed},
        run.members,
    )
    granted = grant_part(run, drafted)
    if granted.changed:
        memory.store(granted.changed, granted.changed)
    return _DecidedPart(run.origin_at, run.members, results, granted)


def _decide_bare(at: _Moment, found: RowMapping, error: Exception) -> _DecidedPart:
    """Decide for a workload that failed alone, without a forecast or anything learned.

    Its demand so far, its replicas and its spec are left, so a lower rung of the ladder answers,
    with the lead time that is stated.
    """
    run = at.run([found])
    rows = replace(_load_seen(run), further={})
    forecasts = [without_numbers(row, error_message(error)) for row in _undecided(run)]
    granted = grant_part(run, draft_part(run, forecasts, rows))
    return _DecidedPart(run.origin_at, run.members, {}, granted)


def _undecided(run: ShardRun) -> list[RowMapping]:
    """Forecasts of the run's workloads that have no decision."""
    return list(
        repository.load_undecided(
            run.connection, list(run.members), run.origin_at, run.deps.settings.policy_version
        )
    )


def _load_rows(run: ShardRun) -> ShardRows:
    """One query for each kind of row."""
    connection, ids, seen = run.connection, list(run.members), _load_seen(run)
    stored = [
        (int(r["workload_id"]), r["state"]) for r in repository.load_risk_states(connection, ids)
    ]
    states = {key: in_terms_of(state, run.members[key]) for key, state in stored}
    units = {key: translate.measured_unit(run.members[key].spec) for key in states}
    return replace(
        seen,
        starts=group_rows(repository.load_pod_starts(connection, ids, _lookback(run))),
        risk={key: translate.to_risk_state(state, units[key]) for key, state in states.items()},
        ends={key: translate.to_end_ledgers(state, units[key]) for key, state in states.items()},
        spans={
            key: to_spans(state, run.members[key], run.origin_at.timestamp())
            for key, state in states.items()
        },
        measured_for={key: state.get(MEASURED_FOR) for key, state in states.items()},
        own_since_s=translate.to_own_since(states),
        counted_step_s=to_step_lengths(states),
        step_since_s=to_step_since(states),
        faulty=frozenset(key for key, state in states.items() if state.get("not_capacity_message")),
        lead_time_s=load_draws(connection, "lead_time", scopes_of(list(run.members.values()))),
        trust=_trust(run),
        supply=_supply(run, seen.states),
        interruptions=_interruptions(run, seen.states),
    )


def _load_seen(run: ShardRun) -> ShardRows:
    """What was seen and done, without anything that was learned of it."""
    connection, now, ids = run.connection, run.now, list(run.members)
    first = run.origin_at - run.longest_step * run.deps.settings.context_steps
    early = min(_lookback(run) - run.longest_step, now - HISTORY)
    loads = load_observed(connection, run.members, first, run.origin_at, run.deps.kept)
    return ShardRows(
        demand={
            key: by_name[demand]
            for key, by_name in loads.items()
            if (demand := run.members[key].spec.demand) in by_name
        },
        further={
            key: {name: by_name[name] for name in further if name in by_name}
            for key, by_name in loads.items()
            if (further := run.members[key].spec.further_loads)
        },
        states=group_rows(repository.load_states(connection, ids, _lookback(run), now)),
        changes=group_rows(repository.load_changes(connection, ids, early, now)),
        recommendations=group_rows(repository.load_recommendations(connection, ids, early)),
    )


def _lookback(run: ShardRun) -> datetime:
    return run.origin_at - run.longest_step * LOOKBACK_STEPS


def _supply(run: ShardRun, states: Mapping[int, Sequence[RowMapping]]) -> Mapping[str, RowMapping]:
    """Start-ups of new nodes; nothing is asked where no service can have one."""
    newest = [of_one[-1] for of_one in states.values()]
    if not any(may_have_new_nodes(state) for state in newest):
        return {}
    cluster_id = next(iter(run.members.values())).cluster_id
    stale = run.longest_step * run.deps.settings.stale_after_steps
    return repository.load_supplies(run.connection, cluster_id, run.now - stale)


def _interruptions(
    run: ShardRun, states: Mapping[int, Sequence[RowMapping]]
) -> Mapping[str, InterruptionBelief]:
    """How often spot nodes are interrupted; nothing is asked where no service is on one."""
    if not any(translate.is_on_spot(of_one[-1]) for of_one in states.values()):
        return {}
    cluster_id = next(iter(run.members.values())).cluster_id
    rows = repository.load_interruptions(run.connection, cluster_id)
    return {
        row["gpu_type"]: learn_interruptions(row["interruptions"], row["node_hours"])
        for row in rows
    }


def _trust(run: ShardRun) -> dict[int, TrustInForce]:
    """Verdicts in force; none where the gate is off."""
    if run.deps.settings.trust_interval_s <= 0:
        return {}
    rows = load_verdicts(run.connection, list(run.members))
    return {int(r["workload_id"]): translate.to_trust(r) for r in rows}


def sweep(deps: DecisionDeps) -> int:
    """Send the decision job again for every shard and origin with an undecided forecast."""
    with unit_of_work(deps.engine, deps.sender) as work:
        newest = repository.load_newest_origin(work.connection)
        if newest is None:
            return 0
        n_steps, policy = deps.settings.decision_ttl_steps, deps.settings.policy_version
        orphans = repository.load_orphans(work.connection, newest, n_steps, policy)
        waiting = load_waiting(work.connection, DECIDE_STAGE)
        for row in orphans:
            shard, origin_at = int(row["shard"]), row["origin_at"]
            note_asked(work.connection, DECIDE_STAGE, shard, origin_at)
            is_rest = waiting.get(shard) == origin_at  # their job may wait still: it is one
            work.send_after_commit(shard_job(DECIDE_SHARD, shard, origin_at, is_rest=is_rest))
    return len(orphans)


def explain(deps: DecisionDeps, decision_id: int) -> dict[str, Any]:
    """A decision's stored explanation, with its keys.

    Raises:
        NotFound: There is no such decision.
    """
    with deps.engine.connect() as connection:
        row = repository.load_decision(connection, decision_id)
    if row is None:
        raise NotFound(f"decision {decision_id} does not exist")
    head = {
        "id": decision_id,
        "workload": f"{row['namespace']}/{row['name']}",
        "origin_at": row["origin_at"].isoformat(),
        "decided_at": row["decided_at"].isoformat(),
        "valid_until": row["valid_until"].isoformat(),
        "policy_version": row["policy_version"],
    }
    if not row["is_replayable"]:
        head["replay_message"] = not_kept(decision_id)
    return head | {k: v for k, v in row["explanation"].items() if k not in head}
