"""Harmony's operator against the cluster under test, with what a test needs around it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import kubernetes
from kubernetes import client

from services.kernel.settings import Settings
from services.operator.kube.client import KubeClient
from services.operator.reconcile.memory import OperatorDeps
from services.operator.resource.definitions import DEFINITIONS as CUSTOM, to_crd
from services.operator.resource.rights import FURTHER_RIGHTS, OWN_NAMESPACE_RIGHTS, RIGHTS
from services.operator.wire.http import KubeHttp
from tests.contract.kubernetes_api.cluster_under_test import (
    DEFINITIONS,
    MERGE,
    ClusterUnderTest,
    Obj,
)
from tests.integration.operator.conftest import EAGER, Bench, autoscaler_spec

GROUP = "/apis/scaling.harmony.dev/v1alpha1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@dataclass
class ClusterClock:
    """The cluster's time."""

    cluster: ClusterUnderTest

    def now(self) -> datetime:
        return self.cluster.now()


@dataclass
class Operating:
    """One operator; every call of it is a pass of its own."""

    cluster: ClusterUnderTest
    bench: Bench

    def path(self, name: str = "", sub: str = "") -> str:
        base = f"{GROUP}/namespaces/{self.cluster.namespace}/gpuautoscalers"
        return "/".join(part for part in (base, name, sub) if part)

    def autoscale(self, name: str, **spec: Any) -> Obj:
        body = {
            "apiVersion": "scaling.harmony.dev/v1alpha1",
            "kind": "GPUAutoscaler",
            "metadata": {"name": name},
            "spec": autoscaler_spec(name, **spec),
        }
        return self.cluster.do("POST", self.path(), body)

    def annotate(self, name: str, annotations: dict[str, str | None]) -> None:
        body = {"metadata": {"annotations": annotations}}
        self.cluster.do("PATCH", self.path(name), body, media_type=MERGE)

    def status(self, name: str) -> Obj:
        found = self.cluster.do("GET", self.path(name)).get("status")
        return found or {}

    def condition(self, name: str, kind: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        found = {c["type"]: c for c in self.status(name).get("conditions") or ()}
        return found.get(kind, {}).get("status", ""), found.get(kind, {}).get("reason", "")

    def replicas(self, name: str) -> int:
        return int(
            self.cluster.do("GET", self.cluster.apps("deployments", name))["spec"]["replicas"]
        )

    def serve(self, name: str, replicas: int = 2) -> None:
        """A Deployment whose pods are ready."""
        self.cluster.do(
            "POST", self.cluster.apps("deployments"), self.cluster.deployment(name, replicas)
        )
        self.cluster.eventually(lambda: len(self.cluster.ready_pods(name)) == replicas)

    def remove(self, name: str) -> None:
        self.cluster.call("DELETE", self.path(name))
        self.cluster.call("DELETE", self.cluster.apps("deployments", name))


@contextmanager
def installed(cluster: ClusterUnderTest) -> Iterator[None]:
    """Harmony's definitions, for the time of the tests; those that were there stay."""
    mine = []
    for each in CUSTOM:
        body = to_crd(each)
        answer = cluster.call("POST", DEFINITIONS, body)
        assert answer.status_code in (201, 409), answer.text
        if answer.status_code == 201:
            mine.append(body["metadata"]["name"])
    for plural in ("gpuautoscalers", "slaclasses", "gpubudgets"):
        cluster.eventually(lambda p=plural: cluster.call("GET", f"{GROUP}/{p}").status_code == 200)
    yield
    for name in mine:
        cluster.call("DELETE", f"{DEFINITIONS}/{name}")


def has_autoscalers(cluster: ClusterUnderTest) -> bool:
    """Whether somebody uses Harmony here: a pass would act on what is theirs."""
    answer = cluster.call("GET", f"{GROUP}/gpuautoscalers")
    return answer.status_code == 200 and bool(answer.json()["items"])


def account_token(cluster: ClusterUnderTest) -> tuple[str, list[str]]:
    """Token of a service account that has the chart's rights and no others; what to delete."""
    name = cluster.name("harmony-operator")
    rules = [right.to_manifest() for right in (*RIGHTS, *FURTHER_RIGHTS, *OWN_NAMESPACE_RIGHTS)]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    cluster.do("POST", f"{RBAC}/clusterroles", {**role, "metadata": {"name": name}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": cluster.namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    cluster.do("POST", f"{RBAC}/clusterrolebindings", binding)
    cluster.do("POST", cluster.core("serviceaccounts"), {"metadata": {"name": name}})
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = cluster.core("serviceaccounts", name, "token")
    token: str = cluster.do("POST", path, asked)["status"]["token"]
    return token, [f"{RBAC}/clusterrolebindings/{name}", f"{RBAC}/clusterroles/{name}"]


def configuration_of(cluster: ClusterUnderTest, token: str) -> client.Configuration:
    """The cluster's address with the credentials of a service account alone."""
    given: kubernetes.client.Configuration = cluster.client.configuration
    ours = client.Configuration()
    ours.host, ours.ssl_ca_cert, ours.verify_ssl = given.host, given.ssl_ca_cert, given.verify_ssl
    ours.api_key = {"BearerToken": f"Bearer {token}", "authorization": f"Bearer {token}"}
    ours.retries = False
    return ours


def make_bench(cluster: ClusterUnderTest, http: KubeHttp, engine: Any, settings: Settings) -> Bench:
    """An operator without memory."""
    clock = ClusterClock(cluster)
    deps = OperatorDeps(engine, KubeClient(http), clock, settings, pace=EAGER)
    return Bench(deps, clock, None, engine, settings.step_s, http)  # type: ignore[arg-type]  # the laboratory's own handle is not for a cluster that may be real
