"""What adds nodes to a cluster, as it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.operator.cluster.node_groups import NodeGroup
from services.operator.cluster.node_pools import GpuNodePool, NodeClaim


@dataclass(frozen=True, slots=True)
class SeenSources:
    """What adds nodes, as far as it was read.

    Attributes:
        is_on: It is looked for at all.
        pools: None: they could not be read.
        claims: Nodes that the pools asked for.
        groups: Node groups of the Cluster Autoscaler by name; None: could not be read.
        problems: Why something could not be read, and what to do.
    """

    is_on: bool = False
    pools: tuple[GpuNodePool, ...] | None = ()
    claims: tuple[NodeClaim, ...] = ()
    groups: Mapping[str, NodeGroup] | None = field(default_factory=dict)
    problems: tuple[str, ...] = ()
