"""Workloads made over REST: versions, repetitions, faults, rights, and the operator's own."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, text

from services.admin.decisions.service import AdminDeps
from services.ingest import service
from services.ingest.deps import IngestDeps
from services.ingest.push.service import push
from services.kernel import jobs
from services.kernel.clock import FixedClock
from services.kernel.domain import WorkloadSpec
from services.kernel.jobs import RecordingSender
from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]

PATH = "/v1/workloads/lab/chat"
OURS = "/v1/workloads/llm-prod/llama-70b-chat"
SPEC: dict[str, Any] = {
    "demand": "output_tokens_per_s",
    "indicators": [
        {"name": "output_tokens_per_s", "level": 1, "unit": "tokens/s"},
        {"name": "queue_requests", "level": 2, "query": "sum(vllm:num_requests_waiting)"},
    ],
    "capacity": {"per_replica": 900},
    "max_replicas": 12,
    "gpus_per_replica": 2,
    "sla": {"sla_class": "gold", "epsilon": 0.02},
    "schedules": [{"name": "day", "start_time": "08:00", "end_time": "18:00", "min_replicas": 4}],
    "labels": {"team": "chat"},
}
BODY = {"namespace": "lab", "name": "chat", "spec": SPEC}


def rows(engine: Engine) -> list[Any]:
    statement = text("SELECT * FROM workloads WHERE namespace = 'lab' ORDER BY id")
    with engine.connect() as connection:
        return list(connection.execute(statement).mappings())


def send(client: AppClient, method: str, path: str, body: Any = None, **headers: str) -> Any:
    return client.request(method, path, json=body, headers=headers)


def test_what_the_document_shows_as_an_example_is_taken(admin: AppClient) -> None:
    document = admin.get("/openapi.json").json()
    shown = {}
    for path, methods in document["paths"].items():
        content = methods.get("post", {}).get("requestBody", {}).get("content", {})
        reference = content.get("application/json", {}).get("schema", {}).get("$ref")
        if reference and "{" not in path:
            schema = document["components"]["schemas"][reference.rpartition("/")[2]]
            shown[path] = schema["examples"][0]
    assert "/v1/workloads" in shown
    for path, body in shown.items():
        answer = send(admin, "POST", path, body)
        # what it names (a workload, a namespace) need not be here
        assert answer.status_code in {200, 201, 202, 404}, f"{path}: {answer.text}"
    assert send(admin, "POST", "/v1/workloads", shown["/v1/workloads"]).status_code == 409


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


def test_samples_of_it_are_taken_and_a_forecast_is_asked_for(
    admin: AppClient, database: Engine, deps: AdminDeps
) -> None:
    assert send(admin, "POST", "/v1/workloads", BODY).status_code == 201
    sender = RecordingSender()
    ingest = IngestDeps(database, deps.clock, sender, deps.settings)
    series = {"namespace": "lab", "workload": "chat", "indicator": "output_tokens_per_s"}
    samples = [[NOW.timestamp() + offset_s, 1000.0] for offset_s in (10, 100, 250)]
    assert isinstance(deps.clock, FixedClock)
    deps.clock.advance(400)
    pushed = push(ingest, orjson.dumps({"observations": [series | {"samples": samples}]}))
    assert pushed.n_accepted == 3
    (row,) = rows(database)
    found = service.resample_shard(ingest, row["shard"], deps.clock.now())
    assert NOW in found.origins
    statement = text("SELECT value FROM indicators WHERE workload_id = :id AND is_observed")
    with database.connect() as connection:
        assert connection.execute(statement, {"id": row["id"]}).scalars().all() == [1000.0]
    assert jobs.FORECAST_SHARD in {job.name for job in sender.sent}


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


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"mode": "Auto"}, "/spec/mode"),
    ({"demand": "nothing_rps"}, "/spec"),
    ({"indicators": []}, "/spec/indicators"),
    ({"indicators": SPEC["indicators"] * 2}, "/spec"),
    ({"min_replicas": 13}, "/spec"),
    ({"max_replicas": 100_001}, "/spec/max_replicas"),
    ({"capacity": {"per_replica": 0}}, "/spec/capacity/per_replica"),
    ({"capacity": {"per_replica": 1e300}}, "/spec/capacity/per_replica"),
    ({"capacity": {"per_replica": 9, "latency_indicator": "x_ms"}}, "/spec/capacity"),
    ({"sla": {"epsilon": 1}}, "/spec/sla/epsilon"),
    ({"sla": {"priority": 2**40}}, "/spec/sla/priority"),
    ({"gpu_type": "H\u0000"}, "/spec/gpu_type"),
    ({"labels": {"a": "b\u0000"}}, "/spec/labels/a"),
    ({"labels": {f"k{i}": "v" for i in range(65)}}, "/spec/labels"),
    ({"schedules": [{"name": "x", "start_time": "8", "end_time": "9"}]}, "/spec/schedules/0/"),
    ({"price_usd_per_gpu_hour": -1}, "/spec/price_usd_per_gpu_hour"),
]


@pytest.mark.parametrize(("changes", "pointer"), WRONG)
def test_a_wrong_field_is_named(
    admin: AppClient, database: Engine, changes: dict[str, Any], pointer: str
) -> None:
    answer = send(admin, "POST", "/v1/workloads", BODY | {"spec": SPEC | changes})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert answer.json()["errors"][0]["pointer"].startswith(pointer), answer.text
    assert rows(database) == []


@pytest.mark.parametrize("name", ["", "Chat", "a/b", "-a", "x" * 254, "a\u0000", "ä"])
def test_a_name_must_be_one_of_kubernetes(admin: AppClient, name: str) -> None:
    answer = send(admin, "POST", "/v1/workloads", BODY | {"name": name})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/name"


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
