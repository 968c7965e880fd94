"""Where the GPUs of a type come from: nodes that exist, or nodes that are added for pods; pure.

The supply of a type is `fixed` unless something states a ceiling that can be relied upon: a pod
that waits for a node which nobody adds would wait for ever. Where it is `provisioned`, pods may
wait for nodes as long as all pods of the type together ask for no more than the ceiling.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from services.operator.cluster.accelerators import Accelerators
from services.operator.cluster.free_gpus import FreeGpus, NodeRoom
from services.operator.cluster.node_pools import GpuNodePool
from services.operator.cluster.placement import NodeState, PodShape, Shape
from services.operator.plan.headroom import TypeHeadroom
from services.operator.plan.provisioning import NodeStartup, Provisioning
from services.operator.plan.supply_refusals import SupplySource, with_room, words_of

_MOST_NODES = 1000
_N_KEPT = 1024
_ANY_NODE, _ANY_RESOURCE = "a node to come", "what the type is"


@dataclass(frozen=True, slots=True)
class NewNodes:
    """GPUs that nodes to come may bring.

    Attributes:
        pool: Whose nodes they are; None: not known, so any pod of the type may go there.
        gpus: All of them together.
        gpus_per_node: Of the largest of them; 0: not known.
        source: Pool or node group, as conditions name it; empty: not known.
        smaller: Sizes that they may have as well, the largest first.
        is_coming: They were given already, and offer no GPUs yet: no limit holds them back.
    """

    pool: GpuNodePool | None
    gpus: int
    gpus_per_node: int = 0
    source: str = ""
    smaller: tuple[int, ...] = ()
    is_coming: bool = False

    def takes(self, pod: PodShape) -> bool:
        """False where it is known that none of them takes such a pod."""
        pool, size = self.pool, self.gpus_per_node
        if pool is not None and not pool.takes(pod):
            return False
        asked = [e.count for e in pod.asked if pool is None or e.resource == pool.resource]
        # of nodes from nobody knows where the size is a guess
        return not self.source or not size or min(asked, default=0) <= size

    def schedulable(self, gpu_type: str, gpus_per_replica: int, shape: Shape) -> int:
        """GPUs of them that whole replicas can use."""
        if not all(self.takes(pod) for pod in shape if pod.gpus):
            return 0
        nodes = whole_nodes(self.gpus, self.gpus_per_node or self.gpus, self.smaller)
        bare = tuple(
            PodShape((Accelerators(_ANY_RESOURCE, gpu_type, pod.gpus),))
            for pod in shape
            if pod.gpus
        )
        return _on_empty_nodes(nodes, gpu_type, gpus_per_replica, bare)


def whole_nodes(
    gpus: int, gpus_per_node: int, smaller: Sequence[int] = ()
) -> tuple[tuple[int, int], ...]:
    """How many nodes of each size such GPUs are, as large ones as can be; the rest is of none."""
    found = []
    for size in filter(None, (gpus_per_node, *smaller)):
        n_nodes, gpus = divmod(gpus, size)
        found.append((n_nodes, size))
    return tuple(found)


@lru_cache(_N_KEPT)
def _on_empty_nodes(
    nodes: tuple[tuple[int, int], ...], gpu_type: str, gpus_per_replica: int, shape: Shape
) -> int:
    """GPUs of nodes of these sizes that whole replicas can use; each pass asks the same again."""
    rooms: list[NodeRoom] = []
    for n_nodes, size in nodes:
        node = NodeState(_ANY_NODE, (Accelerators(_ANY_RESOURCE, gpu_type, size),))
        rooms += [NodeRoom(node, {_ANY_RESOURCE: size})] * min(_MOST_NODES, n_nodes)
    return FreeGpus(tuple(rooms)).schedulable(gpu_type, gpus_per_replica, shape) or 0


@dataclass(frozen=True, slots=True)
class Resolved:
    """Mode and ceiling of a type, and why.

    Attributes:
        ceiling: None: the supply is fixed.
        reason: One word for a condition.
        message: What it follows from, and what would change it.
        new: What nodes to come may bring, up to the ceiling.
        cap: GPUs that pods may ask for together where the supply is fixed; None: nothing is stated.
        limit: GPUs that pools, groups and nodes beside them may have together, whatever ceiling is
            stated; None: not known.
        beside: What may add nodes for its pods too, though nothing is asked of it.
    """

    ceiling: int | None
    reason: str
    message: str
    new: tuple[NewNodes, ...] = ()
    limit: int | None = None
    cap: int | None = None
    beside: tuple[NewNodes, ...] = ()

    @property
    def most(self) -> int | None:
        """GPUs that all pods may ask for together; None: nothing says so."""
        return self.cap if self.ceiling is None else self.ceiling


@dataclass(frozen=True, slots=True)
class GpusInUse:
    """GPUs of a type that pods ask for.

    Attributes:
        asked: By the targets of autoscalers, pods that wait for a node included.
        others: By all other pods.
        nodes: GPUs that the nodes of the type have.
        of_one_node: GPUs of its largest node, or of one to come; 0: not known.
    """

    asked: int = 0
    others: int = 0
    nodes: int = 0
    of_one_node: int = 0


@dataclass(frozen=True, slots=True)
class TypeSupply:
    """The supply of one GPU type as a pass sees it.

    Attributes:
        may_ask: Pods may be made to wait for a node now.
        headroom: What is to be held ready.
        sources: Pools and node groups that nodes of the type come from, as far as they are known.
        nodes: Those of the type that are there; None: they could not be listed.
    """

    gpu_type: str
    resolved: Resolved
    use: GpusInUse
    state: Provisioning
    startup: NodeStartup
    may_ask: bool = True
    headroom: TypeHeadroom = field(default_factory=TypeHeadroom)
    sources: tuple[SupplySource, ...] = ()
    nodes: Sequence[NodeState] | None = None

    @property
    def is_provisioned(self) -> bool:
        """True where pods may wait for nodes."""
        return self.resolved.ceiling is not None

    @property
    def left_to_targets(self) -> int:
        """GPUs of the ceiling that pods of others leave to the targets of autoscalers."""
        return max(0, (self.resolved.most or 0) - self.use.others)

    @property
    def closed(self) -> tuple[SupplySource, ...]:
        """Sources of which no new node counts, while others may be asked."""
        return tuple(s for s in self.sources if s.is_closed) if self.may_ask else ()

    @property
    def reach(self) -> int | None:
        """GPUs that can be there while some sources refuse; None: no fewer than the ceiling."""
        limit, closed = self.resolved.limit, sum(each.room or 0 for each in self.closed)
        return None if limit is None or not closed else limit - closed

    @property
    def most_asked(self) -> int:
        """GPUs that the targets of autoscalers together may ask for now.

        During a back-off it is what nodes have: a rise onto free GPUs needs no new node.
        """
        if self.may_ask or not self.is_provisioned:
            return self._within_reach
        return min(self.left_to_targets, max(0, self.use.nodes - self.use.others))

    @property
    def _within_reach(self) -> int:
        left, reach = self.left_to_targets, self.reach
        return left if reach is None else min(left, max(0, reach - self.use.others))

    @property
    def bound(self) -> str:
        """Why no more may be asked for now."""
        if self.is_provisioned and not self.may_ask:
            return f"{self.state.why}; {self.turn}"
        ceiling, others = self.resolved.most, self.use.others
        beside = f", of which others ask for {others}" if others else ""
        reach, why = self.reach, ""
        if reach is not None and ceiling is not None and reach < ceiling:
            ceiling, why = reach, f"; {self.partly}"
        return f"pods may ask for {ceiling} GPUs of {self.gpu_type} together{beside}{why}"

    @property
    def words(self) -> str:
        """Where the GPUs come from, and what may be done about it."""
        if self.is_provisioned and self.state.is_refused:
            return f"{self.state.why}; {self.turn}"
        return f"{self.resolved.message}; {self.partly}" if self.closed else self.resolved.message

    @property
    def partly(self) -> str:
        """Which sources refuse and why, and which still add nodes; empty: none refuses."""
        if not self.closed:
            return ""
        open_ones = [s.name for s in with_room(self.sources) if not s.state.is_refused]
        rest = f"; {' and '.join(open_ones)} still may add nodes" if open_ones else ""
        retry_at = min(each.state.retry_at for each in self.closed if each.state.retry_at)
        until = f"no new node of it counts before {retry_at:%Y-%m-%dT%H:%M:%SZ}"
        return f"{words_of(self.closed)}; {until}{rest}"

    @property
    def turn(self) -> str:
        """When pods may be made to wait for a node again, after a refusal."""
        retry_at = self.state.retry_at
        if self.state.is_trying:
            return "an attempt is under way"
        if retry_at is None or self.may_ask:
            return "the next increase tries again"
        return f"the next increase may try again at {retry_at:%Y-%m-%dT%H:%M:%SZ}"

    def room(self, here: int, wanted: ReplicaNeed) -> RoomToGrow:
        """GPUs that more replicas of a target could have.

        Args:
            here: Free GPUs on nodes, in whole replicas.
            wanted: Its replicas.
        """
        closed = {each.name for each in self.closed}
        waiting = wanted.waiting_gpus
        new = sum(
            nodes.schedulable(self.gpu_type, wanted.gpus_per_replica, wanted.shape)
            for nodes in self.resolved.new
            if nodes.is_coming or nodes.source not in closed
        )
        if not self.may_ask:
            # what was asked for in the attempt that is under way may still come
            new = min(new, max(0, waiting - here)) if self.state.is_trying else 0
        total = min(here + new, self.most_of(wanted) or 0)
        return RoomToGrow(total, max(0, total - here))

    def may_place(self, shape: Shape) -> bool:
        """False where it is known that no node, there or to come, takes a replica's pods."""
        new, there = (*self.resolved.new, *self.resolved.beside), self.nodes
        return there is None or all(
            any(nodes.takes(pod) for nodes in new) or any(pod.may_be_on(node) for node in there)
            for pod in shape
            if pod.gpus
        )

    def is_asked_of(self, source: str, shapes: Iterable[Shape]) -> bool:
        """False where it is known that a pool or node group takes no pod of these replicas."""
        own = [nodes for nodes in self.resolved.new if nodes.source == source]
        asking = [[pod for pod in shape if pod.gpus] for shape in shapes]
        return not own or any(
            not pods or any(nodes.takes(pod) for pod in pods for nodes in own) for pods in asking
        )

    def most_of(self, wanted: ReplicaNeed) -> int | None:
        """GPUs that the ceiling leaves to more replicas of a target; None: there is no ceiling."""
        if self.resolved.most is None:
            return None
        left = max(0, self._within_reach - self.use.asked)
        return left // wanted.gpus_per_replica * wanted.gpus_per_replica + wanted.waiting_gpus

    def is_short(self, here: int, wanted: ReplicaNeed) -> bool:
        """True where refusals leave a target less room than there was without them."""
        if self.state.is_refused or not self.closed:
            return self.state.is_refused
        found = self.room(here, wanted).gpus
        is_less = found < replace(self, sources=()).room(here, wanted).gpus
        return is_less and found <= wanted.n_pending * wanted.gpus_per_replica


@dataclass(frozen=True, slots=True)
class ReplicaNeed:
    """What one target's replicas need, and how many of them wait for a node."""

    gpus_per_replica: int
    shape: Shape
    n_pending: int

    @property
    def waiting_gpus(self) -> int:
        """GPUs of those that wait."""
        return self.n_pending * self.gpus_per_replica


@dataclass(frozen=True, slots=True)
class RoomToGrow:
    """GPUs that can be scheduled; `on_new_nodes` of them on nodes that are still to come."""

    gpus: int
    on_new_nodes: int
