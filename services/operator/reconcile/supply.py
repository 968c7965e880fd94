"""Where the GPUs of each type come from in this cluster, and what came of what was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from services.kernel import telemetry
from services.operator.cluster.node_groups import named_once
from services.operator.cluster.node_sources import awaited
from services.operator.cluster.placement import Shape, nodes_of_type
from services.operator.headroom.advice import with_headroom
from services.operator.headroom.buffers import BufferPlace, keep_buffers
from services.operator.headroom.gauges import publish_headroom
from services.operator.kube.client import Object
from services.operator.leadership.process import pod_namespace
from services.operator.plan.followed_supply import TypeSigns, followed
from services.operator.plan.headroom import APPLY, TypeHeadroom, most_careful
from services.operator.plan.interruptions import (
    SpotCount,
    SpotNode,
    follow as follow_spot,
    serving_nodes,
    spot_nodes,
    untold_nodes,
)
from services.operator.plan.part_members import members_of
from services.operator.plan.provisioning import (
    NO_WAITS,
    Provisioning,
    ProvisioningSigns,
    attempt,
    learn_startup,
)
from services.operator.plan.spot import spot_names
from services.operator.plan.supply import TypeSupply
from services.operator.plan.supply_refusals import tried
from services.operator.plan.supply_sources import (
    AUTO,
    FIXED,
    PROVISIONED,
    StatedSupply,
    resolve,
)
from services.operator.reconcile import budgets
from services.operator.reconcile.gpu_use import gpus_in_use
from services.operator.reconcile.memory import OperatorDeps, SeenSpot
from services.operator.reconcile.observe import View
from services.operator.resource.autoscaler import Autoscaler
from services.operator.stored import interruptions_repository, supply_repository
from services.operator.stored.supply_repository import Confirming


def with_supplies(connection: Connection, deps: OperatorDeps, view: View, now: datetime) -> View:
    """The view with the supply of each GPU type, stored as it is now.

    Where nothing states a supply and what adds nodes is not looked for, there is none: every type
    is fixed, and nothing is written.
    """
    stated = stated_supplies(view)
    memory = deps.memory
    if not view.sources.is_on and not stated:
        if memory.supply is None or memory.supply:
            supply_repository.store_supplies(connection, (), Confirming(now, now))
            memory.supply = {}
            publish_headroom(deps.settings.cluster, {})
        return view
    if memory.supply is None:
        memory.supply = supply_repository.load_states(connection)
    fresh_s = timedelta(seconds=deps.settings.step_s)
    if memory.waits is None or now - memory.waits[0] >= fresh_s:
        memory.waits = (now, supply_repository.load_waits(connection, now))
    asked = (m.spec for each in view.autoscalers for m in members_of(each))
    types = {spec.gpu_type for spec in asked if spec is not None} | stated.keys()
    members = list(view.members())
    told = {
        pod.uid: member.spec.gpu_type
        for member in members
        if member.spec is not None
        for pod in view.pods_of(member)
    }
    supplies = {
        gpu_type: _supply(deps, view, _OfType(gpu_type, stated.get(gpu_type), told), members, now)
        for gpu_type in sorted(types)
    }
    memory.supply = {name: each.state for name, each in supplies.items()}
    confirming = Confirming(now - fresh_s / 2, now)
    supply_repository.store_supplies(connection, list(supplies.values()), confirming)
    supplies = with_headroom(connection, supplies, now - budgets.stale_after(deps))
    publish_headroom(deps.settings.cluster, supplies)
    return replace(view, supplies=supplies)


def with_spot(connection: Connection, deps: OperatorDeps, view: View, now: datetime) -> View:
    """The view with its spot nodes; what became of them since the last pass is counted.

    Where there never was one, nothing is read or written. Where nodes could not be listed, what was
    seen of them last stays as it is.
    """
    stated = frozenset(name for name, each in stated_supplies(view).items() if each.is_spot)
    view = replace(view, spot_types=stated) if stated else view
    spot = spot_names(view.nodes.values(), stated)
    memory = deps.memory
    if view.listed is None or not (spot or (memory.spot and memory.spot.nodes)):
        return view
    seen = memory.spot or SeenSpot(interruptions_repository.load_counts(connection))
    members = [m.spec for each in view.autoscalers for m in members_of(each) if m.spec is not None]
    types = {spec.gpu_type for spec in members} | seen.nodes.keys()
    serving = serving_nodes(view.pods.every)
    nodes: dict[str, Mapping[str, SpotNode]] = {}
    counts: dict[str, SpotCount] = {}
    is_news = False
    for gpu_type in sorted(types):
        before = seen.nodes.get(gpu_type)
        untold = untold_nodes(before or (), view.listed)
        spot |= {node.name for node in untold}
        told = nodes_of_type(view.nodes.values(), gpu_type)
        of_type = spot_nodes([*told, *untold], serving, spot)
        if not of_type and not before:
            continue
        known = seen.counts.get(gpu_type, SpotCount())
        change = follow_spot(known, before, of_type, view.listed, now)
        nodes[gpu_type], counts[gpu_type] = of_type, change.count
        is_news |= change.interruptions > 0 or change.count.noticed != known.noticed
        telemetry.spot_interruptions_total.labels(gpu_type).inc(change.interruptions)
        telemetry.spot_node_hours_total.labels(gpu_type).inc(change.node_hours)
    half_step = timedelta(seconds=deps.settings.step_s) / 2
    is_due = seen.stored_at is None or now - seen.stored_at >= half_step
    if is_news or is_due:
        interruptions_repository.store_counts(connection, counts)
    stored_at = now if is_news or is_due else seen.stored_at
    # a transaction that fails makes the operator forget all of its memory
    memory.spot = SeenSpot({**seen.counts, **counts}, nodes, stored_at)
    return replace(view, spot=spot)


def hold_headroom(deps: OperatorDeps, view: View, now: datetime) -> View:
    """The view with how it stands with the buffers that hold headroom, which are kept to size."""
    owners: dict[str, Object] = {}
    unreadable: set[str] = set()
    for resource in sorted(view.budgets or (), key=lambda each: str(each["metadata"]["name"])):
        budget = budgets.to_budget(resource)
        stated = budget.supply.headroom
        if stated is not None and stated.mode == APPLY:
            owners.setdefault(budget.gpu_type, resource)
        if budget.gpus is None or budget.supply.problem:
            unreadable.add(budget.gpu_type)
    settings = deps.settings
    if view.budgets is None or not (settings.operator_headroom or owners):
        return view
    namespace = settings.lease_namespace or pod_namespace()
    nodes = list(view.nodes.values())
    place = BufferPlace(
        settings.operator_headroom,
        namespace,
        owners,
        nodes,
        _shapes(view),
        frozenset(unreadable),
        deps.memory.advised,
    )
    return replace(view, supplies=keep_buffers(deps.kube, place, view.supplies, now))


def _shapes(view: View) -> dict[str, list[Shape]]:
    """Pods of a replica of each service, by GPU type, as far as they are known."""
    found: dict[str, list[Shape]] = {}
    for member in view.members():
        target = view.target_of(member)
        if target is not None and target.shape and member.spec is not None:
            found.setdefault(member.spec.gpu_type, []).append(target.shape)
    return found


def supplies_now(
    deps: OperatorDeps, view: View, types: Iterable[str], now: datetime
) -> dict[str, TypeSupply]:
    """The supplies with a ceiling, of some types, as of the last pass but at the present state."""
    found = {}
    for gpu_type in types:
        supply = view.supplies.get(gpu_type)
        if supply is None or supply.resolved.most is None:
            continue
        state = (deps.memory.supply or {}).get(gpu_type, supply.state)
        known = deps.memory.supply_sources.get(gpu_type, {})
        sources = tuple(each.at(known.get(each.name, each.state), now) for each in supply.sources)
        found[gpu_type] = replace(supply, state=state, may_ask=state.may_ask(now), sources=sources)
    return found


@dataclass(frozen=True, slots=True)
class AskedAgain:
    """A type that is asked for new nodes.

    Attributes:
        shapes: What is to be placed there, as far as anything takes it.
    """

    supply: TypeSupply
    shapes: Sequence[Shape]


def note_attempts(
    connection: Connection, deps: OperatorDeps, asked: Iterable[AskedAgain], now: datetime
) -> None:
    """Use up the turn of each type that is asked for new nodes again, before they are asked for.

    So it is with those of its pools and node groups whose turn it is, and that take what is asked.
    """
    for each in asked:
        supply = each.supply
        own = [s for s in supply.sources if supply.is_asked_of(s.name, each.shapes)]
        deps.memory.supply_sources = {
            **deps.memory.supply_sources,
            supply.gpu_type: {
                **deps.memory.supply_sources.get(supply.gpu_type, {}),
                **tried(own, supply.startup, now),
            },
        }
        if not supply.state.is_refused:
            continue
        state = attempt(supply.state, supply.startup, now)
        supply_repository.store_attempt(connection, supply.gpu_type, state)
        # a transaction that fails makes the operator forget all of its memory
        deps.memory.supply = {**(deps.memory.supply or {}), supply.gpu_type: state}


def stated_supplies(view: View) -> dict[str, StatedSupply]:
    """What the GPUBudgets say, by type; of several that say something, the most careful."""
    found: dict[str, StatedSupply] = {}
    for resource in view.budgets or ():
        budget = budgets.to_budget(resource)
        before, own = found.get(budget.gpu_type), budget.supply
        if own == StatedSupply():
            continue
        found[budget.gpu_type] = own if before is None else _both(before, own)
    return found


def _both(one: StatedSupply, other: StatedSupply) -> StatedSupply:
    modes = {one.mode, other.mode}
    ceilings = [each.ceiling for each in (one, other) if each.ceiling is not None]
    startups = [each.startup_s for each in (one, other) if each.startup_s is not None]
    return StatedSupply(
        next(mode for mode in (FIXED, PROVISIONED, AUTO) if mode in modes),
        min(ceilings, default=None),
        max(startups, default=None),
        named_once((*one.groups, *other.groups)),
        one.problem or other.problem,
        most_careful(one.headroom, other.headroom),
        one.is_spot or other.is_spot,
    )


@dataclass(frozen=True, slots=True)
class _OfType:
    """A GPU type, what its GPUBudgets say, and the types of autoscalers' pods by uid."""

    gpu_type: str
    stated: StatedSupply | None
    told: Mapping[str, str]


