"""Kueue on the simulated cluster, for an operator that reads it."""

from __future__ import annotations

from typing import Any

from services.lab.cluster.controllers.kueue_definitions import GROUP, definitions
from tests.integration.operator.conftest import Bench, Lab, pod_template

ROOT = f"/apis/{GROUP}/v1beta2"
GPU, PRODUCT = "nvidia.com/gpu", "nvidia.com/gpu.product"
LABEL = "kueue.x-k8s.io/queue-name"


def serve_kueue(bench: Bench) -> None:
    """Its kinds, a flavor of H100, and an operator that looks for them."""
    for definition in definitions():
        bench.lab.define(definition)
    bench.deps.settings.operator_kueue = True
    add_flavor(bench.lab)


def add_flavor(lab: Lab) -> None:
    """Nodes of H100."""
    flavor = {"metadata": {"name": "h100"}, "spec": {"nodeLabels": {PRODUCT: "H100"}}}
    lab.post(f"{ROOT}/resourceflavors", flavor)


def drop_kueue(lab: Lab) -> None:
    """Take its objects away; its kinds stay, as on any cluster."""
    lab.http.delete(f"{ROOT}/namespaces/{lab.namespace}/localqueues")
    for plural in ("clusterqueues", "resourceflavors"):
        lab.http.delete(f"{ROOT}/{plural}")


def groups(quota: int, **limits: str) -> list[dict[str, Any]]:
    resources = [{"name": GPU, "nominalQuota": str(quota), **limits}]
    return [{"coveredResources": [GPU], "flavors": [{"name": "h100", "resources": resources}]}]


def add_queue(lab: Lab, quota: int) -> None:
    """The LocalQueue `serving` of the ClusterQueue `team-a`."""
    spec = {"namespaceSelector": {}, "resourceGroups": groups(quota)}
    lab.post(f"{ROOT}/clusterqueues", {"metadata": {"name": "team-a"}, "spec": spec})
    body = {"metadata": {"name": "serving"}, "spec": {"clusterQueue": "team-a"}}
    lab.post(f"{ROOT}/namespaces/{lab.namespace}/localqueues", body)


def add_to_cohort(lab: Lab, name: str, quota: int, borrowing: int) -> None:
    """A LocalQueue and its ClusterQueue of the same name, in the cohort `all`."""
    resources = groups(quota, borrowingLimit=str(borrowing))
    spec = {"namespaceSelector": {}, "resourceGroups": resources, "cohortName": "all"}
    lab.post(f"{ROOT}/clusterqueues", {"metadata": {"name": name}, "spec": spec})
    body = {"metadata": {"name": name}, "spec": {"clusterQueue": name}}
    lab.post(f"{ROOT}/namespaces/{lab.namespace}/localqueues", body)


def set_quota(lab: Lab, quota: int) -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    body = {"spec": {"resourceGroups": groups(quota)}}
    path = f"{ROOT}/clusterqueues/team-a"
    assert lab.http.patch(path, json=body, headers=headers).status_code == 200


def deploy_queued(
    lab: Lab, name: str, replicas: int, gpus: int = 1, queue: str = "serving"
) -> None:
    """A Deployment whose pods, of 40 seconds, are sent to a queue."""
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {LABEL: queue}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": pod_template(name, gpus, is_warm=False),
        },
    }
    lab.post(f"/apis/apps/v1/namespaces/{lab.namespace}/deployments", body)
