"""Decisions of some workloads: planned without the locks of the GPU budgets, granted under them.

What others hold changes who is cut, not what a workload would take at which price. So a part of a
shard is planned, granted by what the others were last known to hold, and serialised before the
locks; under them only the decisions that turn out differently are made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping

import decider
from decider import Decision, GrantedShard, PlannedShard
from services.decision.budgets import budgets
from services.decision.budgets.repository import store_claims, store_variant_claims
from services.decision.decide.report import DecidedWorkload
from services.decision.decide.shard_run import ShardRun
from services.decision.headroom.needs import (
    Peaks,
    Told,
    headroom_of,
    need_rows,
    peaks_of,
    told_headroom,
)
from services.decision.headroom.repository import store_needs
from services.decision.rows import repository
from services.decision.rows.inputs import ShardRows
from services.decision.rows.prepare import Prepared, prepare
from services.decision.rows.record import (
    DecisionStamp,
    PackedDecision,
    decision_row,
    inputs_row,
    pack_decision,
)
from services.decision.rows.service_decision import service_decisions
from services.kernel import tracing
from services.kernel.db.session import next_ids


@dataclass(frozen=True, slots=True, eq=False)
class DraftedGroup:
    """Workloads that are decided on together, granted by what was last known of the others.

    Attributes:
        prepared: What they are decided from.
        planned: Their plan.
        granted: What was granted by what was last known.
        packed: The same as it would be stored.
        ids: Ids of their rows.
        peaks: What each row may need, where its GPUs may come on new nodes.
        headroom: What is to be held ready meanwhile.
    """

    prepared: Prepared
    planned: PlannedShard
    granted: GrantedShard
    packed: tuple[PackedDecision, ...]
    ids: tuple[int, ...]
    peaks: Peaks
    headroom: Told


@dataclass(frozen=True, slots=True)
class GrantedPart:
    """What was decided.

    Attributes:
        decided: The decisions.
        changed: Those that are not as they were drafted, by workload.
        ledger: Holdings of the GPU budgets after them.
    """

    decided: Sequence[DecidedWorkload]
    changed: dict[int, Decision]
    ledger: budgets.Ledger


def draft_part(
    run: ShardRun, forecasts: Sequence[RowMapping], rows: ShardRows
) -> list[DraftedGroup]:
    """Plan and serialise the decisions about forecasts without any lock."""
    groups = prepare(run.members, forecasts, rows, run.now)
    if not groups:
        return []
    known = budgets.last_known(run.connection, run.deps.settings, run.members.values(), run.now)
    return [_drafted(run, group, known, rows) for group in groups]


def _drafted(
    run: ShardRun, group: Prepared, known: budgets.Ledger, rows: ShardRows
) -> DraftedGroup:
    config, now = run.deps.config, run.now
    valid_for_s = run.deps.settings.decision_ttl_steps * group.request.step_s
    planned = decider.plan_shard(group.request, config, now.timestamp(), valid_for_s)
    granted = decider.grant_shard(planned, budgets.budget_view(group, known))
    made = service_decisions(group, granted.decisions)
    packed = tuple(pack_decision(group, each, config, now) for each in made)
    ids = next_ids(run.connection, "decisions_id_seq", len(packed))
    peaks, told = peaks_of(group, rows.supply), told_headroom(rows.supply)
    return DraftedGroup(group, planned, granted, packed, tuple(ids), peaks, told)


def grant_part(run: ShardRun, groups: Sequence[DraftedGroup]) -> GrantedPart:
    """Grant what was drafted under the locks of the budgets, and store it.

    The locks are those of all that the transaction decides for, and are held from the first call on
    until it ends.
    """
    decided: list[DecidedWorkload] = []
    stored: list[tuple[Any, ...]] = []
    inputs: list[tuple[Any, ...]] = []
    needs: list[tuple[Any, ...]] = []
    changed: dict[int, Decision] = {}
    trace = tracing.to_headers().get(tracing.HEADER, "")
    version = run.deps.settings.policy_version
    members = run.members.values()
    ledger = budgets.open_ledger(run.connection, run.deps.settings, members, run.now, run.gpu_types)
    for group in groups:
        view = budgets.budget_view(group.prepared, ledger)
        granted = decider.grant_shard(group.planned, view, group.granted)
        packed = _repacked(run, group, granted)
        budgets.note_decisions(ledger, [one.made for one in packed], run.now)
        needs += need_rows(group.prepared, group.peaks, granted.decisions, run.now)
        cuts = budgets.explanations(group.prepared, view, granted.decisions, ledger)
        for id_, one, drafted in zip(group.ids, packed, group.packed, strict=True):
            made = one.made
            cut = cuts.get(budgets.explained_type(made, sorted(cuts)))
            ready = headroom_of(group.headroom, made.rows)
            stamp = DecisionStamp(id_, run.now, version, cut, trace, ready)
            stored.append(decision_row(one, stamp))
            inputs.append(inputs_row(one, id_))
            forecast_id = int(made.forecast["id"])
            decided.append(DecidedWorkload(made.member, made.whole, id_, forecast_id))
            if one is not drafted:
                changed[made.member.id] = made.whole
    repository.store_decisions(run.connection, stored)
    repository.store_inputs(run.connection, inputs)
    store_needs(run.connection, needs)
    store_claims(run.connection, ledger.claims)
    store_variant_claims(run.connection, ledger.variant_claims)
    return GrantedPart(decided, changed, ledger)


def _repacked(run: ShardRun, group: DraftedGroup, granted: GrantedShard) -> list[PackedDecision]:
    """What is granted now as it is stored; drafted decisions that hold are not packed anew."""
    found = service_decisions(group.prepared, granted.decisions)
    return [
        drafted
        if drafted.is_of(made)
        else pack_decision(group.prepared, made, run.deps.config, run.now)
        for drafted, made in zip(group.packed, found, strict=True)
    ]
