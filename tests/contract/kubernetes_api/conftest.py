"""What Harmony relies on in a Kubernetes API server, as one suite.

It runs against the simulated cluster always, and against a real one when KUBECONFIG is set. The
numbers in the names are those of the project's list of Kubernetes facts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import kubernetes
import pytest
from kubernetes import client, config

from services.lab.cluster.cluster import ClusterSettings
from services.simulator.engine.engine import NodeSpec
from tests.contract.kubernetes_api.cluster_under_test import (
    DEFINITIONS,
    GROUP,
    ClusterUnderTest,
    definition,
    lab_start,
    raw_client,
)
from tests.unit.lab.cluster.background_cluster import BackgroundCluster


def kubeconfigs() -> list[str]:
    given = os.environ.get("KUBECONFIG")
    return ["lab", given] if given else ["lab"]


# One cluster for all files, so that a real one takes the suite's definition only once.
@pytest.fixture(
    scope="session", params=kubeconfigs(), ids=lambda p: "lab" if p == "lab" else "real"
)
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterUnderTest]:
    if request.param != "lab":
        yield from _prepared(Path(request.param), None)
        return
    settings = ClusterSettings(
        nodes=[NodeSpec("h100-0", "H100", 4), NodeSpec("h100-1", "H100", 4)],
        seed=7,
        start_s=lab_start().timestamp(),
        admin_token="conformance-admin",
        watch_log=200,
    )
    with BackgroundCluster(settings) as running:
        path = running.write_kubeconfig(tmp_path_factory.mktemp("kube") / "config")
        yield from _prepared(path, lab_start())


def _prepared(kubeconfig: Path, start: datetime | None) -> Iterator[ClusterUnderTest]:
    configuration = client.Configuration()
    config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    with (
        raw_client(configuration) as http,
        kubernetes.client.ApiClient(configuration) as api_client,
    ):
        under_test = ClusterUnderTest(http, api_client, start)
        under_test.namespace = under_test.name("conformance")
        namespace = {"metadata": {"name": under_test.namespace}}
        under_test.do("POST", "/api/v1/namespaces", namespace)
        try:
            yield under_test
        finally:
            http.delete(f"/api/v1/namespaces/{under_test.namespace}")
            http.delete(f"{DEFINITIONS}/gadgets.{GROUP}")
            under_test.without_credentials.close()


@pytest.fixture(scope="session")
def gadgets(cluster: ClusterUnderTest) -> ClusterUnderTest:
    """The cluster with the custom resource of the suite in it."""
    cluster.call("DELETE", f"{DEFINITIONS}/gadgets.{GROUP}")
    cluster.eventually(
        lambda: cluster.call("GET", f"{DEFINITIONS}/gadgets.{GROUP}").status_code == 404
    )
    cluster.do("POST", DEFINITIONS, definition())
    cluster.eventually(lambda: cluster.call("GET", cluster.gadgets()).status_code == 200)
    return cluster
