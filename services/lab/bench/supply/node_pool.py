"""A pool of nodes that follows the replicas: asks for nodes, and lets go of empty ones.

It does as Karpenter does with its defaults: a replica that waits gets a node, a node that is empty
goes. Only nodes that nobody needs go: no replica is moved to empty one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from services.lab.bench.supply.luck import SupplyLuck
from services.lab.bench.supply.nodes import NO_TIME, Node, PoolRules, Replica, Reserve, held_by


class SupplyPool:
    """Nodes of one kind.

    Args:
        rules: Of the pool.
        luck: Start-ups and outages.

    Attributes:
        nodes: All nodes, on their way or there, the oldest first.
        reserve: Room that is to be free.
        refused_s: When no node could be had last; infinite: never.
        n_refused: How often.
    """

    def __init__(self, rules: PoolRules, luck: SupplyLuck) -> None:
        self.rules = rules
        self.nodes: list[Node] = []
        self.reserve = Reserve()
        self.refused_s = NO_TIME
        self.n_refused = 0
        self._luck = luck
        self._n_asked = 0

    def add_ready(self, now_s: float) -> Node:
        """A node that is there from the start."""
        node = Node(-1 - len(self.nodes), now_s, now_s, self.rules.gpus_per_node, is_there=True)
        self.nodes.append(node)
        return node

    def ask(self, waiting: Sequence[Replica], now_s: float) -> list[Node]:
        """Ask for the nodes that replicas without a node and the reserve need; those that come.

        First fit on what is on its way already, the replicas first.
        """
        rooms = [self.rules.gpus_per_node for node in self.nodes if not node.is_there]
        asked: list[Node] = []
        chunks = (self.reserve.chunk_gpus,) * held_by(self.nodes, self.reserve)[1]
        for gpus in (*(replica.gpus for replica in waiting), *chunks):
            place = next((i for i, free in enumerate(rooms) if free >= gpus), None)
            if place is None:
                node = self._ask_for_one(now_s)
                if node is None:
                    break
                asked.append(node)
                rooms.append(self.rules.gpus_per_node)
                place = len(rooms) - 1
            rooms[place] -= gpus
        return asked

    def _ask_for_one(self, now_s: float) -> Node | None:
        """One node; None: the pool is full, or none can be had."""
        if len(self.nodes) >= self.rules.most_nodes or now_s < self.retry_at_s:
            return None
        if self._luck.is_out(now_s):
            self.refused_s = now_s
            self.n_refused += 1
            return None
        rules, scores = self.rules, self._luck.startup_z
        z = float(scores[self._n_asked % scores.size])
        takes_s = rules.startup_s * math.exp(rules.startup_sigma * z)
        node = Node(self._n_asked, now_s, now_s + takes_s, rules.gpus_per_node)
        self._n_asked += 1
        self.nodes.append(node)
        return node

    @property
    def retry_at_s(self) -> float:
        """From when on a node may be asked for again after a refusal."""
        return -NO_TIME if self.refused_s == NO_TIME else self.refused_s + self.rules.retry_s

    def let_go(self, now_s: float) -> float:
        """Let go of nodes that nobody has needed for long enough.

        Returns:
            When the next one may go; infinite: none is on its way to go.
        """
        held, _ = held_by(self.nodes, self.reserve)
        next_s, kept = NO_TIME, []
        for node in self.nodes:
            is_needed = node.n_replicas > 0 or not node.is_open or node.ordinal in held
            if is_needed:
                node.empty_since_s = NO_TIME
            elif node.empty_since_s == NO_TIME:
                node.empty_since_s = now_s
            due_s = node.empty_since_s + self.rules.consolidate_after_s
            if due_s <= now_s:
                continue
            next_s = min(next_s, due_s)
            kept.append(node)
        self.nodes = kept
        return next_s

    def interrupt(self, pick: float, lost_s: float) -> Node | None:
        """Announce the end of one of the open nodes; None: there is none."""
        found = [node for node in self.nodes if node.is_open]
        if not found:
            return None
        node = found[int(pick * len(found))]
        node.lost_s = lost_s
        return node

    def lose(self, node: Node) -> None:
        """Take away a node."""
        self.nodes.remove(node)
