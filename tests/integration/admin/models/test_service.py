"""The model registry and the decider's beliefs over HTTP."""

from __future__ import annotations

import pytest

from tests.integration.admin.app_client import AppClient

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


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
