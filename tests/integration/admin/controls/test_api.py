"""Policies, pauses, schedules and freezes over HTTP: versions, repetitions, faults, rows."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from tests.integration.admin.app_client import AppClient
from tests.integration.admin.llama_api import LLAMA, SHIFT, count, patch

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_a_policy_is_changed_by_version(admin: AppClient, database: Engine) -> None:
    seen = admin.get(f"{LLAMA}/policy")
    assert (seen.headers["ETag"], seen.json()["version"], seen.json()["overrides"]) == (
        '"0"',
        0,
        {},
    )
    assert patch(admin, {"max_replicas": 30}).json()["code"] == "precondition_required"
    first = patch(admin, {"max_replicas": 30}, **{"If-Match": '"0"'})
    assert (first.status_code, first.headers["ETag"]) == (200, '"1"')
    assert first.json()["overrides"] == {"max_replicas": 30}
    assert first.json()["in_force"]["max_replicas"] == 24, "the operator has not passed yet"
    stale = patch(admin, {"max_replicas": 40}, **{"If-Match": '"0"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert '"1"' in stale.json()["detail"]
    taken_back = patch(admin, {"max_replicas": None}, **{"If-Match": '"1"'})
    assert (taken_back.json()["overrides"], taken_back.json()["version"]) == ({}, 2)
    entries = admin.get("/v1/audit").json()["items"]
    assert [e["action"] for e in entries] == ["policy.update", "policy.update"]
    assert entries[1]["after"]["policy"]["max_replicas"] == 30
    assert count(database, "audit") == 2, "what was refused left nothing"


def test_an_unknown_workload_is_404_on_every_write(admin: AppClient) -> None:
    nowhere = "/v1/workloads/llm-prod/nothing"
    headers = {"If-Match": "*"}
    writes = [
        ("PATCH", "policy", {}),
        ("PUT", "pause", {}),
        ("DELETE", "pause", None),
        ("PUT", "schedules", {"schedules": []}),
        ("DELETE", "schedules", None),
    ]
    for method, part, body in writes:
        answer = admin.request(method, f"{nowhere}/{part}", json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, part)


def test_schedules_are_replaced_and_reset(admin: AppClient) -> None:
    path = f"{LLAMA}/schedules"
    night = {"name": "night", "start_time": "22:00", "end_time": "06:00", "freeze": "ScaleDown"}
    body = {"schedules": [SHIFT, night]}
    made = admin.request("PUT", path, json=body, headers={"If-Match": '"0"'}).json()
    assert [(s["name"], s["is_in_force"]) for s in made["schedules"]] == [
        ("day", True),
        ("night", False),
    ]
    assert (made["source"], made["is_in_force"]) == ("api", False)
    twice = {"schedules": [SHIFT, SHIFT]}
    refused = admin.request("PUT", path, json=twice, headers={"If-Match": '"1"'})
    assert "'day' is given twice" in refused.json()["detail"]
    reset = admin.request("DELETE", path, headers={"If-Match": '"1"'}).json()
    assert (reset["source"], reset["schedules"], reset["is_in_force"]) == ("kubernetes", [], True)


@pytest.mark.parametrize(
    ("spoilt", "read"),
    [
        ("UPDATE workload_controls SET body = '{\"pause\": 3}' WHERE workload_id = :id", "pause"),
        ('UPDATE workloads SET spec = \'{"paused": "x", "schedules": 3}\' WHERE id = :id', "pause"),
        ("UPDATE workloads SET spec = '\"word\"' WHERE id = :id", "schedules"),
    ],
)
def test_a_row_that_cannot_be_read_hides_no_other(
    admin: AppClient, database: Engine, spoilt: str, read: str
) -> None:
    for path in (LLAMA, "/v1/workloads/llm-prod/mixtral-agents"):
        held = admin.request("PUT", f"{path}/pause", json={}, headers={"If-Match": "*"})
        shift = {"schedules": [SHIFT]}
        planned = admin.request("PUT", f"{path}/schedules", json=shift, headers={"If-Match": "*"})
        assert (held.status_code, planned.status_code) == (200, 200)
    with database.begin() as connection:
        found = text("SELECT id FROM workloads WHERE name = 'llama-70b-chat'")
        connection.execute(text(spoilt), {"id": connection.scalar(found)})
    for what in ("pauses", "policies", "schedules"):
        listed = admin.get(f"/v1/{what}")
        assert listed.status_code == 200, listed.text
        assert "llama-70b-chat" not in {item["workload"] for item in listed.json()["items"]}
    assert [item["workload"] for item in admin.get("/v1/pauses").json()["items"]] == [
        "mixtral-agents"
    ]
    one = admin.get(f"{LLAMA}/{read}")
    assert (one.status_code, one.json()["code"]) == (409, "conflict")
    assert "cannot be read" in one.json()["detail"]
