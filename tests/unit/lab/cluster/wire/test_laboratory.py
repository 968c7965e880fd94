"""The `/lab` paths: what they do with the cluster, and what they refuse."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.lab.cluster.admission.access import Question, account_user
from services.lab.cluster.cluster import ClusterSettings, SimulatedCluster
from services.lab.cluster.storage.failures import ApiFailure
from services.lab.cluster.storage.resources import DEPLOYMENTS, SERVICE_ACCOUNTS
from services.lab.cluster.wire.faults import Faults
from services.lab.cluster.wire.laboratory import Laboratory
from services.lab.cluster.wire.watching import Watches
from tests.unit.lab.cluster.running_cluster import START_S, RunningCluster, workload

READ = Question("get", "apps", "deployments")


class Bench:
    """A laboratory over a cluster."""

    def __init__(self, cluster: SimulatedCluster) -> None:
        self.faults = Faults()
        self.lab = Laboratory(cluster, self.faults, Watches(cluster.store))

    def do(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return self.lab.answer(method, path, body)

    def refuses(self, code: int, method: str, path: str, body: Any = None) -> str:
        with pytest.raises(ApiFailure) as failure:
            self.do(method, path, body)
        assert failure.value.code == code
        return failure.value.message


@pytest.fixture
def running() -> RunningCluster:
    return RunningCluster()


@pytest.fixture
def bench(running: RunningCluster) -> Bench:
    return Bench(running.cluster)


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(START_S + seconds, UTC).isoformat()


def test_advancing_moves_the_cluster_and_tells_its_state(
    bench: Bench, running: RunningCluster
) -> None:
    running.create(DEPLOYMENTS, "x", workload(2))
    found = bench.do("POST", "advance", {"to": moment(60)})
    assert found["workloads"]["default/x"]["ready"] == 2
    assert running.cluster.engine.now_s == START_S + 60
    assert bench.do("GET", "state")["workloads"]["default/x"]["ready"] == 2


@pytest.mark.parametrize("to", ["soon", "2026-01-05T01:00:00", moment(-60), None])
def test_time_moves_only_on_and_to_a_moment_with_its_zone(
    bench: Bench, running: RunningCluster, to: str | None
) -> None:
    message = bench.refuses(400, "POST", "advance", {"to": to} if to else None)
    assert f"to={str(to)!r} must be an RFC 3339 time" in message
    assert running.cluster.engine.now_s == START_S


def test_a_cluster_on_the_wall_clock_cannot_be_advanced() -> None:
    settings = ClusterSettings((), seed=1, start_s=START_S, real_now_s=lambda: START_S)
    message = Bench(SimulatedCluster(settings)).refuses(400, "POST", "advance", {"to": moment(1)})
    assert "wall clock" in message


def test_faults_come_into_force_are_counted_and_cleared(bench: Bench) -> None:
    both = {"faults": [{"kind": "conflict", "verb": "get"}, {"kind": "slow", "times": 2}]}
    added = bench.do("POST", "faults", both)
    assert [fault["kind"] for fault in added["faults"]] == ["conflict", "slow"]
    assert (added["watchesBroken"], added["hits"]) == (0, 0)
    assert bench.faults.hit(READ, ("conflict",)) is not None
    listed = bench.do("GET", "faults")
    assert ([fault["kind"] for fault in listed["faults"]], listed["hits"]) == (["slow"], 1)
    assert bench.do("DELETE", "faults") == {"faults": [], "hits": 1}


def test_one_fault_needs_no_list(bench: Bench) -> None:
    bench.do("POST", "faults", {"kind": "error"})
    assert bench.faults.hit(READ, ("error",)) is not None


@pytest.mark.parametrize(
    "body", [None, {}, {"kind": "flood"}, {"kind": "error", "colour": "red"}, {"faults": [3]}]
)
def test_what_is_no_fault_is_refused_whole(bench: Bench, body: Any) -> None:
    assert bench.refuses(400, "POST", "faults", body).startswith("not a fault")
    mixed = {"faults": [{"kind": "error"}, {"kind": "flood"}]}
    bench.refuses(400, "POST", "faults", mixed)
    assert bench.do("GET", "faults")["faults"] == []


def test_a_token_stands_for_its_service_account(bench: Bench, running: RunningCluster) -> None:
    running.create(SERVICE_ACCOUNTS, "bot", {})
    found = bench.do("POST", "tokens", {"namespace": "default", "name": "bot"})
    user = running.cluster.access.identify(f"Bearer {found['token']}")
    assert user == account_user("default", "bot")


@pytest.mark.parametrize("body", [None, {"name": "bot"}, {"namespace": "default"}])
def test_a_token_needs_an_account_in_full(bench: Bench, body: Any) -> None:
    assert "namespace and name" in bench.refuses(400, "POST", "tokens", body)


def test_calls_are_listed_in_order_and_forgotten(bench: Bench) -> None:
    bench.lab.calls["us", "list", "", "pods"] += 2
    bench.lab.calls["us", "get", "apps", "deployments"] += 1
    found = bench.do("GET", "requests")
    assert found["openWatches"] == 0
    assert found["requests"] == [
        {"user": "us", "verb": "get", "group": "apps", "resource": "deployments", "count": 1},
        {"user": "us", "verb": "list", "group": "", "resource": "pods", "count": 2},
    ]
    assert bench.do("DELETE", "requests")["requests"] == []
    assert not bench.lab.calls


@pytest.mark.parametrize(("method", "path"), [("GET", "advance"), ("PUT", "faults"), ("GET", "x")])
def test_unknown_paths_are_not_found(bench: Bench, method: str, path: str) -> None:
    bench.refuses(404, method, path)
