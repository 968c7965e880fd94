"""Rate limits and GPU budgets, checked once more just before scalings are patched.

A decision is made on a snapshot, and a shard grants at once the GPUs that its own scalings-in will
free. So what goes up goes up as far as GPUs are free now, the workloads of the highest priority
first; the rest waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, RowMapping

from services.kernel.domain import WorkloadSpec
from services.operator.plan.gpu_room import GpuRoom, TargetUse
from services.operator.plan.part_plan import PartChange
from services.operator.plan.plan import StoredDecision
from services.operator.plan.rates import PastChange, TargetRates, has_rates, yields_to_budget
from services.operator.plan.scaling import Scaling
from services.operator.reconcile import intents_repository
from services.operator.reconcile.gpu_use import (
    FleetAtHand,
    load_gpu_budgets,
    target_uses,
)
from services.operator.reconcile.memory import OperatorDeps
from services.operator.resource.autoscaler import TargetKey

_LONGEST_PERIOD = timedelta(seconds=1800)


def limit_scalings(
    connection: Connection,
    deps: OperatorDeps,
    fleet: FleetAtHand,
    scalings: Sequence[Scaling],
    newest: Mapping[int, StoredDecision],
    now: datetime,
) -> None:
    """Cap each scaling at what rate limits and budgets allow now."""
    _limit_rates(connection, scalings, now)
    _limit_gpus(connection, deps, fleet, scalings, newest, now)


def _limit_rates(connection: Connection, scalings: Sequence[Scaling], now: datetime) -> None:
    limited = [each for each in scalings if has_rates(_spec(each))]
    if not limited:
        return
    ids = [each.decision.workload_id for each in limited]
    rows = intents_repository.load_changes(connection, ids, now - _LONGEST_PERIOD, now)
    for scaling in limited:
        own = [row for row in rows if row["workload_id"] == scaling.decision.workload_id]
        if _spec(scaling).variants:
            _limit_variants(scaling, own, now)
        else:
            for change in scaling.patches:
                _limit_rate(scaling, change, own, now)


def _spec(scaling: Scaling) -> WorkloadSpec:
    spec = scaling.autoscaler.spec
    assert spec is not None, "what is patched has a spec"
    return spec


def _limit_rate(
    scaling: Scaling, change: PartChange, rows: Sequence[RowMapping], now: datetime
) -> None:
    """Cap a workload's only target, or one pool."""
    spec, decision = scaling.members[change.name].spec, scaling.decision
    assert spec is not None, "what is patched has a spec"
    limit = TargetRates(spec, [c for r in rows if (c := _past(r, change.name)) is not None], now)
    scaling.limits[change.name] = limit  # also of what is not limited: planned again it may rise
    if change.is_fall and yields_to_budget(decision.binding_constraint, decision.constraints):
        return
    count = limit.furthest(change.current, change.wanted)
    if count != change.wanted:
        scaling.cap(change.name, count, f"the rate limit of {change.current} allows no more now")


def _limit_variants(scaling: Scaling, rows: Sequence[RowMapping], now: datetime) -> None:
    """Hold a mix as a whole: its rate is that of all variants together, in reference replicas."""
    decision = scaling.decision
    if yields_to_budget(decision.binding_constraint, decision.constraints):
        return
    limit = TargetRates(_spec(scaling), [c for r in rows if (c := _past(r, "")) is not None], now)
    if limit.furthest(decision.current, decision.desired) != decision.desired:
        for change in scaling.patches:
            if change.is_rise == (decision.desired > decision.current):
                scaling.cap(change.name, change.current, "the rate limit allows no more now")


def _past(row: RowMapping, name: str) -> PastChange | None:
    """A scaling as it counts for one pool, or, without a name, for the workload as a whole.

    A row of a former version does not tell what was made of a pool: what was decided for it may
    have been made.
    """
    at, parts = row["applied_at"], row["parts"]
    own = [each for each in parts or () if not name or each["name"] == name]
    is_sure = row["is_sure"] and all(each["is_sure"] for each in own)
    if name and parts is None:
        asked = next((each for each in row["variants"] or () if each["name"] == name), None)
        if asked is None:
            return None
        return PastChange(at, int(asked["desired"]) - int(asked["current"]), is_sure=False)
    if name and not own:
        return None
    if name or (own and not is_sure):
        added = round(sum(each["ratio"] * (each["to"] - each["from"]) for each in own))
        return PastChange(at, added, is_sure)
    return PastChange(at, int(row["to_replicas"]) - int(row["from_replicas"]), is_sure)


def _limit_gpus(
    connection: Connection,
    deps: OperatorDeps,
    fleet: FleetAtHand,
    scalings: Sequence[Scaling],
    newest: Mapping[int, StoredDecision],
    now: datetime,
) -> None:
    rises = [(each, change) for each in scalings for change in each.patches if change.is_rise]
    types = {_use_of(each, change).gpu_type for each, change in rises}
    known = load_gpu_budgets(connection, deps, fleet.view, now) if rises else {}
    # of a type that has no row of its own nothing is known here: decisions alone see to it
    budgets = {name: gpus for name, gpus in known.items() if name in types}
    if not budgets:
        return
    uses = target_uses(connection, deps, fleet, newest)
    room = GpuRoom.of(budgets, uses.values())
    for each in scalings:
        for change in each.patches:
            if change.is_fall:
                room.lower(_use_of(each, change, uses), change.wanted)
    # the most important first; of equals the one that was registered first
    rises.sort(key=lambda pair: (-_spec(pair[0]).sla.priority_in_force, pair[0].decision.id))
    for scaling, change in rises:
        use = _use_of(scaling, change, uses)
        grant = room.grant(use, change.wanted, takes_part=scaling.has_waited)
        if grant.count != change.wanted:
            scaling.cap(change.name, max(grant.count, change.current), grant.reason)


def _use_of(
    scaling: Scaling, change: PartChange, uses: Mapping[TargetKey, TargetUse] | None = None
) -> TargetUse:
    """What a target asks for and holds; one that was never listed holds what it asks for."""
    member = scaling.members[change.name]
    spec = member.spec
    assert spec is not None, "what is patched has a spec"
    known = (uses or {}).get(member.target.key)
    return known or TargetUse(spec.gpu_type, spec.gpus_per_replica, change.current)
