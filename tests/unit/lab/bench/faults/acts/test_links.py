"""Faults between processes: what they ask of the proxies and of the cluster."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from services.lab.bench.faults.acts.links import LinkFault, WrongAnswers
from services.lab.bench.faults.kinds import API_FAULTS
from services.lab.bench.faults.laboratory_client import LaboratoryClient
from services.lab.bench.faults.proxy import FaultProxy, Upstream
from services.lab.cluster.cluster import ClusterSettings
from tests.unit.lab.cluster.background_cluster import BackgroundCluster
from tests.unit.platform.eventually import eventually

NODES = "/api/v1/nodes"
N_TURNS = 2000
"""Of an act in force; every twentieth breaks watches."""


@dataclass
class SmallRig:
    """What the acts use of a rig."""

    proxies: dict[str, FaultProxy]
    laboratory: LaboratoryClient
    url: str


@pytest.fixture
def rig() -> Iterator[Any]:
    with BackgroundCluster(ClusterSettings((), seed=1, start_s=0.0)) as cluster:
        laboratory = LaboratoryClient(cluster.url)
        port = int(cluster.url.rpartition(":")[2])
        with FaultProxy(Upstream(port=port)) as proxy:
            yield SmallRig({"api_server": proxy}, laboratory, cluster.url)
        laboratory.close()


def ask_through(rig: Any) -> int:
    url = f"http://127.0.0.1:{rig.proxies['api_server'].port}{NODES}"
    try:
        return httpx.get(url, timeout=0.5).status_code
    except httpx.TransportError:
        return 0


@pytest.mark.parametrize(("what", "code"), [("cut", 0), ("delay", 200), ("stall", 0)])
def test_a_link_that_was_used_has_bitten(rig: Any, what: str, code: int) -> None:
    act = LinkFault("api_server", what)
    assert ask_through(rig) == 200
    # a connection that the proxy has not seen the end of yet would be cut as well
    eventually(lambda: rig.proxies["api_server"].n_open == 0, "the first question's end")
    assert act.begin(rig)
    assert not act.has_bitten(rig)
    if what == "stall":  # it stands still at the first piece, not before
        with socket.create_connection(("127.0.0.1", rig.proxies["api_server"].port)):
            assert ask_through(rig) == code
    else:
        assert ask_through(rig) == code
    assert act.has_bitten(rig)
    assert act.end(rig)
    assert ask_through(rig) == 200


@pytest.mark.parametrize("what", ["throttle", "error", "lists"])
def test_wrong_answers_have_bitten_once_they_were_given(rig: Any, what: str) -> None:
    act = WrongAnswers(what)
    assert act.begin(rig)
    assert httpx.get(rig.url + NODES).status_code in (429, 500, 503)
    assert act.end(rig)
    assert act.has_bitten(rig)
    assert httpx.get(rig.url + NODES).status_code == 200


@pytest.mark.parametrize("what", API_FAULTS)
def test_what_nobody_asked_for_has_not_bitten(rig: Any, what: str) -> None:
    act = WrongAnswers(what)
    assert act.begin(rig)
    assert act.end(rig)
    assert not act.has_bitten(rig)


@pytest.mark.parametrize("what", ["drop_watch", "gone"])
def test_watches_opened_anew_are_broken_again(rig: Any, what: str) -> None:
    act = WrongAnswers(what)
    assert act.begin(rig)
    with httpx.stream("GET", f"{rig.url}{NODES}?watch=1", timeout=30):
        for _ in range(N_TURNS):
            assert act.go_on(rig)
    assert act.has_bitten(rig)
    assert act.end(rig)
