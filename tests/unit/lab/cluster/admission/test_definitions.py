"""Custom resource definitions: what they bring, what they refuse, and how they go."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from services.lab.cluster.storage.failures import ApiFailure
from services.lab.cluster.storage.objects import Write
from services.lab.cluster.storage.resources import (
    CUSTOM_RESOURCE_DEFINITIONS as DEFINITIONS,
    Obj,
    ResourceType,
    ScalePaths,
)
from tests.contract.kubernetes_api.cluster_under_test import GROUP, definition
from tests.unit.lab.cluster.running_cluster import NAMESPACE, RunningCluster

NAME = f"gadgets.{GROUP}"


class World(RunningCluster):
    """A cluster that serves gadgets."""

    def __init__(self) -> None:
        super().__init__()
        self.gadgets = self.define(definition())

    def make(self, name: str, *, is_strict: bool = False, **spec: Any) -> tuple[Obj, list[str]]:
        """A new gadget, and the warnings about it."""
        body = {"metadata": {"name": name}, "spec": spec}
        write = Write("test", self.cluster.now(), is_strict=is_strict)
        made = self.objects.create(self.gadgets, NAMESPACE, body, write)
        return made, write.warnings

    def served(self, version: str = "v1") -> ResourceType | None:
        return self.cluster.registry.find(GROUP, version, "gadgets")


@pytest.fixture
def world() -> World:
    return World()


def flaws(body: Obj) -> set[str]:
    """Fields for which a definition is refused."""
    cluster = RunningCluster()
    with pytest.raises(ApiFailure) as failure:
        cluster.define(body)
    assert failure.value.code == 422
    assert cluster.cluster.registry.find(GROUP, "v1", "gadgets") is None
    return {cause["field"] for cause in failure.value.details["causes"]}


def changed(**spec: Any) -> Obj:
    body = definition()
    body["spec"] |= spec
    return body


def with_schema(schema: Any) -> Obj:
    body = definition()
    body["spec"]["versions"][0]["schema"] = schema
    return body


# -- the definition itself -------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["group", "scope", "versions"])
def test_a_definition_needs_its_parts(part: str) -> None:
    assert flaws(changed(**{part: None})) == {f"spec.{part}"}


def test_a_definition_needs_names_and_one_of_its_own_that_follows_from_them() -> None:
    assert flaws(changed(names={})) == {"spec.names.plural", "spec.names.kind"}
    named = definition()
    named["metadata"]["name"] = f"other.{GROUP}"
    assert flaws(named) == {"metadata.name"}


def test_exactly_one_version_is_stored() -> None:
    first = definition()["spec"]["versions"][0]
    assert flaws(changed(versions=[first, {**first, "name": "v2"}])) == {"spec.versions"}
    assert flaws(changed(versions=[{**first, "storage": False}])) == {"spec.versions"}


@pytest.mark.parametrize("schema", [None, {}, {"openAPIV3Schema": {"type": "string"}}])
def test_every_version_needs_a_schema_of_objects(schema: Any) -> None:
    assert flaws(with_schema(schema)) == {"spec.versions[0].schema.openAPIV3Schema"}


def test_a_rule_that_cannot_be_read_is_named_by_its_place() -> None:
    rules = [{"rule": "self.size <", "message": "broken"}]
    spec: Obj = {"type": "object", "properties": {"size": {"type": "integer"}}}
    spec["x-kubernetes-validations"] = rules
    root = {"type": "object", "properties": {"spec": spec}}
    (field,) = flaws(with_schema({"openAPIV3Schema": root}))
    assert field.startswith("spec.versions[0].schema.openAPIV3Schema.")


def test_names_and_conversion_have_defaults_and_the_status_says_what_is_served(
    world: World,
) -> None:
    found = world.get(DEFINITIONS, NAME)
    names = {"plural": "gadgets", "kind": "Gadget", "shortNames": ["gd"]}
    names |= {"singular": "gadget", "listKind": "GadgetList"}
    assert found["spec"]["names"] == names
    assert found["spec"]["conversion"] == {"strategy": "None"}
    status = found["status"]
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }
    assert status["acceptedNames"] == names
    assert status["storedVersions"] == ["v1"]
    assert found["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]


# -- what it brings --------------------------------------------------------------------------------


def test_what_is_defined_is_served_as_it_is_defined(world: World) -> None:
    body = changed()
    body["spec"]["versions"][0]["selectableFields"] = [{"jsonPath": ".spec.mode"}]
    body["spec"]["names"]["categories"] = ["all"]
    found = RunningCluster().define(body)
    assert (found.kind, found.singular, found.is_namespaced) == ("Gadget", "gadget", True)
    assert (found.short_names, found.categories) == (("gd",), ("all",))
    assert found.scale == ScalePaths("spec.size", "status.size", "status.selector")
    assert (found.has_status, found.has_generation, found.is_custom) == (True, True, True)
    assert found.field_labels == ("spec.mode",)


def test_a_definition_without_subresources_brings_none() -> None:
    body = changed(scope="Cluster")
    del body["spec"]["versions"][0]["subresources"]
    found = RunningCluster().define(body)
    assert (found.scale, found.has_status, found.is_namespaced) == (None, False, False)


def test_a_changed_definition_replaces_what_was_served(world: World) -> None:
    old = world.get(DEFINITIONS, NAME)
    first = old["spec"]["versions"][0]
    versions = [{**first, "served": False}, {**first, "name": "v2", "storage": False}]
    world.change(DEFINITIONS, NAME, "spec.versions", copy.deepcopy(versions))
    assert world.served("v1") is None
    assert world.served("v2") is not None
    assert world.get(DEFINITIONS, NAME)["status"]["storedVersions"] == ["v1"]


def test_objects_are_pruned_defaulted_and_checked(world: World) -> None:
    made, warnings = world.make("x", size=3, colour="red")
    assert made["spec"] == {"size": 3, "floor": 0, "mode": "Advisory"}
    assert warnings == ['unknown field "spec.colour"']
    assert world.make("y", size=3)[1] == []


def test_unknown_fields_are_refused_when_the_client_is_strict(world: World) -> None:
    with pytest.raises(ApiFailure) as failure:
        world.make("x", is_strict=True, size=3, colour="red")
    assert failure.value.code == 400
    assert 'strict decoding error: unknown field "spec.colour"' in failure.value.message
    assert world.make("x", is_strict=True, size=3)[0]["spec"]["size"] == 3


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "Required value"),
        ({"size": 101}, "spec.size"),
        ({"size": 3, "floor": 4}, "floor must be at most size"),
    ],
)
def test_schema_and_rules_hold_for_new_objects(
    world: World, spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(ApiFailure) as failure:
        world.make("x", **spec)
    assert failure.value.code == 422
    assert message in failure.value.message


def test_rules_about_changes_see_the_object_as_it_was(world: World) -> None:
    old, _ = world.make("x", size=3, label="a")
    spec = {"size": 3}
    with pytest.raises(ApiFailure) as failure:
        world.objects.replace(
            world.gadgets, old, {**old, "spec": spec}, Write("test", world.cluster.now())
        )
    assert "label cannot be taken away" in failure.value.message


def test_entries_of_keyed_lists_have_owners_of_their_own(world: World) -> None:
    def apply(manager: str, *names: str) -> Obj:
        config = {"spec": {"size": 3, "parts": [{"name": name} for name in names]}}
        write = Write(manager, world.cluster.now())
        return world.objects.apply(world.gadgets, NAMESPACE, "x", config, write)[0]

    apply("us", "a")
    found = apply("them", "b")
    assert [part["name"] for part in found["spec"]["parts"]] == ["a", "b"]
    found = apply("us")
    assert [part["name"] for part in found["spec"]["parts"]] == ["b"]


# -- how it goes -----------------------------------------------------------------------------------


def test_a_definition_goes_with_its_objects(world: World) -> None:
    world.make("x", size=3)
    world.delete(DEFINITIONS, NAME)
    assert world.store.get(DEFINITIONS, "", NAME) is None
    assert world.served() is None
    assert list(world.store.each(world.gadgets)) == []
    assert world.gadgets.storage_key not in world.objects.admissions


def test_a_definition_waits_for_objects_that_are_held_and_is_served_so_long(world: World) -> None:
    world.make("free", size=3)
    world.make("held", size=3)
    world.change(world.gadgets, "held", "metadata.finalizers", ["lab.dev/hold"])
    world.delete(DEFINITIONS, NAME)
    assert world.get(DEFINITIONS, NAME)["metadata"]["deletionTimestamp"]
    assert world.served() is not None
    left = [stored.obj["metadata"]["name"] for stored in world.store.each(world.gadgets)]
    assert left == ["held"]
    world.change(world.gadgets, "held", "metadata.finalizers", [])
    assert world.store.get(DEFINITIONS, "", NAME) is None
    assert world.served() is None


def test_a_definition_may_come_back(world: World) -> None:
    world.delete(DEFINITIONS, NAME)
    world.define(definition())
    assert world.make("x", size=3)[0]["spec"]["size"] == 3


def test_deleting_an_object_leaves_its_definition(world: World) -> None:
    world.make("x", size=3)
    world.delete(world.gadgets, "x")
    assert world.served() is not None
    assert "deletionTimestamp" not in world.get(DEFINITIONS, NAME)["metadata"]
