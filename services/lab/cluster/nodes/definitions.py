"""The definitions of NodePool, NodeClaim and CapacityBuffer that the laboratory offers.

They follow Karpenter's `karpenter.sh/v1` in the fields that a reader of pools needs, and SIG
Autoscaling's `autoscaling.x-k8s.io`; what they leave out is kept as it is written.
"""

from __future__ import annotations

from typing import Any

GROUP, VERSION = "karpenter.sh", "v1"
POOLS, CLAIMS = "nodepools", "nodeclaims"
BUFFER_GROUP, BUFFER_VERSIONS = "autoscaling.x-k8s.io", ("v1beta1", "v1alpha1")
BUFFERS = "capacitybuffers"
_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_TEXT = {"type": "string"}
_QUANTITIES = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": True,
    },
}
_REQUIREMENT = {
    "type": "object",
    "required": ["key", "operator"],
    "properties": {
        "key": {"type": "string", "maxLength": 316},
        "operator": {
            "type": "string",
            "enum": ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"],
        },
        "values": {"type": "array", "items": _TEXT},
        "minValues": {"type": "integer", "minimum": 1, "maximum": 50},
    },
}
_TAINT = {
    "type": "object",
    "required": ["key", "effect"],
    "properties": {
        "key": _TEXT,
        "value": _TEXT,
        "effect": {"type": "string", "enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
    },
}
_CONDITIONS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["type", "status", "lastTransitionTime", "reason", "message"],
        "properties": {
            "type": _TEXT,
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "reason": _TEXT,
            "message": _TEXT,
            "observedGeneration": {"type": "integer"},
        },
    },
}
_NODE = {
    "type": "object",
    "required": ["requirements"],
    "properties": {
        "requirements": {"type": "array", "maxItems": 100, "items": _REQUIREMENT},
        "nodeClassRef": _ANYTHING,
        "taints": {"type": "array", "items": _TAINT},
        "startupTaints": {"type": "array", "items": _TAINT},
        "expireAfter": _TEXT,
        "terminationGracePeriod": _TEXT,
    },
}
_POOL_SPEC = {
    "type": "object",
    "required": ["template"],
    "properties": {
        "template": {
            "type": "object",
            "required": ["spec"],
            "properties": {
                "metadata": {
                    "type": "object",
                    "properties": {
                        "labels": {"type": "object", "additionalProperties": _TEXT},
                        "annotations": {"type": "object", "additionalProperties": _TEXT},
                    },
                },
                "spec": _NODE,
            },
        },
        "limits": _QUANTITIES,
        "weight": {"type": "integer", "minimum": 1, "maximum": 100},
        "replicas": {"type": "integer", "minimum": 0},
        "disruption": {
            "type": "object",
            "properties": {
                "consolidateAfter": _TEXT,
                "consolidationPolicy": {
                    "type": "string",
                    "enum": ["WhenEmpty", "WhenEmptyOrUnderutilized"],
                },
                "budgets": {"type": "array", "items": _ANYTHING},
            },
        },
    },
}
_POOL_STATUS = {
    "type": "object",
    "properties": {"resources": _QUANTITIES, "conditions": _CONDITIONS},
}
_CLAIM_SPEC = {
    "type": "object",
    "properties": {**_NODE["properties"], "resources": _ANYTHING},  # type: ignore[dict-item]
}
_CLAIM_STATUS = {
    "type": "object",
    "properties": {
        "capacity": _QUANTITIES,
        "allocatable": _QUANTITIES,
        "nodeName": _TEXT,
        "providerID": _TEXT,
        "imageID": _TEXT,
        "conditions": _CONDITIONS,
    },
}
_NAMED = {"type": "object", "required": ["name"], "properties": {"name": _TEXT}}
_COUNT = {"type": "integer", "format": "int32", "minimum": 0}
_BUFFER_SPEC = {
    "type": "object",
    "properties": {
        "provisioningStrategy": {**_TEXT, "default": "buffer.x-k8s.io/active-capacity"},
        "podTemplateRef": _NAMED,
        "scalableRef": _ANYTHING,
        "replicas": _COUNT,
        "percentage": _COUNT,
        "limits": _QUANTITIES,
    },
}
_BUFFER_STATUS = {
    "type": "object",
    "properties": {
        "podTemplateRef": _NAMED,
        "podTemplateGeneration": {"type": "integer", "format": "int64"},
        "replicas": _COUNT,
        "provisioningStrategy": _TEXT,
        "conditions": _CONDITIONS,
    },
}


def definitions() -> list[dict[str, Any]]:
    """The CustomResourceDefinitions of pools and claims."""
    return [
        _definition(GROUP, ("nodepools", "NodePool"), _version(_POOL_SPEC, _POOL_STATUS)),
        _definition(GROUP, ("nodeclaims", "NodeClaim"), _version(_CLAIM_SPEC, _CLAIM_STATUS)),
    ]


def buffer_definition(version: str = BUFFER_VERSIONS[0]) -> dict[str, Any]:
    """The CustomResourceDefinition of buffers, in one version."""
    schema = _version(_BUFFER_SPEC, _BUFFER_STATUS, version)
    found = _definition(BUFFER_GROUP, (BUFFERS, "CapacityBuffer"), schema)
    own = {"scope": "Namespaced", "names": {"plural": BUFFERS, "kind": "CapacityBuffer"}}
    return {**found, "spec": found["spec"] | own}


def _version(spec: dict[str, Any], status: dict[str, Any], name: str = VERSION) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": spec, "status": status}}
    return {
        "name": name,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }


def _definition(group: str, names: tuple[str, str], version: dict[str, Any]) -> dict[str, Any]:
    """A definition of a kind, by its plural and its name."""
    plural, kind = names
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": {"plural": plural, "kind": kind, "categories": ["karpenter"]},
            "versions": [version],
        },
    }
