"""The example manifests under a running operator, each with a target as it names one."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from services.lab.cluster.controllers.leader_worker_sets import (
    definition as leader_worker_set_definition,
)
from tests.integration.examples.test_manifests import OURS, SERVICES
from tests.integration.operator.conftest import GROUP_PATH, Bench, pod_template

pytestmark = pytest.mark.integration

Manifest = dict[str, Any]
PLURALS = {"SLAClass": "slaclasses", "GPUBudget": "gpubudgets"}
# What becomes of a decision for one replica more, by mode: embed's approval.yaml lets one pass.
RESULTS = {
    "approval.yaml": "applied",
    "auto-schedules.yaml": "applied",
    "gang-leaderworkerset.yaml": "awaiting_approval",
    "gang-statefulset.yaml": "advisory",
    "gpuautoscaler.yaml": "advisory",
    "pools.yaml": "advisory",
    "scale-to-zero.yaml": "applied",
    "variants.yaml": "advisory",
    "vllm-advisory.yaml": "advisory",
    "vllm-loads.yaml": "advisory",
    "vllm-presets.yaml": "advisory",
}


@pytest.fixture
def shared(bench: Bench) -> Iterator[None]:
    """The classes and budgets, which belong to no namespace."""
    objects = [m for m in OURS.values() if m["kind"] in PLURALS]
    for manifest in objects:
        bench.lab.post(f"{GROUP_PATH}/{PLURALS[manifest['kind']]}", manifest)
    yield
    for manifest in objects:
        path = f"{GROUP_PATH}/{PLURALS[manifest['kind']]}/{manifest['metadata']['name']}"
        assert bench.lab.http.delete(path).status_code == 200


@pytest.fixture
def more_nodes(bench: Bench) -> Iterator[None]:
    """As many as all examples together need: where no node is added, none waits for free GPUs."""
    names = {f"{t.lower()}-examples-{i}": t for t in ("H100", "L4") for i in range(8)}
    status = {"allocatable": {"nvidia.com/gpu": "8", "pods": "110"}}
    for name, gpu_type in names.items():
        metadata = {"name": name, "labels": {"nvidia.com/gpu.product": gpu_type}}
        bench.lab.post("/api/v1/nodes", {"metadata": metadata, "status": status})
    yield
    for name in names:
        assert bench.lab.http.delete(f"/api/v1/nodes/{name}").status_code == 200


def parts(manifest: Manifest) -> list[Manifest]:
    """Variants or pools, where there are some."""
    spec = manifest["spec"]
    return [*spec.get("variants", ()), *spec.get("pools", ())]


def deploy(bench: Bench, manifest: Manifest) -> None:
    """Each target of two replicas as the manifest names it, on nodes of its GPU type."""
    for part in parts(manifest) or [manifest["spec"]]:
        gpu_type = part.get("gpuType", manifest["spec"].get("gpuType", "H100"))
        deploy_target(bench, part["scaleTargetRef"], gpu_type)


def deploy_target(bench: Bench, reference: Manifest, gpu_type: str) -> None:
    lab = bench.lab
    name, kind = reference["name"], reference["kind"]
    if kind != "LeaderWorkerSet":
        lab.deploy(name, kind=kind, product=gpu_type)
        return
    lab.define(leader_worker_set_definition())
    template = {"size": 2, "workerTemplate": pod_template(name, gpus=4)}
    spec = {"replicas": 2, "leaderWorkerTemplate": template}
    path = f"/apis/{reference['apiVersion']}/namespaces/{lab.namespace}/leaderworkersets"
    lab.post(path, {"metadata": {"name": name}, "spec": spec})


def decide(bench: Bench, file: str, name: str) -> int:
    """A decision for one replica more, of each variant or pool where there are some."""
    variants = [
        {"name": v["name"], "gpu_type": v["gpuType"], "current": 2, "desired": 3}
        for v in parts(OURS[file])
    ]
    desired = 6 if file == "pools.yaml" else 3
    return bench.decide(name, desired, **({"variants": json.dumps(variants)} if variants else {}))


def test_the_operator_follows_every_example(bench: Bench, shared: None, more_nodes: None) -> None:
    assert set(SERVICES) == set(RESULTS)
    names = {}
    for file in SERVICES:
        manifest = copy.deepcopy(OURS[file])
        manifest["metadata"]["namespace"] = bench.lab.namespace
        names[file] = manifest["metadata"]["name"]
        deploy(bench, manifest)
        bench.lab.post(f"{GROUP_PATH}/namespaces/{bench.lab.namespace}/gpuautoscalers", manifest)
    bench.reconcile()
    for file, name in names.items():
        ready = bench.lab.condition(name, "Ready")
        assert ready["reason"] == "NoDecision", (file, ready)
        assert bench.lab.condition(name, "TargetResolved")["reason"] == "TargetFound", file
        # of the variants one is worth eight of the other; those of pools are counted together
        current = {"variants.yaml": 18, "pools.yaml": 4}.get(file, 2)
        assert bench.lab.autoscaler(name)["status"]["currentReplicas"] == current, file
    decisions = {decide(bench, file, name): file for file, name in names.items()}
    bench.reconcile()
    assert {decisions[id_]: result for id_, _, result in bench.results()} == RESULTS
