"""What is set through the REST API reaches the cluster: approvals, pauses, freezes, policies."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from services.kernel.domain.controls import Freeze
from tests.integration.admin.app_client import AppClient
from tests.integration.operator.conftest import Bench
from tests.integration.operator.controls_api import patch_policy, workload

pytestmark = pytest.mark.integration


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


@pytest.mark.parametrize(
    ("pause", "freeze_h", "annotated_h", "reason"),
    [
        # hours until the pause of the API ends (0: none was made), the freeze, the annotation
        (1, 5, 0, "PausedByFreeze"),
        (5, 1, 0, "PausedByApi"),
        (0, 5, 0, "PausedByFreeze"),
        (0, 1, 5, "PausedByAnnotation"),
        (0, 5, 1, "PausedByFreeze"),
    ],
)
def test_the_pause_is_told_of_whoever_holds_longest(
    bench: Bench, api: AppClient, pause: int, freeze_h: int, annotated_h: int, reason: str
) -> None:
    """What is advised to end it then does."""
    now = bench.clock.now()

    def at(hours: int) -> str:
        return (now + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")

    own = {"scaling.harmony.dev/paused-until": at(annotated_h)} if annotated_h else {}
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", own)
    bench.reconcile()
    if pause:
        body = {"until_at": at(pause)}
        assert api.request("PUT", workload(bench, "pause"), json=body).status_code == 200
    freeze = {"namespace": bench.lab.namespace, "until_at": at(freeze_h)}
    assert api.post("/v1/freezes", json=freeze).status_code == 201
    bench.reconcile()
    told = bench.lab.condition("llama", "Paused")
    assert (told["status"], told["reason"]) == ("True", reason)
    assert at(max(pause, freeze_h, annotated_h)) in told["message"]


def test_a_freeze_beside_a_pause_that_is_over_is_told_as_a_freeze(
    bench: Bench, api: AppClient
) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    until = (bench.clock.now() + timedelta(minutes=5)).isoformat()
    assert api.request("PUT", workload(bench, "pause"), json={"until_at": until}).is_success
    bench.clock.advance(86400)
    until = (bench.clock.now() + timedelta(hours=5)).isoformat()
    freeze = {"namespace": bench.lab.namespace, "until_at": until}
    assert api.post("/v1/freezes", json=freeze).status_code == 201
    bench.reconcile()
    assert bench.lab.condition("llama", "Paused")["reason"] == "PausedByFreeze"


def test_a_freeze_holds_what_it_names_and_is_tried_for_nothing_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of one tenant cost the autoscalers of others nothing."""
    namespace, now = bench.lab.namespace, bench.clock.now()
    rows = [(None, None), (namespace, None), (namespace, "llama"), (None, "llama")]
    others = [("other", None), ("other", "llama"), (namespace, "qwen")]
    statement = text(
        "INSERT INTO freezes (namespace, name, direction, from_at, until_at, reason, created_by, "
        "created_at) VALUES (:namespace, :name, 'Both', :now, :end, '', 'ada', :now)"
    )
    times = {"now": now, "end": now + timedelta(hours=1)}
    with bench.deps.engine.begin() as connection:
        given = [times | {"namespace": space, "name": name} for space, name in rows + others]
        connection.execute(statement, given)
    tried: list[tuple[str | None, str | None]] = []
    covers = Freeze.covers

    def watched(freeze: Freeze, space: str, name: str, at: datetime) -> bool:
        tried.append((freeze.namespace, freeze.name))
        return covers(freeze, space, name, at)

    monkeypatch.setattr(Freeze, "covers", watched)
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    assert bench.lab.condition("llama", "Paused")["status"] == "True"
    assert set(tried) == set(rows)
    assert len(tried) == len(rows)


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


def stored_spec(bench: Bench) -> dict[str, Any]:
    with bench.deps.engine.connect() as connection:
        return dict(connection.execute(text("SELECT spec FROM workloads")).scalar_one())


