"""The definitions of Kueue's queues and flavors that the laboratory offers.

They follow kubernetes-sigs/kueue, config/components/crd/bases, in the fields that queueing goes by;
what they leave out is kept as it is written. A test compares them with an excerpt of those.
"""

from __future__ import annotations

from typing import Any

GROUP, VERSIONS = "kueue.x-k8s.io", ("v1beta2", "v1beta1")
LOCAL_QUEUES, CLUSTER_QUEUES, FLAVORS = "localqueues", "clusterqueues", "resourceflavors"
_COHORT = {"v1beta2": "cohortName", "v1beta1": "cohort"}
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "format": "int32"}
_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_QUANTITY = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
}
_STOP = {"type": "string", "enum": ["None", "Hold", "HoldAndDrain"], "default": "None"}
_CONDITIONS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["lastTransitionTime", "message", "reason", "status", "type"],
        "properties": {
            "type": _TEXT,
            "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
            "lastTransitionTime": {"type": "string", "format": "date-time"},
            "reason": {"type": "string", "minLength": 1},
            "message": _TEXT,
            "observedGeneration": {"type": "integer", "format": "int64"},
        },
    },
}
_COUNTS = {
    "pendingWorkloads": _COUNT,
    "reservingWorkloads": _COUNT,
    "admittedWorkloads": _COUNT,
    "conditions": _CONDITIONS,
}


def _named(required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["name", *required],
            "properties": {"name": _TEXT, **properties},
        },
    }


_LIMITS = {"borrowingLimit": _QUANTITY, "lendingLimit": _QUANTITY}
_QUOTAS = _named(["nominalQuota"], nominalQuota=_QUANTITY, **_LIMITS)
_USAGE = _named(["resources"], resources=_named([], total=_QUANTITY, borrowed=_QUANTITY))
_GROUPS = {
    "type": "array",
    "maxItems": 16,
    "items": {
        "type": "object",
        "required": ["coveredResources", "flavors"],
        "properties": {
            "coveredResources": {"type": "array", "minItems": 1, "items": _TEXT},
            "flavors": _named(["resources"], resources=_QUOTAS),
        },
    },
}
_TAINT = {
    "type": "object",
    "required": ["effect", "key"],
    "properties": {"effect": _TEXT, "key": _TEXT, "value": _TEXT},
}
_FLAVOR_SPEC = {
    "type": "object",
    "properties": {
        "nodeLabels": {"type": "object", "maxProperties": 8, "additionalProperties": _TEXT},
        "nodeTaints": {"type": "array", "maxItems": 8, "items": _TAINT},
        "tolerations": {"type": "array", "maxItems": 8, "items": _ANYTHING},
    },
}
_LOCAL_SPEC = {"type": "object", "properties": {"clusterQueue": _TEXT, "stopPolicy": _STOP}}


def definitions(version: str = VERSIONS[0]) -> list[dict[str, Any]]:
    """The CustomResourceDefinitions of queues and flavors, in one version."""
    cluster_spec = {
        "type": "object",
        "properties": {
            "resourceGroups": _GROUPS,
            _COHORT[version]: _TEXT,
            "namespaceSelector": _ANYTHING,
            "queueingStrategy": {"type": "string", "enum": ["StrictFIFO", "BestEffortFIFO"]},
            "stopPolicy": _STOP,
        },
    }
    usage = {"flavorsReservation": _USAGE, "flavorsUsage": _USAGE}
    return [
        _definition(version, ("Namespaced", LOCAL_QUEUES, "LocalQueue"), _LOCAL_SPEC, _COUNTS),
        _definition(
            version, ("Cluster", CLUSTER_QUEUES, "ClusterQueue"), cluster_spec, _COUNTS | usage
        ),
        _definition(version, ("Cluster", FLAVORS, "ResourceFlavor"), _FLAVOR_SPEC, None),
    ]


def _definition(
    version: str,
    names: tuple[str, str, str],
    spec: dict[str, Any],
    status: dict[str, Any] | None,
) -> dict[str, Any]:
    """A definition of a kind, by its scope, its plural and its name."""
    scope, plural, kind = names
    parts = {"spec": spec}
    if status is not None:
        parts["status"] = {"type": "object", "properties": status}
    served: dict[str, Any] = {
        "name": version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": parts}},
    }
    if status is not None:
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
