"""Objects with resource versions, and the bounded log of changes that watches read."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import orjson

from services.lab.cluster.storage.resources import Obj, ResourceType, dig

FIRST_VERSION = 1_000
"""Versions below this one are older than the server: a watch from them is answered 410."""

Name = tuple[str, str]
"""(namespace, name); the namespace is empty for cluster-scoped objects."""


@dataclass(frozen=True, slots=True)
class Selectable:
    """Part of an object that selectors look at."""

    namespace: str
    labels: dict[str, str]
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as its bytes on the wire, and what selectors see of it.

    Only bytes are kept: a thousand pods as dictionaries take ten times as much memory.
    """

    raw: bytes
    facts: Selectable
    api_version: str
    owner_uids: frozenset[str]

    @property
    def obj(self) -> Obj:
        """The object, a fresh copy each time."""
        found: Obj = orjson.loads(self.raw)
        return found


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One entry of the watch log."""

    version: int
    verb: str
    raw: bytes
    facts: Selectable
    old_facts: Selectable | None


@dataclass(slots=True)
class Collection:
    """All objects of one resource."""

    objects: dict[Name, StoredObject] = field(default_factory=dict)
    log: list[ObjectChange] = field(default_factory=list)
    oldest_version: int = FIRST_VERSION
    waiting: set[asyncio.Event] = field(default_factory=set)


def name_of(obj: Obj) -> Name:
    """(namespace, name) of an object."""
    meta = obj["metadata"]
    return (meta.get("namespace", ""), meta["name"])


class Store:
    """The state of the API server.

    Args:
        log_limit: Changes kept for each resource; a watch from an older version is answered 410.
    """

    def __init__(self, log_limit: int = 4_000) -> None:
        self._log_limit = log_limit
        self._collections: dict[tuple[str, str], Collection] = {}
        self._dependents: dict[str, set[tuple[ResourceType, Name]]] = {}
        self.version = FIRST_VERSION

    def collection(self, rtype: ResourceType) -> Collection:
        """The objects of one resource."""
        return self._collections.setdefault(rtype.storage_key, Collection())

    def get(self, rtype: ResourceType, namespace: str, name: str) -> Obj | None:
        """One object; None when there is none."""
        stored = self.collection(rtype).objects.get((namespace, name))
        return stored.obj if stored else None

    def raw(self, rtype: ResourceType, namespace: str, name: str) -> StoredObject | None:
        """One object as it is stored; None when there is none."""
        return self.collection(rtype).objects.get((namespace, name))

    def each(self, rtype: ResourceType, namespace: str = "") -> Iterator[StoredObject]:
        """Objects of a resource in the order of their names, in one namespace or in all."""
        objects = self.collection(rtype).objects
        for key in sorted(objects):
            if not namespace or key[0] == namespace:
                yield objects[key]

    def put(self, rtype: ResourceType, obj: Obj) -> Obj:
        """Write an object under a new resourceVersion; returns it as stored."""
        collection = self.collection(rtype)
        self.version += 1
        meta = {**obj["metadata"], "resourceVersion": str(self.version)}
        obj = {**obj, "metadata": meta}
        name = name_of(obj)
        old = collection.objects.get(name)
        facts = _facts(rtype, obj)
        if old is not None and old.facts == facts:
            facts = old.facts
        stored = StoredObject(_compact(obj), facts, obj["apiVersion"], _owner_uids(obj))
        collection.objects[name] = stored
        self._note(collection, "MODIFIED" if old else "ADDED", stored, old)
        before = old.owner_uids if old else frozenset()
        self._index_owners(rtype, name, before, stored.owner_uids)
        return obj

    def remove(self, rtype: ResourceType, obj: Obj) -> Obj:
        """Forget an object; returns its last state."""
        collection = self.collection(rtype)
        name = name_of(obj)
        old = collection.objects.pop(name)
        self.version += 1
        meta = {**obj["metadata"], "resourceVersion": str(self.version)}
        obj = {**obj, "metadata": meta}
        last = StoredObject(_compact(obj), old.facts, obj["apiVersion"], frozenset())
        self._note(collection, "DELETED", last, old)
        self._index_owners(rtype, name, old.owner_uids, frozenset())
        return obj

    def dependents(self, uid: str) -> list[tuple[ResourceType, Name]]:
        """Objects that name `uid` as an owner."""
        found = self._dependents.get(uid, ())
        return sorted(found, key=lambda entry: (entry[0].storage_key, entry[1]))

    def since(self, rtype: ResourceType, version: int) -> list[ObjectChange] | None:
        """Changes after `version`, in order; None when that is older than the log."""
        collection = self.collection(rtype)
        if version < collection.oldest_version:
            return None
        log = collection.log
        if not log or log[-1].version <= version:
            return []
        return log[bisect_right(log, version, key=lambda change: change.version) :]

    def _note(
        self, collection: Collection, verb: str, stored: StoredObject, old: StoredObject | None
    ) -> None:
        log = collection.log
        old_facts = old.facts if old else None
        log.append(ObjectChange(self.version, verb, stored.raw, stored.facts, old_facts))
        if len(log) > self._log_limit + self._log_limit // 4:
            n_dropped = len(log) - self._log_limit
            collection.oldest_version = log[n_dropped - 1].version
            del log[:n_dropped]
        for event in collection.waiting:
            event.set()

    def _index_owners(
        self, rtype: ResourceType, name: Name, before: frozenset[str], after: frozenset[str]
    ) -> None:
        for uid in before - after:
            self._dependents[uid].discard((rtype, name))
            if not self._dependents[uid]:
                del self._dependents[uid]
        for uid in after - before:
            self._dependents.setdefault(uid, set()).add((rtype, name))


def _compact(obj: Obj) -> bytes:
    """The object as bytes that take no more memory than they are long.

    orjson leaves the buffer that it wrote into as large as it was, often three times too large.
    """
    return bytes(memoryview(orjson.dumps(obj)))


def _facts(rtype: ResourceType, obj: Obj) -> Selectable:
    namespace, name = name_of(obj)
    fields = {"metadata.name": name, "metadata.namespace": namespace}
    for label in rtype.field_labels:
        value = dig(obj, label)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        fields[label] = "" if value is None else text
    return Selectable(namespace, obj["metadata"].get("labels") or {}, fields)


def _owner_uids(obj: Obj) -> frozenset[str]:
    references = obj["metadata"].get("ownerReferences") or ()
    return frozenset(reference["uid"] for reference in references if "uid" in reference)


Listener = Callable[[ResourceType, Obj | None, Obj | None], None]
"""Called after a write with the object before and after it."""
