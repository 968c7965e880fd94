"""Calls as the cluster counted them, and replicas that moved."""

from __future__ import annotations

import time

import httpx

from services.lab.bench.operator.calls import Calls
from services.lab.bench.operator.fleet import names
from tests.unit.lab.bench.operator.conftest import Observed

_LIMIT_S = 20.0


def test_writes_leave_out_the_lease() -> None:
    calls = Calls({("update", "leases"): 3, ("patch", "deployments/scale"): 2, ("get", "pods"): 5})
    assert (calls.writes(), calls.lease(), calls.total()) == (2, 3, 10)
    assert list(calls.listed()) == ["get pods", "patch deployments/scale", "update leases"]


def test_calls_are_counted_from_a_time_on(observed: Observed) -> None:
    observer = observed.observer
    assert observer.calls().total() > 0
    observer.forget()
    with httpx.Client(base_url=observed.url, trust_env=False) as http:
        http.get("/api/v1/pods").raise_for_status()
    assert observer.calls().counts == {("list", "pods"): 1}
    assert observer.n_statuses() == 0


def test_a_change_of_replicas_is_seen_with_its_time(observed: Observed) -> None:
    observer, name = observed.observer, names(2)[1]
    path = f"/apis/apps/v1/namespaces/{name.namespace}/deployments/{name.name}/scale"
    assert observer.moved(name) == (0, 0.0)
    before_s = time.monotonic()
    with httpx.Client(base_url=observed.url, trust_env=False) as http:
        head = {"Content-Type": "application/merge-patch+json"}
        http.patch(path, json={"spec": {"replicas": 3}}, headers=head).raise_for_status()
    while observer.moved(name)[0] != 3:
        observer.calls()
        assert time.monotonic() - before_s < _LIMIT_S, "the watch saw nothing"
    assert observer.moved(name)[1] >= before_s
