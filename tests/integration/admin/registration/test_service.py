"""Workloads made over REST: versions, repetitions, faults, rights, and the operator's own."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from services.admin.deps import AdminDeps
from services.kernel.domain import WorkloadSpec
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.registration.rest_workload import BODY, SPEC, rows, send
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
PATH = "/v1/workloads/lab/chat"
OURS = "/v1/workloads/llm-prod/llama-70b-chat"


def test_a_workload_is_made_changed_removed_and_made_again(
    admin: AppClient, database: Engine, deps: AdminDeps
) -> None:
    made = send(admin, "POST", "/v1/workloads", BODY)
    assert (made.status_code, made.headers["Location"]) == (201, PATH)
    assert made.headers["ETag"] == '"1"'
    (row,) = rows(database)
    assert row["shard"] == (row["id"] - 1) // deps.settings.shard_size
    assert (row["step_s"], row["managed_by"], row["is_active"]) == (300, "api", True)
    spec = WorkloadSpec.model_validate(row["spec"])
    assert (spec.mode, spec.target, spec.max_replicas) == ("Advisory", "External/chat", 12)
    assert (spec.sla.epsilon, spec.schedules[0].min_replicas) == (0.02, 4)
    shown = admin.get(PATH).json()
    assert (shown["managed_by"], shown["demand_indicator"]) == ("api", "output_tokens_per_s")
    read = admin.get(f"{PATH}/spec")
    assert (read.headers["ETag"], read.json()) == ('"1"', made.json())

    changed = send(admin, "PUT", PATH, {"spec": SPEC | {"max_replicas": 20}}, **{"If-Match": '"1"'})
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    assert admin.get(PATH).json()["max_replicas"] == 20
    assert send(admin, "DELETE", PATH, **{"If-Match": '"1"'}).status_code == 412
    assert send(admin, "DELETE", PATH, **{"If-Match": '"2"'}).status_code == 204
    assert admin.get(PATH).json()["is_active"] is False
    assert send(admin, "DELETE", PATH, **{"If-Match": "*"}).status_code == 404
    listed = admin.get("/v1/workloads").json()["items"]
    assert "lab" not in {item["namespace"] for item in listed}

    again = send(admin, "POST", "/v1/workloads", BODY)
    assert (again.status_code, again.json()["is_active"]) == (201, True)
    assert [one["id"] for one in rows(database)] == [row["id"]]  # with its history
    entries = admin.get("/v1/audit").json()["items"]
    actions = ("create", "delete", "update", "create")
    assert [e["action"] for e in entries] == [f"workload.{name}" for name in actions]
    assert entries[2]["before"]["max_replicas"] == 12
    assert entries[2]["after"]["max_replicas"] == 20
    assert {e["object"] for e in entries} == {"workload/lab/chat"}


def test_a_repetition_makes_nothing_twice(admin: AppClient, database: Engine) -> None:
    key = {"Idempotency-Key": "one"}
    first, second = (send(admin, "POST", "/v1/workloads", BODY, **key) for _ in range(2))
    assert second.json() == first.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.headers["Location"] == PATH
    assert len(rows(database)) == 1
    again = send(admin, "POST", "/v1/workloads", BODY)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert "PUT" in again.json()["detail"]


def test_an_update_needs_the_version_that_was_read(admin: AppClient) -> None:
    assert send(admin, "POST", "/v1/workloads", BODY).status_code == 201
    for method, body in (("PUT", {"spec": SPEC}), ("DELETE", None)):
        missing = send(admin, method, PATH, body)
        assert (missing.status_code, missing.json()["code"]) == (428, "precondition_required")
        stale = send(admin, method, PATH, body, **{"If-Match": '"7", W/"8"'})
        assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    either = send(admin, "PUT", PATH, {"spec": SPEC}, **{"If-Match": '"7", "1"'})
    assert either.status_code == 200


def test_what_follows_a_gpuautoscaler_is_left_to_it(admin: AppClient) -> None:
    body = {"namespace": "llm-prod", "name": "llama-70b-chat", "spec": SPEC}
    answers = [
        send(admin, "POST", "/v1/workloads", body),
        send(admin, "PUT", OURS, {"spec": SPEC}, **{"If-Match": "*"}),
        send(admin, "DELETE", OURS, **{"If-Match": "*"}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert "GPUAutoscaler llama-70b-chat in namespace llm-prod" in answer.json()["detail"]
    read = admin.get(f"{OURS}/spec").json()
    assert (read["managed_by"], read["is_active"]) == ("kubernetes", True)


def test_there_is_nothing_to_lay_over_it(admin: AppClient) -> None:
    assert send(admin, "POST", "/v1/workloads", BODY).status_code == 201
    answers = [
        send(admin, "PATCH", f"{PATH}/policy", {"max_replicas": 9}, **{"If-Match": "*"}),
        send(admin, "PUT", f"{PATH}/pause", {}),
        send(admin, "PUT", f"{PATH}/schedules", {"schedules": []}, **{"If-Match": "*"}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert f"PUT {PATH}" in answer.json()["detail"]
    assert admin.get(f"{PATH}/policy").json()["is_in_force"] is True


def test_an_operator_of_a_namespace_makes_workloads_there_only(
    anonymous: AppClient, database: Engine
) -> None:
    with database.begin() as connection:
        made = create_key(connection, "lab", Role.OPERATOR, NOW, None, ["lab"])
        reader = create_key(connection, "reader", Role.VIEWER, NOW, None, ["lab", "team"])
    own, other = ({"Authorization": f"Bearer {one.token}"} for one in (made, reader))
    assert send(anonymous, "POST", "/v1/workloads", BODY, **other).status_code == 403
    assert send(anonymous, "POST", "/v1/workloads", BODY, **own).status_code == 201
    foreign = send(anonymous, "POST", "/v1/workloads", BODY | {"namespace": "team"}, **own)
    assert (foreign.status_code, foreign.json()["code"]) == (404, "not_found")
    match = {"If-Match": "*"}
    assert send(anonymous, "DELETE", PATH, **other, **match).status_code == 403
    assert send(anonymous, "DELETE", PATH, **own, **match).status_code == 204
