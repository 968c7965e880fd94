"""Machines of a pool: asked for, on their way, there, idle, refused; no I/O and no clock.

A pool looks at the pods that wait every ten seconds and asks for as many machines as they need,
first fit, as far as its limit and its provider let it. A provider without capacity refuses; the
pool asks again three minutes later.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.kernel.clock import make_rng
from services.lab.cluster.nodes.pools import NodePoolSpec
from services.simulator.engine.engine import ANY_GPU_TYPE
from services.simulator.engine.needs import Needs

RETRY_S = 180.0
NOTICE_S = 120.0
"""An interruption is told so long before the machine goes."""


@dataclass(frozen=True, slots=True)
class WaitingPod:
    """A pod without a node.

    Attributes:
        buffer: Uid of the CapacityBuffer that it is one of; empty: it is a pod.
    """

    gpu_type: str
    gpus: int
    needs: Needs
    buffer: str = ""

    def may_use(self, pool: NodePoolSpec) -> bool:
        """Check whether a node of the pool would take it."""
        node = pool.node
        return (
            self.gpus <= node.gpus
            and self.needs.resource == node.resource
            and self.gpu_type in (ANY_GPU_TYPE, node.gpu_type)
            and self.needs.is_selected(node.labels)
            and self.needs.repelled_by(node.taints) is None
        )


@dataclass(slots=True)
class Machine:
    """One machine that was asked for. Times in engine seconds.

    Attributes:
        goes_s: When it is interrupted; infinite: never.
        is_told: That has been told.
    """

    name: str
    asked_s: float
    due_s: float
    is_there: bool = False
    idle_since_s: float | None = None
    goes_s: float = math.inf
    is_told: bool = False

    @property
    def told_s(self) -> float:
        """When its interruption is told: not before it has come."""
        return max(self.due_s, self.goes_s - NOTICE_S)


@dataclass(frozen=True, slots=True)
class ScaleUp:
    """`scaleUp` of a node group in the Cluster Autoscaler's status."""

    status: str
    since_s: float


@dataclass(slots=True)
class Machines:
    """All machines of one pool.

    Attributes:
        refused_s: When the provider refused last; None: not since it gave a machine.
        n_asked: Machines ever asked for.
        asked_for: Pods that the machines are for which were asked for at the last look.
        backed_off_s: When the last series of refusals began; None: none is under way.
        told_s: The last refusal that was told of.
        scale_up: What a node group says that it does, with the time since when; None: nothing yet.
    """

    pool: NodePoolSpec
    seed: int
    all: list[Machine] = field(default_factory=list)
    refused_s: float | None = None
    n_asked: int = 0
    backed_off_s: float | None = None
    asked_for: list[WaitingPod] = field(default_factory=list)
    told_s: float | None = None
    scale_up: ScaleUp | None = None

    def plan(self, waiting: Sequence[WaitingPod], now_s: float) -> list[WaitingPod]:
        """Ask for what the pods need; those that no machine of this pool will take."""
        if not any(pod.may_use(self.pool) for pod in waiting):
            self.refused_s = self.backed_off_s = None
        rooms = [self.pool.node.gpus for machine in self.all if not machine.is_there]
        n_coming, left = len(rooms), []
        self.asked_for = []
        for pod in waiting:
            place = next((i for i, free in enumerate(rooms) if free >= pod.gpus), None)
            if not pod.may_use(self.pool) or (place is None and not self._ask(now_s)):
                left.append(pod)
                continue
            if place is None:
                rooms.append(self.pool.node.gpus)
                place = len(rooms) - 1
            rooms[place] -= pod.gpus
            self.asked_for += [pod] if place >= n_coming else []
        return left

    def look(self, now_s: float) -> ScaleUp:
        """What it does as a node group; nodes on their way are told of before a refusal.

        So the Cluster Autoscaler has it (kubernetes/autoscaler, clusterstate.go,
        buildScaleUpStatusNodeGroup).
        """
        status = "NoActivity"
        if any(not each.is_there for each in self.all):
            status = "InProgress"
        elif self.backed_off_s is not None:
            status = "Backoff"
        if self.scale_up is None or self.scale_up.status != status:
            self.scale_up = ScaleUp(status, now_s)
        return self.scale_up

    def keep_least(self, now_s: float) -> None:
        """Ask for the nodes that a pool has whatever is asked of it."""
        while len(self.all) < self.pool.least_nodes and self._ask(now_s):
            pass

    def due(self, now_s: float) -> list[Machine]:
        """Machines that have come by now."""
        return [each for each in self.all if not each.is_there and each.due_s <= now_s]

    def next_s(self, now_s: float) -> float:
        """When a machine comes, is told to go, or goes; infinite: none does."""
        times = [t for m in self.all for t in (m.due_s, m.told_s, m.goes_s) if t > now_s]
        return min(times, default=math.inf)

    def told(self, now_s: float) -> list[Machine]:
        """Machines of which it is to be told by now that they will be interrupted."""
        return [m for m in self.all if m.is_there and not m.is_told and m.told_s <= now_s]

    def interrupted(self, now_s: float) -> list[Machine]:
        """Machines that are taken away by now."""
        return [each for each in self.all if each.is_there and each.goes_s <= now_s]

    def idle(self, busy: Iterable[str], now_s: float) -> list[Machine]:
        """Machines that have had no pods for long enough to go."""
        if self.pool.empty_after_s is None:
            return []
        busy, found = set(busy), []
        n_left = len(self.all)
        for each in self.all:
            if not each.is_there or each.name in busy:
                each.idle_since_s = None
                continue
            each.idle_since_s = now_s if each.idle_since_s is None else each.idle_since_s
            is_over = now_s - each.idle_since_s >= self.pool.empty_after_s
            if is_over and now_s > each.due_s and n_left > self.pool.least_nodes:
                found.append(each)
                n_left -= 1
        return found

    def _ask(self, now_s: float) -> bool:
        pool = self.pool
        if pool.most_nodes is not None and len(self.all) >= pool.most_nodes:
            return False
        if pool.capacity is not None and len(self.all) >= pool.capacity:
            if self.refused_s is None or now_s - self.refused_s >= RETRY_S:
                self.backed_off_s = now_s if self.backed_off_s is None else self.backed_off_s
                self.refused_s = now_s
            return False
        self.refused_s = self.backed_off_s = None
        z = float(make_rng(self.seed, pool.name, self.n_asked).standard_normal())
        law = pool.startup
        takes_s = max(law.min_s, law.median_s * math.exp(law.sigma * z))
        name = f"{pool.name}-{self.n_asked:04d}"
        due_s = now_s + takes_s
        self.all.append(Machine(name, now_s, due_s, goes_s=due_s + self._life_s()))
        self.n_asked += 1
        return True

    def _life_s(self) -> float:
        """How long the machine that is asked for next lives; infinite: until it is idle."""
        if self.pool.interruptions <= 0:
            return math.inf
        rng = make_rng(self.seed, self.pool.name, self.n_asked, "life")
        return float(rng.standard_exponential()) * 3600.0 / self.pool.interruptions
