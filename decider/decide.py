"""The main flow: a shard's inputs -> a decision per workload, each with its reason.

ladder -> plan -> reactive floor -> guards -> fleet budget and mix of variants -> record. Pure: no
clock, no I/O, no randomness; the same request gives the same decisions, byte for byte, in any
shard.

What goes before the budget does not depend on who holds what of it: a shard is planned once
(`plan_shard`), and granted as often as what the others hold turns out to be different
(`grant_shard`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from decider.budget.budget import DraftedShard, share_budgets
from decider.budget.pools import keep_promises
from decider.budget.reasons import Draft, Grant, HeldMix
from decider.config import DecideConfig
from decider.errors import require
from decider.fleet_types import Elsewhere
from decider.mix.budget import MixGrant, share_mixes
from decider.mix.record import with_mix
from decider.mix.request import mixes_through_losses
from decider.planning.fallback import (
    DecisionTime,
    Standing,
    last_known_demand,
    shown_demand,
    stand,
    stand_together,
)
from decider.planning.guards import GuardInput, apply_guards
from decider.planning.interruptions import counts_through_losses
from decider.planning.ledgers import promised_by_steps
from decider.planning.outlook import Outlook, look_ahead
from decider.planning.quiet import quiet_counts
from decider.planning.risk import reactive_floor
from decider.recording import PlannedShard, record
from decider.result import Decision
from decider.tables.backlog import counted_waiting
from decider.tables.reach import reaching
from decider.types import ShardRequest, WorkloadInput


@dataclass(frozen=True, slots=True)
class KnownBudgets:
    """The GPU budgets and who else holds what of them, as `ShardRequest` says of both.

    Attributes:
        gpu_budgets: GPUs by type; None: it could not be read; a type not listed has no budget.
        elsewhere: The workloads that are not decided on now, by type.
    """

    gpu_budgets: Mapping[str, int | None] = field(default_factory=dict)
    elsewhere: Mapping[str, Elsewhere] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GrantedShard:
    """What the budgets left of a plan.

    Attributes:
        grants: W grants.
        mixes: Those of the rows that have variants.
        decisions: W decisions.
    """

    grants: tuple[Grant, ...]
    mixes: Mapping[int, MixGrant]
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class ReplicaLoads:
    """Loads that one replica is counted with.

    Attributes:
        capacity: Its mean capacity.
        floor: What the reactive floor counts on.
        is_learned: It is known what load does to the requests.
    """

    capacity: float
    floor: float
    is_learned: bool


@dataclass(frozen=True, slots=True)
class FirstCounts:
    """What the planner wants now.

    Attributes:
        planned: Its count.
        quiet: The same were nothing waiting; None: nothing is.
        held: The count that keeps the promise though spot nodes are interrupted; None: no replica
            is on one.
    """

    planned: int
    quiet: int | None
    held: int | None = None

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
    planned = plan_shard(request, config, now_s, valid_for_s)
    return grant_shard(planned, KnownBudgets(request.gpu_budgets, request.elsewhere)).decisions


def plan_shard(
    request: ShardRequest, config: DecideConfig, now_s: float, valid_for_s: float | None = None
) -> PlannedShard:
    """Plan a shard up to what the GPU budgets leave of it; arguments as `decide_shard`.

    The request's own budgets are not looked at.
    """
    require(bool(np.isfinite(now_s)), f"now_s={now_s} must be finite")
    if config.revision > 2:
        request = promised_by_steps(request)
    request = reaching(request, is_by_median=config.revision > 1)
    capacity = request.capacity_draws.mean(axis=1)
    time = DecisionTime(now_s, request.step_s)
    standings = _standings(request, time, config)
    outlook = look_ahead(request, standings, config)
    planned, quiet = outlook.first(), quiet_counts(request, standings, config, outlook.soft)
    first = [FirstCounts(int(n), quiet.get(row)) for row, n in enumerate(planned)]
    wanted = np.array([one.wanted for one in first], dtype=np.int64)
    held = counts_through_losses(request, outlook, wanted)
    mixes = mixes_through_losses(request, outlook, standings, wanted, config.revision)
    held |= {row: one.replicas for row, one in mixes.items()}
    outlook = _with_feasible(outlook, mixes)
    drafts = [
        replace(
            _draft(
                w,
                standings[row],
                replace(first[row], held=held.get(row)),
                ReplicaLoads(
                    float(capacity[row]), float(outlook.floor_load[row]), row in outlook.soft
                ),
                time,
                config,
            ),
            is_feasible=bool(outlook.is_feasible[row]) or standings[row].replicas is not None,
            mix=mixes.get(row),
        )
        for row, w in enumerate(request.workloads)
    ]
    valid_until_s = now_s + (3.0 * request.step_s if valid_for_s is None else valid_for_s)
    drafted = DraftedShard(request, outlook, standings, drafts, revision=config.revision)
    return PlannedShard.of(drafted, config, now_s, valid_until_s)


def _with_feasible(outlook: Outlook, mixes: Mapping[int, HeldMix]) -> Outlook:
    """The outlook where a level is kept only if some mix does so with interruptions, too."""
    if not mixes:
        return outlook
    is_feasible = outlook.is_feasible.copy()
    for row, one in mixes.items():
        is_feasible[row] &= one.is_feasible
    return replace(outlook, is_feasible=is_feasible)


def grant_shard(
    planned: PlannedShard, view: KnownBudgets, earlier: GrantedShard | None = None
) -> GrantedShard:
    """Decisions of a plan under the GPU budgets.

    Args:
        planned: The plan.
        view: The budgets.
        earlier: The same plan granted before: the very decisions of those whose grant is the same
            are taken from it.
    """
    request = replace(planned.shard.request, gpu_budgets=view.gpu_budgets, elsewhere=view.elsewhere)
    shard = replace(planned.shard, request=request)
    mixes: dict[int, MixGrant] = {}
    if any(w.variants is not None for w in request.workloads):
        grants, mixes = share_mixes(shard, planned.now_s)
    else:
        grants = share_budgets(shard)
    if shard.outlook.services:
        grants = keep_promises(shard, grants)
    found = GrantedShard(tuple(grants), mixes, ())
    kept = {} if earlier is None else _unchanged(shard, found, earlier)
    counts = {row: mix.counts for row, mix in mixes.items()}
    made = record(planned, grants, [r for r in range(len(grants)) if r not in kept], counts)
    for row in made.keys() & mixes.keys():
        made[row] = with_mix(made[row], request.workloads[row], shard.drafts[row], mixes[row])
    decisions = kept | made
    return replace(found, decisions=tuple(decisions[row] for row in range(len(grants))))


def _unchanged(
    shard: DraftedShard, found: GrantedShard, earlier: GrantedShard
) -> dict[int, Decision]:
    """Earlier decisions of the rows that are granted the same; of pools all of the service."""
    rows = range(len(found.grants))
    same = {
        row
        for row in rows
        if found.grants[row] == earlier.grants[row]
        and found.mixes.get(row) == earlier.mixes.get(row)
    }
    for service in shard.outlook.services:
        if not same.issuperset(service.rows):
            same -= set(service.rows)
    return {row: earlier.decisions[row] for row in same}


def _standings(request: ShardRequest, time: DecisionTime, config: DecideConfig) -> list[Standing]:
    """Where each workload stands on the ladder; the pools of a service stand together."""
    capacity = request.capacity_draws.mean(axis=1)
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
    return standings


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
    quiet, unlost = first.quiet, None
    unseen = "" if standing.replicas is not None else _unseen(workload, last, config)
    if first.held is not None:
        unlost, raw = raw, first.held
        quiet = None if quiet is None else quiet + raw - unlost
    shown = shown_demand(workload, time, config.fallback)
    if last is not None and shown is not None:
        if quiet is not None:
            quiet = max(quiet, reactive_floor(shown, loads.floor, config.reactive_floor_ratio))
            waits = counted_waiting(workload.waiting_load or 0.0, last, config.max_backlog_steps)
            last, shown = last + waits, shown + waits
        floor = reactive_floor(shown, loads.floor, config.reactive_floor_ratio)
        if unlost is not None:
            unlost = max(unlost, floor)
        if floor > raw:
            raw, cause = floor, "reactive_floor"
    model = raw if standing.is_shadowed else None
    model_held = 0 if model is None or unlost is None else model - unlost
    if standing.replicas is not None:
        raw, cause, quiet, unlost = standing.replicas, standing.rung, None, None
    given = GuardInput(
        workload,
        time.now_s,
        last,
        loads.capacity,
        config.consolidation_ratio,
        loads.is_learned and not workload.is_response_borrowed,
        workload.carried_load if config.revision > 3 else None,
        unseen,
    )
    guarded, trace = apply_guards(given, raw)
    return Draft(
        raw, cause, guarded, trace, model=model, quiet=quiet, unlost=unlost, model_held=model_held
    )


def _unseen(workload: WorkloadInput, last: float | None, config: DecideConfig) -> str:
    """Why the last demand does not tell what fewer replicas must absorb; empty: it does."""
    if config.revision < 8:
        return ""
    if last is None:
        stale = "the demand is stale: what fewer replicas must absorb is not known"
        return "" if workload.history.last_demand() is None else stale
    waiting = workload.waiting_load or 0.0
    if waiting > config.max_backlog_steps * last and config.max_backlog_steps > 0:
        return (
            f"a load of {waiting:.4g} waits, more than a step of the last demand {last:.4g}: what "
            "is served does not tell what comes"
        )
    return ""
