"""The watcher of scales: nothing is missed, though its watches break."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from services.lab.bench.faults.fleet import deployment, make_fleet
from services.lab.bench.faults.laboratory_client import LaboratoryClient
from services.lab.bench.faults.outside import scale_log
from services.lab.bench.faults.outside.scale_log import ScaleWatcher
from services.lab.cluster.cluster import ClusterSettings
from tests.unit.lab.cluster.background_cluster import BackgroundCluster

MEMBER = make_fleet(3).members[0]
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{MEMBER.namespace}/deployments"
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def short_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watcher ends with its watch: a second, the least that an API server takes."""
    monkeypatch.setattr(scale_log, "_WATCH_S", 1)


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with (
        BackgroundCluster(ClusterSettings((), seed=1, start_s=0.0)) as cluster,
        httpx.Client(base_url=cluster.url, timeout=30) as client,
    ):
        body = {"metadata": {"name": MEMBER.namespace}}
        client.post("/api/v1/namespaces", json=body).raise_for_status()
        client.post(DEPLOYMENTS, json=deployment(MEMBER)).raise_for_status()
        yield client


def scale(http: httpx.Client, replicas: int) -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    path = f"{DEPLOYMENTS}/{MEMBER.name}/scale"
    http.patch(path, json={"spec": {"replicas": replicas}}, headers=headers).raise_for_status()


def wait_for(watcher: ScaleWatcher, counts: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while (found := distinct(watcher)) != counts:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)  # another thread's work cannot be awaited otherwise


def distinct(watcher: ScaleWatcher) -> list[int]:
    found: list[int] = []
    for one in watcher.seen():
        assert one.key == MEMBER.key
        if found[-1:] != [one.replicas]:
            found.append(one.replicas)
    return found


def test_every_scale_is_seen_in_order(http: httpx.Client) -> None:
    with ScaleWatcher(str(http.base_url)) as watcher:
        for replicas in (2, 5, 3, 0):
            scale(http, replicas)
        wait_for(watcher, [1, 2, 5, 3, 0])


def test_it_catches_up_with_what_was_made_before(http: httpx.Client) -> None:
    with ScaleWatcher(str(http.base_url)) as watcher:
        for replicas in (2, 5, 3, 4):
            scale(http, replicas)
            assert watcher.catch_up(PATIENCE_S)
            assert distinct(watcher)[-1] == replicas


def test_what_it_has_not_seen_it_has_not_caught_up_with(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScaleWatcher, "_take", lambda *_: None)
    with ScaleWatcher(str(http.base_url)) as watcher:
        scale(http, 2)
        assert not watcher.catch_up(0.0)


@pytest.mark.parametrize("kind", ["drop_watch", "gone"])
def test_a_broken_watch_misses_nothing(http: httpx.Client, kind: str) -> None:
    laboratory = LaboratoryClient(str(http.base_url))
    with ScaleWatcher(str(http.base_url)) as watcher:
        for replicas in (2, 3, 4):
            laboratory.break_watches({"kind": kind})
            scale(http, replicas)
        wait_for(watcher, [1, 2, 3, 4])
    laboratory.close()
