"""What states or shows where the GPUs of a type come from, and the ceiling that follows; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from services.operator.cluster.node_groups import (
    GROUPS_ANNOTATION,
    STATUS_NAME,
    STATUS_NAMESPACE,
    GroupOfType,
)
from services.operator.cluster.node_pools import (
    POOL_LABEL,
    GpuNodePool,
    pools_of_type,
    unknown_pools,
)
from services.operator.cluster.node_sources import SeenSources, coming_gpus
from services.operator.cluster.placement import NodeState, nodes_of_type
from services.operator.plan.headroom import StatedHeadroom
from services.operator.plan.supply import NewNodes, Resolved, whole_nodes

AUTO, FIXED, PROVISIONED = "auto", "fixed", "provisioned"
_NOBODY = ("NoSource", "ProductUnknown", "ClaimsIgnored")
"""Reasons why nobody is known to add nodes: in mode auto a ceiling alone makes no pod wait."""
_UNREADABLE = "SupplyUnreadable"
_ENDLESS = 10**9
_NOT_LOOKED_FOR = (
    "what adds nodes is not looked for: HARMONY_OPERATOR_SUPPLY is false; set it to true "
    "(docs/supply.md has the rights that it needs), or set spec.supply.mode to provisioned with a "
    "ceiling"
)


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
        open: What adds nodes of the type, and of which nothing says how many.
    """

    limit: int = 0
    inside: int = 0
    named: list[str] = field(default_factory=list)
    new: list[NewNodes] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    open: list[NewNodes] = field(default_factory=list)

    def add(self, name: str, limit: int, inside: int, new: NewNodes) -> None:
        """Count one of them."""
        self.named.append(name)
        self.limit += limit
        self.inside += inside
        self.new.append(replace(new, source=name))


def resolve(
    gpu_type: str,
    stated: StatedSupply,
    sources: SeenSources,
    nodes: Sequence[NodeState] | None,
    *,
    is_claimed: bool = False,
) -> Resolved:
    """Mode and ceiling of a type. A ceiling that is stated is a cap whatever the mode is.

    Args:
        gpu_type: As autoscalers name it.
        stated: What its GPUBudgets say.
        sources: What adds nodes.
        nodes: All nodes with GPUs; None: they could not be listed.
        is_claimed: Pods of the type claim devices.
    """
    known = nodes or ()
    seen = _SeenNodes(nodes_of_type(known, gpu_type), known, is_listed=nodes is not None)
    found = _resolved(gpu_type, stated, sources, seen, is_claimed=is_claimed)
    if found.ceiling is not None or stated.ceiling is None:
        return found
    message = f"{found.message}; no more than spec.supply.ceiling={stated.ceiling} is asked for"
    return replace(found, message=message, cap=stated.ceiling)


@dataclass(frozen=True, slots=True)
class _SeenNodes:
    """Nodes of the type, with its accelerators alone, and all of them.

    Attributes:
        is_listed: They are all that there are; else none is known, which is not zero.
    """

    own: Sequence[NodeState]
    every: Sequence[NodeState]
    is_listed: bool = True

    @property
    def gpus(self) -> int:
        """GPUs of the type that are there."""
        return sum(node.gpus for node in self.own)

    @property
    def of_one(self) -> int:
        """GPUs of the largest node; 0: there is none."""
        return max((node.gpus for node in self.own), default=0)


def _resolved(
    gpu_type: str,
    stated: StatedSupply,
    sources: SeenSources,
    nodes: _SeenNodes,
    *,
    is_claimed: bool,
) -> Resolved:
    if stated.problem:
        return Resolved(None, "InvalidSupply", stated.problem)
    if stated.mode == FIXED:
        return Resolved(None, "SetFixed", "spec.supply.mode is fixed")
    is_read = sources.is_on and not is_claimed
    adding = _adding(gpu_type, stated, sources, nodes) if is_read else _Sources()
    if is_claimed:
        found = _ignored(gpu_type)
    elif not sources.is_on:
        found = Resolved(None, "DetectionOff", _NOT_LOOKED_FOR)
    else:
        found = replace(
            _detected(gpu_type, sources, adding, nodes), beside=_beside(sources, adding, nodes)
        )
    if stated.ceiling is not None and (stated.mode == PROVISIONED or found.reason not in _NOBODY):
        return _up_to(stated.ceiling, found, adding, nodes)
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


