"""Roles that differ by namespace, on what requests make: nothing leaks, nothing lifts."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, text

from services.admin.deps import AdminDeps
from services.admin.identity import authentication
from services.kernel.security.keys import Principal, Role, RoleGrant
from tests.integration.admin.app_client import AppClient

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]
OWN, NAME = "llm-prod", "llama-70b-chat"
MIXED = Principal(
    None, "oidc:mixed", "mixed", (RoleGrant(OWN, Role.VIEWER), RoleGrant("elsewhere", Role.ADMIN))
)
UNTIL = "2026-02-01T00:00:00Z"
FREEZE = {"namespace": OWN, "until_at": UNTIL, "reason": "audit week"}
BACKTEST = {"workloads": [f"{OWN}/{NAME}"], "replay_hours": 1}


@pytest.fixture
def mixed(anonymous: AppClient, monkeypatch: pytest.MonkeyPatch) -> AppClient:
    """A viewer of one namespace who is the admin of another."""

    def identify(deps: AdminDeps, *_: Any) -> Principal:
        return MIXED

    monkeypatch.setattr(authentication, "identify", identify)
    return anonymous


def wait_for_approval(database: Engine) -> int:
    """A decision of OWN that waits for an answer."""
    statement = text(
        "UPDATE workloads SET spec = jsonb_set(spec, '{mode}', '\"Approval\"') WHERE name = :name"
    )
    newest = text(
        "SELECT d.id FROM decisions d JOIN workloads w ON w.id = d.workload_id "
        "WHERE w.name = :name ORDER BY d.origin_at DESC LIMIT 1"
    )
    with database.begin() as connection:
        connection.execute(statement, {"name": NAME})
        decision_id = int(connection.execute(newest, {"name": NAME}).scalar_one())
        extend = text("UPDATE decisions SET valid_until = :until WHERE id = :id")
        connection.execute(extend, {"until": "2026-02-01T00:00:00Z", "id": decision_id})
    return decision_id


def test_a_role_elsewhere_lifts_nothing_here(mixed: AppClient, database: Engine) -> None:
    decision_id = wait_for_approval(database)
    key = f"/v1/workloads/{OWN}/{NAME}"
    assert mixed.get(key).status_code == 200
    assert mixed.get(f"/v1/decisions/{decision_id}").status_code == 200
    asked: list[tuple[str, str, dict[str, Any] | None]] = [
        ("POST", f"/v1/decisions/{decision_id}/approve", {"reason": "x"}),
        ("POST", f"/v1/decisions/{decision_id}/reject", {"reason": "x"}),
        ("PUT", f"{key}/pause", {"reason": "x"}),
        ("DELETE", f"{key}/pause", None),
        ("PATCH", f"{key}/policy", {"max_replicas": 5}),
        ("PUT", f"{key}/schedules", {"schedules": []}),
        ("POST", "/v1/freezes", FREEZE),
        ("POST", "/v1/freezes", {"until_at": UNTIL}),  # of the fleet
        ("POST", "/v1/advice", {"since_hours": 24, "namespace": OWN}),
        ("POST", "/v1/advice", {"since_hours": 24}),  # of the fleet
        ("POST", "/v1/backtests", BACKTEST),
        ("POST", "/v1/keys", {"name": "x", "role": "viewer", "namespaces": [OWN]}),
        ("POST", "/v1/models/train", {}),
        ("GET", "/v1/audit", None),
    ]
    for method, path, body in asked:
        headers = {"If-Match": "*"} if method in {"PUT", "PATCH", "DELETE"} else {}
        kwargs = {} if body is None else {"json": body}
        answer = mixed.request(method, path, headers=headers, **kwargs)
        assert answer.status_code == 403, (method, path, answer.text)
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM audit")).scalar_one() == 0


def test_what_is_made_here_is_not_seen_elsewhere(
    admin: AppClient, mixed: AppClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the admin is itself
    paused = admin.request(
        "PUT", f"/v1/workloads/{OWN}/{NAME}/pause", json={"reason": "x"}, headers={"If-Match": "*"}
    )
    assert paused.status_code == 200, paused.text
    freeze = admin.post("/v1/freezes", json=FREEZE)
    assert freeze.status_code == 201, freeze.text
    backtest = admin.post("/v1/backtests", json=BACKTEST)
    assert backtest.status_code == 202, backtest.text
    freeze_id, operation_id = freeze.json()["id"], backtest.json()["id"]
    named = [
        f"/v1/freezes/{freeze_id}",
        f"/v1/operations/{operation_id}",
        f"/v1/backtests/{operation_id}",
        f"/v1/workloads/{OWN}/{NAME}/pause",
    ]
    lists = ["/v1/freezes", "/v1/operations", "/v1/backtests", "/v1/approvals", "/v1/sla-classes"]
    document = admin.get("/openapi.json").json()["paths"]
    for path in lists:
        if path in document:
            assert admin.get(path).status_code == 200, path
    foreign = Principal(None, "f", "f", (RoleGrant("elsewhere", Role.ADMIN),))
    monkeypatch.setattr(authentication, "identify", lambda *_: foreign)
    for path in lists:
        answer = mixed.get(path)
        assert answer.status_code in {200, 404}, path
        assert NAME not in answer.text, path
        assert "audit week" not in answer.text, path
    for path in named:
        assert mixed.get(path).status_code in {403, 404, 405}, path
    for method, path in (
        ("DELETE", f"/v1/freezes/{freeze_id}"),
        ("POST", f"/v1/operations/{operation_id}/cancel"),
        ("POST", f"/v1/backtests/{operation_id}/cancel"),
    ):
        answer = mixed.request(method, path, headers={"If-Match": "*"})
        assert answer.status_code == 404, (path, answer.text)
