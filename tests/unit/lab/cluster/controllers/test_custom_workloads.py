"""Custom kinds that run a Deployment."""

from __future__ import annotations

from typing import Any

from services.lab.cluster.controllers.custom_workloads import CONTROLLER_ANNOTATION
from tests.unit.lab.cluster.running_cluster import RunningCluster, template


def pool_definition() -> dict[str, Any]:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "properties": {"spec": anything, "status": anything},
            }
        },
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.servers",
                "statusReplicasPath": ".status.servers",
                "labelSelectorPath": ".status.selector",
            },
        },
    }
    return {
        "metadata": {
            "name": "pools.example.dev",
            "annotations": {CONTROLLER_ANNOTATION: "deployment"},
        },
        "spec": {
            "group": "example.dev",
            "scope": "Namespaced",
            "names": {"plural": "pools", "kind": "Pool"},
            "versions": [version],
        },
    }


def test_a_custom_kind_runs_a_deployment() -> None:
    cluster = RunningCluster()
    kind = cluster.define(pool_definition())
    cluster.create(kind, "x", {"servers": 2, "template": template()})
    cluster.wait(10)
    assert cluster.get(kind, "x")["status"] == {"servers": 2, "selector": "app=x"}
    cluster.change(kind, "x", "spec.servers", 3)
    assert len(cluster.pods()) == 3
    cluster.delete(kind, "x")
    assert cluster.pods() == {}
