"""The fleet: what the cluster's definitions take, and demand that moves."""

from __future__ import annotations

import pytest

from services.lab.bench.faults.fleet import (
    BUDGETED,
    CAPACITY,
    CLASSES,
    NODES,
    create,
    make_fleet,
)
from services.lab.cluster.__main__ import parse_nodes
from services.lab.cluster.cluster import ClusterSettings
from services.operator.resource.definitions import DEFINITIONS, to_crd
from tests.unit.lab.cluster.background_cluster import BackgroundCluster

FLEET = make_fleet(24)


def test_the_budget_is_tight_and_the_minima_fit() -> None:
    one_each = sum(member.min_replicas for member in FLEET.budgeted())
    most = sum(member.max_replicas for member in FLEET.budgeted())
    assert one_each < FLEET.budget_gpus < most


def test_all_classes_and_two_namespaces_are_there() -> None:
    assert {one.sla_class for one in FLEET.healthy} == set(CLASSES)
    assert len({one.namespace for one in FLEET.members}) == 2
    assert FLEET.victim.gpu_type == BUDGETED
    assert FLEET.victim not in FLEET.healthy


@pytest.mark.parametrize("number", [0, 5, 12])
def test_demand_moves_within_what_the_fleet_can_carry(number: int) -> None:
    member = FLEET.members[number]
    demand = [member.demand_at(float(at)) for at in range(0, 600, 5)]
    assert min(demand) > 0.0
    assert max(demand) <= CAPACITY * member.max_replicas
    assert max(demand) > 2.0 * min(demand)


def test_a_cluster_takes_the_fleet() -> None:
    settings = ClusterSettings(tuple(parse_nodes(NODES)), seed=1, start_s=0.0)
    with BackgroundCluster(settings) as cluster:
        import httpx

        with httpx.Client(base_url=cluster.url, timeout=30) as http:
            path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            for definition in DEFINITIONS:
                http.post(path, json=to_crd(definition)).raise_for_status()
            create(cluster.url, make_fleet(4))
            found = http.get("/apis/scaling.harmony.dev/v1alpha1/gpuautoscalers").json()["items"]
    assert [one["metadata"]["name"] for one in found] == ["llm-00", "llm-02", "llm-01", "llm-03"]
