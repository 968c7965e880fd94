"""The fleet that the operator is measured on."""

from __future__ import annotations

import httpx

from services.lab.bench.operator.fleet import (
    GROUP_PATH,
    N_PODS_EACH,
    Name,
    autoscaler,
    deployment,
    names,
    node_pool,
)
from services.lab.cluster.__main__ import parse_nodes
from tests.unit.lab.bench.operator.conftest import Observed


def test_a_hundred_services_share_a_namespace() -> None:
    found = names(201)
    assert (found[0], found[-1]) == (("team-000", "llm-00000"), ("team-002", "llm-00200"))
    assert len(set(found)) == 201
    assert sum(namespace == "team-001" for namespace, _ in found) == 100


def test_there_are_gpus_for_twice_the_pods() -> None:
    for n in (1, 7, 1000):
        assert sum(node.gpus for node in parse_nodes(node_pool(n))) >= 2 * N_PODS_EACH * n


def test_an_autoscaler_is_for_its_deployment() -> None:
    name = Name("team-000", "llm-00000")
    target = autoscaler(name)["spec"]["scaleTargetRef"]
    made = deployment(name)
    assert (target["kind"], target["name"]) == (made["kind"], made["metadata"]["name"])
    assert made["spec"]["replicas"] == N_PODS_EACH


def test_the_cluster_takes_the_fleet(observed: Observed) -> None:
    with httpx.Client(base_url=observed.url, trust_env=False) as http:
        scalers = http.get(f"{GROUP_PATH}/gpuautoscalers").json()["items"]
        pods = http.get("/api/v1/pods").json()["items"]
    assert [one["metadata"]["name"] for one in scalers] == [name for _, name in names(2)]
    assert len(pods) == 2 * N_PODS_EACH
