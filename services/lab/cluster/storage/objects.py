"""Writes of objects: metadata, versions, generation, finalizers, conflicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.lab.cluster.storage import failures
from services.lab.cluster.storage.metadata import (
    check_kind,
    check_metadata,
    check_versions,
    has_new_spec,
    is_held,
    is_same,
    with_new_spec,
)
from services.lab.cluster.storage.ownership import ListKeys, Writing, apply, own_updates
from services.lab.cluster.storage.patches import (
    MERGE_KEYS,
    json_patch,
    merge_patch,
    strategic_merge,
)
from services.lab.cluster.storage.resources import (
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    Obj,
    ResourceType,
)
from services.lab.cluster.storage.scaling import scale_of, with_scale
from services.lab.cluster.storage.store import Listener, Store, name_of

PATCHES: Mapping[str, Callable[[Any, Any], Any]] = {
    "application/json-patch+json": json_patch,
    "application/merge-patch+json": merge_patch,
    "application/strategic-merge-patch+json": strategic_merge,
}
APPLY = "application/apply-patch+yaml"


@dataclass(slots=True)
class Write:
    """One write request.

    Attributes:
        manager: Field manager.
        at: RFC 3339 time of the write.
        subresource: Empty, `status` or `scale`.
        is_dry_run: Do everything but keep the result.
        is_strict: Refuse unknown fields.
        warnings: What the answer's Warning headers say; filled on the way.
    """

    manager: str
    at: str
    subresource: str = ""
    is_dry_run: bool = False
    is_strict: bool = False
    is_forced: bool = False
    warnings: list[str] = field(default_factory=list)


class Admission(Protocol):
    """Defaults and validation of one resource."""

    def admit(self, rtype: ResourceType, new: Obj, old: Obj | None, write: Write) -> Obj:
        """The object as it will be stored.

        Raises:
            ApiFailure: 422 when it is wrong.
        """
        ...

    def list_keys(self) -> ListKeys:
        """Keys by which server-side apply tells list entries apart."""
        ...


class Objects:
    """Writes with the API server's rules.

    Args:
        store: Where objects are kept.
        now: RFC 3339 time of the cluster, seconds resolution.
        new_uid: Makes uids.
    """

    def __init__(self, store: Store, now: Callable[[], str], new_uid: Callable[[], str]) -> None:
        self.store = store
        self.now = now
        self.listeners: list[Listener] = []
        self.admissions: dict[tuple[str, str], Admission] = {}
        self._new_uid = new_uid

    def require(self, rtype: ResourceType, namespace: str, name: str) -> Obj:
        """One object.

        Raises:
            ApiFailure: 404.
        """
        obj = self.store.get(rtype, namespace, name)
        if obj is None:
            raise failures.not_found(rtype, name)
        return obj

    def create(
        self,
        rtype: ResourceType,
        namespace: str,
        body: Obj,
        write: Write,
        *,
        managed: list[dict[str, Any]] | None = None,
    ) -> Obj:
        """POST; `managed` is given where server-side apply knows the owners already."""
        check_kind(rtype, body)
        meta = dict(body.get("metadata") or {})
        if meta.get("resourceVersion"):
            raise failures.bad_request("resourceVersion should not be set on objects to be created")
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + self._new_uid().replace("-", "")[:5]
        if rtype.is_namespaced:
            self._check_namespace(rtype, namespace, meta)
            meta["namespace"] = namespace
        check_metadata(rtype, meta)
        for name in ("selfLink", "managedFields", "deletionTimestamp"):
            meta.pop(name, None)
        meta |= {"uid": self._new_uid(), "creationTimestamp": write.at}
        if rtype.has_generation:
            meta["generation"] = 1
        new = {**body, "metadata": meta, "apiVersion": rtype.api_version, "kind": rtype.kind}
        if rtype.has_status and rtype is not NODES:
            new.pop("status", None)
        new = self._admit(rtype, new, None, write)
        if self.store.get(rtype, meta.get("namespace", ""), meta["name"]):
            raise failures.already_exists(rtype, meta["name"])
        if managed is None:
            new = self._own(rtype, None, new, write)
        else:
            new["metadata"] = {**new["metadata"], "managedFields": managed}
        return self._commit(rtype, new, write)

    def replace(self, rtype: ResourceType, old: Obj, body: Obj, write: Write) -> Obj:
        """PUT on the object or one of its subresources; `body` is the whole new state."""
        name = old["metadata"]["name"]
        if write.subresource != "scale":
            check_kind(rtype, body)
        meta = body.get("metadata") or {}
        if meta.get("name", name) != name:
            raise failures.bad_request(
                f"the name of the object ({meta['name']}) does not match the name on the URL "
                f"({name})"
            )
        if write.subresource != "scale" or meta.get("resourceVersion"):
            check_versions(rtype, old, meta)
        if write.subresource == "scale":
            new = with_scale(rtype, old, body)
        elif write.subresource == "status":
            new = {**old, "status": body.get("status", {})}
        else:
            new = with_new_spec(rtype, old, body)
        return self._update(rtype, old, new, write)

    def patch(
        self, rtype: ResourceType, old: Obj, media_type: str, patch: Any, write: Write
    ) -> Obj:
        """PATCH by merge, JSON or strategic merge patch."""
        if media_type not in PATCHES or (rtype.is_custom and "strategic" in media_type):
            raise failures.unsupported_media_type(media_type, [*PATCHES, APPLY])
        if media_type != "application/json-patch+json" and not isinstance(patch, dict):
            raise failures.bad_request("the patch must be a JSON object")
        view = scale_of(rtype, old) if write.subresource == "scale" else old
        patched = PATCHES[media_type](view, patch)
        if not isinstance(patched, dict):
            raise failures.bad_request("the patched object is no JSON object")
        return self.replace(rtype, old, patched, write)

    def apply(
        self, rtype: ResourceType, namespace: str, name: str, config: Obj, write: Write
    ) -> tuple[Obj, bool]:
        """PATCH by server-side apply; also returns whether the object was created."""
        check_kind(rtype, config)
        meta = {**(config.get("metadata") or {}), "name": name}
        version = meta.pop("resourceVersion", None)
        if meta.get("managedFields"):
            raise failures.bad_request("metadata.managedFields must be nil")
        config = {**config, "metadata": meta}
        old = self.store.get(rtype, namespace, name)
        if old is None:
            if write.subresource:
                raise failures.not_found(rtype, name)
            writing = self._writing(rtype, write, "Apply")
            managed = apply(None, config, writing, is_forced=True)["metadata"]["managedFields"]
            return self.create(rtype, namespace, config, write, managed=managed), True
        if version:
            check_versions(rtype, old, {"resourceVersion": version})
        if write.subresource == "status":
            config = {k: v for k, v in config.items() if k != "spec"}
        elif rtype.has_status:
            config = {k: v for k, v in config.items() if k != "status"}
        merged = apply(old, config, self._writing(rtype, write, "Apply"), is_forced=write.is_forced)
        managed = merged["metadata"]["managedFields"]
        if not write.subresource:
            merged = with_new_spec(rtype, old, merged)
        return self._update(rtype, old, merged, write, managed=managed), False

    def delete(self, rtype: ResourceType, obj: Obj, options: Obj, write: Write) -> Obj:
        """DELETE: at once, or when the last finalizer is gone; returns the object's last state."""
        meta = obj["metadata"]
        for name in ("uid", "resourceVersion"):
            wanted = (options.get("preconditions") or {}).get(name)
            if wanted and wanted != meta[name]:
                why = f"Precondition failed: {name} is {meta[name]}, not {wanted}"
                raise failures.conflict(rtype, meta["name"], why)
        policy = options.get("propagationPolicy")
        finalizers = list(meta.get("finalizers") or ())
        for wanted, finalizer in (("Foreground", "foregroundDeletion"), ("Orphan", "orphan")):
            if policy == wanted and finalizer not in finalizers:
                finalizers.append(finalizer)
        if write.is_dry_run:
            return obj
        is_forced = rtype is PODS and options.get("gracePeriodSeconds") == 0
        if not finalizers and (is_forced or not is_held(obj)):
            return self.remove(rtype, obj)
        if meta.get("deletionTimestamp"):
            return obj
        marked = {
            **meta,
            "deletionTimestamp": write.at,
            "deletionGracePeriodSeconds": 0,
        }
        if finalizers:
            marked["finalizers"] = finalizers
        if rtype.has_generation:
            marked["generation"] = meta.get("generation", 0) + 1
        return self.write(rtype, {**obj, "metadata": marked})

    # -- what the controllers inside the cluster do ---------------------------------------------

    def write(self, rtype: ResourceType, obj: Obj) -> Obj:
        """Store without asking; an object that was waiting for its last finalizer goes away."""
        old = self.store.get(rtype, *name_of(obj))
        if old is not None and is_same(old, obj):
            return old
        stored = self.store.put(rtype, obj)
        for listener in self.listeners:
            listener(rtype, old, stored)
        meta = stored["metadata"]
        if meta.get("deletionTimestamp") and not is_held(stored):
            still = self.store.get(rtype, *name_of(stored))
            if still is not None and still["metadata"]["uid"] == meta["uid"]:
                return self.remove(rtype, still)
        return stored

    def write_status(self, rtype: ResourceType, obj: Obj, status: Obj) -> Obj:
        """Store a new status of an object that is there."""
        return self.write(rtype, {**obj, "status": status})

    def born(self, rtype: ResourceType, namespace: str, name: str, **parts: Any) -> Obj:
        """A new object of a controller, not stored yet; `metadata` adds to its metadata."""
        meta: Obj = {"name": name, "uid": self._new_uid(), "creationTimestamp": self.now()}
        if rtype.is_namespaced:
            meta["namespace"] = namespace
        if rtype.has_generation:
            meta["generation"] = 1
        meta |= parts.pop("metadata", {})
        return {"apiVersion": rtype.api_version, "kind": rtype.kind, "metadata": meta, **parts}

    def remove(self, rtype: ResourceType, obj: Obj) -> Obj:
        """Forget an object at once."""
        gone = self.store.remove(rtype, obj)
        for listener in self.listeners:
            listener(rtype, gone, None)
        return gone

    # -- inside ---------------------------------------------------------------------------------

    def _update(
        self,
        rtype: ResourceType,
        old: Obj,
        new: Obj,
        write: Write,
        *,
        managed: list[dict[str, Any]] | None = None,
    ) -> Obj:
        new = self._admit(rtype, new, old, write)
        meta = {**new["metadata"], "resourceVersion": old["metadata"]["resourceVersion"]}
        if rtype.has_generation and write.subresource != "status" and has_new_spec(rtype, old, new):
            meta["generation"] = old["metadata"].get("generation", 0) + 1
        new = {**new, "metadata": meta}
        if managed is None:
            new = self._own(rtype, old, new, write)
        else:
            new["metadata"] = {**meta, "managedFields": managed}
        return self._commit(rtype, new, write)

    def _commit(self, rtype: ResourceType, new: Obj, write: Write) -> Obj:
        return new if write.is_dry_run else self.write(rtype, new)

    def _admit(self, rtype: ResourceType, new: Obj, old: Obj | None, write: Write) -> Obj:
        admission = self.admissions.get(rtype.storage_key)
        return admission.admit(rtype, new, old, write) if admission else new

    def _own(self, rtype: ResourceType, old: Obj | None, new: Obj, write: Write) -> Obj:
        if rtype is EVENTS:
            return new
        managed = own_updates(old, new, self._writing(rtype, write, "Update"))
        return {**new, "metadata": {**new["metadata"], "managedFields": managed}}

    def _writing(self, rtype: ResourceType, write: Write, operation: str) -> Writing:
        admission = self.admissions.get(rtype.storage_key)
        keys = admission.list_keys() if admission else lambda path: MERGE_KEYS.get(path[-1][2:])
        return Writing(
            write.manager, rtype.api_version, write.at, operation, write.subresource, keys
        )

    def _check_namespace(self, rtype: ResourceType, namespace: str, meta: Obj) -> None:
        if meta.get("namespace", namespace) != namespace:
            raise failures.bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
        found = self.store.get(NAMESPACES, "", namespace)
        if found is None:
            raise failures.not_found(NAMESPACES, namespace)
        if found["metadata"].get("deletionTimestamp"):
            why = (
                f"unable to create new content in namespace {namespace} because it is being "
                "terminated"
            )
            raise failures.forbidden(rtype.qualified, meta.get("name", ""), why)
