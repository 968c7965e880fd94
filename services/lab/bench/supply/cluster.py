"""Services on nodes that come and go, in simulated time: a model of discrete events.

Replicas are placed on the fullest node with room, and those of a scaling in are taken from the
emptiest one, whoever decides: that lets nodes become empty. A replica that is lost with its node is
replaced, as a ReplicaSet does.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from services.lab.bench.supply.ledger import SupplyLedger
from services.lab.bench.supply.luck import NOTICE_S, SupplyLuck
from services.lab.bench.supply.node_pool import SupplyPool
from services.lab.bench.supply.nodes import NO_TIME, Node, PoolRules, Replica, Reserve, tightest

LOOK_S = 10.0
"""What adds nodes looks at times that are multiples of this."""
PASS_S = 15.0
"""Who is told of interruptions looks at times that are multiples of this, as Harmony's operator."""
COLD_RATIO = 2.0
"""A start whose image has to be pulled takes so many times as long."""


@dataclass(frozen=True, slots=True)
class ServiceStart:
    """A service's replicas: GPUs of each, and how they start where their image is on the node.

    Attributes:
        median_s: Median of the time from being placed to being ready.
        sigma: Standard deviation of its logarithm.
    """

    gpus: int
    median_s: float
    sigma: float


class SupplyCluster:
    """The cluster of one setting of one policy.

    Args:
        services: W services.
        rules: The pool that nodes come from.
        luck: What happens whoever decides.
        ledger: Where everything is counted.
        initial: (W,) replicas at the start, ready, on as few nodes as hold them.

    Attributes:
        now_s: Time.
        spec: (W,) replicas asked for.
        ready: (W,) replicas that serve.
        replicas: Of each service, those that are there, the oldest first.
        starts: Of each service, all that were asked for since the start, the oldest first.
        pool: The nodes.
        on_notice: Called at the next pass after an interruption was announced; None: nobody is.
    """

    def __init__(
        self,
        services: Sequence[ServiceStart],
        rules: PoolRules,
        luck: SupplyLuck,
        ledger: SupplyLedger,
        initial: Sequence[int],
    ) -> None:
        self.now_s = 0.0
        self.services = services
        self.ledger = ledger
        self.pool = SupplyPool(rules, luck)
        self.on_notice: Callable[[], None] | None = None
        self.spec = np.zeros(len(services))
        self.ready = np.zeros(len(services))
        self.replicas: list[list[Replica]] = [[] for _ in services]
        self.starts: list[list[Replica]] = [[] for _ in services]
        self._luck = luck
        self._waiting: list[Replica] = []
        self._n_made = [0] * len(services)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._look_s = NO_TIME
        for at_s, pick in zip(luck.notices_s, luck.picks, strict=True):
            self._at(float(at_s), self._announcing(float(pick)))
        self._fill(initial)

    @property
    def waiting(self) -> Sequence[Replica]:
        """Replicas without a node, the oldest first."""
        return self._waiting

    def free_gpus(self, gpus: int, service: int | None = None) -> int:
        """Free GPUs on nodes that whole replicas can use.

        Args:
            gpus: Of a replica.
            service: Only on nodes that have this one's image; None: on all.
        """
        rooms = (
            node.free_gpus // gpus
            for node in self.pool.nodes
            if node.is_open and (service is None or service in node.images)
        )
        return gpus * sum(rooms)

    def scale(self, counts: Sequence[int]) -> list[Replica]:
        """Ask for so many replicas of each service; those that are new."""
        wanted = [int(n) for n in counts]
        if min(wanted) < 0:
            raise ValueError(f"counts={wanted} must be >= 0")
        made: list[Replica] = []
        for service, n in enumerate(wanted):
            there = self.replicas[service]
            if n < len(there):
                for replica in self._victims(service, len(there) - n):
                    self._remove(replica)
            else:
                made += [self._make(service) for _ in range(n - len(there))]
            self.spec[service] = n
        self._place()
        self._want_look(self.now_s)
        return made

    def hold(self, reserve: Reserve) -> None:
        """Keep so much room free from now on."""
        if reserve != self.pool.reserve:
            self.pool.reserve = reserve
            self._want_look(self.now_s)

    def advance(self, until_s: float) -> None:
        """Let time go by."""
        while self._events and self._events[0][0] <= until_s:
            at_s, _, act = heapq.heappop(self._events)
            self._settle(at_s)
            act()
        self._settle(until_s)

    def _settle(self, until_s: float) -> None:
        """Count the time up to `until_s`, in which nothing changes."""
        ledger = self.ledger
        while self.now_s < until_s:
            step = int(self.now_s // ledger.step_s)
            end_s = min(until_s, (step + 1) * ledger.step_s)
            if step < ledger.n_steps:
                n_nodes, n_waiting = len(self.pool.nodes), len(self._waiting)
                ledger.add(step, end_s - self.now_s, self.ready, n_nodes, n_waiting)
            self.now_s = end_s

    def _at(self, at_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at_s, next(self._order), act))

    def _want_look(self, at_s: float) -> None:
        """Let what adds nodes look at the next multiple of `LOOK_S`, unless it will by then."""
        look_s = math.ceil(at_s / LOOK_S) * LOOK_S
        if look_s < self._look_s:
            self._look_s = look_s
            self._at(look_s, self._look)

    def _look(self) -> None:
        if self.now_s < self._look_s:
            return  # an earlier look has replaced it
        self._look_s = NO_TIME
        self._want_look_then(self.pool.let_go(self.now_s))
        for node in self.pool.ask(self._waiting, self.now_s):
            self._at(node.there_s, self._coming(node))
        if self.now_s < self.pool.retry_at_s:
            self._want_look_then(self.pool.retry_at_s)

    def _want_look_then(self, at_s: float) -> None:
        if at_s != NO_TIME:
            self._want_look(at_s)

    def _coming(self, node: Node) -> Callable[[], None]:
        def come() -> None:
            node.is_there = True
            self._place()
            self._want_look(self.now_s)

        return come

    def _announcing(self, pick: float) -> Callable[[], None]:
        def announce() -> None:
            node = self.pool.interrupt(pick, self.now_s + NOTICE_S)
            if node is not None:
                self._at(node.lost_s, self._losing(node))
                self._want_look(self.now_s)
                if self.on_notice is not None:
                    self._at(math.ceil(self.now_s / PASS_S) * PASS_S, self.on_notice)

        return announce

    def _losing(self, node: Node) -> Callable[[], None]:
        def lose() -> None:
            lost = [r for own in self.replicas for r in own if r.node is node]
            for replica in lost:
                self._remove(replica)
            self.pool.lose(node)
            for replica in lost:
                self._make(replica.service)
            self._place()
            self._want_look(self.now_s)

        return lose

    def _make(self, service: int) -> Replica:
        replica = Replica(service, self.services[service].gpus, self.now_s)
        self.replicas[service].append(replica)
        self.starts[service].append(replica)
        self._waiting.append(replica)
        return replica

    def _remove(self, replica: Replica) -> None:
        replica.gone_s = self.now_s
        self.replicas[replica.service].remove(replica)
        if replica.node is None:
            self._waiting.remove(replica)
            return
        replica.node.free_gpus += replica.gpus
        replica.node.n_replicas -= 1
        if replica.is_ready:
            self.ready[replica.service] -= 1

    def _place(self) -> None:
        """Give a node to each replica that waits and fits, the oldest first."""
        still = []
        for replica in self._waiting:
            node = tightest(self.pool.nodes, replica.gpus)
            if node is None:
                still.append(replica)
                continue
            self._bind(replica, node)
            self._at(self.now_s + self._takes_s(replica), self._starting(replica))
        self._waiting = still

    def _bind(self, replica: Replica, node: Node) -> None:
        node.free_gpus -= replica.gpus
        node.n_replicas += 1
        replica.node, replica.bound_s = node, self.now_s
        replica.is_new_node = node.there_s > replica.asked_s
        replica.has_image = replica.service in node.images

    def _takes_s(self, replica: Replica) -> float:
        """Time from the node to ready of a service's next replica."""
        law, scores = self.services[replica.service], self._luck.start_z[replica.service]
        z = float(scores[self._n_made[replica.service] % scores.size])
        self._n_made[replica.service] += 1
        usual_s = law.median_s * (1.0 if replica.has_image else COLD_RATIO)
        return usual_s * math.exp(law.sigma * z)

    def _starting(self, replica: Replica) -> Callable[[], None]:
        def start() -> None:
            if replica.is_gone or replica.node is None:
                return
            replica.ready_s = self.now_s
            replica.node.images.add(replica.service)
            self.ready[replica.service] += 1

        return start

    def _victims(self, service: int, n: int) -> list[Replica]:
        """Those that wait go first, then those that start, then those on the emptiest nodes."""

        def rank(replica: Replica) -> tuple[int, float, float]:
            node = replica.node
            if node is None or not replica.is_ready:
                return (0 if node is None else 1), 0.0, -replica.asked_s
            return 2, -float(node.free_gpus), -replica.asked_s

        return sorted(self.replicas[service], key=rank)[:n]

    def _fill(self, initial: Sequence[int]) -> None:
        """Place the first replicas, ready, the largest first."""
        order = sorted(range(len(self.services)), key=lambda w: -self.services[w].gpus)
        for service in order:
            for _ in range(int(initial[service])):
                replica = self._make(service)
                node = tightest(self.pool.nodes, replica.gpus) or self.pool.add_ready(self.now_s)
                self._bind(replica, node)
                node.images.add(service)
                replica.ready_s = self.now_s
                self.ready[service] += 1
            self.spec[service] = initial[service]
        self._waiting = []
        self.starts = [[] for _ in self.services]
        self._want_look(LOOK_S)
