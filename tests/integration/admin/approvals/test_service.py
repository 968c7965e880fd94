"""The approvals inbox and verdicts over HTTP."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_a_verdict_may_change_until_it_is_followed(admin: AppClient, waiting: int) -> None:
    admin.post(f"/v1/decisions/{waiting}/approve", json={})
    answer = admin.post(f"/v1/decisions/{waiting}/reject", json={"reason": "no"})
    assert answer.json()["verdict"] == "rejected"
    newest = admin.get("/v1/audit").json()["items"][0]
    assert newest["action"] == "decision.reject"
    assert newest["before"]["verdict"] == "approved"


def test_what_waits_for_nobody_cannot_be_answered(
    admin: AppClient, database: Engine, waiting: int
) -> None:
    listed = admin.get("/v1/decisions", params={"workload": "llm-prod/llama-70b-chat"}).json()
    auto = admin.post(f"/v1/decisions/{listed['items'][0]['id']}/approve", json={})
    assert (auto.status_code, "mode Auto" in auto.json()["detail"]) == (409, True)
    older = waiting - 1
    answer = admin.post(f"/v1/decisions/{older}/approve", json={})
    assert (answer.status_code, "superseded" in answer.json()["detail"]) == (409, True)
    with database.begin() as connection:
        connection.execute(
            text("UPDATE actions SET result = 'applied' WHERE decision_id = :id"), {"id": waiting}
        )
    done = admin.post(f"/v1/decisions/{waiting}/approve", json={})
    assert (done.status_code, "ended as applied" in done.json()["detail"]) == (409, True)
    assert admin.post("/v1/decisions/999/approve", json={}).status_code == 404
    assert admin.get("/v1/audit").json()["items"] == []


def test_only_an_approver_of_the_namespace_may_answer(
    anonymous: AppClient, database: Engine, waiting: int
) -> None:
    cases = [
        (Role.APPROVER, ["diffusion"], 200),
        (Role.OPERATOR, ["diffusion"], 403),
        (Role.APPROVER, ["llm-prod"], 404),
    ]
    for role, namespaces, expected in cases:
        with database.begin() as connection:
            name = f"{role} {namespaces}"
            token = create_key(connection, name, role, NOW, None, namespaces).token
        headers = {"Authorization": f"Bearer {token}"}
        path = f"/v1/decisions/{waiting}/approve"
        assert anonymous.post(path, json={}, headers=headers).status_code == expected, (
            role,
            namespaces,
        )
