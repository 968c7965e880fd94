"""Use cases of the decision service: load -> core -> store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
from sqlalchemy import Connection, Engine, RowMapping

import decider
from decider import DecideConfig, Decision, RiskState
from decider.explain import to_dict
from decider.replay import decision_bytes, replay as replay_inputs
from services.decision.beliefs.capacity import believed_capacity
from services.decision.budgets import budgets, repository as repository_variants
from services.decision.budgets.variant_budgets import binding_type, gpu_types_of
from services.decision.decide.outcomes import (
    LOOKBACK_STEPS,
    WorkloadOutcomes,
    finished_outcomes,
    learn,
)
from services.decision.decide.report import (
    publish,
    publish_budgets,
    publish_freshness,
    publish_trust,
    say,
)
from services.decision.rows import repository, translate
from services.decision.rows.inputs import (
    Member,
    ShardRows,
    group_rows,
    prepare,
    scopes_of,
    to_member,
)
from services.decision.rows.record import Stamp, decision_row
from services.decision.rows.translate import TrustInForce
from services.decision.trust import repository as repository_trust
from services.kernel import tracing
from services.kernel.clock import Clock
from services.kernel.db.session import UnitOfWork, next_ids, unit_of_work
from services.kernel.errors import Conflict, NotFound
from services.kernel.jobs import DECIDE_SHARD, JobSender, shard_job
from services.kernel.settings import Settings

HISTORY = timedelta(hours=1)
"""How far back scalings and recommendations matter (HPA's longest windows)."""


@dataclass(frozen=True, slots=True)
class Deps:
    """What the use cases need."""

    engine: Engine
    clock: Clock
    settings: Settings
    config: DecideConfig = field(default_factory=DecideConfig)
    sender: JobSender | None = None


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What one run did."""

    n_decisions: int
    n_outcomes: int


def decide_shard(deps: Deps, shard: int, origin_at: datetime) -> ShardReport:
    """Outcomes of finished steps, then a decision for every forecast of the origin without one.

    Harmless when run twice: what is decided stays decided.
    """
    now = deps.clock.now()
    with unit_of_work(deps.engine, deps.sender) as work:
        repository.lock_shard(work.connection, shard)
        found = repository.load_workloads(work.connection, shard)
        members = {int(row["id"]): to_member(row) for row in found}
        if not members:
            return ShardReport(0, 0)
        rows = _load_rows(work.connection, deps, members, (origin_at, now))
        capacity = believed_capacity(work, deps.settings, members, origin_at)
        rows = replace(rows, capacity=capacity)
        results, rows = _settle(work.connection, deps, members, rows, (origin_at, now))
        forecasts = repository.load_undecided(
            work.connection, shard, origin_at, deps.settings.policy_version
        )
        decided, names, ledger = _decide(work, deps, members, forecasts, (rows, now))
        _remember(work.connection, rows, decided, now)
        repository.notify_decisions(work.connection, shard)
    publish(members, results, rows.risk, decided)
    publish_freshness(decided, origin_at, deps.clock.now())
    say(decided, names)
    publish_trust(members, rows.trust)
    publish_budgets(ledger, {t for member in members.values() for t in gpu_types_of(member)})
    return ShardReport(len(decided), sum(len(r.rows) for r in results.values()))


def _load_rows(
    connection: Connection,
    deps: Deps,
    members: Mapping[int, Member],
    times: tuple[datetime, datetime],
) -> ShardRows:
    """One query for each kind of row."""
    origin_at, now = times
    ids = list(members)
    longest = timedelta(seconds=max(m.step_s for m in members.values()))
    context = (origin_at - longest * deps.settings.context_steps, origin_at)
    lookback = origin_at - longest * LOOKBACK_STEPS
    early = min(lookback - longest, now - HISTORY)
    demand = repository.load_demand(
        connection, ids, [m.spec.demand for m in members.values()], context
    )
    scopes = scopes_of(list(members.values()))
    return ShardRows(
        demand={
            int(r["workload_id"]): (np.array(r["steps_s"]), np.array(r["demand"])) for r in demand
        },
        states=group_rows(repository.load_states(connection, ids, lookback, now)),
        changes=group_rows(repository.load_changes(connection, ids, early, now)),
        starts=group_rows(repository.load_pod_starts(connection, ids, lookback)),
        recommendations=group_rows(repository.load_recommendations(connection, ids, early)),
        risk={
            int(r["workload_id"]): translate.to_risk_state(r["state"])
            for r in repository.load_risk_states(connection, ids)
        },
        lead_time_s=_draws(connection, "lead_time", scopes),
        trust=_trust(connection, deps, ids),
    )


def _trust(connection: Connection, deps: Deps, ids: Sequence[int]) -> dict[int, TrustInForce]:
    """Verdicts in force; none where the gate is off."""
    if deps.settings.trust_interval_s <= 0:
        return {}
    rows = repository_trust.load_verdicts(connection, ids)
    return {int(r["workload_id"]): translate.to_trust(r) for r in rows}


def _draws(connection: Connection, kind: str, scopes: Sequence[str]) -> dict[str, Any]:
    rows = repository.load_posteriors(connection, kind, scopes)
    return {str(r["scope"]): translate.to_draws(r["draws"]) for r in rows if r["draws"]}


def _settle(
    connection: Connection,
    deps: Deps,
    members: Mapping[int, Member],
    rows: ShardRows,
    times: tuple[datetime, datetime],
) -> tuple[dict[int, WorkloadOutcomes], ShardRows]:
    """Store outcomes; returns them and the rows with the risk control's memory after them."""
    longest = timedelta(seconds=max(m.step_s for m in members.values()))
    done: dict[int, set[float]] = {}
    first = times[0] - longest * LOOKBACK_STEPS
    for row in repository.load_outcome_steps(connection, list(members), first):
        done.setdefault(int(row["workload_id"]), set()).add(row["step_at"].timestamp())
    results = {
        key: finished_outcomes(member, rows, done.get(key, set()), times)
        for key, member in members.items()
    }
    repository.store_outcomes(connection, [row for r in results.values() for row in r.rows])
    memory = learn(members, results, rows, deps.config.risk)
    return results, replace(rows, risk={**rows.risk, **memory})


def _remember(
    connection: Connection,
    rows: ShardRows,
    decided: Sequence[tuple[Member, Decision]],
    now: datetime,
) -> None:
    """Store the risk control's memory after the outcomes and the decisions."""
    memory = dict(rows.risk)
    for member, decision in decided:
        state = memory.get(member.id, RiskState())
        memory[member.id] = replace(state, log_multiplier=decision.next_log_multiplier)
    stored = [(key, orjson.dumps(asdict(s)).decode(), now) for key, s in sorted(memory.items())]
    repository.store_risk_states(connection, stored)


def _decide(
    work: UnitOfWork,
    deps: Deps,
    members: Mapping[int, Member],
    forecasts: Sequence[RowMapping],
    given: tuple[ShardRows, datetime],
) -> tuple[list[tuple[Member, Decision]], list[tuple[int, int]], budgets.Ledger]:
    """Decide and store.

    Returns:
        The decisions, the ids of each and of its forecast, and who holds what of the GPU budgets
        after them.
    """
    rows, now = given
    decided: list[tuple[Member, Decision]] = []
    stored: list[tuple[Any, ...]] = []
    names: list[tuple[int, int]] = []
    ledger = budgets.open_ledger(work.connection, deps.settings, members.values(), now)
    trace = tracing.to_headers().get(tracing.HEADER, "")
    for group in prepare(members, forecasts, rows, now):
        prepared = budgets.with_budgets(group, ledger)
        valid_for_s = deps.settings.decision_ttl_steps * prepared.request.step_s
        decisions = decider.decide_shard(
            prepared.request, deps.config, now.timestamp(), valid_for_s
        )
        budgets.note_decisions(ledger, prepared, decisions, now)
        cuts = budgets.explanations(prepared, decisions, ledger)
        ids = next_ids(work.connection, "decisions_id_seq", len(decisions))
        for row, decision in enumerate(decisions):
            member = prepared.members[row]
            gpu_budget = cuts.get(binding_type(member, decision, sorted(cuts)))
            stamp = Stamp(
                ids[row], now, deps.settings.policy_version, deps.config, gpu_budget, trace
            )
            stored.append(decision_row(prepared, row, decision, stamp))
            decided.append((member, decision))
            names.append((ids[row], int(prepared.forecasts[row]["id"])))
    repository.store_decisions(work.connection, stored)
    repository.store_claims(work.connection, ledger.claims)
    repository_variants.store_variant_claims(work.connection, ledger.variant_claims)
    return decided, names, ledger


def sweep(deps: Deps) -> int:
    """Send the decision job again for every shard and origin with an undecided forecast."""
    with unit_of_work(deps.engine, deps.sender) as work:
        newest = repository.load_newest_origin(work.connection)
        if newest is None:
            return 0
        steps = timedelta(seconds=deps.settings.step_s) * deps.settings.decision_ttl_steps
        orphans = repository.load_orphans(
            work.connection, newest - steps, deps.settings.policy_version
        )
        for row in orphans:
            work.send_after_commit(shard_job(DECIDE_SHARD, int(row["shard"]), row["origin_at"]))
    return len(orphans)


def explain(deps: Deps, decision_id: int) -> dict[str, Any]:
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
    return head | {k: v for k, v in row["explanation"].items() if k not in head}


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """A decision made again from its stored inputs.

    Attributes:
        is_identical: The bytes are the same.
        stored_sha256: Digest stored with the decision.
        replayed_sha256: Digest of the decision made now.
        record: The decision made now.
    """

    is_identical: bool
    stored_sha256: str
    replayed_sha256: str
    record: dict[str, object]


def replay(deps: Deps, decision_id: int) -> ReplayReport:
    """Make a stored decision again and compare the bytes.

    Raises:
        NotFound: There is no such decision.
        Conflict: Its inputs were not kept.
    """
    with deps.engine.connect() as connection:
        row = repository.load_decision(connection, decision_id)
    if row is None:
        raise NotFound(f"decision {decision_id} does not exist")
    if row["inputs"] is None:
        raise Conflict(f"decision {decision_id}: its inputs were not kept")
    again = replay_inputs(bytes(row["inputs"]))
    digest = hashlib.sha256(decision_bytes(again)).hexdigest()
    stored = str(row["explanation"].get("sha256", ""))
    return ReplayReport(digest == stored, stored, digest, to_dict(again))
