"""Garbage collection: dependents of what is deleted, and contents of a namespace."""

from __future__ import annotations

from typing import Any

import pytest

from services.lab.cluster.admission.collection import INITIAL_NAMESPACES
from services.lab.cluster.storage.failures import ApiFailure
from services.lab.cluster.storage.objects import Write
from services.lab.cluster.storage.resources import BUILT_IN, NAMESPACES, SERVICE_ACCOUNTS, Obj
from tests.unit.lab.cluster.running_cluster import NAMESPACE, RunningCluster

CONFIG_MAPS = next(rtype for rtype in BUILT_IN if rtype.plural == "configmaps")
SECRETS = next(rtype for rtype in BUILT_IN if rtype.plural == "secrets")
HOLD = "lab.dev/hold"


class World(RunningCluster):
    """A cluster with objects that own each other."""

    def put(self, name: str, *owners: Obj, namespace: str = NAMESPACE, **meta: Any) -> Obj:
        references = [
            {"apiVersion": "v1", "kind": owner["kind"], "name": owner["metadata"]["name"]}
            | {"uid": owner["metadata"]["uid"]}
            for owner in owners
        ]
        body = {"metadata": {"name": name, "ownerReferences": references, **meta}}
        return self.objects.create(CONFIG_MAPS, namespace, body, self.write())

    def write(self) -> Write:
        return Write("test", self.cluster.now())

    def discard(self, name: str, policy: str = "Background") -> None:
        obj = self.get(CONFIG_MAPS, name)
        self.objects.delete(CONFIG_MAPS, obj, {"propagationPolicy": policy}, self.write())

    def release(self, name: str) -> None:
        self.change(CONFIG_MAPS, name, "metadata.finalizers", [])

    def left(self) -> set[str]:
        return {stored.obj["metadata"]["name"] for stored in self.store.each(CONFIG_MAPS)}

    def space(self, name: str) -> Obj | None:
        return self.store.get(NAMESPACES, "", name)


@pytest.fixture
def world() -> World:
    return World()


def test_a_cluster_starts_with_the_namespaces_of_kubernetes(world: World) -> None:
    for name in INITIAL_NAMESPACES:
        found = world.space(name)
        assert found is not None
        assert found["status"] == {"phase": "Active"}
        assert found["spec"] == {"finalizers": ["kubernetes"]}
        assert found["metadata"]["labels"] == {"kubernetes.io/metadata.name": name}


def test_what_an_object_owned_goes_after_it_to_the_last_link(world: World) -> None:
    child = world.put("child", world.put("parent"))
    world.put("grandchild", child)
    world.put("other")
    world.discard("parent")
    assert world.left() == {"other"}


def test_what_has_another_owner_stays_with_it(world: World) -> None:
    father, mother = world.put("father"), world.put("mother")
    world.put("child", father, mother)
    world.discard("father")
    (reference,) = world.get(CONFIG_MAPS, "child")["metadata"]["ownerReferences"]
    assert reference["uid"] == mother["metadata"]["uid"]
    world.discard("mother")
    assert world.left() == set()


def test_orphans_stay_without_an_owner(world: World) -> None:
    father, mother = world.put("father"), world.put("mother")
    world.put("child", father, mother)
    world.discard("father", "Orphan")
    assert world.left() == {"mother", "child"}
    (reference,) = world.get(CONFIG_MAPS, "child")["metadata"]["ownerReferences"]
    assert reference["uid"] == mother["metadata"]["uid"]


def test_in_the_foreground_an_owner_waits_for_what_it_owns(world: World) -> None:
    world.put("child", world.put("parent"), finalizers=[HOLD])
    world.discard("parent", "Foreground")
    assert world.left() == {"parent", "child"}
    for name in ("parent", "child"):
        assert world.get(CONFIG_MAPS, name)["metadata"]["deletionTimestamp"]
    world.release("child")
    assert world.left() == set()


def test_in_the_foreground_an_owner_of_nothing_goes_at_once(world: World) -> None:
    world.put("parent")
    world.discard("parent", "Foreground")
    assert world.left() == set()


def test_an_owner_with_a_finalizer_more_is_not_gone_with_the_last_dependent(world: World) -> None:
    world.put("child", world.put("parent", finalizers=[HOLD]))
    world.discard("parent", "Foreground")
    assert world.get(CONFIG_MAPS, "parent")["metadata"]["finalizers"] == [HOLD]
    assert world.left() == {"parent"}


def test_an_owner_of_an_unknown_kind_is_no_obstacle(world: World) -> None:
    reference = {"apiVersion": "lab.dev/v1", "kind": "Gone", "name": "x", "uid": "u"}
    world.put("child", ownerReferences=[reference])
    world.discard("child")
    assert world.left() == set()


def create_space(world: World, name: str, **meta: Any) -> Obj:
    body = {"metadata": {"name": name, **meta}}
    return world.objects.create(NAMESPACES, "", body, world.write())


def test_a_new_namespace_is_active_and_keeps_its_labels(world: World) -> None:
    made = create_space(world, "team", labels={"tier": "gold"})
    assert made["status"] == {"phase": "Active"}
    assert made["metadata"]["labels"] == {"tier": "gold", "kubernetes.io/metadata.name": "team"}


def test_what_holds_a_namespace_cannot_be_written_away(world: World) -> None:
    create_space(world, "team")
    changed = world.change(NAMESPACES, "team", "spec", {})
    assert changed["spec"] == {"finalizers": ["kubernetes"]}


def test_an_empty_namespace_goes_at_once(world: World) -> None:
    create_space(world, "team")
    world.delete(NAMESPACES, "team")
    assert world.space("team") is None


def test_a_namespace_takes_its_objects_of_every_kind_with_it_and_no_others(world: World) -> None:
    create_space(world, "team")
    world.put("elsewhere")
    world.put("owned", world.put("inside", namespace="team"), namespace="team")
    for rtype in (SERVICE_ACCOUNTS, SECRETS):
        body = {"metadata": {"name": "inside"}}
        world.objects.create(rtype, "team", body, world.write())
    world.delete(NAMESPACES, "team")
    assert world.space("team") is None
    assert world.left() == {"elsewhere"}
    for rtype in (SERVICE_ACCOUNTS, SECRETS):
        assert world.store.get(rtype, "team", "inside") is None


def test_a_namespace_is_terminating_while_something_in_it_is_held(world: World) -> None:
    create_space(world, "team")
    world.put("held", namespace="team", finalizers=[HOLD])
    world.put("free", namespace="team")
    world.delete(NAMESPACES, "team")
    space = world.space("team")
    assert space is not None
    assert space["status"] == {"phase": "Terminating"}
    assert world.left() == {"held"}
    with pytest.raises(ApiFailure) as failure:
        world.put("late", namespace="team")
    assert failure.value.code == 403

    held = world.objects.require(CONFIG_MAPS, "team", "held")
    freed = {**held, "metadata": {**held["metadata"], "finalizers": []}}
    world.objects.replace(CONFIG_MAPS, held, freed, world.write())
    assert world.space("team") is None
    assert world.left() == set()