def _up_to(ceiling: int, found: Resolved, adding: _Sources, nodes: _SeenNodes) -> Resolved:
    """The ceiling that is stated; what was found of pools and groups limits it further.

    Where one is among them that nothing limits, they are no limit together.
    """
    left = max(0, ceiling - nodes.gpus)
    if found.ceiling is not None and found.ceiling < ceiling and not adding.open:
        message = f"spec.supply.ceiling={ceiling} cannot be reached: {found.message}"
        return replace(found, reason="LowerLimitHolds", message=message)
    new = (*adding.new, *(replace(each, gpus=min(each.gpus, left)) for each in adding.open))
    if not new or not nodes.is_listed:
        # what is free on nodes that nobody may list is part of what the ceiling leaves
        new += (NewNodes(None, left, nodes.of_one),)
    limit = None if adding.open else found.limit
    message = f"spec.supply.ceiling is {ceiling}"
    return Resolved(ceiling, "CeilingSet", message, new, limit, beside=found.beside)


def _beside(sources: SeenSources, adding: _Sources, nodes: _SeenNodes) -> tuple[NewNodes, ...]:
    """What may add nodes for pods of the type though nothing is asked of it."""
    unknown = unknown_pools(sources.pools or (), nodes.every)
    return (*adding.open, *(NewNodes(pool, 0) for pool in unknown))


def _adding(
    gpu_type: str, stated: StatedSupply, sources: SeenSources, nodes: _SeenNodes
) -> _Sources:
    """What adds nodes of a type."""
    found = _Sources(notes=list(sources.problems))
    pools, mixed = pools_of_type(sources.pools or (), gpu_type, nodes.own)
    _add_pools(found, pools, nodes, sources)
    _add_groups(found, stated.groups, sources)
    if sources.pools is None:
        found.open.append(NewNodes(None, _ENDLESS, nodes.of_one))
    for each in mixed:
        found.notes.append(
            f"NodePool/{each.name} may have other GPUs too, so its limit is not one of {gpu_type}: "
            "give it one GPU type, or set spec.supply.ceiling"
        )
        left = _ENDLESS if each.limit is None else max(0, each.limit - each.used)
        if not each.problem:
            size, name = each.gpus_per_node, f"NodePool/{each.name}"
            found.open.append(NewNodes(each, left, size, name, each.smaller))
    return found


def _detected(gpu_type: str, sources: SeenSources, found: _Sources, nodes: _SeenNodes) -> Resolved:
    """The ceiling that pools and groups have together, with the nodes beside them."""
    if not found.named:
        if found.notes:
            reason = _UNREADABLE if sources.problems else "CeilingUnknown"
            return Resolved(None, reason, "; ".join(found.notes))
        return _no_source(gpu_type, sources, nodes)
    if not nodes.is_listed:
        return _beside_unlisted(gpu_type, found)
    beside = max(0, nodes.gpus - found.inside)
    ceiling = found.limit + beside
    limits = f"{' and '.join(found.named)} may have {found.limit} GPUs"
    message = f"{limits}, and {beside} are on nodes beside them" if beside else limits
    message = "; ".join([message, *found.notes])
    return Resolved(ceiling, "Detected", message, tuple(found.new), ceiling)


def _beside_unlisted(gpu_type: str, found: _Sources) -> Resolved:
    """Limits of pools and groups are no ceiling where nodes beside them may have any number more.

    Pods that stand on those count as well, so a limit alone would hold services below what is there
    already, or promise what others have.
    """
    message = (
        f"nodes cannot be listed, so how many GPUs of {gpu_type} are there is not known, and that "
        f"{' and '.join(found.named)} may have {found.limit} is no ceiling: grant the operator "
        "list and watch on nodes, or set spec.supply.ceiling"
    )
    return Resolved(None, _UNREADABLE, "; ".join([message, *found.notes]))


def _no_source(gpu_type: str, sources: SeenSources, nodes: _SeenNodes) -> Resolved:
    """Nothing of the type was found: which pools may be of it all the same, and what to do."""
    stating = "set spec.supply.mode to provisioned with a ceiling"
    unknown = unknown_pools(sources.pools or (), nodes.every)
    if unknown:
        names = ", ".join(f"NodePool/{each}" for each in sorted({pool.name for pool in unknown}))
        message = (
            f"nothing tells which GPUs {names} may have, until a node of it has told: state the "
            "product in its spec.template, as a requirement or a label (nvidia.com/gpu.product, "
            f"karpenter.k8s.aws/instance-gpu-name; docs/supply.md has them all), or {stating}"
        )
        return Resolved(None, "ProductUnknown", message)
    message = (
        f"no NodePool and no node group of {gpu_type} was found, so nobody is known to add its "
        "nodes: where a NodePool should, create it, or state the product in its spec.template; "
        f"where a node group does, name it by the annotation {GROUPS_ANNOTATION}; or {stating}"
    )
    return Resolved(None, "NoSource", message)


