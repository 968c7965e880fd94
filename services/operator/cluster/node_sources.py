"""What adds nodes to a cluster, as it was read, and what nodes and their pools tell of each other.

A pool that states instance types alone does not say which GPUs its nodes have: the first of its
nodes does, and that is kept when the node is gone. A node without a label of its product, as before
feature discovery has looked at it, has the product of its pool. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.operator.cluster.accelerators import Accelerators
from services.operator.cluster.node_groups import NodeGroup
from services.operator.cluster.node_pools import POOL_LABEL, GpuNodePool, NodeClaim, NodeRefusal
from services.operator.cluster.placement import NodeState

_INITIALIZED_LABEL = "karpenter.sh/initialized"


@dataclass(frozen=True, slots=True)
class SeenSources:
    """What adds nodes, as far as it was read.

    Attributes:
        is_on: It is looked for at all.
        pools: None: they could not be read.
        claims: Nodes that the pools asked for.
        groups: Node groups of the Cluster Autoscaler by name; None: could not be read.
        problems: Why something could not be read, and what to do.
        refused: By pool, the newest of its claims that went before it was launched.
        has_status: There is a status of the Cluster Autoscaler.
    """

    is_on: bool = False
    pools: tuple[GpuNodePool, ...] | None = ()
    claims: tuple[NodeClaim, ...] = ()
    groups: Mapping[str, NodeGroup] | None = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    refused: Mapping[str, NodeRefusal] = field(default_factory=dict)
    has_status: bool = False


@dataclass(frozen=True, slots=True)
class ToldPool:
    """What nodes told of a pool that does not state it.

    Attributes:
        pool: As it was then; what was told of another template does not hold.
        products: GPU products that nodes of it had.
        gpus_per_node: GPUs of the largest of them.
    """

    pool: GpuNodePool
    products: frozenset[str]
    gpus_per_node: int

    def holds_for(self, pool: GpuNodePool) -> bool:
        """True where the nodes of a pool are as those that told of it."""
        before = self.pool
        is_same = (pool.name, pool.resource) == (before.name, before.resource)
        template = pool.requirements, pool.labels
        return is_same and template == (before.requirements, before.labels)


def learn_pools(
    told: Iterable[ToldPool], pools: Iterable[GpuNodePool], nodes: Iterable[NodeState]
) -> tuple[ToldPool, ...]:
    """What nodes told so far of the pools that do not state their product.

    Args:
        told: The same before.
        pools: As they are stated.
        nodes: All nodes, those without GPUs too.
    """
    told, found = list(told), []
    of_pools: dict[str, list[Accelerators]] = {}
    for node in nodes:
        of_pools.setdefault(node.labels.get(POOL_LABEL, ""), []).extend(node.accelerators)
    for pool in pools:
        if pool.products:
            continue
        before = next((each for each in told if each.holds_for(pool)), None)
        own = [
            each
            for each in of_pools.get(pool.name, ())
            if each.resource == pool.resource and each.product
        ]
        products = {each.product for each in own} | (before.products if before else set())
        sizes = [each.count for each in own] + ([before.gpus_per_node] if before else [])
        if products:
            found.append(ToldPool(pool, frozenset(products), max(sizes)))
    return tuple(found)


def with_told(sources: SeenSources, told: Iterable[ToldPool]) -> SeenSources:
    """The sources, their pools with what nodes told of them."""
    if sources.pools is None:
        return sources
    known = {(each.pool.name, each.pool.resource): each for each in told}
    pools = (_as_told(pool, known.get((pool.name, pool.resource))) for pool in sources.pools)
    return replace(sources, pools=tuple(pools))


def _as_told(pool: GpuNodePool, told: ToldPool | None) -> GpuNodePool:
    if told is None:
        return pool
    size = pool.gpus_per_node or told.gpus_per_node
    return replace(pool, products=tuple(sorted(told.products)), gpus_per_node=size)


def awaited(sources: SeenSources, since: datetime) -> SeenSources:
    """The sources without nodes that were given before then: what is not there by now is broken."""
    claims = (c for c in sources.claims if c.launched_at is not None and c.launched_at >= since)
    return replace(sources, claims=tuple(claims))


def coming_gpus(
    pool: GpuNodePool, claims: Iterable[NodeClaim], nodes: Sequence[NodeState]
) -> tuple[int, int]:
    """GPUs that a pool was given and that no node offers yet, and the most of them on one node.

    A node that is there and not initialized yet offers none. What is not told by claims is not
    counted on, nor what the pool does not count as its own.

    Args:
        pool: A pool of nodes.
        claims: Nodes that pools asked for.
        nodes: All that offer accelerators.
    """
    own = [node for node in nodes if node.labels.get(POOL_LABEL) == pool.name]
    there = {
        node.name: sum(each.count for each in node.accelerators if each.resource == pool.resource)
        for node in own
        if node.takes_pods or node.labels.get(_INITIALIZED_LABEL) == "true"
    }
    sizes = [
        claim.gpus or pool.gpus_per_node
        for claim in claims
        if claim.pool == pool.name
        and claim.node not in there
        and claim.launched_at is not None
        and not claim.is_ending
    ]
    given = max(0, pool.used - sum(there.values()))
    return min(sum(sizes), given), max(sizes, default=0)


def with_products(
    nodes: Iterable[NodeState], pools: Iterable[GpuNodePool] | None
) -> list[NodeState]:
    """The nodes; of one whose labels name no product it is that of its pool, if it has only one."""
    known = {
        (pool.name, pool.resource): pool.products[0]
        for pool in pools or ()
        if len(pool.products) == 1
    }
    return [_with_product(node, known) for node in nodes] if known else list(nodes)


def _with_product(node: NodeState, known: Mapping[tuple[str, str], str]) -> NodeState:
    name = node.labels.get(POOL_LABEL, "")
    if not name or all(each.product for each in node.accelerators):
        return node
    own = (
        each if each.product else replace(each, product=known.get((name, each.resource), ""))
        for each in node.accelerators
    )
    return replace(node, accelerators=tuple(own))
