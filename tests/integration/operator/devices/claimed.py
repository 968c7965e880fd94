"""Dynamic resource allocation on the simulated cluster, for an operator that reads it."""

from __future__ import annotations

from typing import Any

from services.lab.cluster.controllers.claim_definitions import GROUP, definitions
from tests.integration.operator.conftest import Bench, Lab, pod_template
from tests.unit.operator.allocation import device, device_class, request, resource_slice, template

PLURALS = {"resourceslices", "deviceclasses", "resourceclaims", "resourceclaimtemplates"}


def serve_devices(bench: Bench, n_nodes: int = 2, devices: int = 4) -> None:
    """Its kinds, NVIDIA's class, nodes with so many H100 each, and an operator that looks."""
    for definition in definitions():
        bench.lab.define(definition)
    bench.deps.settings.operator_dra = True
    add_devices(bench.lab, n_nodes, devices)


def add_devices(lab: Lab, n_nodes: int = 1, devices: int = 4) -> None:
    root = f"/apis/{GROUP}/v1"
    lab.post(f"{root}/deviceclasses", device_class())
    for n in range(n_nodes):
        name = f"dra-{n}"
        labels = {"kubernetes.io/hostname": name, "dra": "true"}
        lab.post("/api/v1/nodes", {"metadata": {"name": name, "labels": labels}})
        published = [device(f"gpu-{i}") for i in range(devices)]
        lab.post(f"{root}/resourceslices", resource_slice(name, published))


def drop_devices(lab: Lab) -> None:
    """Take nodes, devices and templates away; the kinds stay, as on any cluster."""
    lab.http.delete(f"/apis/apps/v1/namespaces/{lab.namespace}/deployments")
    for plural in ("resourceslices", "deviceclasses"):
        lab.http.delete(f"/apis/{GROUP}/v1/{plural}")
    lab.http.delete(f"/apis/{GROUP}/v1/namespaces/{lab.namespace}/resourceclaimtemplates")
    for node in lab.http.get("/api/v1/nodes", params={"labelSelector": "dra=true"}).json()["items"]:
        lab.http.delete(f"/api/v1/nodes/{node['metadata']['name']}")


def add_template(lab: Lab, name: str, *requests: dict[str, Any]) -> None:
    body = template(name, *(requests or (request(),)))
    body["metadata"].pop("namespace")
    path = f"/apis/{GROUP}/v1/namespaces/{lab.namespace}/resourceclaimtemplates"
    lab.post(path, body)


def deploy_claiming(lab: Lab, name: str, replicas: int, claims: str = "one") -> None:
    """A Deployment whose pods, of 40 seconds, claim what a template says."""
    pods = pod_template(name, 0)
    spec = pods["spec"]
    spec["containers"][0]["resources"] = {"claims": [{"name": "gpu"}]}
    spec["nodeSelector"] = {"dra": "true"}
    spec["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": claims}]
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": pods,
        },
    }
    lab.post(f"/apis/apps/v1/namespaces/{lab.namespace}/deployments", body)