def _add_pools(
    found: _Sources, pools: Iterable[GpuNodePool], nodes: _SeenNodes, sources: SeenSources
) -> None:
    for pool in pools:
        name = f"NodePool/{pool.name}"
        sizes = [
            each.count
            for node in nodes.own
            if node.labels.get(POOL_LABEL) == pool.name
            for each in node.accelerators
            if each.resource == pool.resource
        ]
        inside = sum(sizes)
        used = max(pool.used, inside)
        if pool.problem:
            found.notes.append(f"{name} adds no nodes: {pool.problem}")
        # a node that lost a GPU makes none smaller, and one that is sliced is larger than stated
        size = max([pool.gpus_per_node, *sizes])
        smaller = pool.smaller if size == pool.gpus_per_node else ()
        if pool.limit is None:
            if not pool.problem:
                found.notes.append(_without_limit(name, pool))
                found.open.append(NewNodes(pool, _ENDLESS, size, name, smaller))
            continue
        left = _in_whole_nodes(max(0, pool.limit - used), size, smaller)
        if used + left < pool.limit:
            told = " or ".join(str(each) for each in (size, *smaller))
            found.notes.append(f"of the limit of {name} only whole nodes of {told} count")
        new = NewNodes(pool, 0 if pool.problem else left, size, smaller=smaller)
        found.add(name, used + left, inside, new)
        coming, of_one = coming_gpus(pool, sources.claims, nodes.every)
        if coming and nodes.is_listed:
            found.new.append(NewNodes(pool, coming, of_one, name, is_coming=True))


def _in_whole_nodes(gpus: int, size: int, smaller: Sequence[int]) -> int:
    """As many of these GPUs as nodes can bring; all of them where no size is known."""
    if not size:
        return gpus
    return sum(n_nodes * each for n_nodes, each in whole_nodes(gpus, size, smaller))


def _without_limit(name: str, pool: GpuNodePool) -> str:
    """That a pool has no limit that can be read, and what to do."""
    own = f'spec.limits["{pool.resource}"]'
    if pool.unread:
        return (
            f"{name}: {own}={pool.unread[:32]!r} must be a quantity, e.g. 64, so nothing is asked "
            "of it: correct it, or set spec.supply.ceiling"
        )
    return (
        f"{name} has no limit on {pool.resource}, so nothing is asked of it: set its {own}, or "
        "spec.supply.ceiling"
    )


def _add_groups(found: _Sources, wanted: Sequence[GroupOfType], sources: SeenSources) -> None:
    groups = sources.groups or {}
    unseen = [each for each in wanted if each.name not in groups]
    found.open += [NewNodes(None, _ENDLESS, each.gpus_per_node) for each in unseen]
    if sources.groups is None:
        return
    if wanted and not groups and not sources.has_status:
        names = ", ".join(each.name for each in wanted)
        found.notes.append(
            f"ConfigMap/{STATUS_NAMESPACE}/{STATUS_NAME} does not exist, so nothing is known of "
            f"the node groups that the GPUBudget names ({names}): the Cluster Autoscaler writes it "
            f"where it runs in {STATUS_NAMESPACE} (--namespace) with --write-status-configmap=true "
            f"and --status-config-map-name={STATUS_NAME}; else set spec.supply.mode to provisioned "
            "with a ceiling"
        )
        return
    for each in wanted:
        group = groups.get(each.name)
        if group is None:
            known = ", ".join(sorted(groups)) or "none"
            found.notes.append(
                f"the Cluster Autoscaler's status has no node group {each.name!r}; it has: {known}"
            )
            continue
        size = each.gpus_per_node
        left = max(0, group.most - group.nodes) * size
        most = max(group.most, group.nodes, group.there) * size
        new = NewNodes(None, left, size)
        name, inside = f"node group {each.name}", max(0, group.there - group.starting) * size
        found.add(name, most, inside, new)
        if group.coming:
            found.new.append(NewNodes(None, group.coming * size, size, name, is_coming=True))
