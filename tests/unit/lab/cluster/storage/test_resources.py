"""The registry of kinds, and paths into objects."""

from __future__ import annotations

from dataclasses import replace

from services.lab.cluster.storage.resources import (
    DEPLOYMENTS,
    PODS,
    Registry,
    dig,
    with_value,
)


def test_kinds_are_found_by_path_and_by_kind() -> None:
    registry = Registry()
    assert registry.find("apps", "v1", "deployments") is DEPLOYMENTS
    assert registry.of_kind("v1", "Pod") is PODS
    assert registry.find("apps", "v2", "deployments") is None
    assert registry.of_kind("v1", "Deployment") is None


def test_a_definition_replaces_an_earlier_one_and_goes_with_all_versions() -> None:
    registry = Registry()
    pool = replace(PODS, group="example.dev", plural="pools", kind="Pool", is_custom=True)
    for version in ("v1", "v2"):
        registry.add(replace(pool, version=version))
    registry.add(replace(pool, kind="Pond"))
    assert registry.of_kind("example.dev/v1", "Pond") is not None
    registry.remove("example.dev", "pools")
    assert not [rtype for rtype in registry if rtype.group == "example.dev"]
    assert PODS in list(registry)


def test_names_in_messages_have_the_group() -> None:
    assert (DEPLOYMENTS.qualified, DEPLOYMENTS.api_version) == ("deployments.apps", "apps/v1")
    assert (PODS.qualified, PODS.api_version) == ("pods", "v1")
    assert DEPLOYMENTS.storage_key == replace(DEPLOYMENTS, version="v9").storage_key


def test_values_at_paths() -> None:
    obj = {"spec": {"a": {"b": 1}, "c": 2}}
    assert (dig(obj, "spec.a.b"), dig(obj, "spec.x.y"), dig(obj, "spec.c.d")) == (1, None, None)
    assert with_value(obj, "spec.a.b", 9) == {"spec": {"a": {"b": 9}, "c": 2}}
    assert with_value(obj, "status.n", 3)["status"] == {"n": 3}
    assert obj == {"spec": {"a": {"b": 1}, "c": 2}}
