"""The model registry and the decider's beliefs over HTTP."""

from __future__ import annotations

import struct
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select

from services.admin.decisions.service import AdminDeps
from services.kernel import jobs
from services.kernel.db import schema
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


@pytest.fixture
def registry(database: Engine) -> None:
    """Beside the promoted harmony-flow-3: a shadow, a retired one, a failed one."""
    rows: list[dict[str, Any]] = [
        {"version": "harmony-flow-2", "status": "retired", "retired_at": NOW},
        {"version": "harmony-flow-4", "status": "shadow"},
        {"version": "failed-1", "status": "failed", "artifact": None},
    ]
    blank = {"kind": "flow", "reason": "", "config": {}, "metrics": {}, "artifact": b"x"}
    with database.begin() as connection:
        for n, row in enumerate(rows):
            at = NOW - timedelta(hours=n)
            connection.execute(insert(schema.models).values(blank | {"created_at": at} | row))


def statuses(admin: AppClient) -> dict[str, str]:
    return {m["version"]: m["status"] for m in admin.get("/v1/models").json()["items"]}


@pytest.mark.usefixtures("registry")
def test_a_model_is_promoted_and_rolled_back(admin: AppClient) -> None:
    etag = admin.get("/v1/models/harmony-flow-4").headers["ETag"]
    body = {"reason": "better on the new tenant"}
    made = admin.post("/v1/models/harmony-flow-4/promote", json=body, headers={"If-Match": etag})
    assert (made.status_code, made.json()["status"]) == (200, "promoted")
    assert made.headers["ETag"] != etag
    assert statuses(admin)["harmony-flow-3"] == "retired"
    stale = admin.post("/v1/models/harmony-flow-4/shadow", json={}, headers={"If-Match": etag})
    assert stale.status_code == 412
    twice = admin.post("/v1/models/harmony-flow-4/promote", json={})
    assert (twice.status_code, twice.json()["code"]) == (409, "conflict")
    back = admin.post("/v1/models/roll-back", json={"reason": "worse at night"})
    assert back.status_code == 200, back.text
    assert (back.json()["version"], back.json()["status"]) == ("harmony-flow-2", "promoted")
    first = admin.get("/v1/audit").json()["items"][0]
    assert (first["action"], first["before"]["serving"]) == ("model.roll_back", "harmony-flow-4")
    assert first["after"]["serving"] == "harmony-flow-2"


@pytest.mark.usefixtures("registry")
def test_a_model_is_taken_out_of_service(admin: AppClient) -> None:
    out = admin.post("/v1/models/harmony-flow-3/shadow", json={"reason": "drifts"})
    assert (out.status_code, out.json()["status"]) == (200, "shadow")
    assert "promoted" not in statuses(admin).values()
    for version, expected in (("failed-1", 409), ("nothing", 404), ("harmony-flow-4", 409)):
        answer = admin.post(f"/v1/models/{version}/shadow", json={})
        assert answer.status_code == expected, version
    assert admin.post("/v1/models/failed-1/promote", json={}).status_code == 409


def test_without_a_predecessor_there_is_no_rolling_back(admin: AppClient) -> None:
    answer = admin.post("/v1/models/roll-back", json={})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.usefixtures("registry")
def test_models_filter_by_status_and_time(admin: AppClient) -> None:
    def found(**query: str) -> list[str]:
        items = admin.get("/v1/models", params=query).json()["items"]
        return [item["version"] for item in items]

    assert found(status="shadow") == ["harmony-flow-4"]
    since = (NOW - timedelta(minutes=30)).isoformat()
    assert found(from_at=since) == ["harmony-flow-2"]
    assert admin.get("/v1/models", params={"status": "great"}).status_code == 422


def test_training_is_an_operation_and_one_at_a_time(admin: AppClient, deps: AdminDeps) -> None:
    first = admin.post("/v1/models/train", json={}, headers={"Idempotency-Key": "t"})
    assert (first.status_code, first.json()["status"]) == (202, "queued")
    assert admin.get(first.headers["Location"]).json()["kind"] == "train_model"
    (job,) = deps.sender.sent  # type: ignore[attr-defined]  # a RecordingSender
    assert (job.name, job.payload) == (jobs.TRAIN_MODEL, {"operation_id": first.json()["id"]})
    again = admin.post("/v1/models/train", json={}, headers={"Idempotency-Key": "t"})
    assert again.json()["id"] == first.json()["id"]
    assert len(deps.sender.sent) == 1  # type: ignore[attr-defined]  # a RecordingSender
    second = admin.post("/v1/models/train", json={})
    assert (second.status_code, second.json()["code"]) == (409, "conflict")


def test_posteriors_show_quantiles_of_their_draws(admin: AppClient, database: Engine) -> None:
    with database.begin() as connection:
        query = select(schema.workloads.c.id).where(schema.workloads.c.name == "sdxl-turbo")
        workload = connection.execute(query).scalar_one()
        blank = {
            "status": "promoted",
            "n_observations": 4,
            "summary": {},
            "diagnostics": {"rhat": 1.0},
            "fitted_at": NOW,
        }
        draws = struct.pack("<5f", 10.0, 20.0, 30.0, 40.0, 50.0)
        rows = [
            {"kind": "lead_time", "scope": f"workload:{workload}", "draws": draws},
            {"kind": "response", "scope": f"workload:{workload}", "draws": draws * 2},
            {"kind": "capacity", "scope": "gpu_type:H100", "draws": None},
        ]
        for row in rows:
            connection.execute(insert(schema.posteriors).values(blank | row))
    items = admin.get("/v1/posteriors").json()["items"]
    assert [(i["kind"], i["workload"]) for i in items] == [
        ("capacity", None),
        ("response", "sdxl-turbo"),
        ("lead_time", "sdxl-turbo"),
    ]
    lead = admin.get(f"/v1/posteriors/{items[2]['id']}").json()
    assert (lead["n_draws"], lead["quantities"]) == (5, ["lead_time_s"])
    assert lead["quantiles"]["0.5"] == [30.0]
    assert lead["quantiles"]["0.9"] == [46.0]
    response = admin.get(f"/v1/posteriors/{items[1]['id']}").json()
    assert (response["n_draws"], len(response["quantities"])) == (2, 5)
    assert response["quantiles"]["0.5"] == [10.0, 20.0, 30.0, 40.0, 50.0]
    assert admin.get(f"/v1/posteriors/{items[0]['id']}").json()["n_draws"] is None
    page = admin.get("/v1/posteriors", params={"limit": 2}).json()
    rest = admin.get("/v1/posteriors", params={"cursor": page["next_cursor"]}).json()
    assert page["items"] + rest["items"] == items
    filtered = admin.get("/v1/posteriors", params={"kind": "response"}).json()["items"]
    assert filtered == [items[1]]
    assert admin.get("/v1/posteriors/999").status_code == 404
