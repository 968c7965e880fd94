"""What Harmony's operator knows of the supply: room, ceiling, back-off; and how it patches.

All of it is said by the operator's own functions (`services.operator.plan`), on values in place of
Kubernetes objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from services.lab.bench.supply.cluster import SupplyCluster
from services.lab.bench.supply.demand import GPU_TYPE, GPUS_PER_NODE
from services.lab.bench.supply.nodes import NO_TIME
from services.lab.bench.supply.starts import KnownStarts, RunClock
from services.operator.cluster.accelerators import NVIDIA_GPU, Accelerators
from services.operator.cluster.node_sources import SeenSources
from services.operator.cluster.placement import NodeState, PodShape
from services.operator.plan.gpu_room import GpuRoom, TargetUse
from services.operator.plan.provisioning import (
    Provisioning,
    ProvisioningSigns,
    attempt,
    follow,
    learn_startup,
)
from services.operator.plan.supply import GpusInUse, ReplicaNeed, RoomToGrow, TypeSupply
from services.operator.plan.supply_sources import PROVISIONED, StatedSupply, resolve

_PRODUCT = "NVIDIA-H100-80GB-HBM3"
_REFUSED = "the provider has no capacity"


def _accelerators(count: int) -> tuple[Accelerators, ...]:
    return (Accelerators(NVIDIA_GPU, _PRODUCT, count),)


@dataclass(slots=True)
class KnownSupply:
    """The supply of one cluster, as the operator follows it from look to look.

    Attributes:
        cluster: What is looked at.
        clock: Of the run.
        state: What came of what was asked for.
    """

    cluster: SupplyCluster
    clock: RunClock
    state: Provisioning = field(default_factory=Provisioning)
    _rooms: dict[tuple[int, ReplicaNeed], RoomToGrow] = field(default_factory=dict)

    def look(self, starts: KnownStarts) -> TypeSupply:
        """The supply now."""
        cluster, now = self.cluster, self.clock.at(self.cluster.now_s)
        self._rooms.clear()
        ceiling = cluster.pool.rules.most_nodes * GPUS_PER_NODE
        nodes = [
            NodeState(str(node.ordinal), _accelerators(GPUS_PER_NODE))
            for node in cluster.pool.nodes
            if node.is_there
        ]
        stated = StatedSupply(mode=PROVISIONED, ceiling=ceiling)
        startup = learn_startup(stated.startup_s, starts.waits)
        self.state = follow(self.state, self._signs(), startup, now)
        starts.note_refusal(self.state)
        asked = sum(
            int(n) * service.gpus for n, service in zip(cluster.spec, cluster.services, strict=True)
        )
        return TypeSupply(
            GPU_TYPE,
            resolve(GPU_TYPE, stated, SeenSources(), nodes),
            GpusInUse(asked, 0, GPUS_PER_NODE * len(nodes), GPUS_PER_NODE),
            self.state,
            startup,
            self.state.may_ask(now),
        )

    def _signs(self) -> ProvisioningSigns:
        pool = self.cluster.pool
        waiting = [self.clock.at(replica.asked_s) for replica in self.cluster.waiting]
        came = [self.clock.at(node.there_s) for node in pool.nodes if node.is_there]
        launched = [self.clock.at(node.asked_s) for node in pool.nodes]
        refused = None if pool.refused_s == NO_TIME else self.clock.at(pool.refused_s)
        return ProvisioningSigns(
            min(waiting, default=None),
            max(came, default=None),
            refused,
            "" if refused is None else _REFUSED,
            max(launched, default=None),
        )

    def state_row(self, service: int, supply: TypeSupply) -> dict[str, Any]:
        """A service's row of `replica_states`, as far as decisions read it."""
        cluster, gpus = self.cluster, self.cluster.services[service].gpus
        n_waiting = sum(replica.node is None for replica in cluster.replicas[service])
        here = cluster.free_gpus(gpus)
        need = ReplicaNeed(gpus, (PodShape(_accelerators(gpus)),), n_waiting)
        room = self._rooms.get((here, need)) or supply.room(here, need)
        self._rooms[here, need] = room
        return {
            "schedulable_gpus": room.gpus,
            "new_node_gpus": room.on_new_nodes,
            "pending_replicas": n_waiting,
            "warm_gpus": cluster.free_gpus(gpus, service),
            "variants": None,
        }

    def patch(self, counts: Sequence[int], supply: TypeSupply) -> list[int]:
        """Counts as they may be asked for now, falls first; an attempt after a refusal is noted."""
        cluster = self.cluster
        uses = [
            TargetUse(GPU_TYPE, service.gpus, int(n), int(n))
            for n, service in zip(cluster.spec, cluster.services, strict=True)
        ]
        room = GpuRoom.of({GPU_TYPE: supply.most_asked}, uses)
        before = room.held(GPU_TYPE)
        granted = [int(n) for n in counts]
        for use, count in zip(uses, counts, strict=True):
            if count < use.spec:
                room.lower(use, count)
        for i, (use, count) in enumerate(zip(uses, counts, strict=True)):
            if count > use.spec:
                granted[i] = max(use.spec, room.grant(use, count, takes_part=True).count)
        has_risen = room.held(GPU_TYPE) > before
        if has_risen and self.state.is_refused and room.held(GPU_TYPE) > supply.use.nodes:
            now = self.clock.at(cluster.now_s)
            self.state = attempt(self.state, supply.startup, now)
        return granted


def supply_row(supply: TypeSupply) -> dict[str, Any]:
    """The row of `gpu_supply` that decisions and headroom read; no risk of headroom is stated."""
    return {
        "cluster_id": 1,
        "gpu_type": supply.gpu_type,
        "ceiling": supply.resolved.ceiling,
        "node_gpus": supply.use.nodes,
        "asked_gpus": supply.use.asked,
        "startup_median_s": supply.startup.median_s,
        "startup_sigma": supply.startup.sigma,
        "n_startups": supply.startup.n_seen,
        "gpus_per_node": supply.use.of_one_node,
        "headroom_risk": None,
        "last_chunk_gpus": None,
    }
