"""Writes of objects by the API server's rules."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from services.lab.cluster.storage.failures import ApiFailure, Cause, invalid
from services.lab.cluster.storage.objects import APPLY, Objects, Write
from services.lab.cluster.storage.ownership import ListKeys
from services.lab.cluster.storage.resources import (
    BUILT_IN,
    DEPLOYMENTS,
    EVENTS,
    NAMESPACES,
    NODES,
    Obj,
    ResourceType,
)
from services.lab.cluster.storage.store import Store

CONFIG_MAPS = next(rtype for rtype in BUILT_IN if rtype.plural == "configmaps")
GADGETS = ResourceType("lab.dev", "v1", "gadgets", "Gadget", is_custom=True, has_generation=True)
MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
NOW = "2026-01-05T00:00:00Z"
LATER = "2026-01-05T00:01:00Z"

Heard = tuple[str, str, bool, bool]


def write(**options: Any) -> Write:
    return Write("us", LATER, **options)


class World:
    """Objects with one namespace in the store, and what its listeners hear."""

    def __init__(self) -> None:
        numbers = itertools.count()
        self.objects = Objects(Store(), lambda: NOW, lambda: f"{next(numbers):05d}-uid")
        self.store = self.objects.store
        self.heard: list[Heard] = []
        self.objects.write(NAMESPACES, self.objects.born(NAMESPACES, "", "team"))
        self.objects.listeners.append(self._hear)

    def _hear(self, rtype: ResourceType, old: Obj | None, new: Obj | None) -> None:
        name = (new or old or {})["metadata"]["name"]
        self.heard.append((rtype.kind, name, old is not None, new is not None))

    def create(self, rtype: ResourceType, name: str, /, **parts: Any) -> Obj:
        meta = {"name": name, **parts.pop("metadata", {})}
        return self.objects.create(rtype, "team", {"metadata": meta, **parts}, write())

    def get(self, rtype: ResourceType, name: str) -> Obj | None:
        return self.store.get(rtype, "team" if rtype.is_namespaced else "", name)

    def refuses(self, code: int, call: Any, *args: Any) -> str:
        """Check that a write fails and changes nothing; the message."""
        version = self.store.version
        with pytest.raises(ApiFailure) as failure:
            call(*args)
        assert failure.value.code == code
        assert self.store.version == version
        return failure.value.message


@pytest.fixture
def world() -> World:
    return World()


# -- create ----------------------------------------------------------------------------------------


def test_a_new_object_gets_what_the_server_owns(world: World) -> None:
    given = {"uid": "mine", "selfLink": "/x", "creationTimestamp": "2001-01-01T00:00:00Z"}
    made = world.create(DEPLOYMENTS, "x", spec={"replicas": 1}, status={"a": 1}, metadata=given)
    meta = made["metadata"]
    assert (made["apiVersion"], made["kind"]) == ("apps/v1", "Deployment")
    assert (meta["namespace"], meta["creationTimestamp"], meta["generation"]) == ("team", LATER, 1)
    assert meta["uid"] != "mine"
    assert "selfLink" not in meta
    assert "status" not in made
    assert [entry["manager"] for entry in meta["managedFields"]] == ["us"]
    assert world.get(DEPLOYMENTS, "x") == made
    assert world.heard == [("Deployment", "x", False, True)]


def test_a_node_brings_its_status_and_belongs_to_no_namespace(world: World) -> None:
    made = world.create(NODES, "n", status={"capacity": {}})
    assert made["status"] == {"capacity": {}}
    assert not {"namespace", "generation"} & set(made["metadata"])


def test_events_have_no_owners_of_fields(world: World) -> None:
    assert "managedFields" not in world.create(EVENTS, "e", reason="x")["metadata"]


def test_generated_names_differ(world: World) -> None:
    body = {"metadata": {"generateName": "job-"}}
    made = [world.objects.create(CONFIG_MAPS, "team", body, write()) for _ in range(2)]
    first, second = (obj["metadata"]["name"] for obj in made)
    assert first != second
    assert {len(first), len(second)} == {len("job-") + 5}
    assert first.startswith("job-")
    assert second.startswith("job-")


def test_creations_that_are_refused(world: World) -> None:
    world.create(CONFIG_MAPS, "x")
    create = world.objects.create

    def attempt(code: int, meta: Obj, namespace: str = "team", **more: Any) -> str:
        body = {"metadata": meta, **more}
        return world.refuses(code, create, CONFIG_MAPS, namespace, body, write())

    assert "already exists" in attempt(409, {"name": "x"})
    assert "should not be set" in attempt(400, {"name": "y", "resourceVersion": "1"})
    assert "does not match" in attempt(400, {"name": "y", "namespace": "other"})
    assert 'namespaces "other" not found' in attempt(404, {"name": "y"}, "other")
    attempt(422, {"name": "Not A Name"})
    attempt(400, {"name": "y"}, kind="Pod")


def test_a_namespace_that_is_going_takes_nothing_new(world: World) -> None:
    space = world.objects.require(NAMESPACES, "", "team")
    held = {**space, "spec": {"finalizers": ["kubernetes"]}}
    world.objects.delete(NAMESPACES, world.objects.write(NAMESPACES, held), {}, write())
    body = {"metadata": {"name": "x"}}
    message = world.refuses(403, world.objects.create, CONFIG_MAPS, "team", body, write())
    assert "being terminated" in message


def test_a_dry_run_answers_and_keeps_nothing(world: World) -> None:
    version = world.store.version
    body = {"metadata": {"name": "x"}}
    made = world.objects.create(CONFIG_MAPS, "team", body, write(is_dry_run=True))
    assert made["metadata"]["uid"]
    assert world.get(CONFIG_MAPS, "x") is None
    old = world.create(CONFIG_MAPS, "y", data={"a": "1"})
    new = world.objects.patch(CONFIG_MAPS, old, MERGE, {"data": {"a": "2"}}, write(is_dry_run=True))
    assert new["data"] == {"a": "2"}
    assert world.objects.delete(CONFIG_MAPS, old, {}, write(is_dry_run=True)) == old
    assert world.get(CONFIG_MAPS, "y") == old
    assert world.store.version == version + 1


class Ceiling:
    """Fills in a size and refuses large ones."""

    def admit(self, rtype: ResourceType, new: Obj, old: Obj | None, write: Write) -> Obj:
        size = (new.get("spec") or {}).get("size", 1)
        if size > 5:
            raise invalid(rtype, new["metadata"]["name"], [Cause("spec.size", "too large")])
        return {**new, "spec": {"size": size}}

    def list_keys(self) -> ListKeys:
        return lambda path: None


def test_what_is_admitted_is_stored_and_what_is_not_is_refused(world: World) -> None:
    world.objects.admissions[GADGETS.storage_key] = Ceiling()
    made = world.create(GADGETS, "x")
    assert made["spec"] == {"size": 1}
    patch = {"spec": {"size": 6}}
    world.refuses(422, world.objects.patch, GADGETS, made, MERGE, patch, write())


# -- replace and patch -----------------------------------------------------------------------------


def test_the_generation_counts_changes_of_the_specification_only(world: World) -> None:
    old = world.create(DEPLOYMENTS, "x", spec={"replicas": 1})
    labelled = world.objects.patch(
        DEPLOYMENTS, old, MERGE, {"metadata": {"labels": {"a": "b"}}}, write()
    )
    assert labelled["metadata"]["generation"] == 1
    scaled = world.objects.patch(DEPLOYMENTS, labelled, MERGE, {"spec": {"replicas": 2}}, write())
    assert scaled["metadata"]["generation"] == 2
    told = world.objects.patch(
        DEPLOYMENTS, scaled, MERGE, {"status": {"replicas": 2}}, write(subresource="status")
    )
    assert told["metadata"]["generation"] == 2
    versions = [int(o["metadata"]["resourceVersion"]) for o in (old, labelled, scaled, told)]
    assert versions == sorted(set(versions))


def test_spec_and_status_are_written_apart(world: World) -> None:
    old = world.create(DEPLOYMENTS, "x", spec={"replicas": 1})
    both = {**old, "spec": {"replicas": 9}, "status": {"replicas": 9}}
    told = world.objects.replace(DEPLOYMENTS, old, both, write(subresource="status"))
    assert (told["spec"], told["status"]) == ({"replicas": 1}, {"replicas": 9})
    both = {**told, "spec": {"replicas": 5}, "status": {"replicas": 5}}
    scaled = world.objects.replace(DEPLOYMENTS, told, both, write())
    assert (scaled["spec"], scaled["status"]) == ({"replicas": 5}, {"replicas": 9})


def test_a_write_that_changes_nothing_makes_no_version(world: World) -> None:
    old = world.create(CONFIG_MAPS, "x", data={"a": "1"})
    version = world.store.version
    world.heard.clear()
    assert world.objects.patch(CONFIG_MAPS, old, MERGE, {"data": {"a": "1"}}, write()) == old
    assert (world.store.version, world.heard) == (version, [])


def test_a_write_that_rests_on_an_older_version_is_a_conflict(world: World) -> None:
    old = world.create(CONFIG_MAPS, "x", data={"a": "1"})
    new = world.objects.patch(CONFIG_MAPS, old, MERGE, {"data": {"a": "2"}}, write())
    world.refuses(409, world.objects.replace, CONFIG_MAPS, new, old, write())


def test_a_body_has_to_be_of_the_name_and_kind_of_its_path(world: World) -> None:
    old = world.create(CONFIG_MAPS, "x")
    named = {**old, "metadata": {**old["metadata"], "name": "y"}}
    message = world.refuses(400, world.objects.replace, CONFIG_MAPS, old, named, write())
    assert "(y) does not match the name on the URL (x)" in message
    other = {**old, "kind": "Secret"}
    world.refuses(400, world.objects.replace, CONFIG_MAPS, old, other, write())


def test_a_scale_is_written_with_and_without_a_version(world: World) -> None:
    old = world.create(DEPLOYMENTS, "x", spec={"replicas": 1})
    options = write(subresource="scale")
    scale: Obj = {"kind": "Scale", "metadata": {"name": "x"}, "spec": {"replicas": 3}}
    new = world.objects.replace(DEPLOYMENTS, old, scale, options)
    assert (new["kind"], new["spec"]["replicas"]) == ("Deployment", 3)
    assert new["metadata"]["generation"] == 2
    patched = world.objects.patch(DEPLOYMENTS, new, MERGE, {"spec": {"replicas": 4}}, options)
    assert patched["spec"]["replicas"] == 4
    scale["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
    world.refuses(409, world.objects.replace, DEPLOYMENTS, patched, scale, options)


def test_patches_of_each_kind(world: World) -> None:
    spec = {"containers": [{"name": "a"}, {"name": "b"}]}
    old = world.create(DEPLOYMENTS, "x", spec=spec)
    fresh = [{"name": "b", "image": "i"}]
    merged = world.objects.patch(
        DEPLOYMENTS, old, STRATEGIC, {"spec": {"containers": fresh}}, write()
    )
    assert {"name": "a"} in merged["spec"]["containers"]
    replaced = world.objects.patch(
        DEPLOYMENTS, merged, MERGE, {"spec": {"containers": fresh}}, write()
    )
    assert replaced["spec"]["containers"] == fresh
    steps = [{"op": "add", "path": "/spec/paused", "value": True}]
    paused = world.objects.patch(DEPLOYMENTS, replaced, JSON, steps, write())
    assert paused["spec"] == {"containers": fresh, "paused": True}


def test_patches_that_are_refused(world: World) -> None:
    old = world.create(CONFIG_MAPS, "x")
    gadget = world.create(GADGETS, "x")
    patch = world.objects.patch
    world.refuses(415, patch, CONFIG_MAPS, old, "application/json", {}, write())
    world.refuses(415, patch, GADGETS, gadget, STRATEGIC, {}, write())
    assert "JSON object" in world.refuses(400, patch, CONFIG_MAPS, old, MERGE, [], write())
    whole = [{"op": "replace", "path": "", "value": 3}]
    assert "no JSON object" in world.refuses(400, patch, CONFIG_MAPS, old, JSON, whole, write())


# -- apply -----------------------------------------------------------------------------------------


def apply(world: World, name: str, config: Obj, **options: Any) -> tuple[Obj, bool]:
    return world.objects.apply(DEPLOYMENTS, "team", name, config, write(**options))


def owners(obj: Obj) -> set[tuple[str, str]]:
    entries = obj["metadata"]["managedFields"]
    return {(entry["manager"], entry["operation"]) for entry in entries}


def test_applying_creates_an_object_and_changes_it_after(world: World) -> None:
    made, is_created = apply(world, "x", {"spec": {"replicas": 1, "paused": True}})
    assert is_created
    assert owners(made) == {("us", "Apply")}
    assert made["metadata"]["uid"]
    new, is_created = apply(world, "x", {"spec": {"replicas": 2}})
    assert not is_created
    assert new["spec"] == {"replicas": 2}
    assert (new["metadata"]["generation"], new["metadata"]["uid"]) == (2, made["metadata"]["uid"])
    assert owners(new) == {("us", "Apply")}


def test_applying_over_another_managers_field_has_to_be_forced(world: World) -> None:
    world.create(DEPLOYMENTS, "x", spec={"replicas": 1})
    other = Write("them", LATER)
    config = {"spec": {"replicas": 2}}
    world.refuses(409, world.objects.apply, DEPLOYMENTS, "team", "x", config, other)
    other.is_forced = True
    new, _ = world.objects.apply(DEPLOYMENTS, "team", "x", config, other)
    assert new["spec"]["replicas"] == 2


def test_applying_writes_the_part_that_its_path_is_of(world: World) -> None:
    world.create(DEPLOYMENTS, "x", spec={"replicas": 1})
    both = {"spec": {"replicas": 7}, "status": {"replicas": 7}}
    told, _ = apply(world, "x", both, subresource="status")
    assert (told["spec"], told["status"]) == ({"replicas": 1}, {"replicas": 7})
    new, _ = apply(world, "x", {"spec": {"replicas": 8}, "status": {"replicas": 8}}, is_forced=True)
    assert (new["spec"], new["status"]) == ({"replicas": 8}, {"replicas": 7})


def test_applications_that_are_refused(world: World) -> None:
    def attempt(code: int, name: str, config: Obj, **options: Any) -> str:
        return world.refuses(
            code, world.objects.apply, DEPLOYMENTS, "team", name, config, write(**options)
        )

    attempt(404, "x", {}, subresource="status")
    made, _ = apply(world, "x", {"spec": {"replicas": 1}})
    apply(world, "x", {"spec": {"replicas": 2}})
    version = made["metadata"]["resourceVersion"]
    attempt(409, "x", {"metadata": {"resourceVersion": version}, "spec": {"replicas": 3}})
    message = attempt(400, "x", {"metadata": {"managedFields": [{}]}})
    assert "managedFields must be nil" in message
    message = world.refuses(415, world.objects.patch, DEPLOYMENTS, made, "text/plain", {}, write())
    assert APPLY in message


# -- delete ----------------------------------------------------------------------------------------


def test_an_object_that_nothing_holds_is_gone_at_once(world: World) -> None:
    made = world.create(CONFIG_MAPS, "x")
    gone = world.objects.delete(CONFIG_MAPS, made, {}, write())
    assert gone["metadata"]["uid"] == made["metadata"]["uid"]
    assert world.heard[-1] == ("ConfigMap", "x", True, False)
    with pytest.raises(ApiFailure) as failure:
        world.objects.require(CONFIG_MAPS, "team", "x")
    assert failure.value.code == 404


def test_a_finalizer_holds_an_object_until_it_is_taken_away(world: World) -> None:
    made = world.create(DEPLOYMENTS, "x", metadata={"finalizers": ["lab.dev/hold"]})
    marked = world.objects.delete(DEPLOYMENTS, made, {}, write())
    meta = marked["metadata"]
    assert (meta["deletionTimestamp"], meta["generation"]) == (LATER, 2)
    assert meta["deletionGracePeriodSeconds"] == 0
    again = world.objects.delete(DEPLOYMENTS, marked, {}, Write("us", "2026-01-05T00:09:00Z"))
    assert again == marked == world.get(DEPLOYMENTS, "x")
    freed = {"metadata": {"finalizers": None}}
    world.objects.patch(DEPLOYMENTS, marked, MERGE, freed, write())
    assert world.get(DEPLOYMENTS, "x") is None


@pytest.mark.parametrize(
    ("policy", "finalizers"),
    [("Foreground", ["foregroundDeletion"]), ("Orphan", ["orphan"])],
)
def test_dependents_are_seen_to_before_an_object_goes(
    world: World, policy: str, finalizers: list[str]
) -> None:
    made = world.create(CONFIG_MAPS, "x")
    marked = world.objects.delete(CONFIG_MAPS, made, {"propagationPolicy": policy}, write())
    assert marked["metadata"]["finalizers"] == finalizers
    assert "generation" not in marked["metadata"]
    assert world.get(CONFIG_MAPS, "x") == marked


@pytest.mark.parametrize("field", ["uid", "resourceVersion"])
def test_a_precondition_that_does_not_hold_keeps_the_object(world: World, field: str) -> None:
    made = world.create(CONFIG_MAPS, "x")
    options = {"preconditions": {field: "other"}}
    message = world.refuses(409, world.objects.delete, CONFIG_MAPS, made, options, write())
    assert f"{field} is {made['metadata'][field]}, not other" in message
    options = {"preconditions": {field: made["metadata"][field]}}
    world.objects.delete(CONFIG_MAPS, made, options, write())
    assert world.get(CONFIG_MAPS, "x") is None


# -- controllers -----------------------------------------------------------------------------------


def test_controllers_write_without_asking(world: World) -> None:
    world.objects.admissions[GADGETS.storage_key] = Ceiling()
    born = world.objects.born(
        GADGETS, "team", "x", metadata={"labels": {"a": "b"}}, spec={"size": 50}
    )
    assert world.get(GADGETS, "x") is None
    meta = born["metadata"]
    assert (meta["namespace"], meta["generation"], meta["creationTimestamp"]) == ("team", 1, NOW)
    assert meta["labels"] == {"a": "b"}
    stored = world.objects.write(GADGETS, born)
    told = world.objects.write_status(GADGETS, stored, {"phase": "Ready"})
    assert (told["spec"], told["status"]) == ({"size": 50}, {"phase": "Ready"})
    assert world.get(GADGETS, "x") == told


def test_what_is_born_cluster_wide_has_no_namespace(world: World) -> None:
    meta = world.objects.born(NODES, "", "n")["metadata"]
    assert not {"namespace", "generation"} & set(meta)
