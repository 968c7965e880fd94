"""Holds the pods of queues until a ClusterQueue has quota for them.

A Deployment, ReplicaSet or StatefulSet whose label, or whose pods' label, names a LocalQueue gets
pods with a scheduling gate, where Kueue's kinds are served. Each pod is admitted by itself, the
oldest first; one that does not fit holds up none that would. Quotas on accelerators alone count.
There is no preemption, and a label that comes later does not change the pods that are there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from services.lab.cluster.controllers.kueue_definitions import (
    CLUSTER_QUEUES,
    FLAVORS,
    GROUP,
    LOCAL_QUEUES,
    VERSIONS,
)
from services.lab.cluster.controllers.kueue_quotas import (
    QuotaPlace,
    Used,
    is_fit,
    left_of,
    quotas_of,
    spec_of,
)
from services.lab.cluster.storage.objects import Objects
from services.lab.cluster.storage.resources import Obj, Registry, ResourceType
from services.operator.cluster.queue_labels import queue_of
from services.simulator.engine.engine import ClusterEngine, EnginePod


@dataclass(frozen=True, slots=True)
class Queued:
    """A LocalQueue that pods are sent to."""

    namespace: str
    queue: str


class Kueue:
    """Queues, and the pods that they have admitted."""

    def __init__(self, objects: Objects, registry: Registry, engine: ClusterEngine) -> None:
        self._objects = objects
        self._store = objects.store
        self._registry = registry
        self._engine = engine
        self._queued: dict[str, Queued] = {}
        self._admitted: dict[tuple[str, int], tuple[QuotaPlace, int]] = {}

    def queue_of(self, workload: Obj) -> str:
        """LocalQueue that a workload's pods are held for; empty: none, or there is no Kueue."""
        return queue_of(workload) if self._type(LOCAL_QUEUES) is not None else ""

    def is_own(self, rtype: ResourceType) -> bool:
        """Check whether objects are of Kueue."""
        return rtype.group == GROUP

    def enqueue(self, engine_key: str, queued: Queued) -> None:
        """Pods of a template are sent to a queue."""
        self._queued[engine_key] = queued

    def forget(self, engine_key: str) -> None:
        """There are no more pods of a template."""
        self._queued.pop(engine_key, None)

    def admit(self) -> None:
        """Let pods go as far as there is quota."""
        self._drop_gone()
        if not self._queued:
            return
        queues = self._all(CLUSTER_QUEUES)
        for pod in self._engine.gated():
            place = self._place(pod, queues)
            if place is not None:
                self._admitted[pod.key, pod.ordinal] = (place, pod.gpus)
                self._engine.release(pod)

    def publish(self) -> None:
        """Write how many pods wait, and what is used, into the statuses."""
        queues, locals_ = self._type(CLUSTER_QUEUES), self._type(LOCAL_QUEUES)
        if queues is None or locals_ is None:
            return
        used, waiting, admitted = self._used(), Counter[str](), Counter[str]()
        for pod in self._engine.gated():
            queued = self._queued.get(pod.key)
            waiting[self._path(queued)] += 1
            waiting[self._cluster_queue_of(queued)] += 1
        for (key, _), (place, _) in self._admitted.items():
            admitted[self._path(self._queued.get(key))] += 1
            admitted[place.cluster_queue] += 1
        for name, obj in self._all(CLUSTER_QUEUES).items():
            status = self._counts(obj, waiting[name], admitted[name], self._problem(obj))
            usage = _usage(obj, used)
            status |= {"flavorsReservation": usage, "flavorsUsage": usage}
            self._objects.write_status(queues, obj, status)
        for stored in list(self._store.each(locals_, "")):
            meta = stored.obj["metadata"]
            path = f"{meta['namespace']}/{meta['name']}"
            name = spec_of(stored.obj).get("clusterQueue", "")
            problem = "" if name in self._all(CLUSTER_QUEUES) else "Can't submit new workloads"
            status = self._counts(stored.obj, waiting[path], admitted[path], problem)
            self._objects.write_status(locals_, stored.obj, status)

    # -- inside ---------------------------------------------------------------------------------

    def _type(self, plural: str) -> ResourceType | None:
        found = (self._registry.find(GROUP, version, plural) for version in VERSIONS)
        return next((each for each in found if each is not None), None)

    def _all(self, plural: str) -> dict[str, Obj]:
        rtype = self._type(plural)
        if rtype is None:
            return {}
        return {s.obj["metadata"]["name"]: s.obj for s in self._store.each(rtype, "")}

    def _path(self, queued: Queued | None) -> str:
        return "" if queued is None else f"{queued.namespace}/{queued.queue}"

    def _local_queue(self, queued: Queued | None) -> Obj | None:
        rtype = self._type(LOCAL_QUEUES)
        if rtype is None or queued is None:
            return None
        return self._store.get(rtype, queued.namespace, queued.queue)

    def _cluster_queue_of(self, queued: Queued | None) -> str:
        found = self._local_queue(queued) or {}
        return str(spec_of(found).get("clusterQueue", ""))

    def _place(self, pod: EnginePod, queues: Mapping[str, Obj]) -> QuotaPlace | None:
        local = self._local_queue(self._queued.get(pod.key))
        if local is None or _is_stopped(local):
            return None
        queue = queues.get(spec_of(local).get("clusterQueue", ""))
        if queue is None or _is_stopped(queue) or self._problem(queue):
            return None
        used, flavors = self._used(), self._all(FLAVORS)
        for quota in quotas_of(queue):
            is_right = not pod.gpus or quota.place.resource == pod.needs.resource
            if not is_right or not is_fit(flavors[quota.place.flavor], pod):
                continue
            if pod.gpus <= left_of(quota, queues, used):
                return quota.place
        return None

    def _used(self) -> Used:
        used: Used = Counter()
        for place, gpus in self._admitted.values():
            used[place] += gpus
        return used

    def _drop_gone(self) -> None:
        """Pods that are gone hold no quota any longer."""
        if not self._admitted:
            return
        keys = {key for key, _ in self._admitted} & set(self._engine.deployment_keys)
        alive = {(key, pod.ordinal) for key in keys for pod in self._engine.pods(key)}
        self._admitted = {pod: held for pod, held in self._admitted.items() if pod in alive}

    def _problem(self, queue: Obj) -> str:
        """Why a ClusterQueue admits nothing; empty: it does."""
        if _is_stopped(queue):
            return "Can't admit new workloads: is stopped."
        flavors = self._all(FLAVORS)
        missing = sorted({q.place.flavor for q in quotas_of(queue)} - flavors.keys())
        if missing:
            return f"Can't admit new workloads: references missing ResourceFlavor(s): {missing}."
        return ""

    def _counts(self, obj: Obj, waiting: int, admitted: int, problem: str) -> Obj:
        old = {c["type"]: c for c in (obj.get("status") or {}).get("conditions") or ()}
        before, state = old.get("Active"), "False" if problem else "True"
        is_same = before is not None and before["status"] == state
        active = {
            "type": "Active",
            "status": state,
            "reason": "Inactive" if problem else "Ready",
            "message": problem or "Can admit new workloads",
            "lastTransitionTime": before["lastTransitionTime"]
            if before is not None and is_same
            else self._objects.now(),
        }
        return {
            "pendingWorkloads": waiting,
            "reservingWorkloads": admitted,
            "admittedWorkloads": admitted,
            "conditions": [active],
        }


def _is_stopped(queue: Obj) -> bool:
    return bool(spec_of(queue).get("stopPolicy", "None") != "None")


def _usage(queue: Obj, used: Used) -> list[Obj]:
    """What is used of each flavor, those of which nothing is included."""
    found: dict[str, list[Obj]] = {}
    for quota in quotas_of(queue):
        held, place = used[quota.place], quota.place
        borrowed = max(0, held - quota.nominal)
        own = {"name": place.resource, "total": str(held), "borrowed": str(borrowed)}
        found.setdefault(place.flavor, []).append(own)
    return [{"name": flavor, "resources": each} for flavor, each in found.items()]
