"""A simulated cluster with the fleet of a measurement, and the observer of its calls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from services.lab.bench.operator.calls import CallObserver
from services.lab.bench.operator.fleet import create, names, node_pool
from services.lab.cluster.__main__ import parse_nodes
from services.lab.cluster.cluster import ClusterSettings
from tests.unit.lab.cluster.background_cluster import BackgroundCluster


@dataclass(frozen=True, slots=True)
class Observed:
    """Where the cluster is, and the observer that watches it."""

    url: str
    observer: CallObserver


@pytest.fixture
def observed() -> Iterator[Observed]:
    """Two services; the observer is closed after the cluster, whose end ends its watch."""
    settings = ClusterSettings(tuple(parse_nodes(node_pool(2))), seed=1, start_s=0.0)
    with ExitStack() as observers, BackgroundCluster(settings) as cluster:
        create(cluster.url, names(2))
        observer = observers.enter_context(CallObserver(cluster.url))
        observer.start_watch()
        yield Observed(cluster.url, observer)
