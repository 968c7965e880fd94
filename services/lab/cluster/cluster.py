"""The simulated cluster as one thing: objects, controllers, engine and time."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from services.lab.cluster.admission.access import Access
from services.lab.cluster.admission.admissions import (
    BuiltInAdmission,
    NodeAdmission,
    PodAdmission,
    WorkloadAdmission,
)
from services.lab.cluster.admission.collection import Collector
from services.lab.cluster.admission.definitions import Definitions
from services.lab.cluster.controllers.claims import DeviceClaims
from services.lab.cluster.controllers.custom_workloads import CustomWorkloads
from services.lab.cluster.controllers.disruption import check_budgets
from services.lab.cluster.controllers.kueue import Kueue
from services.lab.cluster.controllers.leader_worker_sets import LeaderWorkerSets
from services.lab.cluster.controllers.manifests import node_body, rfc3339
from services.lab.cluster.controllers.workloads import Workloads
from services.lab.cluster.nodes.autoscaler import NodeAutoscaler
from services.lab.cluster.storage.objects import Objects, Write
from services.lab.cluster.storage.resources import (
    BUILT_IN,
    DEPLOYMENTS,
    NODES,
    PODS,
    REPLICA_SETS,
    STATEFUL_SETS,
    Obj,
    Registry,
)
from services.lab.cluster.storage.store import Store
from services.simulator.engine.engine import ClusterEngine, NodeSpec


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Settings that a cluster is started with.

    Attributes:
        start_s: Engine time at the start, epoch seconds.
        real_now_s: Reads the wall clock; None where the laboratory moves the time.
        admin_token: Bearer token that may do everything; None lets everyone do everything.
        watch_log: Changes kept for each resource.
    """

    nodes: Sequence[NodeSpec]
    seed: int
    start_s: float
    real_now_s: Callable[[], float] | None = None
    admin_token: str | None = None
    watch_log: int = 4_000


class SimulatedCluster:
    """A Kubernetes cluster in one process."""

    def __init__(self, settings: ClusterSettings) -> None:
        self._settings = settings
        self._n_uids = 0
        self._published_s = settings.start_s
        self.engine = ClusterEngine((), seed=settings.seed, now_s=settings.start_s)
        self.registry = Registry()
        self.store = Store(settings.watch_log)
        self.objects = Objects(self.store, self.now, self._new_uid)
        self.definitions = Definitions(self.objects, self.registry)
        # Before the collector: a deleted Deployment must not replace the pods that it loses.
        queues = Kueue(self.objects, self.registry, self.engine)
        claims = DeviceClaims(self.objects, self.registry, self.engine)
        self.workloads = Workloads(self.objects, self.engine, queues, claims)
        for rtype in BUILT_IN:
            self.objects.admissions.setdefault(rtype.storage_key, BuiltInAdmission())
        self.objects.admissions[NODES.storage_key] = NodeAdmission()
        self.objects.admissions[PODS.storage_key] = PodAdmission()
        for rtype in (DEPLOYMENTS, STATEFUL_SETS, REPLICA_SETS):
            self.objects.admissions[rtype.storage_key] = WorkloadAdmission()
        self.leader_worker_sets = LeaderWorkerSets(self.objects, self.registry)
        self.custom_workloads = CustomWorkloads(self.objects, self.registry)
        self.nodes = NodeAutoscaler(self.objects, self.registry, self.engine, settings.seed)
        self.collector = Collector(self.objects, self.registry, self.definitions)
        self.access = Access(self.store, settings.admin_token)
        for node in settings.nodes:
            self.objects.create(NODES, "", node_body(node), Write("kubelet", self.now()))

    @property
    def is_real_time(self) -> bool:
        """Check whether time passes by itself."""
        return self._settings.real_now_s is not None

    def now(self) -> str:
        """The cluster's time, RFC 3339."""
        return rfc3339(self.engine.now_s)

    def catch_up(self) -> None:
        """Let the time pass that has passed on the wall clock; nothing when that has no say."""
        if self._settings.real_now_s is not None:
            self._advance(max(self._settings.real_now_s(), self.engine.now_s))

    def advance(self, to_s: float) -> dict[str, Any]:
        """Let time pass until `to_s`; what happened since the last call, per workload.

        Raises:
            ValueError: If `to_s` lies in the past.
        """
        from_s = self._published_s
        self._advance(to_s)
        self._published_s = to_s
        return self._state(from_s)

    def _advance(self, to_s: float) -> None:
        while (due_s := self.nodes.next_s()) is not None and due_s <= to_s:
            self.workloads.advance(due_s)
            self.nodes.act()
        self.workloads.advance(to_s)

    def state(self) -> dict[str, Any]:
        """Counts of every workload now, and the exact history since the last `advance`."""
        return self._state(self._published_s)

    def evict(self, pod: Obj, options: Obj) -> None:
        """Delete a pod unless a disruption budget forbids it.

        Raises:
            ApiFailure: 429 when the budget allows no further disruption.
        """
        check_budgets(self.store, pod)
        self.objects.delete(PODS, pod, options, Write("eviction", self.now()))

    def _state(self, from_s: float) -> dict[str, Any]:
        now_s = self.engine.now_s
        found: dict[str, Any] = {}
        for workload in self.workloads.each():
            counts = self.workloads.counts(workload)
            found[workload.label] = {
                "spec": counts.spec,
                "ready": counts.ready,
                "starting": counts.starting,
                "pending": counts.pending,
                "intervals": [
                    [piece.start_s, piece.end_s, piece.ready, piece.bound]
                    for piece in self.workloads.timeline(workload, from_s, now_s)
                ],
            }
        return {
            "resourceVersion": str(self.store.version),
            "now": self.now(),
            "workloads": found,
        }

    def _new_uid(self) -> str:
        """Uids repeat with the seed, so that a replay gives the same bytes."""
        self._n_uids += 1
        text = f"{self._settings.seed}/{self._n_uids}".encode()
        return str(uuid.UUID(bytes=hashlib.blake2b(text, digest_size=16).digest(), version=4))
