"""What states or shows where the GPUs of a type come from, and the ceiling that follows; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.operator.cluster.node_groups import GroupOfType, NodeGroup
from services.operator.cluster.node_pools import POOL_LABEL, GpuNodePool, pools_of_type
from services.operator.cluster.node_sources import SeenSources
from services.operator.cluster.placement import NodeState, nodes_of_type
from services.operator.plan.headroom import StatedHeadroom
from services.operator.plan.supply import NewNodes, Resolved

AUTO, FIXED, PROVISIONED = "auto", "fixed", "provisioned"


@dataclass(frozen=True, slots=True)
class StatedSupply:
    """What the GPUBudgets of a type say of its supply.

    Attributes:
        ceiling: GPUs that may be asked for together; None: none is stated.
        startup_s: Median of a node's start-up; None: not stated.
        groups: Node groups of the type.
        problem: What of it cannot be read.
        headroom: What it says of headroom; None: nothing.
        is_spot: All nodes of the type are spot nodes, whatever their labels say.
    """

    mode: str = AUTO
    ceiling: int | None = None
    startup_s: float | None = None
    groups: tuple[GroupOfType, ...] = ()
    problem: str = ""
    headroom: StatedHeadroom | None = None
    is_spot: bool = False


@dataclass(slots=True)
class _Sources:
    """Pools or groups of one type.

    Attributes:
        limit: GPUs that their nodes may have together.
        inside: GPUs that nodes of theirs have now.
        notes: What of them does not count, and what to do.
    """

    limit: int = 0
    inside: int = 0
    named: list[str] = field(default_factory=list)
    new: list[NewNodes] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, limit: int, inside: int, new: NewNodes) -> None:
        """Count one of them."""
        self.named.append(name)
        self.limit += limit
        self.inside += inside
        self.new.append(new)


def resolve(
    gpu_type: str,
    stated: StatedSupply,
    sources: SeenSources,
    nodes: Sequence[NodeState],
    *,
    is_claimed: bool = False,
) -> Resolved:
    """Mode and ceiling of a type.

    Args:
        gpu_type: As autoscalers name it.
        stated: What its GPUBudgets say.
        sources: What adds nodes.
        nodes: All nodes with GPUs.
        is_claimed: Pods of the type claim devices.
    """
    if stated.problem:
        return Resolved(None, "InvalidSupply", stated.problem)
    if stated.mode == FIXED:
        return Resolved(None, "SetFixed", "spec.supply.mode is fixed")
    own = nodes_of_type(nodes, gpu_type)
    found = _ignored(gpu_type) if is_claimed else _detected(gpu_type, stated, sources, own)
    if stated.ceiling is not None and (
        stated.mode == PROVISIONED or found.reason not in ("NoSource", "ClaimsIgnored")
    ):
        return _up_to(stated.ceiling, found, own)
    if found.ceiling is None and stated.mode == PROVISIONED:
        message = (
            f"spec.supply.mode is provisioned and no ceiling can be read: {found.message}; until "
            "one can be, no pod is made to wait for a node: set spec.supply.ceiling"
        )
        return Resolved(None, "CeilingUnknown", message)
    return found


def _ignored(gpu_type: str) -> Resolved:
    """What adds nodes may not look at claims, and does not say whether it does.

    Karpenter ignores pods with claims unless its support of them is on (`settings.enableDRA`,
    alpha; karpenter.sh/docs/tasks/dra; kubernetes-sigs/karpenter, pull request 2384).
    The Cluster Autoscaler has `--enable-dynamic-resource-allocation` from 1.32, off until 1.35
    (kubernetes/autoscaler, releases).
    """
    message = (
        f"pods of {gpu_type} claim devices, and what adds nodes does not tell whether it looks at "
        "claims: Karpenter does with settings.enableDRA, the Cluster Autoscaler from 1.35 or with "
        "--enable-dynamic-resource-allocation; where it does, set spec.supply.mode to provisioned "
        "with a ceiling"
    )
    return Resolved(None, "ClaimsIgnored", message)


def _up_to(ceiling: int, found: Resolved, own: Sequence[NodeState]) -> Resolved:
    """The ceiling that is stated; what was found of pools and groups limits it further."""
    if found.ceiling is not None:
        if found.ceiling < ceiling:
            message = f"spec.supply.ceiling={ceiling} cannot be reached: {found.message}"
            return Resolved(found.ceiling, "LowerLimitHolds", message, found.new)
        return Resolved(ceiling, "CeilingSet", f"spec.supply.ceiling is {ceiling}", found.new)
    there = sum(node.gpus for node in own)
    of_one = max((node.gpus for node in own), default=0)
    new = NewNodes(None, max(0, ceiling - there), of_one)
    return Resolved(ceiling, "CeilingSet", f"spec.supply.ceiling is {ceiling}", (new,))


def _detected(
    gpu_type: str, stated: StatedSupply, sources: SeenSources, own: Sequence[NodeState]
) -> Resolved:
    if not sources.is_on:
        message = (
            "what adds nodes is not looked for: HARMONY_OPERATOR_SUPPLY is false; set it to true "
            "(docs/supply.md has the rights that it needs), or set spec.supply.mode to provisioned "
            "with a ceiling"
        )
        return Resolved(None, "DetectionOff", message)
    found = _Sources(notes=list(sources.problems))
    pools, mixed = pools_of_type(sources.pools or (), gpu_type, own)
    _add_pools(found, pools, own)
    _add_groups(found, stated.groups, sources.groups)
    found.notes += [
        f"NodePool/{each.name} may have other GPUs too, so its limit is not one of {gpu_type}: "
        "give it one GPU type, or set spec.supply.ceiling"
        for each in mixed
    ]
    if not found.named:
        if found.notes:
            reason = "SupplyUnreadable" if sources.problems else "CeilingUnknown"
            return Resolved(None, reason, "; ".join(found.notes))
        return Resolved(None, "NoSource", f"no NodePool and no node group of {gpu_type} was found")
    beside = max(0, sum(node.gpus for node in own) - found.inside)
    ceiling = found.limit + beside
    limits = f"{' and '.join(found.named)} may have {found.limit} GPUs"
    message = f"{limits}, and {beside} are on nodes beside them" if beside else limits
    return Resolved(ceiling, "Detected", "; ".join([message, *found.notes]), tuple(found.new))


def _add_pools(found: _Sources, pools: Iterable[GpuNodePool], own: Sequence[NodeState]) -> None:
    for pool in pools:
        name = f"NodePool/{pool.name}"
        if pool.limit is None:
            found.notes.append(
                f"{name} has no limit on {pool.resource}, so nothing is asked of it: set its "
                f'spec.limits["{pool.resource}"], or spec.supply.ceiling'
            )
            continue
        sizes = [
            each.count
            for node in own
            if node.labels.get(POOL_LABEL) == pool.name
            for each in node.accelerators
            if each.resource == pool.resource
        ]
        inside = sum(sizes)
        used = max(pool.used, inside)
        if pool.problem:
            found.notes.append(f"{name} adds no nodes: {pool.problem}")
        left = 0 if pool.problem else max(0, pool.limit - used)
        size = max(sizes, default=0) or pool.gpus_per_node
        found.add(name, max(pool.limit, used), inside, NewNodes(pool, left, size))


def _add_groups(
    found: _Sources, wanted: Iterable[GroupOfType], groups: Mapping[str, NodeGroup] | None
) -> None:
    for each in wanted:
        group = None if groups is None else groups.get(each.name)
        if group is None:
            if groups is not None:
                known = ", ".join(sorted(groups)) or "none"
                found.notes.append(
                    f"the Cluster Autoscaler's status has no node group {each.name!r}; it has: "
                    f"{known}"
                )
            continue
        size = each.gpus_per_node
        left = max(0, group.most - group.nodes) * size
        most = max(group.most, group.nodes) * size
        new = NewNodes(None, left, size)
        found.add(f"node group {each.name}", most, group.nodes * size, new)
