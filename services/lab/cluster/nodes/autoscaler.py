"""The node autoscaler of the simulated cluster: pools of machines that follow the pods.

NodePools are pools in the manner of Karpenter. The ConfigMap `lab-node-groups` in `kube-system`
states node groups in the manner of the Cluster Autoscaler: a key for each group with JSON (see
`pools.of_node_group`), and `form` (`yaml` or `text`) for how the status is written. CapacityBuffers
are kept room for where their kind is served.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator

from services.lab.cluster.controllers.manifests import node_spec
from services.lab.cluster.nodes import publishing
from services.lab.cluster.nodes.buffer_status import BufferLook, publish_buffer
from services.lab.cluster.nodes.buffers import Buffer, BufferRoom, find_room, read_buffers
from services.lab.cluster.nodes.definitions import CLAIMS, GROUP, POOLS, VERSION
from services.lab.cluster.nodes.machines import Machines, WaitingPod
from services.lab.cluster.nodes.pools import NodePoolSpec, of_node_group, of_node_pool
from services.lab.cluster.storage.objects import Objects
from services.lab.cluster.storage.resources import NODES, Obj, Registry, ResourceType
from services.simulator.engine.engine import ClusterEngine

LOOK_S = 10.0
GROUPS_NAMESPACE, GROUPS_NAME = "kube-system", "lab-node-groups"
_FORM = "form"


class NodeAutoscaler:
    """Adds nodes for pods that wait, and takes away those that are empty or interrupted."""

    def __init__(
        self, objects: Objects, registry: Registry, engine: ClusterEngine, seed: int
    ) -> None:
        self._objects = objects
        self._store = objects.store
        self._registry = registry
        self._engine = engine
        self._seed = seed
        self._machines: dict[str, Machines] = {}

    def next_s(self) -> float | None:
        """When it looks next, or a machine comes; None while there are no pools."""
        if not self._machines and not any(True for _ in self._stated()):
            return None
        now_s = self._engine.now_s
        look_s = (math.floor(now_s / LOOK_S) + 1) * LOOK_S
        return min([look_s, *(pool.next_s(now_s) for pool in self._machines.values())])

    def act(self) -> None:
        """Let machines come and go, and ask for those that are needed."""
        now_s, stated = self._engine.now_s, dict(self._stated())
        for name in self._machines.keys() - stated.keys():
            self._drop(name)
        for name, pool in stated.items():
            machines = self._machines.setdefault(name, Machines(pool, self._seed))
            machines.pool = pool
            for machine in machines.due(now_s):
                machine.is_there = True
                publishing.add_node(self._objects, machines, machine)
            self._interrupt(machines, now_s)
        waiting, busy = self._waiting(), self._busy()
        buffers = list(read_buffers(self._objects, self._registry))
        rooms = self._rooms() if buffers else []
        for buffer in buffers:
            used, lacking = find_room(buffer.pods, rooms)
            busy |= used
            waiting += lacking
        for machines in self._machines.values():
            for machine in machines.idle(busy, now_s):
                machines.all.remove(machine)
                publishing.remove_node(self._objects, machine.name)
            machines.keep_least(now_s)
            waiting = machines.plan(waiting, now_s)
        self._publish_buffers(buffers, waiting)
        self._publish()

    def _interrupt(self, machines: Machines, now_s: float) -> None:
        """Tell what is about to go, and take away what goes."""
        for machine in machines.told(now_s):
            machine.is_told = True
            publishing.tell_interruption(self._objects, machine.name)
        for machine in machines.interrupted(now_s):
            machines.all.remove(machine)
            publishing.remove_node(self._objects, machine.name)

    def _rooms(self) -> list[BufferRoom]:
        taken: Counter[str] = Counter()
        for key in self._engine.deployment_keys:
            gpus = self._engine.spec(key).gpus_per_pod
            for pod in self._engine.pods(key):
                taken[pod.node or ""] += gpus
        nodes = [node_spec(stored.obj) for stored in self._store.each(NODES, "")]
        return [BufferRoom(node, node.gpus - taken[node.name]) for node in nodes]

    def _stated(self) -> Iterator[tuple[str, NodePoolSpec]]:
        for obj in self._pools():
            yield f"{POOLS}/{obj['metadata']['name']}", of_node_pool(obj)
        for name, text in sorted(self._groups().items()):
            if name != _FORM:
                yield f"group/{name}", of_node_group(name, text)

    def _pools(self) -> list[Obj]:
        rtype = self._type(POOLS)
        return [] if rtype is None else [s.obj for s in self._store.each(rtype, "")]

    def _groups(self) -> Obj:
        rtype = self._registry.find("", "v1", "configmaps")
        assert rtype is not None, "every cluster has ConfigMaps"
        found = self._store.get(rtype, GROUPS_NAMESPACE, GROUPS_NAME) or {}
        return dict(found.get("data") or {})

    def _type(self, plural: str) -> ResourceType | None:
        return self._registry.find(GROUP, VERSION, plural)

    def _waiting(self) -> list[WaitingPod]:
        found = []
        for key in self._engine.deployment_keys:
            spec = self._engine.spec(key)
            pods = self._engine.pods(key)
            n_waiting = sum(pod.node is None and not pod.is_gated for pod in pods)
            if spec.gpus_per_pod:
                pod = WaitingPod(spec.gpu_type, spec.gpus_per_pod, spec.needs)
                found += [pod] * n_waiting
        return found

    def _busy(self) -> set[str]:
        return self._engine.used_nodes()

    def _drop(self, name: str) -> None:
        """A pool that is gone takes its nodes with it."""
        for machine in self._machines.pop(name).all:
            if machine.is_there:
                publishing.remove_node(self._objects, machine.name)

    def _publish_buffers(self, buffers: Iterable[Buffer], failed: Iterable[WaitingPod]) -> None:
        """Tell of buffers as who adds the nodes does; Karpenter where there are pools of it."""
        n_failed = Counter(pod.buffer for pod in failed)
        asked_for = [pod for machines in self._machines.values() for pod in machines.asked_for]
        n_new = Counter(pod.buffer for pod in asked_for)
        is_karpenter = any(name.startswith(f"{POOLS}/") for name in self._machines)
        for buffer in buffers:
            uid = str(buffer.obj["metadata"]["uid"])
            look = BufferLook(n_new[uid], n_failed[uid])
            publish_buffer(self._objects, buffer, look, is_karpenter=is_karpenter)

    def _publish(self) -> None:
        pool_type, claim_type = self._type(POOLS), self._type(CLAIMS)
        for obj in self._pools():
            machines = self._machines[f"{POOLS}/{obj['metadata']['name']}"]
            if claim_type is not None:
                publishing.publish_claims(self._objects, claim_type, obj, machines)
            if pool_type is not None:
                publishing.publish_pool(self._objects, pool_type, obj, machines)
        groups = [each for name, each in self._machines.items() if name.startswith("group/")]
        for each in groups:
            each.look(self._engine.now_s)
        config_maps = self._registry.find("", "v1", "configmaps")
        if groups and config_maps is not None:
            form = str(self._groups().get(_FORM, publishing.YAML_FORM))
            publishing.publish_groups(self._objects, config_maps, groups, form)
