"""What Harmony's operator knows of spot nodes: how often they go, and who is about to lose what.

As it counts in a cluster (`services.operator.plan.interruptions`): a node under notice is
interrupted, whoever serves on it is leaving.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from decider import SpotReplicas, learn_interruptions
from services.lab.bench.supply.cluster import SupplyCluster
from services.lab.bench.supply.nodes import NO_TIME, Node, Replica
from services.lab.bench.supply.starts import RunClock
from services.operator.plan.interruptions import SpotCount, SpotNode, follow


@dataclass(slots=True)
class KnownSpot:
    """The spot nodes of one cluster, as the operator follows them from look to look.

    Attributes:
        cluster: What is looked at.
        clock: Of the run.
        count: Interruptions so far.
    """

    cluster: SupplyCluster
    clock: RunClock
    count: SpotCount = field(default_factory=SpotCount)
    _before: dict[str, SpotNode] | None = None

    def look(self) -> None:
        """Count what went and what is about to go."""
        if not self.cluster.pool.rules.is_spot:
            return
        # A node is under notice for longer than from one look to the next: one that is gone without
        # it was let go, which in a cluster its NodeClaim tells.
        nodes = {
            str(node.ordinal): SpotNode(_is_noticed(node))
            for node in self.cluster.pool.nodes
            if node.is_there
        }
        now = self.clock.at(self.cluster.now_s)
        self.count = follow(self.count, self._before, nodes, nodes, now).count
        self._before = nodes

    def leaving(self, service: int) -> int:
        """Replicas of a service that serve on nodes about to go."""
        return sum(_is_noticed(replica.node) for replica in self._serving(service))

    def use(self, service: int) -> SpotReplicas | None:
        """Replicas of a service that serve on spot nodes and stay; None: there are none."""
        if not self.cluster.pool.rules.is_spot:
            return None
        here = [r.node for r in self._serving(service) if not _is_noticed(r.node)]
        if not here:
            return None
        belief = learn_interruptions(self.count.interruptions, self.count.node_hours)
        n_nodes = len({id(node) for node in here})
        return SpotReplicas(len(here), n_nodes, belief.interruptions, belief.node_hours)

    def _serving(self, service: int) -> Sequence[Replica]:
        return [replica for replica in self.cluster.replicas[service] if replica.is_ready]


def _is_noticed(node: Node | None) -> bool:
    return node is not None and node.lost_s != NO_TIME
