"""The fleet that the operator is measured on: GPUAutoscalers with Deployments and pods."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx

from services.operator.resource.definitions import DEFINITIONS, to_crd

GROUP_PATH = "/apis/scaling.harmony.dev/v1alpha1"
N_PODS_EACH = 2
_PER_NAMESPACE = 100
_GPUS_PER_NODE = 8
_N_WRITERS = 4
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Name(NamedTuple):
    """Name of an object, within its namespace."""

    namespace: str
    name: str


def names(n: int) -> list[Name]:
    """Namespaces and names of `n` services, a hundred in each namespace."""
    return [Name(f"team-{i // _PER_NAMESPACE:03d}", f"llm-{i:05d}") for i in range(n)]


def node_pool(n: int) -> str:
    """Nodes for every service with as many pods again, as the cluster's command line has it."""
    return f"H100={max(2, -(-2 * N_PODS_EACH * n // _GPUS_PER_NODE))}x{_GPUS_PER_NODE}"


def deployment(name: Name) -> dict[str, Any]:
    """A Deployment whose pods need a GPU each and are ready from the start."""
    labels = {"app": name.name}
    annotations = {
        "lab.harmony.dev/startup-median": "5s",
        "lab.harmony.dev/start-warm": "true",
    }
    container = {
        "name": "server",
        "image": "example.test/llm:1",
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name.name, "namespace": name.namespace},
        "spec": {
            "replicas": N_PODS_EACH,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": {"containers": [container]},
            },
        },
    }


def autoscaler(name: Name) -> dict[str, Any]:
    """A GPUAutoscaler in mode `Auto`."""
    return {
        "apiVersion": "scaling.harmony.dev/v1alpha1",
        "kind": "GPUAutoscaler",
        "metadata": {"name": name.name, "namespace": name.namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name.name},
            "mode": "Auto",
            "minReplicas": 1,
            "maxReplicas": 12,
            "gpuType": "H100",
            "gpusPerReplica": 1,
            "sla": {"risk": {"epsilon": "0.01", "kind": "TimeFraction", "window": "28d"}},
            "demand": "output_tokens_per_s",
            "indicators": [
                {"name": "output_tokens_per_s", "level": 1, "unit": "tokens/s"},
                {"name": "queue_requests", "level": 2, "unit": "requests"},
            ],
            "capacity": {"perReplica": "2400", "cv": "0.1"},
            "leadTime": {"median": "3m"},
            "cost": {"perGpuHour": "2.50"},
        },
    }


def create(url: str, fleet: Sequence[Name]) -> None:
    """Create definitions, namespaces, Deployments and GPUAutoscalers.

    Raises:
        httpx.HTTPStatusError: The cluster refused one.
    """
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:

        def post(path: str, body: dict[str, Any]) -> None:
            http.post(path, json=body).raise_for_status()

        def add(name: Name) -> None:
            post(f"/apis/apps/v1/namespaces/{name.namespace}/deployments", deployment(name))
            post(f"{GROUP_PATH}/namespaces/{name.namespace}/gpuautoscalers", autoscaler(name))

        for definition in DEFINITIONS:
            post(_CRDS, to_crd(definition))
        for namespace in sorted({name.namespace for name in fleet}):
            post("/api/v1/namespaces", {"metadata": {"name": namespace}})
        with ThreadPoolExecutor(_N_WRITERS) as pool:
            for done in [pool.submit(add, name) for name in fleet]:
                done.result()
