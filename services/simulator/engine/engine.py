"""State machine of GPU pods: who waits, who starts, who serves, and when.

No I/O and no clock: time is passed in, and the same calls give the same results. The API server
and the in-process simulator both drive it; the grid simulator (`services.simulator.replicas`)
holds the same lead-time rule for thousands of settings at once, and tests hold the two equal.

The rules:
    * Scaling up creates pods. A pod is placed first-fit as a whole gang of GPUs on one node of the
      right type; while none fits it is pending, and it is tried again, oldest first, whenever GPUs
      become free. A pod that does not fit holds up none that would.
    * A pod that is held (`is_gated`) waits for no node; it is placed once it is let go.
    * A placed pod is starting, and becomes ready after its own start-up draw. That clock runs
      once: no other event restarts it.
    * Scaling down removes pending pods first, then starting, then ready ones; among equals the
      lowest deletion cost, then the youngest.
    * A ready pod that scaling down takes serves no more, but holds its GPUs until its requests are
      done or its grace is over (`DrainSpec`; by default at once).
    * The start-up draw of the n-th pod ever created of a deployment depends on (seed, key, n) only,
      so that rival policies meet the same luck.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from services.simulator.engine.deployment import EngineDeployment
from services.simulator.engine.needs import Needs
from services.simulator.engine.nodes import Nodes
from services.simulator.engine.pod import EnginePod, draw_start
from services.simulator.engine.specs import (
    ANY_GPU_TYPE,
    DeploymentSpec,
    DrainSpec,
    Interval,
    NodeSpec,
    PodEvent,
    PodEventKind,
    ReplicaCounts,
    StartupSpec,
)
from services.simulator.engine.timeline import Timeline

__all__ = [
    "ANY_GPU_TYPE",
    "ClusterEngine",
    "DeploymentSpec",
    "DrainSpec",
    "EnginePod",
    "Interval",
    "NodeSpec",
    "PodEvent",
    "PodEventKind",
    "ReplicaCounts",
    "StartupSpec",
]

DEFAULT_HISTORY_S = 86_400.0


class ClusterEngine:
    """Pods, nodes and time.

    Args:
        nodes: The cluster's nodes.
        seed: Seed of every start-up draw.
        now_s: Engine time at the start (any origin; the API server uses epoch seconds).
        history_s: How long `timeline` reaches back at least.
    """

    def __init__(
        self,
        nodes: Iterable[NodeSpec],
        *,
        seed: int,
        now_s: float,
        history_s: float = DEFAULT_HISTORY_S,
    ) -> None:
        self.nodes = Nodes(nodes)
        self.now_s = float(now_s)
        self._seed = seed
        self._history_s = history_s
        self._deployments: dict[str, EngineDeployment] = {}
        self._pending: dict[tuple[str, int], EnginePod] = {}
        self._heap: list[tuple[float, int, PodEventKind, EnginePod]] = []
        self._n_scheduled_events = 0
        self._events: list[PodEvent] = []

    # -- what a user of the cluster asks for -------------------------------------------------

    def add_deployment(self, spec: DeploymentSpec) -> None:
        """Create a deployment and its pods; warm ones that find a node are ready at once.

        Raises:
            ValueError: If the key exists already.
        """
        if spec.key in self._deployments:
            raise ValueError(f"deployment {spec.key!r} exists already; keys must be unique")
        deployment = EngineDeployment(spec, Timeline(self.now_s, self._history_s))
        self._deployments[spec.key] = deployment
        for _ in range(spec.replicas):
            self._create(deployment, is_warm=spec.is_warm)
        deployment.record(self.now_s)

    def remove_deployment(self, key: str) -> None:
        """Delete a deployment with its pods and its history; waiting pods take the GPUs."""
        deployment = self._require(key)
        for pod in [*deployment.pods.values(), *deployment.ending.values()]:
            self._delete(deployment, pod)
        del self._deployments[key]
        self._place_pending()

    def scale(self, key: str, replicas: int, first: Sequence[int] = ()) -> None:
        """Ask for `replicas` pods from now on.

        Args:
            key: Of the deployment.
            replicas: Pods to have.
            first: Ordinals of the pods that go first when there are too many, whatever their rank.

        Raises:
            ValueError: If `replicas` is negative.
            KeyError: If there is no such deployment.
        """
        deployment = self._require(key)
        deployment.spec = replace(deployment.spec, replicas=replicas)
        n_surplus = len(deployment.pods) - replicas
        for _ in range(-n_surplus):
            self._create(deployment)
        if n_surplus > 0:
            places = {ordinal: i for i, ordinal in enumerate(first)}
            victims = heapq.nsmallest(
                n_surplus,
                deployment.pods.values(),
                key=lambda pod: (places.get(pod.ordinal, len(places)), pod.victim_rank),
            )
            for pod in victims:
                self._tell(deployment, pod)
        deployment.record(self.now_s)
        if n_surplus > 0:
            self._place_pending()

    def update(self, spec: DeploymentSpec) -> None:
        """Take a new spec: its start-up and GPUs hold for pods created from now on."""
        self._require(spec.key).spec = spec
        self.scale(spec.key, spec.replicas)

    def delete_pod(self, key: str, ordinal: int) -> None:
        """Delete one pod at once; the deployment makes another in its place."""
        deployment = self._require(key)
        ending = deployment.ending.get(ordinal)
        self._delete(deployment, ending or self.pod(key, ordinal))
        self._place_pending()
        self.scale(key, deployment.spec.replicas)

    def set_deletion_cost(self, key: str, ordinal: int, cost: int) -> None:
        """Scaling down takes pods of a lower cost first."""
        self.pod(key, ordinal).deletion_cost = cost

    def set_drain(self, key: str, ordinal: int, drain: DrainSpec) -> None:
        """Say how one pod ends."""
        self.pod(key, ordinal).drain = drain

    def gated(self) -> list[EnginePod]:
        """Pods that are held, oldest first."""
        return [pod for pod in self._pending.values() if pod.is_gated]

    def release(self, pod: EnginePod) -> None:
        """Let a pod go that was held; it is placed, or waits for a node from now on."""
        pod.is_gated = False
        if not self._place_waiting(pod):
            self._emit(PodEventKind.UNSCHEDULABLE, pod)

    # -- nodes -------------------------------------------------------------------------------

    def add_node(self, node: NodeSpec) -> None:
        """Add a node; waiting pods take it at once."""
        self.nodes.add(node)
        self._place_pending()

    def remove_node(self, name: str) -> None:
        """Lose a node with its pods; their deployments make others in their place."""
        self.nodes.remove(name)
        for key, deployment in self._deployments.items():
            lost = [pod for pod in deployment.on_nodes() if pod.node == name]
            for pod in lost:
                self._delete(deployment, pod)
            if lost:
                self.scale(key, deployment.spec.replicas)

    def update_node(self, node: NodeSpec) -> None:
        """Take a node's new labels and taints; waiting pods that may use it now do."""
        self.nodes.update(node)
        self._place_pending()

    def cordon(self, name: str, is_cordoned: bool = True) -> None:
        """Let no further pod onto a node, or lift that."""
        self.nodes.cordon(name, is_cordoned)
        if not is_cordoned:
            self._place_pending()

    # -- time --------------------------------------------------------------------------------

    def advance(self, to_s: float) -> list[PodEvent]:
        """Let time pass until `to_s`; everything that happened since the last call, in order.

        What earlier calls such as `scale` did is included. Costs nothing when nothing is due.

        Raises:
            ValueError: If `to_s` lies before the engine's time.
        """
        if not to_s >= self.now_s:
            raise ValueError(f"to_s={to_s} must be >= now_s={self.now_s}: time never goes back")
        while self._heap and self._heap[0][0] <= to_s:
            at_s, _, kind, pod = heapq.heappop(self._heap)
            if not pod.is_gone:
                self.now_s = at_s
                self._happen(kind, pod)
        self.now_s = float(to_s)
        return self.take_events()

    def take_events(self) -> list[PodEvent]:
        """Events that no earlier call has returned, in time order, without letting time pass."""
        events, self._events = self._events, []
        return events

    def next_event_s(self) -> float | None:
        """When the next thing is due; None when nothing is."""
        while self._heap and self._heap[0][3].is_gone:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    # -- what can be seen --------------------------------------------------------------------

    @property
    def deployment_keys(self) -> list[str]:
        """Keys of all deployments, in order of creation."""
        return list(self._deployments)

    def spec(self, key: str) -> DeploymentSpec:
        """The spec of a deployment as it stands."""
        return self._require(key).spec

    def pods(self, key: str) -> list[EnginePod]:
        """The pods of a deployment, oldest first."""
        return list(self._require(key).pods.values())

    def used_nodes(self) -> set[str]:
        """Nodes with pods, those with pods that are ending too."""
        every = (d.on_nodes() for d in self._deployments.values())
        return {pod.node for pods in every for pod in pods if pod.node}

    def pod(self, key: str, ordinal: int) -> EnginePod:
        """One pod.

        Raises:
            KeyError: If there is none.
        """
        pods = self._require(key).pods
        if ordinal not in pods:
            raise KeyError(f"deployment {key!r} has no pod {ordinal}")
        return pods[ordinal]

    def counts(self, key: str) -> ReplicaCounts:
        """Replicas of a deployment now."""
        return self._require(key).counts(self.now_s)

    def timeline(self, key: str, from_s: float, to_s: float) -> list[Interval]:
        """Exact history of [from_s, to_s): ready and bound pods, piece by piece.

        It begins at the deployment's creation when that is later than `from_s`.

        Raises:
            ValueError: If `from_s` is older than the kept history or `to_s` lies ahead of now.
        """
        if to_s > self.now_s:
            raise ValueError(f"to_s={to_s} must be <= now_s={self.now_s}: it has not happened yet")
        return self._require(key).timeline.intervals(from_s, to_s)

    # -- inside ------------------------------------------------------------------------------

    def _require(self, key: str) -> EngineDeployment:
        if key not in self._deployments:
            raise KeyError(f"no deployment {key!r}")
        return self._deployments[key]

    def _create(self, deployment: EngineDeployment, *, is_warm: bool = False) -> None:
        spec = deployment.spec
        pod = EnginePod(
            key=spec.key,
            ordinal=deployment.n_created,
            gpu_type=spec.gpu_type,
            gpus=spec.gpus_per_pod,
            startup=spec.startup,
            created_s=self.now_s,
            needs=spec.needs,
            drain=spec.drain,
            is_gated=spec.is_gated,
        )
        deployment.n_created += 1
        deployment.pods[pod.ordinal] = pod
        self._emit(PodEventKind.CREATED, pod)
        if pod.is_gated or not self._place(deployment, pod, is_warm=is_warm):
            self._pending[pod.key, pod.ordinal] = pod
            self._emit(PodEventKind.GATED if pod.is_gated else PodEventKind.UNSCHEDULABLE, pod)

    def _place(
        self, deployment: EngineDeployment, pod: EnginePod, *, is_warm: bool = False
    ) -> bool:
        node = self.nodes.take(pod.gpu_type, pod.gpus, pod.needs)
        if node is None:
            return False
        pod.node, pod.bound_s = node, self.now_s
        deployment.n_bound += 1
        self._emit(PodEventKind.SCHEDULED, pod)
        if is_warm:
            self._happen(PodEventKind.READY, pod)
            return True
        first_s, second_s = draw_start(self._seed, pod)
        ready_s = self.now_s + first_s
        if second_s is not None:
            self._schedule(ready_s, PodEventKind.CRASHED, pod)
            self._schedule(ready_s + pod.startup.restart_s, PodEventKind.RESTARTED, pod)
            ready_s += pod.startup.restart_s + second_s
        self._schedule(ready_s, PodEventKind.READY, pod)
        return True

    def _schedule(self, at_s: float, kind: PodEventKind, pod: EnginePod) -> None:
        self._n_scheduled_events += 1
        heapq.heappush(self._heap, (at_s, self._n_scheduled_events, kind, pod))

    def _happen(self, kind: PodEventKind, pod: EnginePod) -> None:
        deployment = self._deployments[pod.key]
        if kind is PodEventKind.DELETED:
            self._delete(deployment, pod, is_killed=pod.drain.is_killed)
            self._place_pending()
            return
        if kind is PodEventKind.READY:
            pod.ready_s = self.now_s
            deployment.n_ready += 1
            deployment.record(self.now_s)
        elif kind is PodEventKind.CRASHED:
            pod.restarts += 1
        self._emit(kind, pod)

    def _tell(self, deployment: EngineDeployment, pod: EnginePod) -> None:
        if pod.ready_s is None or not pod.drain.lasts_s:
            self._delete(deployment, pod)
            return
        deployment.ending[pod.ordinal] = deployment.pods.pop(pod.ordinal)
        deployment.n_bound -= 1
        deployment.n_ready -= 1
        deployment.record(self.now_s)
        self._emit(PodEventKind.TOLD, pod)
        self._schedule(self.now_s + pod.drain.lasts_s, PodEventKind.DELETED, pod)

    def _delete(
        self, deployment: EngineDeployment, pod: EnginePod, *, is_killed: bool = False
    ) -> None:
        pod.is_gone = True
        if deployment.ending.pop(pod.ordinal, None) is not None:
            self.nodes.give_back(pod.node or "", pod.gpus)
        else:
            self._delete_serving(deployment, pod)
        deployment.record(self.now_s)
        self._emit(PodEventKind.DELETED, pod, is_killed=is_killed)

    def _delete_serving(self, deployment: EngineDeployment, pod: EnginePod) -> None:
        del deployment.pods[pod.ordinal]
        if pod.node is None:
            del self._pending[pod.key, pod.ordinal]
        else:
            self.nodes.give_back(pod.node, pod.gpus)
            deployment.n_bound -= 1
            deployment.n_ready -= pod.ready_s is not None

    def _place_pending(self) -> None:
        too_large: dict[tuple[str, Needs], int] = {}
        for pod in list(self._pending.values()):
            kind = pod.gpu_type, pod.needs
            if pod.is_gated or pod.gpus >= too_large.get(kind, math.inf):
                continue
            if not self._place_waiting(pod):
                too_large[kind] = pod.gpus

    def _place_waiting(self, pod: EnginePod) -> bool:
        deployment = self._deployments[pod.key]
        is_placed = self._place(deployment, pod)
        if is_placed:
            del self._pending[pod.key, pod.ordinal]
            deployment.record(self.now_s)
        return is_placed

    def _emit(self, kind: PodEventKind, pod: EnginePod, *, is_killed: bool = False) -> None:
        event = PodEvent(self.now_s, kind, pod.key, pod.ordinal, pod.node, is_killed)
        self._events.append(event)
