"""What became of the spot nodes of a GPU type, counted: interruptions in node-hours; pure.

A node is interrupted once: when it is first seen under notice, or when it is gone without one while
its pods served. One that who manages nodes takes away by intent is none. Nor is one that is there
and does not tell what it has, as while its device plugin starts again. What was seen is forgotten
by half in two weeks, so that the count follows the market.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.operator.cluster.gpu_types import is_unknown
from services.operator.cluster.placement import NodeState
from services.operator.cluster.pods import PodState

HALF_LIFE = timedelta(days=14)
MOST_BETWEEN = timedelta(minutes=10)
"""Between two looks that lie further apart nobody watched: what went meanwhile may have gone by
intent, so neither it nor any node-hours are counted."""


@dataclass(frozen=True, slots=True)
class SpotNode:
    """A spot node as a pass sees it.

    Attributes:
        is_noticed: It is about to be interrupted.
        is_meant: It goes by the intent of who manages nodes.
        serves: Pods with accelerators serve on it.
    """

    is_noticed: bool = False
    is_meant: bool = False
    serves: bool = False


@dataclass(frozen=True, slots=True)
class SpotCount:
    """Interruptions of the spot nodes of a GPU type.

    Attributes:
        interruptions: How many, those of long ago by less than one.
        node_hours: Node-hours in which they came, likewise.
        noticed: Uids of nodes under notice that are counted and not gone yet.
        seen_at: When that was; None: never yet.
    """

    interruptions: float = 0.0
    node_hours: float = 0.0
    noticed: frozenset[str] = frozenset()
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SpotChange:
    """What a look added.

    Attributes:
        count: The count after it.
        interruptions: New ones.
        node_hours: New ones.
    """

    count: SpotCount
    interruptions: int
    node_hours: float


def serving_nodes(pods: Iterable[PodState]) -> set[str]:
    """Names of the nodes on which pods with accelerators serve, asked for by name or by claims."""
    return {
        pod.node
        for pod in pods
        if (pod.gpus or pod.claims) and pod.ready_at is not None and not pod.is_leaving
    }


def spot_nodes(
    nodes: Iterable[NodeState], serving: Collection[str], spot: Collection[str]
) -> dict[str, SpotNode]:
    """Spot nodes by uid.

    Args:
        nodes: Nodes of one GPU type.
        serving: Names of the nodes on which pods serve.
        spot: Names of the spot nodes.
    """
    return {
        node.uid: SpotNode(bool(node.notice), node.is_meant, node.name in serving)
        for node in nodes
        if node.name in spot
    }


def untold_nodes(seen: Iterable[str], listed: Mapping[str, NodeState]) -> list[NodeState]:
    """Those of some nodes that are there still, while nothing tells which accelerators they have.

    Args:
        seen: Uids.
        listed: All nodes by uid.
    """
    there = (listed[uid] for uid in seen if uid in listed)
    return [node for node in there if all(map(is_unknown, node.accelerators))]


def follow(
    count: SpotCount,
    before: Mapping[str, SpotNode] | None,
    nodes: Mapping[str, SpotNode],
    listed: Collection[str],
    now: datetime,
) -> SpotChange:
    """The count after a look at the nodes.

    Args:
        count: The count before.
        before: Nodes as this process saw them last, by uid; None: it has just begun, so what
            happened meanwhile is not known.
        nodes: Nodes now.
        listed: Uids of all nodes that there are, spot nodes or not.
        now: Aware.
    """
    fresh = {uid for uid, node in nodes.items() if node.is_noticed and not node.is_meant}
    n_new = len(fresh - count.noticed)
    hours = 0.0
    watched = _watched(count.seen_at, now)
    if before is not None and watched is not None:
        n_new += sum(
            node.serves and not node.is_meant and uid not in listed and uid not in count.noticed
            for uid, node in before.items()
        )
        at_risk = len(before.keys() - count.noticed)
        hours = at_risk * watched / timedelta(hours=1)
    kept = 1.0 if count.seen_at is None else 0.5 ** ((now - count.seen_at) / HALF_LIFE)
    after = SpotCount(
        kept * count.interruptions + n_new,
        kept * count.node_hours + hours,
        frozenset(fresh),
        now,
    )
    return SpotChange(after, n_new, hours)


def _watched(seen_at: datetime | None, now: datetime) -> timedelta | None:
    """Time since the last look; None: so long that nobody watched."""
    if seen_at is None or now - seen_at > MOST_BETWEEN:
        return None
    return max(timedelta(), now - seen_at)
