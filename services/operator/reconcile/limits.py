"""Rate limits, queues, GPU budgets and free GPUs, checked just before scalings are patched.

A decision is made on a snapshot, and a shard grants at once the GPUs that its own scalings-in will
free. So what goes up goes up as far as GPUs are free now, the workloads of the highest priority
first; the rest waits.

Several targets may be of one ClusterQueue of Kueue, of one cohort or of one ResourceQuota, and what
was asked for since that was read is not counted there yet: both are taken off what it left. So it
is with the free GPUs of nodes, which every decision on a fixed supply was told of as if it were
alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from sqlalchemy import Connection, RowMapping

from services.kernel.domain import WorkloadSpec
from services.kernel.domain.schedules import bounds_at
from services.kernel.server_clock import ahead_by
from services.operator.cluster.free_gpus import FreeGpus
from services.operator.cluster.placement import Shape
from services.operator.cluster.targets import TargetState
from services.operator.plan import gpu_room
from services.operator.plan.gpu_room import Draw, GpuRoom, SharedGpus, TargetUse
from services.operator.plan.part_plan import PartChange
from services.operator.plan.plan import StoredDecision
from services.operator.plan.rates import PastChange, TargetRates, has_rates, yields_to_budget
from services.operator.plan.scaling import Scaling
from services.operator.plan.supply import TypeSupply
from services.operator.reconcile import intents_repository
from services.operator.reconcile.gpu_use import (
    FleetAtHand,
    asked_for,
    load_gpu_budgets,
    target_uses,
)
from services.operator.reconcile.memory import OperatorDeps
from services.operator.reconcile.observe import View
from services.operator.reconcile.supply import AskedAgain, note_attempts, supplies_now
from services.operator.resource.autoscaler import Autoscaler, TargetKey

_NONE: Mapping[str, str] = MappingProxyType({})
_LONGEST_PERIOD = timedelta(seconds=1800)


def limit_scalings(
    connection: Connection,
    deps: OperatorDeps,
    fleet: FleetAtHand,
    scalings: Sequence[Scaling],
    newest: Mapping[int, StoredDecision],
    now: datetime,
) -> timedelta:
    """Cap each scaling at what rate limits, queues, budgets and nodes allow now.

    Returns:
        By how much this process's clock is ahead of the database's, which rates are counted by: of
        two operators one may have a wrong clock.
    """
    ahead = ahead_by(connection, deps.clock)
    _limit_rates(connection, scalings, now - ahead)
    _limit_shared(deps, fleet, scalings, now)
    _limit_gpus(connection, deps, fleet, scalings, newest, now)
    _limit_nodes(deps, fleet.known, scalings, now)
    return ahead


def _limit_rates(connection: Connection, scalings: Sequence[Scaling], now: datetime) -> None:
    limited = [each for each in scalings if has_rates(_spec(each))]
    if not limited:
        return
    ids = [each.decision.workload_id for each in limited]
    by_workload: dict[int, list[RowMapping]] = defaultdict(list)
    for row in intents_repository.load_changes(connection, ids, now - _LONGEST_PERIOD, now):
        by_workload[row["workload_id"]].append(row)
    for scaling in limited:
        own = by_workload[scaling.decision.workload_id]
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
    """Cap rises at the budgets, then at what may be asked of the supply of each type."""
    rises = [(each, change) for each in scalings for change in each.patches if change.is_rise]
    types = {_use_of(each, change).gpu_type for each, change in rises}
    known = load_gpu_budgets(connection, deps, fleet.view, now) if rises else {}
    # of a type that has no row of its own nothing is known here: decisions alone see to it
    allowed = {name: gpus for name, gpus in known.items() if name in types}
    supplies = supplies_now(deps, fleet.view, types, now)
    if not allowed and not supplies:
        return
    uses = target_uses(connection, deps, fleet, newest)
    if allowed:
        _cap_rises(GpuRoom.of(allowed, uses.values()), scalings, uses)
    if supplies:
        # a minimum outranks a budget, and never a ceiling: no node can be had beyond it
        uses = {key: replace(use, least=0) for key, use in uses.items()}
        room = GpuRoom.of({name: s.most_asked for name, s in supplies.items()}, uses.values())
        _cap_rises(room, scalings, uses, {name: s.bound for name, s in supplies.items()})
        provisioned = [supply for supply in supplies.values() if supply.is_provisioned]
        asked = (_asked_again(fleet, scalings, uses, each, room) for each in provisioned)
        note_attempts(connection, deps, [each for each in asked if each is not None], now)


def _asked_again(
    fleet: FleetAtHand,
    scalings: Sequence[Scaling],
    uses: Mapping[TargetKey, TargetUse],
    supply: TypeSupply,
    room: GpuRoom,
) -> AskedAgain | None:
    """What granted rises ask of nodes to come; None: nothing.

    Pods that nothing takes ask for no node, neither those of a rise nor those that wait already.
    """
    states = {**fleet.known.targets.states, **fleet.view.targets.states}
    wanted = {
        scaling.members[change.name].target.key: (change.wanted, _use_of(scaling, change, uses))
        for scaling in scalings
        for change in scaling.patches
        if change.is_rise
    }
    shapes: list[Shape] = []
    held = room.held(supply.gpu_type)
    for key, use in {**uses, **{key: use for key, (_, use) in wanted.items()}}.items():
        if use.gpu_type != supply.gpu_type:
            continue
        count = wanted[key][0] if key in wanted else use.spec
        shape = states[key].shape if key in states else ()
        if not supply.may_place(shape):
            held -= use.held(count)
        elif use.held(count) > use.held():
            shapes.append(shape)
    is_beyond = held > supply.use.nodes - supply.use.others
    return AskedAgain(supply, shapes) if shapes and is_beyond else None


def _cap_rises(
    room: GpuRoom,
    scalings: Sequence[Scaling],
    uses: Mapping[TargetKey, TargetUse],
    reasons: Mapping[str, str] = _NONE,
) -> None:
    """Grant rises as far as they fit, the most important first; of equals the older workload's.

    Args:
        room: What may be asked for, and what is held of it.
        scalings: All of them; falls make room later.
        uses: What each target asks for and holds.
        reasons: Why no more may be asked for, by GPU type; without one the room says it.
    """
    for each in scalings:
        for change in each.patches:
            if change.is_fall:
                room.lower(_use_of(each, change, uses), change.wanted)
    for scaling, change in _ranked_rises(scalings):
        use = _use_of(scaling, change, uses)
        grant = room.grant(use, change.wanted, takes_part=scaling.has_waited)
        if grant.count != change.wanted:
            reason = reasons.get(use.gpu_type, grant.reason)
            scaling.cap(change.name, max(grant.count, change.current), reason)


def _ranked_rises(scalings: Iterable[Scaling]) -> list[tuple[Scaling, PartChange]]:
    """Rises, the most important first; of equals those of the older decision."""
    rises = [(each, change) for each in scalings for change in each.patches if change.is_rise]
    rises.sort(key=lambda pair: (-_spec(pair[0]).sla.priority_in_force, pair[0].decision.id))
    return rises


def _use_of(
    scaling: Scaling, change: PartChange, uses: Mapping[TargetKey, TargetUse] | None = None
) -> TargetUse:
    """What a target asks for and holds; one that was never listed holds what it asks for."""
    member = scaling.members[change.name]
    spec = member.spec
    assert spec is not None, "what is patched has a spec"
    known = (uses or {}).get(member.target.key)
    return known or TargetUse(spec.gpu_type, spec.gpus_per_replica, change.current)


@dataclass(frozen=True, slots=True)
class _Rise:
    """A target that is to have more replicas, and what it draws on together with others.

    Attributes:
        gpus: Of one replica.
        least: Its minimum.
    """

    scaling: Scaling
    change: PartChange
    rooms: Sequence[SharedGpus]
    gpus: int
    least: int

    def fitting(self, room: SharedGpus, taken: int) -> int:
        """Replicas that it may have of a room beside what others take."""
        count = self.change.current + max(0, room.gpus - taken) // self.gpus
        return max(count, self.least) if room.yields else count


def _limit_shared(
    deps: OperatorDeps, fleet: FleetAtHand, scalings: Sequence[Scaling], now: datetime
) -> None:
    """Cap each rise at what its queue and its quota leave, the most important workload first."""
    rises = list(_rises(fleet, scalings, now))
    if not rises:
        return
    draws = list(_not_counted(deps, fleet))
    for rise in rises:
        change, count, why = rise.change, rise.change.wanted, ""
        for room in rise.rooms:
            taken = gpu_room.drawn_beside(room, draws)
            if (fitting := rise.fitting(room, taken)) < count:
                beside = f"; {taken} GPUs are asked for there already" if taken else ""
                count, why = fitting, f"{room.message}{beside}"
        draws += [Draw(room, (count - change.current) * rise.gpus) for room in rise.rooms]
        if why:
            rise.scaling.cap(change.name, count, why)


def _rises(fleet: FleetAtHand, scalings: Iterable[Scaling], now: datetime) -> Iterator[_Rise]:
    for scaling, change in _ranked_rises(scalings):
        member = scaling.members[change.name]
        rooms = _rooms(fleet.view, member)
        if rooms and (spec := member.spec) is not None:
            yield _Rise(scaling, change, rooms, spec.gpus_per_replica, bounds_at(spec, now)[0])


def _rooms(view: View, member: Autoscaler) -> Sequence[SharedGpus]:
    return gpu_room.shared_gpus(view.queue_room(member), view.quota_of(member), member.namespace)


def _not_counted(deps: OperatorDeps, fleet: FleetAtHand) -> Iterator[Draw]:
    """What targets ask for beyond the pods that were counted when queues and quotas were read.

    A queue counts a pod once it is admitted, a quota once it exists. One that cannot be created may
    never come: it takes nothing of a quota from others.
    """
    whole = fleet.whole()
    as_read = replace(whole, pods=fleet.view.pods)
    for member in whole.members():
        target, rooms = whole.target_of(member), _rooms(whole, member)
        if target is None or not rooms or member.spec is None:
            continue
        there = [pod for pod in as_read.replicas_of(member) if not pod.is_leaving]
        n_admitted = sum(not pod.is_gated for pod in there)
        n_asked = asked_for(deps, member.target.key, target)
        n_created = n_asked if target.failure else len(there)
        for room in rooms:
            n_more = n_asked - (n_created if room.yields else n_admitted)
            yield Draw(room, max(0, n_more) * member.spec.gpus_per_replica)


def _limit_nodes(
    deps: OperatorDeps, known: View, scalings: Sequence[Scaling], now: datetime
) -> None:
    """Cap rises where no node is added at the GPUs that are free, the most important first.

    A minimum outranks what is free, as it does in decisions. What replaces replicas on nodes under
    notice would wait for a node in any case. Where nothing tells what is free nothing is capped.

    Args:
        deps: With what was patched since the last pass.
        known: Every autoscaler, and the nodes, as the last pass saw them.
        scalings: All of them; what falls leaves its nodes later.
        now: Aware.
    """
    rises = [(each, c) for each, c in _ranked_rises(scalings) if _needs_free(known, each, c)]
    if not rises:
        return
    free = _left_on_nodes(deps, known)
    for scaling, change in rises:
        member = scaling.members[change.name]
        spec, target = member.spec, known.target_of(member)
        assert spec is not None, "what needs free GPUs has a spec"
        assert target is not None, "and a target"
        needs = spec.gpu_type, spec.gpus_per_replica, target.shape
        staying = sum(not pod.is_leaving for pod in known.replicas_of(member))
        there = max(change.current, staying)
        places = free.place(*needs, change.wanted - there)
        fitting = there + places.n_placed + known.leaving(member).replicas
        count = max(change.current, min(change.wanted, max(fitting, bounds_at(spec, now)[0])))
        free = places.left
        if count < change.wanted:
            gpus = places.n_placed * spec.gpus_per_replica
            why = f"{gpus} GPUs of {spec.gpu_type} are free for it and no node is added"
            scaling.cap(change.name, count, why)


def _needs_free(known: View, scaling: Scaling, change: PartChange) -> bool:
    """True where more replicas need GPUs that are free, and it is known how many are."""
    member = scaling.members[change.name]
    spec, target = member.spec, known.target_of(member)
    supply = None if spec is None else known.supplies.get(spec.gpu_type)
    if spec is None or target is None or (supply is not None and supply.is_provisioned):
        return False
    if _asks_for_none(target):
        return False
    return known.free.schedulable(spec.gpu_type, spec.gpus_per_replica, target.shape) is not None


def _asks_for_none(target: TargetState) -> bool:
    """True where its pods are known to ask for no GPUs, or what their claims ask for is not."""
    return bool(target.shape) and not any(pod.asked for pod in target.shape)


def _left_on_nodes(deps: OperatorDeps, known: View) -> FreeGpus:
    """What is free beside all replicas that were asked for and have no node yet.

    One that a gate holds asks for no node, and one that cannot be created may never come.
    """
    free = FreeGpus(tuple(room for room in known.free.by_node if room.is_any))
    for member in known.members():
        spec, target = member.spec, known.target_of(member)
        if spec is None or target is None or _asks_for_none(target):
            continue
        replicas = [pod for pod in known.replicas_of(member) if not pod.is_leaving]
        asked = asked_for(deps, member.target.key, target)
        wanted = len(replicas) if target.failure else asked
        n_waiting = wanted - sum(bool(pod.node) or pod.is_gated for pod in replicas)
        if n_waiting > 0:
            free = free.place(spec.gpu_type, spec.gpus_per_replica, target.shape, n_waiting).left
    return free
