"""A supply after what its pools and node groups said of the nodes that were asked of each; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.operator.cluster.node_groups import GroupOfType, NodeGroup
from services.operator.cluster.node_pools import POOL_LABEL, GpuNodePool, pools_of_type
from services.operator.cluster.node_sources import SeenSources
from services.operator.cluster.placement import NodeState
from services.operator.plan.provisioning import Provisioning, ProvisioningSigns
from services.operator.plan.supply import TypeSupply
from services.operator.plan.supply_refusals import (
    SupplySource,
    follow_sources,
    follow_type,
    released,
    with_room,
)


@dataclass(frozen=True, slots=True)
class TypeSigns:
    """What was seen of a type.

    Attributes:
        whole: Pods that wait and nodes that came, wherever from.
        groups: Node groups that its GPUBudgets name.
        nodes: Those of the type.
    """

    whole: ProvisioningSigns
    groups: Sequence[GroupOfType]
    nodes: Sequence[NodeState]


def followed(
    supply: TypeSupply,
    before: Mapping[str, Provisioning],
    seen: SeenSources,
    signs: TypeSigns,
    now: datetime,
) -> TypeSupply:
    """The supply after what was seen of its sources and of the type as a whole.

    Args:
        supply: As resolved, with the state before.
        before: States of its sources by name.
        seen: What adds nodes.
        signs: Of the type.
        now: Aware.
    """
    told = source_signs(seen, supply.gpu_type, signs.groups, signs.nodes)
    states = follow_sources(before, supply.state, told, supply.startup, now)
    sources = tuple(
        SupplySource(name, _room(supply, seen, name), state).at(state, now)
        for name, state in states.items()
    )
    state = follow_type(supply.state, sources, signs.whole, supply.startup, now)
    if state.settled_at == now and all(each.is_closed for each in with_room(sources)):
        sources = tuple(released(each, now) for each in sources)
    return replace(supply, state=state, may_ask=state.may_ask(now), sources=sources)


def _room(supply: TypeSupply, seen: SeenSources, source: str) -> int | None:
    """GPUs that nodes to come of a source may bring; None: it states no limit."""
    new = (each for each in supply.resolved.new if not each.is_coming)
    own = [each.gpus for each in new if each.source == source]
    if own:
        return sum(own)
    is_stopped = any(pool.problem and _name(pool) == source for pool in seen.pools or ())
    return 0 if is_stopped else None


def _name(pool: GpuNodePool) -> str:
    return f"NodePool/{pool.name}"


def source_signs(
    seen: SeenSources, gpu_type: str, groups: Iterable[GroupOfType], own: Sequence[NodeState]
) -> dict[str, ProvisioningSigns]:
    """Signs of each pool and node group of a type, by the name that conditions give it.

    Where there is one alone, each node of the type counts as its own.

    Args:
        seen: What adds nodes.
        gpu_type: As autoscalers name it.
        groups: Node groups that the GPUBudgets name.
        own: Nodes of the type.
    """
    pools, _ = pools_of_type(seen.pools or (), gpu_type, own)
    found = {_name(pool): _of_pool(seen, pool, own) for pool in pools}
    known = [(seen.groups or {}).get(each.name) for each in groups]
    found |= {f"node group {each.name}": _of_group(each) for each in known if each is not None}
    if len(found) == 1:
        newest = _newest(node.created_at for node in own)
        found = {name: replace(signs, node_at=newest) for name, signs in found.items()}
    return found


def _of_pool(seen: SeenSources, pool: GpuNodePool, own: Iterable[NodeState]) -> ProvisioningSigns:
    claims = [claim for claim in seen.claims if claim.pool == pool.name]
    refusals = [claim.refused for claim in claims if claim.refused is not None]
    if pool.name in seen.refused:
        refusals.append(seen.refused[pool.name])
    newest = max(refusals, key=lambda each: each.at, default=None)
    return ProvisioningSigns(
        node_at=_newest(n.created_at for n in own if n.labels.get(POOL_LABEL) == pool.name),
        refusal_at=None if newest is None else newest.at,
        refusal="" if newest is None else newest.why,
        launched_at=_newest(claim.launched_at for claim in claims if not claim.is_ending),
    )


def _of_group(group: NodeGroup) -> ProvisioningSigns:
    """Signs of a node group; that its target rose says what a launch does."""
    refused = group.refused
    return ProvisioningSigns(
        refusal_at=None if refused is None else refused.at,
        refusal="" if refused is None else refused.why,
        launched_at=group.rising_since,
    )


def _newest(times: Iterable[datetime | None]) -> datetime | None:
    return max((each for each in times if each is not None), default=None)
