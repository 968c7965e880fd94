"""OpenAPI documents: custom kinds as they are defined, built-in ones in outline."""

from __future__ import annotations

from typing import Any

from services.lab.cluster.storage.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    PODS,
    SELF_SUBJECT_REVIEWS,
    Obj,
    Registry,
    ResourceType,
)
from services.lab.cluster.storage.store import Store
from services.lab.cluster.wire.openapi import document, versions

GVK = "x-kubernetes-group-version-kind"
PATH = "/apis/lab.dev/v1"
GADGETS = ResourceType("lab.dev", "v1", "gadgets", "Gadget", is_custom=True)
SIZE = {"type": "object", "properties": {"size": {"type": "integer", "description": "Size."}}}


def registry() -> Registry:
    found = Registry()
    found.add(GADGETS)
    return found


def defined() -> Store:
    """A store with the definition of gadgets, in two versions."""
    schema = {"type": "object", "description": "A gadget.", "properties": {"spec": SIZE}}
    other = {"type": "object", "description": "Another version."}
    store = Store()
    store.put(
        CUSTOM_RESOURCE_DEFINITIONS,
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "metadata": {"name": "gadgets.lab.dev"},
            "spec": {
                "versions": [
                    {"name": "v0", "schema": {"openAPIV3Schema": other}},
                    {"name": "v1", "schema": {"openAPIV3Schema": schema}},
                ]
            },
        },
    )
    return store


def described(path: str, store: Store) -> Obj:
    found = document(registry(), store, path)
    assert found is not None
    assert found["openapi"] == "3.0.0"
    return found


def test_every_version_says_where_it_is_described() -> None:
    paths = versions(registry())["paths"]
    assert paths["apis/lab.dev/v1"] == {"serverRelativeURL": f"/openapi/v3{PATH}"}
    assert paths["api/v1"] == {"serverRelativeURL": "/openapi/v3/api/v1"}
    for place in paths.values():
        path = place["serverRelativeURL"].removeprefix("/openapi/v3")
        assert document(registry(), Store(), path) is not None


def test_nothing_is_described_where_nothing_is_served() -> None:
    assert document(registry(), Store(), "/apis/lab.dev/v2") is None


def test_a_custom_kind_is_described_as_it_is_defined_with_common_metadata() -> None:
    schemas = described(PATH, defined())["components"]["schemas"]
    gadget = schemas["dev.lab.v1.Gadget"]
    assert gadget["description"] == "A gadget."
    assert gadget["properties"]["spec"] == SIZE
    assert gadget[GVK] == [{"group": "lab.dev", "version": "v1", "kind": "Gadget"}]
    (reference,) = gadget["properties"]["metadata"]["allOf"]
    meta = schemas[reference["$ref"].removeprefix("#/components/schemas/")]
    assert {"name", "namespace", "labels", "annotations"} <= set(meta["properties"])
    assert meta["properties"]["labels"]["additionalProperties"] == {"type": "string"}
    for name in ("apiVersion", "kind"):
        assert gadget["properties"][name]["type"] == "string"


def test_a_custom_kind_without_its_definition_is_some_object() -> None:
    gadget = described(PATH, Store())["components"]["schemas"]["dev.lab.v1.Gadget"]
    assert gadget["type"] == "object"
    assert set(gadget["properties"]) == {"apiVersion", "kind", "metadata"}


def test_built_in_kinds_are_told_in_outline() -> None:
    schemas = described("/api/v1", Store())["components"]["schemas"]
    pod, event = schemas["io.k8s.api.core.v1.Pod"], schemas["io.k8s.api.core.v1.Event"]
    assert pod[GVK] == [{"group": "", "version": "v1", "kind": "Pod"}]
    assert set(pod["properties"]) == {"apiVersion", "kind", "metadata", "spec", "status"}
    assert set(event["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
    assert pod["properties"]["spec"]["x-kubernetes-preserve-unknown-fields"] is True


def actions(paths: dict[str, Any], path: str) -> dict[str, str]:
    return {method: each["x-kubernetes-action"] for method, each in paths[path].items()}


def test_paths_tell_what_can_be_done_there() -> None:
    paths = described(PATH, defined())["paths"]
    collection = f"{PATH}/namespaces/{{namespace}}/gadgets"
    assert set(paths) == {collection, f"{collection}/{{name}}"}
    assert actions(paths, collection) == {"get": "list", "post": "create"}
    item = {"get": "get", "put": "put", "patch": "patch", "delete": "delete"}
    assert actions(paths, f"{collection}/{{name}}") == item
    assert paths[collection]["post"][GVK]["kind"] == "Gadget"


def test_cluster_wide_kinds_have_no_namespace_and_reviews_no_items() -> None:
    core = described("/api/v1", Store())["paths"]
    assert "/api/v1/nodes/{name}" in core
    assert f"/api/v1/namespaces/{{namespace}}/{PODS.plural}/{{name}}" in core
    path = f"/apis/{SELF_SUBJECT_REVIEWS.api_version}"
    reviews = described(path, Store())["paths"]
    assert [*reviews] == [f"{path}/{SELF_SUBJECT_REVIEWS.plural}"]


def test_only_writes_take_the_options_by_which_kubectl_leaves_checks_to_the_server() -> None:
    operations = described(PATH, defined())["paths"].values()
    for methods in operations:
        for method, operation in methods.items():
            names = [each["name"] for each in operation["parameters"]]
            is_write = method in ("post", "put", "patch")
            assert names == (["dryRun", "fieldManager", "fieldValidation"] if is_write else [])
            assert operation["responses"]["200"]["description"] == "OK"
