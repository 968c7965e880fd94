"""Looks of the trust gate on the `fit` queue: does each workload's model earn its place?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
from sqlalchemy import Connection, RowMapping

from decider import (
    FloatArray,
    TrustCase,
    TrustConfig,
    TrustState,
    TrustVerdict,
    judge_model,
    trailing_grid,
)
from services.decision.beliefs.capacity import believed_capacity
from services.decision.beliefs.misses import stored_responses
from services.decision.beliefs.repository import load_draws
from services.decision.rows import repository, translate
from services.decision.rows.inputs import (
    ShardRows,
    equivalent_of,
    group_rows,
    lead_time_of,
    scopes_of,
    scored_capacity,
)
from services.decision.rows.loads import Sampled
from services.decision.rows.members import ShardMember, readable_members
from services.decision.trust.repository import (
    load_due_shards,
    load_measured_demand,
    load_model_counts,
    load_verdicts,
    lock_shard,
    store_verdicts,
)
from services.decision.wiring import DecisionDeps
from services.kernel.db.session import UnitOfWork, unit_of_work
from services.kernel.jobs import DECIDE_TRUST, Job
from services.kernel.telemetry import get_logger

PAST = timedelta(days=14)
"""How far back a look reads: decisions and outcomes."""
_OF_POOLS = "trusted without a look: a sum over pools does not say whether each was right"


@dataclass(frozen=True, slots=True)
class TrustReport:
    """Result of a look at a shard, by `namespace/name`.

    Attributes:
        n_looks: Workloads looked at.
        demoted: Models that are not trusted any more.
        reinstated: Models that are trusted again.
        left_out: Workloads without a finished step in the past that is read, those with pools, and
            those whose stored spec cannot be read: their verdict stays.
    """

    n_looks: int = 0
    demoted: tuple[str, ...] = ()
    reinstated: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Past:
    """Rows of the past, by workload id, as they are at one time."""

    at: datetime
    counts: Mapping[int, RowMapping]
    rows: ShardRows
    states: Mapping[int, TrustState] = field(default_factory=dict)


def send_due(deps: DecisionDeps, is_scheduled: bool) -> list[int]:
    """Send a look for every shard that has a workload whose last one is old enough.

    Args:
        deps: What the use case needs.
        is_scheduled: Only what is due; otherwise every shard.
    """
    with unit_of_work(deps.engine, deps.sender) as work:
        now = deps.now(work.connection)
        before = now - timedelta(seconds=deps.settings.trust_interval_s) if is_scheduled else now
        shards = load_due_shards(work.connection, before)
        for shard in shards:
            payload = {"shard": shard, "is_scheduled": is_scheduled}
            work.send_after_commit(Job(DECIDE_TRUST, payload))
    return shards


def judge_shard(
    deps: DecisionDeps, shard: int, is_scheduled: bool, config: TrustConfig | None = None
) -> TrustReport:
    """Look at the models of a shard's workloads and store the verdicts.

    Harmless when run twice: a block of the past counts once, whatever looks see it.

    Args:
        deps: What the use case needs.
        shard: The shard.
        is_scheduled: Only workloads that are due; otherwise all.
        config: Settings of the gate; None: the defaults.
    """
    with unit_of_work(deps.engine, deps.sender) as work:
        now = deps.now(work.connection)
        members, unread = _load_members(work.connection, shard)
        verdicts = {int(r["workload_id"]): r for r in load_verdicts(work.connection, list(members))}
        if is_scheduled:
            before = now - timedelta(seconds=deps.settings.trust_interval_s)
            fresh = {key for key, row in verdicts.items() if row["decided_at"] > before}
            members = {key: m for key, m in members.items() if key not in fresh}
        if not members:
            return TrustReport(left_out=unread)
        past = _load_past(work, deps, members, verdicts, now)
    # of many workloads it takes a minute: nothing is locked meanwhile
    judged = _judge(deps, members, past, config or TrustConfig())
    with unit_of_work(deps.engine) as work:
        lock_shard(work.connection, shard)
        members = _unchanged(work.connection, members, verdicts)
        judged = {key: verdict for key, verdict in judged.items() if key in members}
        rows = [_row(key, verdict, now) for key, verdict in sorted(judged.items())]
        rows += [
            _unjudged_row(members[key], past.states.get(key, TrustState()), now)
            for key in sorted(members.keys() - judged.keys())
        ]
        store_verdicts(work.connection, rows)
    report = _report(members, past.states, judged, unread)
    get_logger(__name__).info("models_judged", shard=shard, **asdict(report))
    return report


def _load_members(
    connection: Connection, shard: int
) -> tuple[dict[int, ShardMember], tuple[str, ...]]:
    """Workloads of a shard by id, and the names of those whose stored spec cannot be read."""
    rows = repository.load_workloads(connection, shard)
    members, unread = readable_members(rows)
    names = {int(row["id"]): f"{row['namespace']}/{row['name']}" for row in rows}
    for key, reason in unread.items():
        get_logger(__name__).warning("model_not_judged", workload=names[key], reason=reason)
    return {m.id: m for m in members}, tuple(names[key] for key in unread)


def _unchanged(
    connection: Connection, members: Mapping[int, ShardMember], verdicts: Mapping[int, RowMapping]
) -> dict[int, ShardMember]:
    """Those of the workloads that no other look has judged meanwhile: it counts, this one does not.

    Args:
        connection: A transaction that has locked the shard.
        members: The workloads.
        verdicts: The verdicts that this look went on from.
    """
    before = {key: (row["n_looks"], row["decided_at"]) for key, row in verdicts.items()}
    stored = load_verdicts(connection, list(members))
    after = {int(row["workload_id"]): (row["n_looks"], row["decided_at"]) for row in stored}
    return {key: m for key, m in members.items() if before.get(key) == after.get(key)}


def _judge(
    deps: DecisionDeps, members: Mapping[int, ShardMember], past: _Past, config: TrustConfig
) -> dict[int, TrustVerdict]:
    """Verdicts of the workloads with a finished step."""
    rules = trailing_grid(deps.settings.context_steps)
    judged = {}
    for key, member in members.items():
        case = _case(member, past)
        if case is not None:
            state = past.states.get(key, TrustState())
            judged[key] = judge_model(case, state, rules, deps.config.fallback, config)
    return judged


def _load_past(
    work: UnitOfWork,
    deps: DecisionDeps,
    members: Mapping[int, ShardMember],
    verdicts: Mapping[int, RowMapping],
    now: datetime,
) -> _Past:
    """One query for each kind of row.

    Outcomes keep the demand as it was measured then. Where its query was corrected since, its past
    was read again: what a replica bears is in that unit, so that is what is judged by.
    """
    connection, ids, since = work.connection, list(members), now - PAST
    longest = timedelta(seconds=max(m.step_s for m in members.values()))
    measured = {
        int(r["workload_id"]): _series(r) for r in load_measured_demand(connection, ids, since)
    }
    names = {key: members[key].spec.loads for key in measured}
    loads = repository.load_series(connection, names, since, now)
    demand = {
        key: _remeasured(series, loads.get(key, {}).get(members[key].spec.demand))
        for key, series in measured.items()
    }
    counts = load_model_counts(connection, ids, since - longest, deps.settings.policy_version)
    scopes = scopes_of(list(members.values()))
    rows = ShardRows(
        demand=demand,
        further=loads,
        starts=group_rows(repository.load_pod_starts(connection, ids, since)),
        lead_time_s=load_draws(connection, "lead_time", scopes),
        capacity=believed_capacity(work, deps.settings, members, now),
        responses=stored_responses(work, members, now),
    )
    return _Past(
        now,
        {int(r["workload_id"]): r for r in counts},
        rows,
        {key: translate.to_trust_state(r["state"]) for key, r in verdicts.items()},
    )


def _case(member: ShardMember, past: _Past) -> TrustCase | None:
    """The workload's past on its grid; None without a finished step.

    A count that pools share out says nothing of whether each was right: they have no case.
    """
    if member.spec.pools:
        return None
    measured, asked = equivalent_of(member, past.rows), past.counts.get(member.id)
    if measured is None:
        return None
    step_s = float(member.step_s)
    start_s = float(measured[0][0])
    n_steps = round((float(measured[0][-1]) - start_s) / step_s) + 1
    demand = _on_grid(*measured, start_s, step_s, n_steps)
    # An origin is the last complete step: what was decided then stands from the next one on.
    counts = demand * np.nan
    if asked is not None:
        counts = _in_force(asked, start_s - step_s, step_s, n_steps)
    sla = translate.to_sla_of_steps(member.spec, step_s)
    learned = past.rows.responses.get(member.id)
    return TrustCase(
        start_s=start_s,
        step_s=step_s,
        demand=demand,
        model_replicas=counts,
        capacity=scored_capacity(member, past.rows),
        lead_s=float(np.median(lead_time_of(member, past.rows, past.at))),
        bounds=(member.spec.min_replicas, member.spec.max_replicas),
        sla=sla,
        response=None if learned is None else learned.under(sla),
    )


def _series(row: RowMapping) -> Sampled:
    """Step starts and demand of finished steps; NaN: unknown."""
    return np.asarray(row["steps_s"], dtype=float), np.array(row["demand"], dtype=float)


def _remeasured(measured: Sampled, present: Sampled | None) -> Sampled:
    """Demand of finished steps as its indicator says it now; where that has nothing, as it was."""
    if present is None:
        return measured
    steps_s, values = measured
    known = dict(zip(present[0].tolist(), present[1].tolist(), strict=True))
    pairs = zip(steps_s.tolist(), values.tolist(), strict=True)
    return steps_s, np.array([known.get(at_s, was) for at_s, was in pairs])


def _on_grid(at_s: Any, values: Any, start_s: float, step_s: float, n_steps: int) -> FloatArray:
    """(T,) values on a grid of `n_steps` from `start_s`; NaN where there is none."""
    index = np.round((np.asarray(at_s, dtype=float) - start_s) / step_s).astype(np.int64)
    inside = (index >= 0) & (index < n_steps)
    found = np.full(n_steps, np.nan)
    found[index[inside]] = np.array(values, dtype=float)[inside]
    return found


def _in_force(asked: RowMapping, start_s: float, step_s: float, n_steps: int) -> FloatArray:
    """(T,) counts on a grid of `n_steps` from `start_s`, the first origin; NaN where none stands.

    A count stands until the next decision or, where none comes, until it has run out: decisions may
    come less often than steps end.
    """
    origins_s = np.asarray(asked["origins_s"], dtype=float)
    decision_at = _on_grid(origins_s, np.arange(origins_s.size), start_s, step_s, n_steps)
    newest = np.fmax.accumulate(decision_at)
    found = np.full(n_steps, np.nan)
    is_some = np.isfinite(newest)
    index = newest[is_some].astype(np.int64)
    until_s = np.asarray(asked["until_s"], dtype=float)[index]
    # the step after the origin is the first that a count is for, whenever it came
    starts_s = start_s + step_s * (np.flatnonzero(is_some) + 1)
    stands = (until_s > starts_s) | np.isfinite(decision_at[is_some])
    counts = np.array(asked["replicas"], dtype=float)[index]
    found[is_some] = np.where(stands, counts, np.nan)
    return found


def _row(workload_id: int, verdict: TrustVerdict, now: datetime) -> tuple[Any, ...]:
    scores = asdict(verdict.scores) if verdict.scores else {}
    scores["rule"] = asdict(verdict.rule) if verdict.rule else None
    return (
        workload_id,
        verdict.is_trusted,
        verdict.reason,
        orjson.dumps(scores).decode(),
        verdict.state.n_looks,
        orjson.dumps(asdict(verdict.state)).decode(),
        now,
    )


def _unjudged_row(member: ShardMember, state: TrustState, now: datetime) -> tuple[Any, ...]:
    """The verdict stays where nothing was measured; with pools a model is trusted."""
    reason = f"no finished step in the last {PAST.days} days, as before"
    if member.spec.pools:
        reason, state = _OF_POOLS, TrustState()
    kept = TrustVerdict(state.is_trusted, reason, None, None, state)
    return _row(member.id, kept, now)


def _report(
    members: Mapping[int, ShardMember],
    before: Mapping[int, TrustState],
    judged: Mapping[int, TrustVerdict],
    unread: tuple[str, ...],
) -> TrustReport:
    changed: dict[bool, list[str]] = {True: [], False: []}
    for key, verdict in judged.items():
        if verdict.is_trusted != before.get(key, TrustState()).is_trusted:
            changed[verdict.is_trusted].append(members[key].key)
    left_out = tuple(m.key for key, m in members.items() if key not in judged)
    return TrustReport(len(judged), tuple(changed[False]), tuple(changed[True]), left_out + unread)
