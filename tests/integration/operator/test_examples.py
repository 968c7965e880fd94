"""The example manifests, and the one in the README, are accepted and understood as they stand."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from services.lab.cluster.background import BackgroundCluster
from services.lab.cluster.cluster import ClusterSettings
from services.lab.cluster.specs import NodeSpec
from services.operator.crd import rendered
from services.operator.translate import to_autoscaler, to_classes

REPO = Path(__file__).parents[3]
# Objects of KEDA, of Kubernetes and of Prometheus; tests/unit/scaler/test_manifests.py reads them.
OF_OTHERS = {
    "hpa-external-metric.yaml",
    "keda-scaledobject.yaml",
    "prometheus-adapter-rule.yaml",
}
EXAMPLES = sorted(
    path for path in (REPO / "deploy" / "examples").glob("*.yaml") if path.name not in OF_OTHERS
)
GROUP = "/apis/scaling.harmony.dev/v1alpha1"
PATH = f"{GROUP}/namespaces/serving/gpuautoscalers"
PATHS = {
    "GPUAutoscaler": PATH,
    "SLAClass": f"{GROUP}/slaclasses",
    "GPUBudget": f"{GROUP}/gpubudgets",
}


@pytest.fixture(scope="module")
def api() -> Iterator[httpx.Client]:
    settings = ClusterSettings([NodeSpec("h100-0", "H100", 8)], seed=1, start_s=1_767_571_200.0)
    with BackgroundCluster(settings) as cluster, httpx.Client(base_url=cluster.url) as client:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "serving"}}
        client.post("/api/v1/namespaces", json=namespace).raise_for_status()
        for text in rendered().values():
            definition = yaml.safe_load(text)
            path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            client.post(path, json=definition).raise_for_status()
        yield client


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_is_accepted(api: httpx.Client, path: Path) -> None:
    manifest = yaml.safe_load(path.read_text())
    created = api.post(PATHS[manifest["kind"]], json=manifest)
    assert created.status_code == 201, created.text


def test_example_is_understood_with_the_class_beside_it(api: httpx.Client) -> None:
    examples = {path.name: yaml.safe_load(path.read_text()) for path in EXAMPLES}
    service, gold = examples["gpuautoscaler.yaml"], examples["slaclass.yaml"]
    assert service["spec"]["sla"]["class"] == gold["metadata"]["name"]
    service["metadata"]["name"] = "understood"
    created = api.post(PATH, json=service).json()
    found = to_autoscaler(created, to_classes([gold]))
    assert found.spec is not None, found.problem
    assert found.spec.mode == "Advisory"
    assert found.spec.sla.priority_in_force == 200


def test_a_wrong_example_is_refused_with_the_field(api: httpx.Client) -> None:
    manifest = yaml.safe_load((REPO / "deploy" / "examples" / "gpuautoscaler.yaml").read_text())
    manifest["metadata"]["name"] = "wrong"
    manifest["spec"]["minReplicas"] = 50
    refused = api.post(PATH, json=manifest)
    assert refused.status_code == 422
    assert "minReplicas" in refused.text


def test_readme_shows_the_example() -> None:
    shown = (REPO / "README.md").read_text().split("```yaml\n")[1].split("```")[0]
    kept = (REPO / "deploy" / "examples" / "gpuautoscaler.yaml").read_text()
    assert yaml.safe_load(shown) == yaml.safe_load(kept)
