"""What is set through the REST API reaches the cluster: approvals, pauses, freezes, policies."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import redis
from sqlalchemy import text

from services.admin.app import make_app
from services.admin.deps import AdminDeps
from services.admin.sessions import SessionStore
from services.kernel.jobs import RecordingSender
from services.kernel.security.keys import KeyVerifier, Role, create_key
from services.kernel.settings import Settings
from tests.integration.admin.app_client import AppClient
from tests.integration.operator.conftest import Bench

pytestmark = pytest.mark.integration


@pytest.fixture
def api(bench: Bench, redis_url: str, settings: Settings) -> Iterator[AppClient]:
    """The admin application on the operator's database, with an admin's key."""
    engine, clock = bench.deps.engine, bench.clock
    connection = redis.Redis.from_url(redis_url)
    deps = AdminDeps(
        engine=engine,
        redis=connection,
        settings=settings,
        clock=clock,
        wall=clock,
        verifier=KeyVerifier(engine),
        sessions=SessionStore(connection, b"k" * 32, clock),
        sender=RecordingSender(),
    )
    with engine.begin() as transaction:
        token = create_key(transaction, "ada", Role.ADMIN, clock.now()).token
    with AppClient(make_app(deps), {"Authorization": f"Bearer {token}"}) as client:
        yield client
    connection.close()


def workload(bench: Bench, part: str) -> str:
    return f"/v1/workloads/{bench.lab.namespace}/llama/{part}"


def test_an_approval_of_the_api_is_followed_and_named(bench: Bench, api: AppClient) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", mode="Approval")
    bench.reconcile()
    decision = bench.decide("llama", 5)
    bench.reconcile()
    (waiting,) = api.get("/v1/approvals").json()["items"]
    assert (waiting["id"], waiting["action_result"]) == (decision, "awaiting_approval")
    answer = api.post(f"/v1/decisions/{decision}/approve", json={"reason": "campaign"})
    assert answer.status_code == 200, answer.text
    assert api.get("/v1/approvals").json()["items"] == []
    bench.reconcile()
    assert bench.lab.replicas("llama") == 5
    status = bench.lab.autoscaler("llama")["status"]
    assert status["lastDecision"]["approvedBy"].startswith("ada (")
    late = api.post(f"/v1/decisions/{decision}/reject", json={})
    assert (late.status_code, late.json()["code"]) == (409, "conflict")


def test_a_rejection_of_the_api_leaves_the_target(bench: Bench, api: AppClient) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", mode="Approval")
    bench.reconcile()
    decision = bench.decide("llama", 5)
    bench.reconcile()
    assert api.post(f"/v1/decisions/{decision}/approve", json={}).status_code == 200
    assert api.post(f"/v1/decisions/{decision}/reject", json={}).status_code == 200
    bench.reconcile()
    assert bench.lab.replicas("llama") == 2
    assert bench.results()[-1] == (decision, 2, "rejected")


def test_a_pause_of_the_api_holds_and_is_lifted(bench: Bench, api: AppClient) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    until = bench.clock.now() + timedelta(hours=1)
    body = {"until_at": until.isoformat(), "reason": "load test"}
    paused = api.request("PUT", workload(bench, "pause"), json=body)
    assert (paused.status_code, paused.json()["is_in_force"]) == (200, False)
    bench.decide("llama", 5)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 2
    assert bench.lab.condition("llama", "Paused")["status"] == "True"
    shown = api.get(workload(bench, "pause")).json()
    assert (shown["is_in_force"], shown["source"]) == (True, "api")
    assert [item["workload"] for item in api.get("/v1/pauses").json()["items"]] == ["llama"]
    assert api.request("DELETE", workload(bench, "pause")).json()["direction"] == "Both"
    bench.clock.advance(bench.step_s)
    bench.decide("llama", 5)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 5
    assert api.get(workload(bench, "pause")).json()["is_paused"] is False
    assert api.get("/v1/pauses").json()["items"] == []


def test_a_freeze_of_the_namespace_holds_scaling_in_between_its_times(
    bench: Bench, api: AppClient
) -> None:
    bench.lab.deploy("llama", replicas=4)
    bench.lab.autoscale("llama")
    bench.reconcile()
    now = bench.clock.now()
    body = {
        "namespace": bench.lab.namespace,
        "direction": "ScaleDown",
        "from_at": (now + timedelta(seconds=30)).isoformat(),
        "until_at": (now + timedelta(hours=1)).isoformat(),
    }
    made = api.post("/v1/freezes", json=body)
    assert made.status_code == 201, made.text
    bench.decide("llama", 3)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 3, "it has not begun"
    bench.clock.advance(bench.step_s)
    bench.decide("llama", 2)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 3
    bench.clock.advance(bench.step_s)
    bench.decide("llama", 5)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 5, "scaling out is free"
    assert api.request("DELETE", made.headers["Location"]).status_code == 204
    bench.clock.advance(bench.step_s)
    bench.decide("llama", 2)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 2


def test_a_policy_is_laid_over_the_object_and_taken_back(bench: Bench, api: AppClient) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    path = workload(bench, "policy")
    etag = api.get(path).headers["ETag"]
    set_ = {"json": {"max_replicas": 4, "epsilon": 0.05}, "headers": {"If-Match": etag}}
    answer = api.request("PATCH", path, **set_)
    assert answer.json()["is_in_force"] is False
    bench.reconcile()
    shown = api.get(path)
    assert (shown.json()["is_in_force"], shown.json()["in_force"]["max_replicas"]) == (True, 4)
    bench.decide("llama", 9)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 4
    back = {"json": {"max_replicas": None}, "headers": {"If-Match": shown.headers["ETag"]}}
    assert api.request("PATCH", path, **back).status_code == 200
    bench.reconcile()
    policy = api.get(path).json()
    assert (policy["in_force"]["max_replicas"], policy["in_force"]["epsilon"]) == (12, 0.05)


def test_an_override_that_no_longer_fits_leaves_the_object_in_charge(
    bench: Bench, api: AppClient
) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    answer = api.request(
        "PATCH", workload(bench, "policy"), json={"max_replicas": 3}, headers={"If-Match": "*"}
    )
    assert answer.status_code == 200
    bench.lab.change("llama", {"minReplicas": 5})
    bench.reconcile()
    with bench.deps.engine.connect() as connection:
        spec = connection.execute(text("SELECT spec FROM workloads")).scalar_one()
    assert (spec["min_replicas"], spec["max_replicas"]) == (5, 12)


@pytest.mark.parametrize(
    "body", ["""{"quota": 3}""", """{"policy": {"min_replicas": "few"}}""", """{"pause": "yes"}"""]
)
def test_controls_that_cannot_be_read_hold_their_own_workload_alone(
    bench: Bench, body: str
) -> None:
    """They may be a pause of an API that is newer than the operator."""
    for name in ("llama", "qwen"):
        bench.lab.deploy(name)
        bench.lab.autoscale(name)
    bench.reconcile()
    statement = text(
        "INSERT INTO workload_controls (workload_id, body, version, updated_by, updated_at) "
        "VALUES (:id, CAST(:body AS jsonb), 1, 'ada', :now)"
    )
    values = {"id": bench.workload_id("llama"), "body": body, "now": bench.clock.now()}
    with bench.deps.engine.begin() as connection:
        connection.execute(statement, values)
    for name in ("llama", "qwen"):
        bench.decide(name, 5)
    bench.reconcile()
    assert (bench.lab.replicas("llama"), bench.lab.replicas("qwen")) == (2, 5)
    paused = bench.lab.condition("llama", "Paused")
    assert (paused["status"], paused["reason"]) == ("True", "UnreadableControls")
    assert "an operator as new as the API" in paused["message"]


def test_a_freeze_of_an_unknown_direction_holds_both(bench: Bench) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    now = bench.clock.now()
    statement = text(
        "INSERT INTO freezes (namespace, direction, from_at, until_at, reason, created_by, "
        "created_at) VALUES (:namespace, 'Sideways', :now, :end, '', 'ada', :now)"
    )
    values = {"namespace": bench.lab.namespace, "now": now, "end": now + timedelta(hours=1)}
    with bench.deps.engine.begin() as connection:
        connection.execute(statement, values)
    bench.decide("llama", 5)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 2
    assert bench.lab.condition("llama", "Paused")["reason"] == "PausedByFreeze"
