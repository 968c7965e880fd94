"""An API server that knows our definitions and the namespace of the examples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from services.lab.cluster.cluster import ClusterSettings
from services.operator.resource.definitions import DEFINITIONS, to_crd
from tests.unit.lab.cluster.background_cluster import BackgroundCluster


@contextmanager
def api_server() -> Iterator[httpx.Client]:
    settings = ClusterSettings([], seed=1, start_s=1_767_571_200.0)
    with (
        BackgroundCluster(settings) as cluster,
        httpx.Client(base_url=cluster.url, timeout=120) as client,
    ):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "serving"}}
        client.post("/api/v1/namespaces", json=namespace).raise_for_status()
        for definition in DEFINITIONS:
            crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            client.post(crds, json=to_crd(definition)).raise_for_status()
        yield client
