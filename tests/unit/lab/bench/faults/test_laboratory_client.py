"""Faults of the API server that are put in and taken back beside others'."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from services.lab.bench.faults.laboratory_client import LaboratoryClient
from services.lab.cluster.cluster import ClusterSettings
from tests.unit.lab.cluster.background_cluster import BackgroundCluster

NODES = "/api/v1/nodes"
PODS = "/api/v1/pods"


@pytest.fixture
def url() -> Iterator[str]:
    with BackgroundCluster(ClusterSettings((), seed=1, start_s=0.0)) as cluster:
        yield cluster.url


@pytest.fixture
def client(url: str) -> Iterator[LaboratoryClient]:
    found = LaboratoryClient(url)
    yield found
    found.close()


def test_what_is_taken_back_ends_and_the_others_stay(client: LaboratoryClient, url: str) -> None:
    nodes = client.add({"kind": "error", "resource": "nodes", "times": 10})
    client.add({"kind": "error", "resource": "pods", "times": 10})
    codes = [httpx.get(url + path).status_code for path in (NODES, NODES, PODS)]
    assert codes == [500, 500, 500]
    assert client.take_back([nodes]) == 2
    assert [httpx.get(url + path).status_code for path in (NODES, PODS)] == [200, 500]


def test_two_of_a_kind_are_told_apart(client: LaboratoryClient, url: str) -> None:
    body = {"kind": "error", "resource": "nodes", "times": 2}
    first, second = client.add(body), client.add(body)
    for _ in range(3):
        assert httpx.get(url + NODES).status_code == 500
    assert (client.take_back([first]), client.take_back([second])) == (2, 1)
    assert httpx.get(url + NODES).status_code == 200


def test_open_watches_are_broken(client: LaboratoryClient, url: str) -> None:
    assert client.break_watches({"kind": "drop_watch"}) == 0
    with httpx.stream("GET", f"{url}{NODES}?watch=1", timeout=30):  # it may be open a moment later
        assert any(client.break_watches({"kind": "drop_watch"}) for _ in range(1000))
