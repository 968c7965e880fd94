"""Pods of one template, and the workload whose revisions they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from services.lab.cluster.controllers.claims import ClaimedDevices
from services.lab.cluster.controllers.manifests import PodLife, deployment_spec
from services.lab.cluster.storage.resources import REPLICA_SETS, Obj, ResourceType
from services.simulator.engine.engine import DeploymentSpec, EnginePod, Interval
from services.simulator.engine.specs import AT_ONCE


@dataclass(slots=True)
class Group:
    """Pods of one template: those of a ReplicaSet or a StatefulSet.

    Attributes:
        wanted: Pods that it is to have; the engine has fewer where a quota refuses some.
        refusal: Message about the first pod that was refused.
        revisions: Of a StatefulSet: the template's hash of each pod that is of an earlier one.
        queue: LocalQueue that its pods are held for; empty: none.
        claimed: Devices that its pods claim; None: none.
    """

    engine_key: str
    owner_type: ResourceType
    owner_name: str
    hash: str
    template: Obj
    revision: int
    wanted: int = 0
    refusal: str = ""
    revisions: dict[int, str] = field(default_factory=dict)
    lives: dict[int, PodLife] = field(default_factory=dict)
    queue: str = ""
    claimed: ClaimedDevices | None = None
    ordinals: dict[str, int] = field(default_factory=dict)

    @property
    def is_replica_set(self) -> bool:
        """True where a ReplicaSet owns the pods."""
        return self.owner_type is REPLICA_SETS

    def engine_spec(self, *, is_warm: bool) -> DeploymentSpec:
        """The engine's specification of pods of its template; those of a StatefulSet end at once.

        The next pod of a StatefulSet has the name of the one that ended, and would wait for it.
        """
        spec = deployment_spec(self.engine_key, self.template, is_warm=is_warm)
        spec = replace(spec, is_gated=bool(self.queue))
        if self.claimed is not None:
            needs = replace(spec.needs, resource=self.claimed.driver)
            spec = replace(spec, gpus_per_pod=self.claimed.count, needs=needs)
        return spec if self.is_replica_set else replace(spec, drain=AT_ONCE)

    def to_lose(self, pods: Sequence[EnginePod]) -> list[int]:
        """Ordinals of the engine in the order in which the controller gives up pods.

        A ReplicaSet's: those without a node, those that are not ready, those of the lowest deletion
        cost, those that share their node with most, those that became ready last.
        """
        if not self.is_replica_set:
            return self.from_the_end()
        on_node = Counter(pod.node for pod in pods)

        def rank(pod: EnginePod) -> tuple[int, int, int, float, int]:
            since_s = pod.created_s if pod.ready_s is None else pod.ready_s
            return pod.stage, pod.deletion_cost, -on_node[pod.node], -since_s, -pod.ordinal

        return [pod.ordinal for pod in sorted(pods, key=rank)]

    def from_the_end(self) -> list[int]:
        """Ordinals of the engine, that of the highest name first: how StatefulSets give up pods."""
        names = sorted(self.ordinals, key=lambda name: -int(name.rpartition("-")[2]))
        return [self.ordinals[name] for name in names]


@dataclass(slots=True)
class SimulatedWorkload:
    """A Deployment, StatefulSet or ReplicaSet of its own with its groups, oldest revision first."""

    rtype: ResourceType
    namespace: str
    name: str
    groups: list[Group] = field(default_factory=list)
    n_revisions: int = 0

    @property
    def label(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


def sum_of(parts: Iterable[list[Interval]]) -> list[Interval]:
    """Piecewise-constant histories added up."""
    steps: dict[float, list[int]] = {}
    for part in parts:
        for piece in part:
            for at_s, sign in ((piece.start_s, 1), (piece.end_s, -1)):
                step = steps.setdefault(at_s, [0, 0])
                step[0] += sign * piece.ready
                step[1] += sign * piece.bound
    total: list[Interval] = []
    ready = bound = 0
    times = sorted(steps)
    for start_s, end_s in pairwise(times):
        ready += steps[start_s][0]
        bound += steps[start_s][1]
        last = total[-1] if total else None
        if last is not None and (last.ready, last.bound) == (ready, bound):
            total[-1] = replace(last, end_s=end_s)
        else:
            total.append(Interval(start_s, end_s, ready, bound))
    return total
