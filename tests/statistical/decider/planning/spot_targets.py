"""Replicas on spot nodes that are interrupted, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm

from decider import ReplicaState, SpotReplicas, learn_interruptions

STEP_S, LEAD_STEPS = 60.0, 5
PER_NODE = 4
CAPACITY, LEVEL, CV = 10.0, 160.0, 0.08


@dataclass
class SpotTarget:
    """Replicas on spot nodes; a node takes four, and dies with them.

    Attributes:
        nodes: Ready replicas on each node.
        starts: Steps since each start on its way.
        interruptions: Of its nodes, so far.
        node_hours: That they lived, so far.
    """

    nodes: list[int] = field(default_factory=lambda: [PER_NODE] * 5)
    starts: list[int] = field(default_factory=list)
    log_multiplier: float | None = None
    interruptions: int = 0
    node_hours: float = 0.0

    @property
    def ready(self) -> int:
        return sum(self.nodes)

    def land(self) -> None:
        """Starts are a step older; those that took long enough serve."""
        self.starts = [age + 1 for age in self.starts]
        n_landed = sum(age >= LEAD_STEPS for age in self.starts)
        self.starts = [age for age in self.starts if age < LEAD_STEPS]
        for _ in range(n_landed):
            place = next((i for i, n in enumerate(self.nodes) if n < PER_NODE), None)
            if place is None:
                self.nodes.append(1)
            else:
                self.nodes[place] += 1

    def lose(self, node: int) -> None:
        """A node goes; its replicas start anew elsewhere."""
        self.interruptions += 1
        self.starts += [0] * self.nodes.pop(node)

    def scale(self, count: int) -> None:
        """As many as were decided: starts are given up before what serves."""
        self.starts += [0] * max(0, count - self.ready - len(self.starts))
        n_fewer = self.ready + len(self.starts) - count
        self.starts = sorted(self.starts, reverse=True)[: max(0, len(self.starts) - n_fewer)]
        while self.ready > count:
            least = int(np.argmin(self.nodes))
            self.nodes[least] -= 1
            self.nodes = [n for n in self.nodes if n]

    def state(self, *, is_known: bool) -> ReplicaState:
        spot = None
        if is_known and self.nodes:
            belief = learn_interruptions(self.interruptions, self.node_hours)
            figures = belief.interruptions, belief.node_hours
            spot = SpotReplicas(self.ready, len(self.nodes), *figures)
        ages = tuple(STEP_S * age for age in self.starts)
        return ReplicaState(self.ready + len(ages), self.ready, ages, spot=spot)


def demands(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Demand of about sixteen replicas."""
    return LEVEL * np.exp(CV * rng.standard_normal(shape))


@dataclass
class Interruptions:
    """Interruptions of the nodes of a fleet: any of them, as many as their hours let expect.

    That their number does not scatter makes a mean over a run more precise; which node goes, and
    how close after another of its service, is left to chance.

    Attributes:
        rng: Who goes.
        rate: Interruptions of one node in an hour.
        until_next: Of the interruptions that are expected, how much is left until the next one.
    """

    rng: np.random.Generator
    rate: float
    until_next: float = 0.5

    def strike(self, targets: Sequence[SpotTarget]) -> None:
        """A step passes; some nodes go."""
        hours = STEP_S / 3600.0
        for target in targets:
            target.node_hours += len(target.nodes) * hours
        self.until_next -= self.rate * hours * sum(len(one.nodes) for one in targets)
        while self.until_next <= 0.0:
            self.until_next += 1.0
            places = [(one, node) for one in targets for node in range(len(one.nodes))]
            target, node = places[int(self.rng.integers(len(places)))]
            target.lose(node)


def short_chance(ready: np.ndarray) -> np.ndarray:
    """Chance that a demand, which is drawn anew in each step, is more than replicas carry.

    Its mean over a run is that of whether they were short, and scatters less.
    """
    room = np.log(np.maximum(ready, 1e-9) * CAPACITY / LEVEL) / CV
    return np.asarray(norm.sf(room))
