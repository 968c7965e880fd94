"""The operator against a real Postgres and the simulated cluster in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from kubernetes import client
from sqlalchemy import Engine, select

from services.kernel.clock import FixedClock
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows, next_ids, unit_of_work
from services.kernel.settings import Settings
from services.operator.kube import mirror
from services.operator.kube.client import KubeClient
from services.operator.kube.mirrored import MirroredKube
from services.operator.reconcile.memory import OperatorDeps, Pace
from services.operator.reconcile.reconcile_pass import PassReport, reconcile_pass
from services.operator.resource.definitions import DEFINITIONS, to_crd
from services.operator.wire.http import KubeHttp
from tests.reported_port import reported_port

EAGER = Pace(figures_s=0.0, change_s=0.0, budget_s=10.0, history_s=0.0)
START = "2026-01-05T00:00:00Z"
IMAGE = "example.test/llm:1"
GROUP_PATH = "/apis/scaling.harmony.dev/v1alpha1"
PATIENCE_S = 60.0
"""For one answer of the cluster's process, however busy the machine is."""


@dataclass
class Lab:
    """The simulated cluster as a test handles it."""

    url: str
    http: httpx.Client
    namespace: str

    def now(self) -> datetime:
        return datetime.fromisoformat(self.http.get("/lab/state").json()["now"])

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self.http.post(path, json=body)
        assert response.status_code < 300, response.text
        return dict(response.json())

    def advance(self, to: datetime) -> None:
        self.post("/lab/advance", {"to": to.isoformat().replace("+00:00", "Z")})

    def deploy(
        self,
        name: str,
        replicas: int = 2,
        gpus: int = 1,
        median_s: int = 40,
        product: str = "H100",
        kind: str = "Deployment",
        annotations: dict[str, str] | None = None,
        image: str = IMAGE,
    ) -> None:
        labels = {"app": name}
        template = pod_template(name, gpus, median_s, product)
        template["spec"]["containers"][0]["image"] = image
        template["metadata"].setdefault("annotations", {}).update(annotations or {})
        body = {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": template,
            },
        }
        self.post(f"/apis/apps/v1/namespaces/{self.namespace}/{kind.lower()}s", body)

    def define(self, definition: dict[str, Any]) -> None:
        """Serve a custom kind, unless it is served already."""
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        assert self.http.post(path, json=definition).status_code in (201, 409)

    def object(self, path: str) -> dict[str, Any]:
        """An object of this namespace; `path` is like `apps/v1/deployments/llama`."""
        group, version, rest = path.split("/", 2)
        root = f"/apis/{group}/{version}" if group != "core" else f"/api/{version}"
        response = self.http.get(f"{root}/namespaces/{self.namespace}/{rest}")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def pods(self, app: str) -> list[dict[str, Any]]:
        return list(self.object(f"core/v1/pods?labelSelector=app={app}")["items"])

    def patch(self, path: str, body: dict[str, Any]) -> None:
        """Merge-patch an object of this namespace; `path` as in `object`."""
        group, version, rest = path.split("/", 2)
        root = f"/apis/{group}/{version}" if group != "core" else f"/api/{version}"
        self._patch(f"{root}/namespaces/{self.namespace}/{rest}", body)

    def autoscale(
        self, name: str, annotations: dict[str, str] | None = None, **spec: Any
    ) -> dict[str, Any]:
        return self.post(
            f"{GROUP_PATH}/namespaces/{self.namespace}/gpuautoscalers",
            {
                "apiVersion": "scaling.harmony.dev/v1alpha1",
                "kind": "GPUAutoscaler",
                "metadata": {"name": name, "annotations": annotations or {}},
                "spec": autoscaler_spec(name, **spec),
            },
        )

    def annotate(self, name: str, annotations: dict[str, str | None]) -> None:
        self._patch(self._autoscaler_path(name), {"metadata": {"annotations": annotations}})

    def change(self, name: str, spec: dict[str, Any]) -> None:
        self._patch(self._autoscaler_path(name), {"spec": spec})

    def _patch(self, path: str, body: dict[str, Any]) -> None:
        headers = {"Content-Type": "application/merge-patch+json"}
        response = self.http.patch(path, content=json.dumps(body), headers=headers)
        assert response.status_code == 200, response.text

    def _autoscaler_path(self, name: str) -> str:
        return f"{GROUP_PATH}/namespaces/{self.namespace}/gpuautoscalers/{name}"

    def delete_autoscaler(self, name: str) -> None:
        assert self.http.delete(self._autoscaler_path(name)).status_code == 200

    def scale(self, name: str, replicas: int) -> None:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}/scale"
        self._patch(path, {"spec": {"replicas": replicas}})

    def replicas(self, name: str, kind: str = "Deployment") -> int:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/{kind.lower()}s/{name}"
        return int(self.http.get(path).json()["spec"]["replicas"])

    def autoscaler(self, name: str) -> dict[str, Any]:
        return dict(self.http.get(self._autoscaler_path(name)).json())

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        found = self.autoscaler(name)["status"]["conditions"]
        return next(dict(c) for c in found if c["type"] == kind)

    def events(self) -> list[dict[str, Any]]:
        return list(self.http.get(f"/api/v1/namespaces/{self.namespace}/events").json()["items"])

    def fault(self, **fault: Any) -> None:
        self.post("/lab/faults", fault)


