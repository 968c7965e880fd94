"""The approvals inbox and verdicts over HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from services.kernel.security.keys import Role, create_key
from tests.integration.admin.app_client import AppClient, bearer
from tests.integration.admin.approvals.conftest import lasting
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_a_verdict_may_change_until_it_is_followed(admin: AppClient, waiting: int) -> None:
    admin.post(f"/v1/decisions/{waiting}/approve", json={})
    answer = admin.post(f"/v1/decisions/{waiting}/reject", json={"reason": "no"})
    assert answer.json()["verdict"] == "rejected"
    newest = admin.get("/v1/audit").json()["items"][0]
    assert newest["action"] == "decision.reject"
    assert newest["before"]["verdict"] == "approved"


def test_what_somebody_else_has_rejected_is_approved_knowingly_only(
    admin: AppClient, keys: dict[Role, str], waiting: int
) -> None:
    """An approver with an old page does not overrule a colleague unseen."""
    path, other = f"/v1/decisions/{waiting}", bearer(keys[Role.APPROVER])

    def as_other(verdict: str, reason: str = "") -> int:
        answer = admin.post(f"{path}/{verdict}", json={"reason": reason}, headers=other)
        return answer.status_code

    assert as_other("reject", "a sale ends") == 200
    late = admin.post(f"{path}/approve", json={})
    assert late.status_code == 409
    assert "was rejected by" in late.json()["detail"]
    assert "(a sale ends); to approve it all the same, set overrule: true" in late.json()["detail"]
    assert admin.get(f"{path}/verdict").json()["verdict"] == "rejected"
    assert as_other("approve") == 200, "it was their own no"
    assert as_other("reject") == 200
    assert admin.post(f"{path}/approve", json={"overrule": True}).status_code == 200


def test_what_was_rejected_by_annotation_is_approved_knowingly_only(
    admin: AppClient, database: Engine, waiting: int
) -> None:
    with database.begin() as connection:
        connection.execute(
            text("UPDATE actions SET result = 'rejected' WHERE decision_id = :id"), {"id": waiting}
        )
    path = f"/v1/decisions/{waiting}/approve"
    assert "was rejected by somebody;" in admin.post(path, json={}).json()["detail"]
    assert admin.post(path, json={"overrule": True}).status_code == 200


def test_what_is_being_applied_is_rejected_too_late(
    admin: AppClient, database: Engine, waiting: int
) -> None:
    path = f"/v1/decisions/{waiting}"
    assert admin.post(f"{path}/approve", json={}).status_code == 200
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO intents (decision_id, attempt, origin_at, workload_id, from_replicas, "
                "to_replicas, targets, created_at) SELECT id, 2, origin_at, workload_id, 1, 2, "
                "CAST('[]' AS jsonb), decided_at FROM decisions WHERE id = :id"
            ),
            {"id": waiting},
        )
    late = admin.post(f"{path}/reject", json={})
    assert (late.status_code, "is being applied" in late.json()["detail"]) == (409, True)
    assert admin.get(f"{path}/verdict").json()["verdict"] == "approved"


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


def made(database: Engine, decision_id: int, age: timedelta) -> None:
    """The decision was made so long ago."""
    with database.begin() as connection:
        statement = text("UPDATE decisions SET decided_at = :at WHERE id = :id")
        connection.execute(statement, {"id": decision_id, "at": NOW - age})


def test_an_approval_that_nothing_would_follow_is_refused(
    admin: AppClient, database: Engine, waiting: int
) -> None:
    path = f"/v1/decisions/{waiting}"
    made(database, waiting, timedelta(hours=6))
    late = admin.post(f"{path}/approve", json={"reason": "ok"})
    assert late.status_code == 409
    assert late.headers["content-type"] == "application/problem+json"
    assert (
        f"decision {waiting} could be approved until 2026-01-06T06:15:00Z only"
        in (late.json()["detail"])
    )
    assert admin.get("/v1/approvals").json()["items"] == []
    assert admin.get(f"{path}/verdict").status_code == 404
    assert admin.post(f"{path}/reject", json={}).status_code == 200, "a no is a no"


@pytest.mark.parametrize(("valid_s", "minutes"), [(7 * 3600.0, 420), ("soon", 15), (1e300, None)])
def test_how_long_an_approval_counts_is_in_the_spec(
    admin: AppClient, database: Engine, waiting: int, valid_s: object, minutes: int | None
) -> None:
    """What somebody has spoilt by hand counts as the default, and hides no other decision."""
    lasting(database, valid_s)
    made(database, waiting, timedelta(minutes=14))
    (item,) = admin.get("/v1/approvals").json()["items"]
    span = timedelta(days=3650) if minutes is None else timedelta(minutes=minutes)
    ends_at = NOW - timedelta(minutes=14) + span
    assert datetime.fromisoformat(item["expires_at"]) == ends_at
    assert admin.post(f"/v1/decisions/{waiting}/approve", json={}).status_code == 200


def test_pools_that_trade_replicas_are_approved_and_superseded(
    admin: AppClient, database: Engine, waiting: int
) -> None:
    """Their sum stays as it is, and the operator asks for an approval all the same."""
    traded = [
        {"name": "prefill", "gpu_type": "H100", "current": 2, "desired": 3},
        {"name": "decode", "gpu_type": "L4", "current": 10, "desired": 9},
    ]
    other = [one | {"desired": 12 - one["desired"]} for one in traded]  # type: ignore[operator]
    statement = text(
        "UPDATE decisions SET current_replicas = 12, desired_replicas = 12, variants = :counts "
        "WHERE id = :id"
    ).bindparams(bindparam("counts", type_=JSONB))
    with database.begin() as connection:
        connection.execute(statement, {"id": waiting, "counts": traded})
        connection.execute(statement, {"id": waiting - 1, "counts": other})
    said = admin.post(f"/v1/decisions/{waiting}/approve", json={})
    assert (said.status_code, said.json().get("verdict")) == (200, "approved")
    older = admin.post(f"/v1/decisions/{waiting - 1}/approve", json={})
    assert (
        "wants 3 of prefill and 9 of decode, not 9 of prefill and 3 of decode"
        in (older.json()["detail"])
    )
    asked = {"workload": "diffusion/sdxl-turbo", "changes": "true", "limit": 1}
    (newest,) = admin.get("/v1/decisions", params=asked).json()["items"]
    assert (newest["id"], newest["variants"]) == (waiting, traded)


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
