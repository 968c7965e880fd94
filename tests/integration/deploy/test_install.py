"""Helm itself installs, upgrades, rolls back and removes the chart, on the simulated cluster."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import helm_python
import httpx
import pytest
import yaml

from services.lab.cluster.cluster import ClusterSettings
from services.lab.cluster.kubeconfig import make_kubeconfig
from tests.unit.deploy.chart import CHART, secret_of
from tests.unit.deploy.chart_values import EXTERNAL
from tests.unit.lab.cluster.background_cluster import BackgroundCluster

pytestmark = pytest.mark.integration

NAMESPACE = "harmony-system"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ABSENT = (
    ("networking.k8s.io", "NetworkPolicy", "networkpolicies"),
    ("batch", "Job", "jobs"),
)
"""Kinds of the chart that the simulated cluster does not run; it keeps them as it is told."""
NO_SCHEMA = b"\x0a\x032.0"  # an OpenAPI document in protobuf that describes nothing
OPENAPI = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
PASSED_ON = {"content-type", "accept", "user-agent"}
# The hook before an upgrade waits for a Job to run, and nothing runs Jobs here.
NO_HOOK: dict[str, Any] = {"crds": {"upgrade": False}}


def kept(group: str, kind: str, plural: str) -> dict[str, Any]:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": plural, "kind": kind}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": f"{plural}.{group}"}, "spec": spec}


def with_openapi(cluster: httpx.Client) -> type[BaseHTTPRequestHandler]:
    """A door to the cluster that answers Helm's question for its OpenAPI document, too."""

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path.startswith("/openapi/v2"):
                self.reply(200, OPENAPI, NO_SCHEMA)
                return
            if "watch=" in self.path:  # who waits for a hook asks again, until it gives up
                with suppress(ConnectionError):
                    self.reply(404, "application/json", b"{}")
                return
            headers = {k: v for k, v in self.headers.items() if k.lower() in PASSED_ON}
            found = cluster.request(self.command, self.path, content=body, headers=headers)
            self.reply(found.status_code, found.headers["content-type"], found.content)

        def reply(self, code: int, kind: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing of each request."""

    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Door, f"do_{method}", Door.answer)
    return Door


@pytest.fixture
def cluster() -> Iterator[httpx.Client]:
    with (
        BackgroundCluster(ClusterSettings([], seed=1, start_s=1_767_571_200.0)) as running,
        httpx.Client(base_url=running.url, timeout=30) as http,
    ):
        for absent in ABSENT:
            http.post(CRDS, json=kept(*absent)).raise_for_status()
        namespace = {"metadata": {"name": NAMESPACE}}
        http.post("/api/v1/namespaces", json=namespace).raise_for_status()
        yield http


@pytest.fixture
def helm(cluster: httpx.Client, tmp_path: Path) -> Iterator[helm_python.Config]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), with_openapi(cluster))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    config = tmp_path / "kubeconfig"
    url = f"http://127.0.0.1:{server.server_port}"
    config.write_text(yaml.safe_dump(make_kubeconfig(url, "anyone")))
    with helm_python.Config(
        kubeconfig_path=config,
        namespace=NAMESPACE,
        storage_driver="memory",  # Helm's Secrets travel as protobuf
        qps=1000,
        burst_limit=1000,
    ) as helm:
        yield helm
    server.shutdown()
    server.server_close()
    thread.join()


def names(cluster: httpx.Client, path: str) -> set[str]:
    group, _, plural = path.rpartition("/")
    root = f"/apis/{group}" if "." in group or group.startswith(("apps", "batch")) else "/api/v1"
    items = (
        cluster.get(f"{root}/namespaces/{NAMESPACE}/{plural}").raise_for_status().json()["items"]
    )
    return {item["metadata"]["name"] for item in items}


def secret(cluster: httpx.Client) -> dict[str, str]:
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets/harmony"
    return secret_of(cluster.get(path).raise_for_status().json())


def migrations(cluster: httpx.Client) -> set[str]:
    return {name for name in names(cluster, "batch/v1/jobs") if "migrate" in name}


@pytest.mark.slow
def test_the_life_of_a_release(cluster: httpx.Client, helm: helm_python.Config) -> None:
    helm.install(str(CHART), "harmony", NO_HOOK, timeout=60)
    deployments = names(cluster, "apps/v1/deployments")
    assert {"harmony-admin", "harmony-operator", "harmony-worker-fit"} <= deployments
    definitions = cluster.get(CRDS).json()["items"]
    assert sum("scaling.harmony.dev" in d["metadata"]["name"] for d in definitions) == 3
    drawn, first = secret(cluster), migrations(cluster)
    assert len(first) == 1

    changed = {**NO_HOOK, "image": {"tag": "next"}, "admin": {"replicas": 3}}
    helm.upgrade(str(CHART), "harmony", changed, timeout=60)
    assert secret(cluster) == drawn, "what was drawn is kept"
    second = migrations(cluster)
    assert len(second) == 1
    assert second != first, "a new image is a new Job, and the old one goes"
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/harmony-admin"
    assert cluster.get(path).json()["spec"]["replicas"] == 3

    helm.upgrade(str(CHART), "harmony", {**changed, "ingest": {"replicas": 3}}, timeout=60)
    third = migrations(cluster)
    assert len(third) == 1
    assert third != second, "each upgrade migrates anew: one that failed runs again"

    helm.rollback("harmony", version=1, timeout=60)
    assert migrations(cluster) == first
    assert secret(cluster) == drawn

    helm.uninstall("harmony", timeout=60)
    assert names(cluster, "apps/v1/deployments") == set()
    assert secret(cluster) == drawn, "the data of Postgres stay, and so does its password"
    left = {d["metadata"]["name"] for d in cluster.get(CRDS).json()["items"]}
    assert "gpuautoscalers.scaling.harmony.dev" in left, "and with them every GPUAutoscaler"

    helm.install(str(CHART), "harmony", NO_HOOK, timeout=60)
    assert secret(cluster) == drawn, "a release of the same name takes up where it left"


@pytest.mark.slow
def test_a_rollback_begins_with_the_migration_of_what_it_goes_back_to(
    cluster: httpx.Client, helm: helm_python.Config
) -> None:
    """So an image that the schema does not serve refuses before a pod is replaced.

    Nothing runs Jobs here, so Helm waits for its end in vain.
    """
    helm.install(str(CHART), "harmony", NO_HOOK, timeout=60)
    changed, waits = {**NO_HOOK, **EXTERNAL, "image": {"tag": "next"}}, r"Job/.*-migrate not ready"
    with pytest.raises(helm_python.HelmCancelledError, match=waits):
        helm.upgrade(str(CHART), "harmony", changed, timeout=1)
    with pytest.raises(helm_python.HelmCancelledError, match=waits):
        helm.rollback("harmony", version=2, timeout=1)
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/harmony-admin"
    (container,) = cluster.get(path).json()["spec"]["template"]["spec"]["containers"]
    assert not container["image"].endswith(":next")
