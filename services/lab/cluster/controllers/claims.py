"""Devices that pods claim: a claim of each pod from its template, bound when devices are free.

A node with ResourceSlices has as many devices as they publish, in place of the GPUs that its
allocatable amounts state. Slices of one node are of one driver, and its devices are alike: a pod
whose claims ask for more than are free waits. What pods claim is read when their template is first
seen; a pod whose template names a claim template or a class that is not there waits for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from services.lab.cluster.controllers.claim_definitions import (
    CLAIMS,
    CLASSES,
    GROUP,
    SLICES,
    TEMPLATES,
    VERSIONS,
)
from services.lab.cluster.controllers.manifests import node_spec, safe_suffix
from services.lab.cluster.storage.objects import Objects
from services.lab.cluster.storage.resources import NODES, PODS, Obj, Registry, ResourceType
from services.operator.devices.selectors import read_selectors
from services.simulator.engine.engine import ClusterEngine, PodEvent, PodEventKind

_NOWHERE = "no device"


@dataclass(frozen=True, slots=True)
class ClaimedDevices:
    """Devices that each pod of a template claims.

    Attributes:
        driver: Whose devices they are.
        claims: Names of the pod's claims, each with the name of its template.
    """

    driver: str
    count: int
    claims: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PodName:
    """A pod of the store."""

    namespace: str
    name: str


class DeviceClaims:
    """ResourceClaims of pods, and the devices that are allocated for them."""

    def __init__(self, objects: Objects, registry: Registry, engine: ClusterEngine) -> None:
        self._objects = objects
        self._store = objects.store
        self._registry = registry
        self._engine = engine
        self._made: dict[tuple[str, int], list[tuple[str, str]]] = {}

    def is_slice(self, rtype: ResourceType) -> bool:
        """Check whether objects publish devices."""
        return (rtype.group, rtype.plural) == (GROUP, SLICES)

    def claimed(self, namespace: str, template: Obj) -> ClaimedDevices | None:
        """Devices that pods of a template claim; None: they claim none."""
        stated = (template.get("spec") or {}).get("resourceClaims") or ()
        if not stated or self._type(CLAIMS) is None:
            return None
        claims = tuple((c["name"], c.get("resourceClaimTemplateName", "")) for c in stated)
        drivers: set[str] = set()
        count = 0
        for _, name in claims:
            found = self._get(TEMPLATES, namespace, name)
            for request in () if found is None else _requests(found["spec"]["spec"]):
                drivers.add(self._driver_of(request["deviceClassName"]))
                count += int(request.get("count", 1))
        driver = drivers.pop() if len(drivers) == 1 else _NOWHERE
        return ClaimedDevices(driver, max(1, count), claims)

    def update(self, node: str) -> None:
        """Give a node as many devices as its slices publish."""
        obj = self._store.get(NODES, "", node)
        if obj is None:
            return
        own = [s for s in self._slices() if s["spec"].get("nodeName") == node]
        found = node_spec(obj)
        if own:
            gpus = sum(len(s["spec"].get("devices") or ()) for s in own)
            found = replace(found, gpus=gpus, resource=own[0]["spec"]["driver"])
        self._engine.nodes.resize(found)
        self._engine.update_node(found)  # pods that wait may be placed now

    def follow(self, pod: PodName, event: PodEvent, claimed: ClaimedDevices) -> None:
        """Make, bind and remove the claims of a pod as it comes, is placed and goes."""
        if event.kind is PodEventKind.CREATED:
            self._make(pod, event, claimed)
        elif event.kind is PodEventKind.SCHEDULED:
            self._allocate(pod, event)

    def forget(self, event: PodEvent) -> None:
        """A pod is gone, and its claims with it."""
        rtype = self._type(CLAIMS)
        for namespace, name in self._made.pop((event.key, event.ordinal), ()):
            found = None if rtype is None else self._store.get(rtype, namespace, name)
            if rtype is not None and found is not None:
                self._objects.remove(rtype, found)

    # -- inside ---------------------------------------------------------------------------------

    def _type(self, plural: str) -> ResourceType | None:
        found = (self._registry.find(GROUP, version, plural) for version in VERSIONS)
        return next((each for each in found if each is not None), None)

    def _get(self, plural: str, namespace: str, name: str) -> Obj | None:
        rtype = self._type(plural)
        return None if rtype is None else self._store.get(rtype, namespace, name)

    def _slices(self) -> list[Obj]:
        rtype = self._type(SLICES)
        return [] if rtype is None else [s.obj for s in self._store.each(rtype, "")]

    def _driver_of(self, device_class: str) -> str:
        found = self._get(CLASSES, "", device_class)
        if found is None:
            return _NOWHERE
        selectors = (found.get("spec") or {}).get("selectors") or ()
        wanted = read_selectors(each["cel"]["expression"] for each in selectors) or ()
        return next((str(each.value) for each in wanted if not each.name), _NOWHERE)

    def _make(self, pod: PodName, event: PodEvent, claimed: ClaimedDevices) -> None:
        rtype, owner = self._type(CLAIMS), self._store.get(PODS, pod.namespace, pod.name)
        if rtype is None or owner is None:
            return
        made = self._made.setdefault((event.key, event.ordinal), [])
        for claim, template in claimed.claims:
            found = self._get(TEMPLATES, pod.namespace, template)
            if found is None:
                continue
            name = f"{pod.name}-{claim}-{safe_suffix(pod.name, claim)}"
            metadata = {
                "annotations": {"resource.kubernetes.io/pod-claim-name": claim},
                "ownerReferences": [_owned_by(owner)],
            }
            spec = found["spec"]["spec"]
            born = self._objects.born(rtype, pod.namespace, name, metadata=metadata, spec=spec)
            self._objects.write(rtype, born)
            made.append((pod.namespace, name))

    def _allocate(self, pod: PodName, event: PodEvent) -> None:
        rtype, owner = self._type(CLAIMS), self._store.get(PODS, pod.namespace, pod.name)
        if rtype is None or owner is None:
            return
        reserved = {"resource": "pods", "name": pod.name, "uid": owner["metadata"]["uid"]}
        for namespace, name in self._made.get((event.key, event.ordinal), ()):
            claim = self._store.get(rtype, namespace, name)
            if claim is None:
                continue
            free = self._free(str(event.node), rtype)
            results = [
                {"request": request["name"], **next(free)}
                for request in _requests(claim["spec"])
                for _ in range(int(request.get("count", 1)))
            ]
            field = {"key": "metadata.name", "operator": "In", "values": [event.node]}
            selector = {"nodeSelectorTerms": [{"matchFields": [field]}]}
            allocation = {"devices": {"results": results}, "nodeSelector": selector}
            status = {"allocation": allocation, "reservedFor": [reserved]}
            self._objects.write_status(rtype, claim, status)

    def _free(self, node: str, claims: ResourceType) -> Iterator[Obj]:
        """Devices of a node that no claim holds."""
        taken = {
            (each["driver"], each["pool"], each["device"])
            for stored in self._store.each(claims, "")
            for each in _results(stored.obj)
        }
        for found in self._slices():
            spec = found["spec"]
            for device in (spec.get("devices") or ()) if spec.get("nodeName") == node else ():
                key = (spec["driver"], spec["pool"]["name"], device["name"])
                if key not in taken:
                    yield dict(zip(("driver", "pool", "device"), key, strict=True))


def _owned_by(pod: Obj) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": pod["metadata"]["name"],
        "uid": pod["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _requests(spec: Obj) -> Iterator[Obj]:
    """Requests for a number of devices, as each version writes them."""
    for each in (spec.get("devices") or {}).get("requests") or ():
        if not each.get("firstAvailable"):
            yield {"name": each["name"], **(each.get("exactly") or each)}


def _results(claim: Obj) -> list[Obj]:
    allocation = (claim.get("status") or {}).get("allocation") or {}
    return list((allocation.get("devices") or {}).get("results") or ())
