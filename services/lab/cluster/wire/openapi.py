"""OpenAPI v3: what kubectl reads before it sends a manifest, and what `kubectl explain` shows.

Custom resources are described as their definitions describe them. Of the built-in kinds only the
outline is told: their fields are documented by every real cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.lab.cluster.storage.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    Obj,
    Registry,
    ResourceType,
)
from services.lab.cluster.storage.store import Store
from services.lab.cluster.wire.discovery import VERSION

ROOT = "/openapi/v3"
_GVK = "x-kubernetes-group-version-kind"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_METADATA = {
    "description": "Name, namespace, labels and annotations.",
    "allOf": [{"$ref": f"#/components/schemas/{_META}"}],
    "default": {},
}
_OUTLINE = "The simulated cluster keeps no documentation of this part; a real cluster has it."
_API_VERSION = {"type": "string", "description": "Version of the kind's schema."}
_KIND = {"type": "string", "description": "Kind of the object."}
_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}


def versions(registry: Registry) -> Obj:
    """Answer of `/openapi/v3`: where each API version is described."""
    paths = dict.fromkeys(_base(rtype) for rtype in registry)
    return {"paths": {path[1:]: {"serverRelativeURL": f"{ROOT}{path}"} for path in paths}}


def document(registry: Registry, store: Store, path: str) -> Obj | None:
    """Answer of `/openapi/v3/apis/GROUP/VERSION`; None where nothing is served there."""
    found = [rtype for rtype in registry if _base(rtype) == path]
    if not found:
        return None
    schemas = {_schema_name(rtype): _schema(store, rtype) for rtype in found}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
        "paths": dict(entry for rtype in found for entry in _paths(rtype)),
        "components": {"schemas": {_META: _object_meta(), **schemas}},
    }


def _base(rtype: ResourceType) -> str:
    return f"/apis/{rtype.api_version}" if rtype.group else f"/api/{rtype.version}"


def _gvk(rtype: ResourceType) -> dict[str, str]:
    return {"group": rtype.group, "version": rtype.version, "kind": rtype.kind}


def _schema_name(rtype: ResourceType) -> str:
    reverse = ".".join(reversed(rtype.group.split("."))) if rtype.group else "io.k8s.api.core"
    return f"{reverse}.{rtype.version}.{rtype.kind}"


def _paths(rtype: ResourceType) -> Iterator[tuple[str, Obj]]:
    where = "/namespaces/{namespace}" if rtype.is_namespaced else ""
    collection = f"{_base(rtype)}{where}/{rtype.plural}"
    writes = {"post": "create"} if "create" in rtype.verbs else {}
    yield collection, _operations(rtype, {"get": "list"} | writes)
    if "get" in rtype.verbs:
        item = {"get": "get", "put": "put", "patch": "patch", "delete": "delete"}
        yield f"{collection}/{{name}}", _operations(rtype, item)


def _operations(rtype: ResourceType, actions: dict[str, str]) -> Obj:
    return {
        method: {
            _GVK: _gvk(rtype),
            "x-kubernetes-action": action,
            "parameters": [] if method in ("get", "delete") else _write_options(),
            "responses": {"200": {"description": "OK"}},
        }
        for method, action in actions.items()
    }


def _write_options() -> list[Obj]:
    """With `fieldValidation` among them kubectl leaves the validation to the server."""
    names = ("dryRun", "fieldManager", "fieldValidation")
    return [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]


def _schema(store: Store, rtype: ResourceType) -> Obj:
    found = _defined(store, rtype) if rtype.is_custom else _outline(rtype)
    head = {"apiVersion": _API_VERSION, "kind": _KIND, "metadata": _METADATA}
    properties = {**(found.get("properties") or {}), **head}
    return {**found, "properties": properties, _GVK: [_gvk(rtype)]}


def _defined(store: Store, rtype: ResourceType) -> Obj:
    name = f"{rtype.plural}.{rtype.group}"
    definition = store.get(CUSTOM_RESOURCE_DEFINITIONS, "", name) or {"spec": {"versions": []}}
    for version in definition["spec"]["versions"]:
        if version["name"] == rtype.version:
            found: Any = version["schema"]["openAPIV3Schema"]
            return dict(found)
    return {"type": "object"}


def _outline(rtype: ResourceType) -> Obj:
    part: Obj = {"type": "object", "description": _OUTLINE}
    part["x-kubernetes-preserve-unknown-fields"] = True
    parts = {"spec": part} | ({"status": part} if rtype.has_status else {})
    return {"type": "object", "description": _OUTLINE, "properties": parts}


def _object_meta() -> Obj:
    return {
        "type": "object",
        "description": "Metadata that every object has.",
        "properties": {
            "name": {"type": "string", "description": "Unique in its namespace."},
            "namespace": {"type": "string", "description": "The namespace of the object."},
            "labels": {**_STRINGS, "description": "Names and values that selectors match."},
            "annotations": {**_STRINGS, "description": "Names and values that tools keep."},
            "generation": {"type": "integer", "description": "Counts changes of the spec."},
        },
    }
