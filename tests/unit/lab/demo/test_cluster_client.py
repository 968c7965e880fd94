"""The demo's client of the simulated cluster."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from services.kernel.errors import Unavailable
from services.lab.cluster.cluster import ClusterSettings
from services.lab.demo.cluster_client import ClusterClient
from services.lab.demo.manifests import fleet_manifests
from services.simulator.engine.specs import Interval, NodeSpec
from services.simulator.fleet import unsplit
from tests.unit.lab.cluster.background_cluster import BackgroundCluster
from tests.unit.simulator.fleets import make_fleet

START = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def client() -> Iterator[ClusterClient]:
    nodes = (NodeSpec("n", "L4", 8),)
    settings = ClusterSettings(nodes, seed=1, start_s=START.timestamp())
    with BackgroundCluster(settings) as cluster:
        found = ClusterClient(cluster.url)
        yield found
        found.close()


def test_time_moves_and_histories_are_read(client: ClusterClient) -> None:
    for manifest in fleet_manifests(unsplit(make_fleet([[1.0, 2.0]], n_history=1)), [], [3])[1:3]:
        client.create(manifest)
        client.create(manifest)  # what is there already is left as it is
    advance = client.advance(START + timedelta(seconds=60))
    start_s = START.timestamp()
    assert advance.spec_replicas == {"t/w0": 3}
    assert advance.intervals == {"t/w0": (Interval(start_s, start_s + 60.0, 3, 3),)}
    again = client.advance(START + timedelta(seconds=90))
    assert again.intervals["t/w0"] == (Interval(start_s + 60.0, start_s + 90.0, 3, 3),)


def test_a_refusal_is_passed_on_in_the_servers_words(client: ClusterClient) -> None:
    bad = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "Upper"}}
    with pytest.raises(Unavailable, match=r"Namespace Upper was refused: .*RFC 1123"):
        client.create(bad)