def _supply(
    deps: OperatorDeps, view: View, wanted: _OfType, every: Sequence[Autoscaler], now: datetime
) -> TypeSupply:
    gpu_type, stated = wanted.gpu_type, wanted.stated or StatedSupply()
    members = [m for m in every if m.spec is not None and m.spec.gpu_type == gpu_type]
    every_node = list(view.nodes.values())
    nodes, is_claimed = nodes_of_type(every_node, gpu_type), _is_claimed(view, members)
    known = None if view.listed is None else every_node
    memory = deps.memory
    waits = memory.waits[1].get(gpu_type) if memory.waits else None
    startup = learn_startup(stated.startup_s, waits or NO_WAITS)
    sources = awaited(view.sources, now - timedelta(seconds=startup.patience_s))
    resolved = resolve(gpu_type, stated, sources, known, is_claimed=is_claimed)
    state = (memory.supply or {}).get(gpu_type, Provisioning())
    of_one = max((node.gpus for node in nodes), default=0)
    to_come = max((new.gpus_per_node for new in resolved.new), default=0)
    use = gpus_in_use(deps, view, gpu_type, members, wanted.told)
    use = replace(use, of_one_node=of_one or to_come)
    headroom, may_ask = TypeHeadroom(stated.headroom), state.may_ask(now)
    there = None if view.listed is None else nodes
    supply = TypeSupply(gpu_type, resolved, use, state, startup, may_ask, headroom, nodes=there)
    if resolved.ceiling is None:
        return supply
    signs = TypeSigns(_signs(view, supply, members), stated.groups, nodes)
    before = memory.supply_sources.get(gpu_type, {})
    supply = followed(supply, before, view.sources, signs, now)
    # one that cannot be read just now is still as it was
    states = {**before, **{each.name: each.state for each in supply.sources}}
    memory.supply_sources = {**memory.supply_sources, gpu_type: states}
    return supply


def _is_claimed(view: View, members: Iterable[Autoscaler]) -> bool:
    """True where pods of a type claim devices."""
    targets = (view.target_of(member) for member in members)
    return any(target is not None and target.claims for target in targets)


def _signs(view: View, supply: TypeSupply, members: Iterable[Autoscaler]) -> ProvisioningSigns:
    """Pods of a type that wait, and when its newest node came.

    Pods that nothing would take wait for no node, however long they do.
    """
    waiting = [
        pod.requested_at
        for member in members
        if (target := view.target_of(member)) is not None and supply.may_place(target.shape)
        for pod in view.pods_of(member)
        if not pod.node and (pod.gpus or pod.claims) and not pod.is_leaving and not pod.is_gated
    ]
    came = [node.created_at for node in supply.nodes or () if node.created_at is not None]
    return ProvisioningSigns(min(waiting, default=None), max(came, default=None))