def pod_template(
    app: str, gpus: int = 1, median_s: int = 40, product: str = "H100", is_warm: bool = True
) -> dict[str, Any]:
    container = {
        "name": "server",
        "image": IMAGE,
        "resources": {"limits": {"nvidia.com/gpu": str(gpus)}},
    }
    annotations = {
        "lab.harmony.dev/startup-median": f"{median_s}s",
        "lab.harmony.dev/start-warm": "true" if is_warm else "false",
    }
    return {
        "metadata": {"labels": {"app": app}, "annotations": annotations},
        "spec": {
            "nodeSelector": {"nvidia.com/gpu.product": product},
            "containers": [container],
        },
    }


def autoscaler_spec(name: str, **changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "mode": "Auto",
        "minReplicas": 1,
        "maxReplicas": 12,
        "gpuType": "H100",
        "gpusPerReplica": 1,
        "sla": {"risk": {"epsilon": "0.01"}},
        "demand": "request_rate_rps",
        "indicators": [{"name": "request_rate_rps", "level": 1}],
        "capacity": {"perReplica": "10"},
    }
    return spec | changes


@contextmanager
def cluster_process() -> Iterator[str]:
    """A simulated cluster with two nodes of eight H100 and one of four L4."""
    command = [sys.executable, "-m", "services.lab.cluster", "--port", "0", "--clock", "lab"]
    command += ["--nodes", "H100=2x8,L4=1x4", "--start", START, "--seed", "7"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        url = f"http://127.0.0.1:{reported_port(process, 'cluster')}"
        with httpx.Client(base_url=url, timeout=PATIENCE_S) as http:
            for definition in DEFINITIONS:
                crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
                assert http.post(crds, json=to_crd(definition)).status_code == 201
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.fixture(scope="session")
def cluster_url() -> Iterator[str]:
    """The cluster of the run."""
    with cluster_process() as url:
        yield url


@pytest.fixture
def lab(cluster_url: str) -> Iterator[Lab]:
    """The cluster of the run, in a namespace that no other test has used."""
    with lab_in(cluster_url, f"serving-{uuid.uuid4().hex[:6]}") as lab:
        yield lab


@contextmanager
def lab_in(cluster_url: str, namespace: str) -> Iterator[Lab]:
    """A cluster with a fresh namespace and nothing else in it."""
    with httpx.Client(base_url=cluster_url, timeout=PATIENCE_S) as http:
        lab = Lab(cluster_url, http, namespace)
        lab.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
        yield lab
        http.delete("/lab/faults")
        for collection in (
            f"{GROUP_PATH}/namespaces/{namespace}/gpuautoscalers",
            f"/apis/apps/v1/namespaces/{namespace}/deployments",
            f"/apis/apps/v1/namespaces/{namespace}/statefulsets",
            f"/apis/apps/v1/namespaces/{namespace}/replicasets",
            f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers",
            f"/api/v1/namespaces/{namespace}/resourcequotas",
            f"/api/v1/namespaces/{namespace}/pods",
        ):
            assert http.delete(collection).status_code == 200


@dataclass
class Bench:
    """An operator's deps with what a test needs around them."""

    deps: OperatorDeps
    clock: FixedClock
    lab: Lab
    engine: Engine
    step_s: int
    http: KubeHttp
    n_forecasts: int = field(default=0)

    def reconcile(self) -> PassReport:
        return reconcile_pass(self.deps, self.clock.now())

    def step(self) -> PassReport:
        self.clock.advance(self.step_s)
        self.lab.advance(self.clock.now())
        return self.reconcile()

    def fresh_operator(self) -> None:
        """A restarted operator: nothing in memory."""
        deps = self.deps
        self.deps = OperatorDeps(deps.engine, deps.kube, deps.clock, deps.settings, pace=EAGER)

    def fresh_kube(self) -> None:
        """A client that has looked nothing up yet."""
        self.deps = replace(self.deps, kube=KubeClient(self.http))

    def decide(self, name: str, desired: int, **changes: Any) -> int:
        """Store a decision as the decision service would; its id."""
        workload_id = self.workload_id(name)
        now = self.clock.now()
        self.n_forecasts += 1
        with unit_of_work(self.engine) as work:
            (decision_id,) = next_ids(work.connection, "decisions_id_seq", 1)
            row: dict[str, Any] = {
                "id": decision_id,
                "origin_at": now - timedelta(seconds=self.step_s),
                "workload_id": workload_id,
                "forecast_id": self.n_forecasts,
                "policy_version": "harmony-1",
                "decided_at": now,
                "valid_until": now + timedelta(seconds=3 * self.step_s),
                "current_replicas": 2,
                "raw_replicas": desired,
                "desired_replicas": desired,
                "direction": "up",
                "reason": "scale_up_risk",
                "binding_constraint": "",
                "rung": "forecast",
                "risk_target": 0.01,
                "risk_estimated": 0.004,
                "cost_delta_usd_per_h": 2.5,
                "explanation": json.dumps({"guard_trace": []}),
            } | changes
            target = CopyTarget(schema.decisions, tuple(row))
            copy_rows(work.connection, target, [tuple(row.values())])
        return decision_id

    def workload_id(self, name: str) -> int:
        query = select(schema.workloads.c.id).where(schema.workloads.c.name == name)
        with self.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def rows(self, table: str) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            query = select(schema.metadata.tables[table])
            return [dict(row) for row in connection.execute(query).mappings()]

    def results(self) -> list[tuple[int, int, str]]:
        """(decision, attempt, result) of every action, in order."""
        rows = sorted(self.rows("actions"), key=lambda row: row["id"])
        return [(row["decision_id"], row["attempt"], row["result"]) for row in rows]


@pytest.fixture
def bench(lab: Lab, database: Engine, settings: Settings) -> Iterator[Bench]:
    """An operator on the simulated cluster, whose clock goes with the cluster's."""
    clock = FixedClock(lab.now())
    configuration = client.Configuration()
    configuration.host = lab.url
    configuration.retries = False
    http = KubeHttp(configuration, sleep=lambda _: None)
    ours = settings.model_copy(update={"kube_url": lab.url, "operator_deletion_cost": True})
    deps = OperatorDeps(database, KubeClient(http), clock, ours, pace=EAGER)
    yield Bench(deps, clock, lab, database, settings.step_s, http)
    http.close()


@pytest.fixture
def mirrored(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[MirroredKube]:
    """The bench's operator, reading from copies."""
    monkeypatch.setattr(mirror, "_GRACE_S", 0.3)
    monkeypatch.setattr(mirror, "_BACKOFF_S", (0.02, 0.05))
    monkeypatch.setattr(mirror, "_PAGE", 2)
    configuration = client.Configuration()
    configuration.host = bench.lab.url
    https = [KubeHttp(configuration, sleep=lambda _: None) for _ in range(2)]
    kube = MirroredKube(https[0], https[1])
    bench.deps = replace(bench.deps, kube=kube)
    yield kube
    kube.stop()
    for http in https:
        http.close()
