"""A cluster that has Harmony's custom resources."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
import yaml

from services.lab.cluster.cluster import ClusterSettings
from services.operator.resource.definitions import rendered
from services.simulator.engine.specs import NodeSpec
from tests.unit.lab.cluster.background_cluster import BackgroundCluster


@pytest.fixture(scope="module")
def api() -> Iterator[httpx.Client]:
    settings = ClusterSettings([NodeSpec("h100-0", "H100", 8)], seed=1, start_s=1_767_571_200.0)
    with BackgroundCluster(settings) as cluster, httpx.Client(base_url=cluster.url) as client:
        for text in rendered().values():
            path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            client.post(path, json=yaml.safe_load(text)).raise_for_status()
        yield client