def test_a_bound_that_no_longer_fits_is_left_out_alone_and_the_object_says_so(
    bench: Bench, api: AppClient
) -> None:
    """The mode that a person set, and the freezes of schedules, hold whatever becomes of it."""
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    night = {"name": "night", "start_time": "22:00", "end_time": "06:00", "freeze": "Both"}
    kept = {"json": {"schedules": [night]}, "headers": {"If-Match": "*"}}
    assert api.request("PUT", workload(bench, "schedules"), **kept).status_code == 200
    assert patch_policy(bench, api, {"mode": "Advisory", "max_replicas": 3}).status_code == 200
    bench.reconcile()
    assert bench.lab.condition("llama", "OverrideLeftOut")["status"] == "False"
    assert api.get(workload(bench, "policy")).json()["is_in_force"] is True
    bench.lab.change("llama", {"minReplicas": 5})
    bench.reconcile()
    spec = stored_spec(bench)
    assert (spec["min_replicas"], spec["max_replicas"]) == (5, 12)
    assert (spec["mode"], [one["name"] for one in spec["schedules"]]) == ("Advisory", ["night"])
    bench.decide("llama", 9)
    bench.reconcile()
    assert bench.lab.replicas("llama") == 2
    told = bench.lab.condition("llama", "OverrideLeftOut")
    assert (told["status"], told["reason"]) == ("True", "DoesNotFit")
    assert "min_replicas=5 must be <= max_replicas=3" in told["message"]
    shown = api.get(workload(bench, "policy")).json()
    assert (shown["is_in_force"], list(shown["left_out"])) == (False, ["max_replicas"])
    schedules = api.get(workload(bench, "schedules")).json()
    assert (schedules["source"], schedules["is_in_force"]) == ("api", True)
    # it keeps nobody from another change
    assert api.request("PUT", workload(bench, "pause"), json={"reason": "test"}).status_code == 200


def test_a_change_is_checked_against_what_the_object_says_by_itself(
    bench: Bench, api: AppClient
) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama", mode="Advisory", maxReplicas=12)
    bench.reconcile()
    assert patch_policy(bench, api, {"min_replicas": 20, "max_replicas": 30}).status_code == 200
    bench.reconcile()
    refused = patch_policy(bench, api, {"max_replicas": None})
    assert refused.status_code == 422
    assert "min_replicas=20 must be <= max_replicas=12" in refused.json()["detail"]
    # what is set now is no bound of what is set in its place
    bench.lab.change("llama", {"maxReplicas": 100})
    bench.reconcile()
    assert stored_spec(bench)["max_replicas"] == 30
    taken = patch_policy(bench, api, {"max_replicas": None, "min_replicas": 50})
    assert (taken.status_code, taken.json()["is_in_force"]) == (200, False)
    bench.reconcile()
    shown = api.get(workload(bench, "policy")).json()
    assert (shown["in_force"]["min_replicas"], shown["in_force"]["max_replicas"]) == (50, 100)
    assert shown["is_in_force"] is True


def test_schedules_are_the_objects_own_as_soon_as_they_are_taken_back(
    bench: Bench, api: AppClient
) -> None:
    bench.lab.deploy("llama")
    bench.lab.autoscale("llama")
    bench.reconcile()
    night = {"name": "night", "start_time": "22:00", "end_time": "06:00", "freeze": "Both"}
    kept = {"json": {"schedules": [night]}, "headers": {"If-Match": "*"}}
    api.request("PUT", workload(bench, "schedules"), **kept)
    bench.reconcile()
    back = api.request("DELETE", workload(bench, "schedules"), headers={"If-Match": "*"}).json()
    assert (back["source"], back["schedules"], back["is_in_force"]) == ("kubernetes", [], False)
    bench.reconcile()
    assert api.get(workload(bench, "schedules")).json()["is_in_force"] is True


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
