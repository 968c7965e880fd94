"""The laboratory's own paths: time, faults and counted calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.contract.kubernetes_api.cluster_under_test import ClusterUnderTest, Obj
from tests.contract.kubernetes_api.gpu_deployments import gpu_deployment


@pytest.fixture
def lab(cluster: ClusterUnderTest) -> Iterator[ClusterUnderTest]:
    """The simulated cluster, without faults afterwards; skips on a real one."""
    if not cluster.is_lab:
        pytest.skip("only the simulated cluster has laboratory paths")
    yield cluster
    cluster.do("DELETE", "/lab/faults")


def test_lab_advance_tells_the_exact_history(lab: ClusterUnderTest) -> None:
    name = lab.name("p")
    lab.do("POST", lab.apps("deployments"), gpu_deployment(lab, name, 2))
    before = lab.advance(1)
    after = lab.advance(59)
    found = after["workloads"][f"{lab.namespace}/{name}"]
    assert (found["spec"], found["ready"], found["starting"], found["pending"]) == (2, 2, 0, 0)
    (starting, ready) = found["intervals"]
    assert starting[1] - starting[0] == pytest.approx(2.0)
    assert (starting[2:], ready[2:]) == ([0, 2], [2, 2])
    assert ready[1] - starting[0] == pytest.approx(59.0)
    assert int(after["resourceVersion"]) > int(before["resourceVersion"])
    assert lab.do("GET", "/lab/state")["workloads"].keys() == after["workloads"].keys()
    lab.do("DELETE", lab.apps("deployments", name))


@pytest.mark.parametrize(
    "body", [{}, {"to": "yesterday"}, {"to": "2026-01-05T00:00:00"}, {"to": "2020-01-01T00:00:00Z"}]
)
def test_lab_advance_refuses_a_wrong_time(lab: ClusterUnderTest, body: Obj) -> None:
    assert "to=" in lab.refuse(400, "POST", "/lab/advance", body)["message"]


@pytest.mark.parametrize(
    ("kind", "code"), [("conflict", 409), ("throttle", 429), ("error", 500), ("unavailable", 503)]
)
def test_lab_faults_hit_what_they_match_and_wear_out(
    lab: ClusterUnderTest, kind: str, code: int
) -> None:
    fault = {"kind": kind, "verb": "get", "resource": "configmaps", "name": "x", "times": 2}
    lab.do("POST", "/lab/faults", {**fault, "retry_after_s": 7})
    path = lab.core("configmaps", "x")
    lab.refuse(404, "GET", lab.core("configmaps", "y"))
    response = lab.call("GET", path)
    assert response.status_code == code
    if kind == "throttle":
        assert response.headers["Retry-After"] == "7"
    lab.refuse(code, "GET", path)
    lab.refuse(404, "GET", path)


def test_lab_faults_refuse_nonsense(lab: ClusterUnderTest) -> None:
    status = lab.refuse(400, "POST", "/lab/faults", {"kind": "meteor"})
    assert "kind='meteor'" in status["message"]
    status = lab.refuse(400, "POST", "/lab/faults", {"kind": "slow", "often": 3})
    assert "often" in status["message"]


@pytest.mark.parametrize("kind", ["drop_watch", "gone"])
def test_lab_faults_break_open_watches(lab: ClusterUnderTest, kind: str) -> None:
    fault = {"kind": kind, "resource": "configmaps"}
    version = lab.do("GET", lab.core("configmaps"))["metadata"]["resourceVersion"]
    breaker = threading.Timer(0.2, lambda: lab.do("POST", "/lab/faults", fault))
    breaker.start()
    watching = {"resourceVersion": version, "timeoutSeconds": 20}
    if kind == "gone":
        (event,) = lab.watch(lab.core("configmaps"), **watching)
        assert event["object"]["code"] == 410
    else:
        with pytest.raises(httpx.RemoteProtocolError):
            lab.watch(lab.core("configmaps"), **watching)
    breaker.join()


def test_lab_counts_calls(lab: ClusterUnderTest) -> None:
    lab.do("DELETE", "/lab/requests")
    lab.do("GET", lab.core("configmaps"))
    lab.do("GET", lab.core("configmaps"))
    (found,) = lab.do("GET", "/lab/requests")["requests"]
    assert (found["verb"], found["resource"], found["count"]) == ("list", "configmaps", 2)
