"""An operator under the chart's own rights, on a cluster that checks them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import yaml
from kubernetes import client, config
from sqlalchemy import Engine

from services.kernel.clock import FixedClock
from services.kernel.settings import Settings
from services.lab.cluster.cluster import ClusterSettings
from services.lab.cluster.controllers.claim_definitions import definitions as claim_definitions
from services.lab.cluster.controllers.kueue_definitions import definitions as kueue_definitions
from services.lab.cluster.controllers.leader_worker_sets import (
    definition as leader_worker_set_definition,
)
from services.lab.cluster.kubeconfig import make_kubeconfig
from services.lab.cluster.nodes.definitions import (
    buffer_definition,
    definitions as node_definitions,
)
from services.operator.kube.client import KubeClient
from services.operator.reconcile.memory import OperatorDeps
from services.operator.resource.definitions import DEFINITIONS, to_crd
from services.operator.wire.http import KubeHttp
from services.simulator.engine.specs import NodeSpec
from tests.integration.deploy.guarded import ALL_ON, NAMESPACE, Guard
from tests.integration.operator.conftest import EAGER, Bench, Lab
from tests.integration.operator.devices.claimed import drop_devices
from tests.integration.operator.reconcile.queued import drop_kueue
from tests.unit.lab.cluster.background_cluster import BackgroundCluster

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
START = datetime(2026, 1, 5, tzinfo=UTC).timestamp()
ADMIN_TOKEN = "admin"


def scaled_objects() -> dict[str, object]:
    """KEDA's ScaledObject, as far as the operator looks at it."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    names = {"plural": "scaledobjects", "kind": "ScaledObject"}
    spec = {"group": "keda.sh", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": "scaledobjects.keda.sh"}, "spec": spec}


@pytest.fixture(scope="module")
def admin() -> Iterator[httpx.Client]:
    """The administrator of a cluster that checks rights, with all definitions in it."""
    nodes = [NodeSpec(f"h100-{i}", "H100", 8) for i in range(2)]
    settings = ClusterSettings(nodes, seed=7, start_s=START, admin_token=ADMIN_TOKEN)
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    with (
        BackgroundCluster(settings) as cluster,
        httpx.Client(base_url=cluster.url, headers=headers, timeout=10) as http,
    ):
        definitions = [to_crd(definition) for definition in DEFINITIONS]
        definitions += [leader_worker_set_definition(), scaled_objects(), *node_definitions()]
        definitions += [buffer_definition(), *kueue_definitions(), *claim_definitions()]
        for body in definitions:
            assert http.post(CRDS, json=body).status_code == 201
        yield http


@pytest.fixture(scope="module")
def installed(admin: httpx.Client) -> Guard:
    """The chart's roles, bound to the operator's account."""
    return Guard(admin, {"settings": ALL_ON})


@pytest.fixture
def guard(installed: Guard) -> Iterator[Guard]:
    """The roles, whole before and after."""
    installed.forget()
    yield installed
    installed.restore()


@pytest.fixture
def kubeconfig(admin: httpx.Client, guard: Guard, tmp_path: Path) -> Path:
    """A kubeconfig with the token of the operator's account."""
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(make_kubeconfig(str(admin.base_url).rstrip("/"), guard.token)))
    return path


@pytest.fixture
def lab(admin: httpx.Client) -> Iterator[Lab]:
    """The cluster with a fresh namespace, which is left empty."""
    namespace = f"serving-{uuid.uuid4().hex[:6]}"
    lab = Lab(str(admin.base_url).rstrip("/"), admin, namespace)
    lab.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
    yield lab
    drop_kueue(lab)
    drop_devices(lab)
    ours = "/apis/scaling.harmony.dev/v1alpha1"
    for collection in (
        f"{ours}/namespaces/{namespace}/gpuautoscalers",
        f"{ours}/gpubudgets",
        f"{ours}/slaclasses",
        f"/apis/apps/v1/namespaces/{namespace}/deployments",
        f"/apis/apps/v1/namespaces/{namespace}/statefulsets",
        f"/apis/leaderworkerset.x-k8s.io/v1/namespaces/{namespace}/leaderworkersets",
    ):
        assert admin.delete(collection).status_code == 200


@pytest.fixture
def bench(lab: Lab, database: Engine, settings: Settings, kubeconfig: Path) -> Iterator[Bench]:
    """An operator in this process under the chart's rights."""
    clock = FixedClock(lab.now())
    configuration = client.Configuration()
    config.load_kube_config(config_file=str(kubeconfig), client_configuration=configuration)
    configuration.retries = False
    http = KubeHttp(configuration, sleep=lambda _: None)
    ours = settings.model_copy(update={**ALL_ON, "lease_namespace": NAMESPACE})
    deps = OperatorDeps(database, KubeClient(http), clock, ours, pace=EAGER)
    yield Bench(deps, clock, lab, database, settings.step_s, http)
    http.close()
