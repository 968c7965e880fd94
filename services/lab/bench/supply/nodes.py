"""Nodes, the replicas on them, and the room that is kept free on them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

NO_TIME = math.inf


@dataclass(slots=True, eq=False)
class Node:
    """A node from the time that it was asked for. Times in seconds of the run.

    Attributes:
        ordinal: How many were asked for before it.
        asked_s: When it was asked for; it is paid for from then on.
        there_s: When it can be used.
        free_gpus: GPUs that no replica holds.
        is_there: It can be used.
        lost_s: When an interruption takes it; infinite: none was announced.
        empty_since_s: Since when nobody needs it; infinite: it is needed.
        images: Services whose image is on it.
        n_replicas: Replicas on it.
    """

    ordinal: int
    asked_s: float
    there_s: float
    free_gpus: int
    is_there: bool = False
    lost_s: float = NO_TIME
    empty_since_s: float = NO_TIME
    images: set[int] = field(default_factory=set)
    n_replicas: int = 0

    @property
    def is_open(self) -> bool:
        """Whether replicas may be placed on it."""
        return self.is_there and self.lost_s == NO_TIME


@dataclass(slots=True, eq=False)
class Replica:
    """A replica from the time that it was asked for. Times in seconds of the run.

    Attributes:
        service: Which service's.
        gpus: GPUs that it needs, all on one node.
        asked_s: When it was asked for.
        node: Where it is; None: it waits.
        bound_s: When it was placed; infinite: it waits.
        ready_s: When it began to serve; infinite: it does not yet.
        gone_s: When it went; infinite: it is there.
        is_new_node: Its node came after it was asked for.
        has_image: Its image was on the node.
        expected_s: Ends of the 90 % interval of its lead time that were told when it was asked
            for; None: nobody told any.
    """

    service: int
    gpus: int
    asked_s: float
    node: Node | None = None
    bound_s: float = NO_TIME
    ready_s: float = NO_TIME
    gone_s: float = NO_TIME
    is_new_node: bool = False
    has_image: bool = False
    expected_s: tuple[float, float] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it serves."""
        return self.ready_s != NO_TIME

    @property
    def is_gone(self) -> bool:
        """Whether it is no more."""
        return self.gone_s != NO_TIME


@dataclass(frozen=True, slots=True)
class PoolRules:
    """A pool that nodes are added from.

    Attributes:
        gpus_per_node: GPUs of a node.
        most_nodes: Nodes that it may have.
        startup_s: Median of the time that a node takes to come.
        startup_sigma: Standard deviation of its logarithm.
        consolidate_after_s: A node that nobody needs goes after so long.
        retry_s: After a refusal nothing is asked for so long, as Karpenter does.
        is_spot: Its nodes may be interrupted.
    """

    gpus_per_node: int
    most_nodes: int
    startup_s: float
    startup_sigma: float = 0.3
    consolidate_after_s: float = 60.0
    retry_s: float = 180.0
    is_spot: bool = False


@dataclass(frozen=True, slots=True)
class Reserve:
    """Room that is to be free for replicas to come, beyond those that are there.

    Attributes:
        n_chunks: So many pieces.
        chunk_gpus: GPUs of each, on one node.
    """

    n_chunks: int = 0
    chunk_gpus: int = 1


def tightest(nodes: Iterable[Node], gpus: int) -> Node | None:
    """The fullest open node with room for a replica; the oldest of equals."""
    fitting = (node for node in nodes if node.is_open and node.free_gpus >= gpus)
    return min(fitting, key=lambda node: (node.free_gpus, node.ordinal), default=None)


def held_by(nodes: Iterable[Node], reserve: Reserve) -> tuple[set[int], int]:
    """Open nodes that a reserve has room on, by ordinal, the fullest first; pieces without room."""
    left, held = reserve.n_chunks, set()
    for node in sorted((n for n in nodes if n.is_open), key=lambda n: (n.free_gpus, n.ordinal)):
        if left == 0:
            break
        taken = min(left, node.free_gpus // reserve.chunk_gpus)
        if taken:
            held.add(node.ordinal)
            left -= taken
    return held, left
