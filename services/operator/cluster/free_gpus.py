"""Accelerators that are free, and the replicas that fit there; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from services.operator.cluster.gpu_types import is_of_type, is_unknown
from services.operator.cluster.images import all_images, has_images
from services.operator.cluster.ownership import OwnedPod
from services.operator.cluster.placement import NodeState, PodShape, Shape, resources_asked
from services.operator.cluster.pods import PodState

_MOST_REPLICAS = 10_000
PASSED_OVER_AFTER = timedelta(minutes=5)
"""A pod that fits for so long and is given no node waits for something else than accelerators."""


@dataclass(frozen=True, slots=True)
class NodeRoom:
    """A node with the accelerators that no bound pod holds, by resource."""

    node: NodeState
    free: Mapping[str, int]

    @property
    def is_any(self) -> bool:
        """True where something is free."""
        return any(self.free.values())

    def offers(self, pod: PodShape, gpu_type: str) -> bool:
        """True where accelerators of the type here are of a resource that the pod asks for."""
        own = self.node.of_type(gpu_type)
        return own is not None and any(pod.asks(each.resource) for each in own.accelerators)

    def takes(self, pod: PodShape, gpu_type: str) -> bool:
        """True where the pod may be placed here, if enough is free."""
        return self.offers(pod, gpu_type) and pod.fits(self.node)

    def n_fitting(self, pod: PodShape) -> int:
        """Such pods that what is free is enough for; each of its resources counts."""
        return min(self.free.get(each.resource, 0) // each.count for each in pod.asked)

    def without(self, pod: PodShape, n_pods: int = 1) -> NodeRoom:
        """The room that is left beside such pods.

        Devices that claims are given may be of several resources: they are free for none of them.
        """
        asked = {each.resource: n_pods * each.count for each in pod.asked}
        left = {r: n - asked.get(r, 0) for r, n in self.free.items()}
        for taken in asked.keys() & self.node.devices.keys():
            for other in self.node.devices.keys() & left.keys() - asked.keys():
                shared = len(self.node.devices[taken] & self.node.devices[other])
                left[other] = max(0, left[other] - min(shared, asked[taken]))
        return NodeRoom(self.node, left)


@dataclass(frozen=True, slots=True)
class FreeGpus:
    """Accelerators that no bound pod holds, per node."""

    by_node: tuple[NodeRoom, ...]
    _known: dict[tuple[str, int, Shape], int | None] = field(default_factory=dict)
    _warm: dict[tuple[str, int, Shape], int | None] = field(default_factory=dict)

    def warm(self, gpu_type: str, gpus_per_replica: int, shape: Shape) -> int | None:
        """The same on nodes that have the images of all pods; None where no node tells of any."""
        key = gpu_type, gpus_per_replica, shape
        if key not in self._warm:
            wanted = all_images(pod.images for pod in shape)
            told = [(room, has_images(room.node.images, wanted)) for room in self.by_node]
            known = [room for room, has_all in told if has_all is not None]
            is_told = any(room.node.of_type(gpu_type) is not None for room in known)
            here = FreeGpus(tuple(room for room, has_all in told if has_all))
            found = here.schedulable(gpu_type, gpus_per_replica, shape) if is_told else None
            self._warm[key] = (found or 0) if is_told else None
        return self._warm[key]

    def schedulable(self, gpu_type: str, gpus_per_replica: int, shape: Shape = ()) -> int | None:
        """Free GPUs of `gpu_type` that whole replicas can use.

        The GPUs of one pod are on one node: two nodes with three free GPUs each hold no pod of
        four. A replica of several pods may stand on several nodes.

        Returns:
            None where no node has the type, or none has it as a resource that the pods ask for.
        """
        key = gpu_type, gpus_per_replica, shape
        if key not in self._known:
            self._known[key] = self._count(gpu_type, gpus_per_replica, shape)
        return self._known[key]

    def place(self, gpu_type: str, gpus_per_replica: int, shape: Shape, n_replicas: int) -> Places:
        """Give so many replicas, or as many as fit, their places on the first nodes that take them.

        Which places a scheduler gives them is not known. Nodes with nothing left are left out.
        """
        wanted = [pod for pod in shape if pod.asked]
        if len(wanted) > 1:
            return _place_gangs(self.by_node, wanted, gpu_type, n_replicas)
        left: list[NodeRoom] = []
        n = max(0, n_replicas)
        for at, before in enumerate(self.by_node):
            if n == 0:
                left += self.by_node[at:]
                break
            room = before
            bare = [] if wanted else _bare_pods(before, gpu_type, gpus_per_replica)
            for pod in bare or [pod for pod in wanted if before.takes(pod, gpu_type)]:
                n_here = min(n, room.n_fitting(pod))
                room, n = room.without(pod, n_here), n - n_here
            left += [room] if room.is_any else []
        return Places(max(0, n_replicas) - n, FreeGpus(tuple(left)))

    def may_be_elsewhere(self, gpu_type: str, shape: Shape) -> bool:
        """True where replicas may stand on nodes of which nothing tells whether they are of it."""
        asked = resources_asked(shape, gpu_type, (room.node for room in self.by_node))
        pods = [pod for pod in shape if pod.asked]
        return any(
            is_unknown(each) and not is_of_type(each, gpu_type)
            for room in self.by_node
            if not pods or any(pod.fits(room.node) for pod in pods)
            for each in room.node.accelerators
            if each.resource in asked
        )

    def _count(self, gpu_type: str, gpus_per_replica: int, shape: Shape) -> int | None:
        rooms = [room for room in self.by_node if room.node.of_type(gpu_type) is not None]
        wanted = [pod for pod in shape if pod.asked]
        if not rooms or not all(any(room.offers(p, gpu_type) for room in rooms) for p in wanted):
            return None
        if not wanted:
            free = sum(_n_bare(room, gpu_type, gpus_per_replica) for room in rooms)
        elif len(wanted) == 1:
            pod = wanted[0]
            free = sum(room.n_fitting(pod) for room in rooms if room.takes(pod, gpu_type))
        else:
            free = _place_gangs(rooms, wanted, gpu_type, _MOST_REPLICAS).n_placed
        return free * gpus_per_replica


@dataclass(frozen=True, slots=True)
class Places:
    """Replicas that have their places, and what is free beside them."""

    n_placed: int
    left: FreeGpus


def _n_bare(room: NodeRoom, gpu_type: str, gpus_per_replica: int) -> int:
    """Replicas that a node has room for where nothing is known of their pods."""
    own = room.node.of_type(gpu_type)
    fitting = {
        each.resource: room.free.get(each.resource, 0) // gpus_per_replica
        for each in (() if own is None else own.accelerators)
    }
    by_claims = [fitting.pop(each) for each in room.node.devices if each in fitting]
    return sum(fitting.values()) + max(by_claims, default=0)  # these may be the same devices


def _bare_pods(room: NodeRoom, gpu_type: str, gpus_per_replica: int) -> list[PodShape]:
    """What replicas may be on a node where nothing is known of their pods."""
    own = room.node.of_type(gpu_type)
    accelerators = () if own is None else own.accelerators
    return [PodShape((replace(each, count=gpus_per_replica),)) for each in accelerators]


def _place_gangs(
    rooms: Sequence[NodeRoom], pods: Sequence[PodShape], gpu_type: str, most: int
) -> Places:
    """Whole groups that fit, `most` at most: first fit with the largest pods first.

    A room that is too small for a pod stays so until the end: it is looked at once for each kind.
    """
    left = list(rooms)
    ordered = sorted(pods, key=lambda pod: -pod.gpus)
    may_use = {
        pod: [i for i, room in enumerate(rooms) if room.takes(pod, gpu_type)]
        for pod in dict.fromkeys(ordered)
    }
    firsts = dict.fromkeys(may_use, 0)
    for n_placed in range(most):
        before: dict[int, NodeRoom] = {}
        for pod in ordered:
            own, first = may_use[pod], firsts[pod]
            while first < len(own) and not left[own[first]].n_fitting(pod):
                first += 1
            firsts[pod] = first
            if first == len(own):
                for at, room in before.items():
                    left[at] = room  # a part of a group is no replica
                return Places(n_placed, FreeGpus(tuple(left)))
            place = own[first]
            before.setdefault(place, left[place])
            left[place] = left[place].without(pod)
    return Places(max(0, most), FreeGpus(tuple(left)))


def free_gpus(nodes: Iterable[NodeState], pods: Iterable[PodState]) -> FreeGpus:
    """Accelerators that are left on each node, each resource apart.

    Args:
        nodes: Nodes with accelerators; those that take no pods leave none.
        pods: All pods of the cluster, those of others too.
    """
    held: dict[tuple[str, str], int] = defaultdict(int)
    for pod in pods:
        if pod.node:
            for each in pod.asked:
                held[pod.node, each.resource] += each.count
    return FreeGpus(
        tuple(
            NodeRoom(
                node,
                {
                    a.resource: max(
                        0, a.count - node.taken.get(a.resource, held[node.name, a.resource])
                    )
                    for a in node.accelerators
                },
            )
            for node in nodes
            if node.takes_pods
        )
    )


Fitting = Mapping[tuple[str, str], datetime]
"""Since when pods that wait have fitted, by uid and the node on which room is made for them."""


@dataclass(frozen=True, slots=True)
class RoomLeft:
    """What is free once pods that wait already have taken theirs, and since when they fit."""

    free: FreeGpus
    fitting: Fitting


def beside_waiting(
    free: FreeGpus, waiting: Iterable[OwnedPod], known: Fitting, now: datetime
) -> RoomLeft:
    """What is free beside pods that the scheduler will place first, the oldest first.

    One that has fitted for five minutes and is not placed counts no longer: what else it waits for
    is not known here. A node on which the scheduler makes room for a pod is that pod's, as far as
    it is free by now.

    Args:
        free: Beside all pods that have a node.
        waiting: Pods that wait for a node.
        known: Since when they have fitted, as of the last look.
        now: Aware.
    """
    places = _PlacesOfOthers(list(free.by_node))
    fitting: dict[tuple[str, str], datetime] = {}
    for pod in sorted(waiting, key=lambda each: (each.state.requested_at, each.state.uid)):
        needs, key = pod.needs, (pod.state.uid, pod.state.nominated)
        if needs is None:
            continue
        since = known.get(key)
        is_passed_over = since is not None and now - since > PASSED_OVER_AFTER
        if is_passed_over or places.fits(needs, pod.state.nominated):
            fitting[key] = since or now
        if not is_passed_over:
            places.take(needs, pod.state.nominated)
    return RoomLeft(FreeGpus(tuple(places.left)), fitting)


class _PlacesOfOthers:
    """Nodes while pods are given their places; pods of one kind look at each node once."""

    def __init__(self, left: list[NodeRoom]) -> None:
        self.left = left
        self._nodes = {room.node.name: at for at, room in enumerate(left)}
        self._before = tuple(left)
        self._own: dict[PodShape, list[int]] = {}
        self._firsts: dict[PodShape, int] = {}

    def fits(self, needs: PodShape, nominated: str) -> bool:
        """True where such a pod would have room if no other one waited."""
        at = self._nodes.get(nominated)
        if at is not None:
            return self._before[at].n_fitting(needs) > 0
        return bool(self._may_use(needs))

    def take(self, needs: PodShape, nominated: str) -> None:
        """Give such a pod its place, if there is one."""
        at = self._nodes.get(nominated)
        if at is None:
            own, first = self._may_use(needs), self._firsts.get(needs, 0)
            while first < len(own) and not self.left[own[first]].n_fitting(needs):
                first += 1
            self._firsts[needs] = first
            if first == len(own):
                return
            at = own[first]
        room = self.left[at].without(needs)
        self.left[at] = replace(room, free={each: max(0, n) for each, n in room.free.items()})

    def _may_use(self, needs: PodShape) -> list[int]:
        if needs not in self._own:
            self._own[needs] = [
                at
                for at, room in enumerate(self._before)
                if room.n_fitting(needs) and needs.fits(room.node)
            ]
        return self._own[needs]
