"""A cluster that has Harmony's custom resources."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from services.lab.cluster.cluster import ClusterSettings
from services.operator.resource.definitions import manifests
from services.simulator.engine.specs import NodeSpec
from tests.unit.lab.cluster.background_cluster import BackgroundCluster


@pytest.fixture(scope="module")
def api() -> Iterator[httpx.Client]:
    settings = ClusterSettings([NodeSpec("h100-0", "H100", 8)], seed=1, start_s=1_767_571_200.0)
    with BackgroundCluster(settings) as cluster, httpx.Client(base_url=cluster.url) as client:
        for manifest in manifests():
            path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            client.post(path, json=manifest).raise_for_status()
        yield client
