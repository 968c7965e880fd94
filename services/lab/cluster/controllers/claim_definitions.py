"""The kinds of dynamic resource allocation that the laboratory offers, in one of their versions.

On a real server they are built in (kubernetes/kubernetes, staging/src/k8s.io/api/resource); here
they are defined where they are wanted, since older servers have none. What the definitions leave
out is kept as it is written. A test holds objects against the schemas of Kubernetes itself.
"""

from __future__ import annotations

from typing import Any

GROUP, VERSIONS = "resource.k8s.io", ("v1", "v1beta2", "v1beta1")
CLASSES, SLICES = "deviceclasses", "resourceslices"
CLAIMS, TEMPLATES = "resourceclaims", "resourceclaimtemplates"
_TEXT = {"type": "string"}
_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_SELECTORS = {
    "type": "array",
    "maxItems": 32,
    "items": {
        "type": "object",
        "properties": {
            "cel": {
                "type": "object",
                "required": ["expression"],
                "properties": {"expression": {"type": "string", "maxLength": 10240}},
            }
        },
    },
}
_EXACT = {
    "deviceClassName": _TEXT,
    "selectors": _SELECTORS,
    "allocationMode": {"type": "string", "enum": ["ExactCount", "All"], "default": "ExactCount"},
    "count": {"type": "integer", "format": "int64", "minimum": 1},
    "adminAccess": {"type": "boolean"},
}
_RESULT = {
    "type": "object",
    "required": ["request", "driver", "pool", "device"],
    "properties": dict.fromkeys(("request", "driver", "pool", "device"), _TEXT),
}
_ALLOCATION = {
    "type": "object",
    "properties": {
        "devices": {
            "type": "object",
            "properties": {"results": {"type": "array", "items": _RESULT}},
        },
        "nodeSelector": _ANYTHING,
    },
}
_CLAIM_STATUS = {
    "type": "object",
    "properties": {
        "allocation": _ALLOCATION,
        "reservedFor": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["resource", "name", "uid"],
                "properties": dict.fromkeys(("apiGroup", "resource", "name", "uid"), _TEXT),
            },
        },
    },
}
_SLICE_SPEC = {
    "type": "object",
    "required": ["driver", "pool"],
    "properties": {
        "driver": _TEXT,
        "nodeName": _TEXT,
        "allNodes": {"type": "boolean"},
        "pool": {
            "type": "object",
            "required": ["name", "generation", "resourceSliceCount"],
            "properties": {
                "name": _TEXT,
                "generation": {"type": "integer", "format": "int64"},
                "resourceSliceCount": {"type": "integer", "format": "int64", "minimum": 1},
            },
        },
        "devices": {"type": "array", "maxItems": 128, "items": _ANYTHING},
    },
}


def definitions(version: str = VERSIONS[0]) -> list[dict[str, Any]]:
    """The CustomResourceDefinitions that stand for the built-in kinds, in one version."""
    claim = {"type": "object", "properties": {"devices": _devices(version)}}
    template = {
        "type": "object",
        "required": ["spec"],
        "properties": {"metadata": _ANYTHING, "spec": claim},
    }
    of_class = {"type": "object", "properties": {"selectors": _SELECTORS, "config": _list()}}
    return [
        _definition(version, ("Cluster", CLASSES, "DeviceClass"), {"spec": of_class}),
        _definition(version, ("Cluster", SLICES, "ResourceSlice"), {"spec": _SLICE_SPEC}),
        _definition(
            version, ("Namespaced", TEMPLATES, "ResourceClaimTemplate"), {"spec": template}
        ),
        _definition(
            version,
            ("Namespaced", CLAIMS, "ResourceClaim"),
            {"spec": claim, "status": _CLAIM_STATUS},
        ),
    ]


def _devices(version: str) -> dict[str, Any]:
    request: dict[str, Any] = {"name": _TEXT, "firstAvailable": _list()}
    if version == "v1beta1":
        request |= _EXACT
    else:
        request["exactly"] = {
            "type": "object",
            "required": ["deviceClassName"],
            "properties": _EXACT,
        }
    items = {"type": "object", "required": ["name"], "properties": request}
    requests = {"type": "array", "maxItems": 32, "items": items}
    parts = {"requests": requests, "constraints": _list(), "config": _list()}
    return {"type": "object", "properties": parts}


def _list() -> dict[str, Any]:
    return {"type": "array", "items": _ANYTHING}


def _definition(version: str, names: tuple[str, str, str], parts: dict[str, Any]) -> dict[str, Any]:
    """A definition of a kind, by its scope, its plural and its name."""
    scope, plural, kind = names
    served: dict[str, Any] = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": parts}},
    }
    if "status" in parts:
        served["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {"plural": plural, "kind": kind},
            "versions": [served],
        },
    }
