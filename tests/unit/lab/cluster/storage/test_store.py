"""The store: versions, bounded log, owners; and the cluster's determinism."""

from __future__ import annotations

from typing import Any

from services.lab.cluster.storage.resources import BUILT_IN
from services.lab.cluster.storage.store import FIRST_VERSION, Store

CONFIG_MAPS = next(rtype for rtype in BUILT_IN if rtype.plural == "configmaps")


def config_map(name: str, **metadata: Any) -> dict[str, Any]:
    meta = {"name": name, "namespace": "default", **metadata}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


def test_the_log_gives_each_change_once_and_says_when_it_is_too_short() -> None:
    store = Store(log_limit=8)
    for i in range(30):
        store.put(CONFIG_MAPS, config_map(f"c{i % 3}"))
    newest = FIRST_VERSION + 30
    changes = store.since(CONFIG_MAPS, newest - 5)
    assert changes is not None
    assert [change.version for change in changes] == list(range(newest - 4, newest + 1))
    assert store.since(CONFIG_MAPS, newest) == []
    assert store.since(CONFIG_MAPS, FIRST_VERSION) is None
    assert len(store.collection(CONFIG_MAPS).log) <= 10
    oldest = store.collection(CONFIG_MAPS).oldest_version
    kept = store.since(CONFIG_MAPS, oldest)
    assert kept is not None
    assert kept[0].version == oldest + 1


def test_objects_read_are_copies() -> None:
    store = Store()
    store.put(CONFIG_MAPS, config_map("c"))
    read = store.get(CONFIG_MAPS, "default", "c")
    assert read is not None
    read["metadata"]["name"] = "spoilt"
    assert store.get(CONFIG_MAPS, "default", "c")["metadata"]["name"] == "c"  # type: ignore[index]


def test_dependents_follow_the_owner_references() -> None:
    store = Store()
    store.put(CONFIG_MAPS, config_map("c", ownerReferences=[{"uid": "u"}, {"uid": "v"}]))
    assert store.dependents("u") == [(CONFIG_MAPS, ("default", "c"))]
    obj = store.put(CONFIG_MAPS, config_map("c", ownerReferences=[{"uid": "v"}]))
    assert store.dependents("u") == []
    store.remove(CONFIG_MAPS, obj)
    assert store.dependents("v") == []
