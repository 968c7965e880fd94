"""Faults of objects, on a cluster that knows Harmony's definitions."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from services.lab.bench.faults.acts.objects import (
    DeleteDefinition,
    DeleteLease,
    VanishingNamespace,
)
from services.lab.bench.faults.fleet import GROUP_PATH, create, make_fleet
from services.lab.bench.faults.rig import LEASE_PATH
from services.lab.cluster.cluster import ClusterSettings
from services.operator.resource.definitions import DEFINITIONS, to_crd
from tests.unit.lab.cluster.background_cluster import BackgroundCluster


@pytest.fixture
def rig() -> Iterator[Any]:
    with (
        BackgroundCluster(ClusterSettings((), seed=1, start_s=0.0)) as cluster,
        httpx.Client(base_url=cluster.url, timeout=30) as http,
    ):
        for definition in DEFINITIONS:
            path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
            http.post(path, json=to_crd(definition)).raise_for_status()
        fleet = make_fleet(3)
        create(cluster.url, fleet)
        sender = SimpleNamespace(unknown_until_s=0.0)
        yield SimpleNamespace(cluster=http, fleet=fleet, sender=sender, lease_holder=lambda: "one")


@pytest.mark.parametrize(("plural", "n"), [("slaclasses", 3), ("gpuautoscalers", 3)])
def test_a_definition_goes_with_its_objects_and_both_come_back(
    rig: Any, plural: str, n: int
) -> None:
    act = DeleteDefinition(plural)
    assert act.begin(rig)
    assert rig.cluster.get(f"{GROUP_PATH}/{plural}").status_code == 404
    assert act.go_on(rig)
    assert act.end(rig)
    assert act.has_bitten(rig)
    assert len(rig.cluster.get(f"{GROUP_PATH}/{plural}").json()["items"]) == n
    assert (rig.sender.unknown_until_s > 0) == (plural == "gpuautoscalers")


def test_a_namespace_comes_and_goes_with_its_workload(rig: Any) -> None:
    act = VanishingNamespace()
    assert act.begin(rig)
    path = f"{GROUP_PATH}/namespaces/guest/gpuautoscalers"
    assert len(rig.cluster.get(path).json()["items"]) == 1
    assert not act.has_bitten(rig)
    assert act.end(rig)
    assert act.has_bitten(rig)


def test_a_lease_that_was_there_is_deleted(rig: Any) -> None:
    act = DeleteLease()
    assert act.begin(rig)
    assert not act.has_bitten(rig)
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": LEASE_PATH.rpartition("/")[2], "namespace": "default"},
        "spec": {"holderIdentity": "one"},
    }
    rig.cluster.post(LEASE_PATH.rpartition("/")[0], json=lease).raise_for_status()
    assert act.begin(rig)
    assert act.has_bitten(rig)
    assert rig.cluster.get(LEASE_PATH).status_code == 404
