"""Garbage collection after a deletion: dependents, and the contents of a namespace."""

from __future__ import annotations

from services.lab.cluster.admission.definitions import Definitions
from services.lab.cluster.storage.objects import Objects, Write
from services.lab.cluster.storage.ownership import ListKeys
from services.lab.cluster.storage.resources import NAMESPACES, Obj, Registry, ResourceType
from services.lab.cluster.storage.store import Name

_FOREGROUND, _ORPHAN = "foregroundDeletion", "orphan"
INITIAL_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")


class Collector:
    """Garbage collector and namespace life cycle."""

    def __init__(self, objects: Objects, registry: Registry, definitions: Definitions) -> None:
        self._objects = objects
        self._registry = registry
        self._definitions = definitions
        objects.admissions[NAMESPACES.storage_key] = NamespaceAdmission()
        objects.listeners.append(self.on_write)
        for name in INITIAL_NAMESPACES:
            bare = objects.born(NAMESPACES, "", name)
            objects.write(NAMESPACES, _as_namespace(bare))

    def on_write(self, rtype: ResourceType, old: Obj | None, new: Obj | None) -> None:
        """Follow deletions."""
        if new is None and old is not None:
            self._collect(old["metadata"]["uid"])
            self._release_owners(old)
            if rtype.is_custom:
                self._definitions.on_custom_removed(rtype)
            if rtype.is_namespaced:
                self._finish_namespace(old["metadata"]["namespace"])
        elif new is not None and new["metadata"].get("deletionTimestamp"):
            finalizers = new["metadata"].get("finalizers") or ()
            if _ORPHAN in finalizers:
                self._orphan(rtype, new)
            elif _FOREGROUND in finalizers:
                self._collect(new["metadata"]["uid"])
                self._finish_foreground(rtype, new)
            if rtype is NAMESPACES:
                self._empty(new["metadata"]["name"])

    def _write(self) -> Write:
        return Write("kube-controller-manager", self._objects.now())

    def _each_dependent(self, uid: str) -> list[tuple[ResourceType, Obj]]:
        store = self._objects.store
        found = [(rtype, store.get(rtype, *name)) for rtype, name in store.dependents(uid)]
        return [(rtype, obj) for rtype, obj in found if obj is not None]

    def _collect(self, uid: str) -> None:
        """Delete what only `uid` owned; from the rest take the reference."""
        for rtype, obj in self._each_dependent(uid):
            others = [o for o in obj["metadata"]["ownerReferences"] if o.get("uid") != uid]
            if others:
                meta = {**obj["metadata"], "ownerReferences": others}
                self._objects.write(rtype, {**obj, "metadata": meta})
            else:
                self._objects.delete(rtype, obj, {}, self._write())

    def _orphan(self, rtype: ResourceType, owner: Obj) -> None:
        uid = owner["metadata"]["uid"]
        for dependent_type, obj in self._each_dependent(uid):
            meta = {**obj["metadata"]}
            meta["ownerReferences"] = [o for o in meta["ownerReferences"] if o.get("uid") != uid]
            self._objects.write(dependent_type, {**obj, "metadata": meta})
        self._drop_finalizer(rtype, owner, _ORPHAN)

    def _finish_foreground(self, rtype: ResourceType, owner: Obj) -> None:
        if not self._each_dependent(owner["metadata"]["uid"]):
            self._drop_finalizer(rtype, owner, _FOREGROUND)

    def _release_owners(self, gone: Obj) -> None:
        """An owner that is being deleted in the foreground may have waited for this one."""
        for reference in gone["metadata"].get("ownerReferences") or ():
            rtype = self._registry.of_kind(reference["apiVersion"], reference["kind"])
            if rtype is None:
                continue
            namespace = gone["metadata"].get("namespace", "") if rtype.is_namespaced else ""
            owner = self._objects.store.get(rtype, namespace, reference["name"])
            if owner is not None and _FOREGROUND in (owner["metadata"].get("finalizers") or ()):
                self._finish_foreground(rtype, owner)

    def _drop_finalizer(self, rtype: ResourceType, obj: Obj, finalizer: str) -> None:
        fresh = self._objects.store.get(rtype, *_name(obj))
        if fresh is None or finalizer not in (fresh["metadata"].get("finalizers") or ()):
            return
        left = [name for name in fresh["metadata"]["finalizers"] if name != finalizer]
        self._objects.write(rtype, {**fresh, "metadata": {**fresh["metadata"], "finalizers": left}})

    def _empty(self, namespace: str) -> None:
        for rtype in self._registry:
            if rtype.is_namespaced:
                for stored in list(self._objects.store.each(rtype, namespace)):
                    current = self._objects.store.get(rtype, *_name(stored.obj))
                    if current is not None:
                        self._objects.delete(rtype, current, {}, self._write())
        self._finish_namespace(namespace)

    def _finish_namespace(self, namespace: str) -> None:
        found = self._objects.store.get(NAMESPACES, "", namespace)
        if found is None or not found["metadata"].get("deletionTimestamp"):
            return
        is_empty = not any(
            any(True for _ in self._objects.store.each(rtype, namespace))
            for rtype in self._registry
            if rtype.is_namespaced
        )
        phase = (found.get("status") or {}).get("phase")
        if is_empty and found["spec"].get("finalizers"):
            self._objects.write(NAMESPACES, {**found, "spec": {}})
        elif phase != "Terminating":
            self._objects.write_status(NAMESPACES, found, {"phase": "Terminating"})


class NamespaceAdmission:
    """Fills in a new namespace; what holds its deletion is in its specification, not metadata."""

    def admit(self, rtype: ResourceType, new: Obj, old: Obj | None, write: Write) -> Obj:
        """The namespace as it will be stored."""
        if old is not None:
            return {**new, "spec": old["spec"]}
        return _as_namespace(new)

    def list_keys(self) -> ListKeys:
        """No keyed lists."""
        return lambda path: None


def _as_namespace(obj: Obj) -> Obj:
    meta = obj["metadata"]
    labels = {**(meta.get("labels") or {}), "kubernetes.io/metadata.name": meta["name"]}
    return {
        **obj,
        "metadata": {**meta, "labels": labels},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def _name(obj: Obj) -> Name:
    return (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
