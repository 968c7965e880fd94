"""The audit log, filtered."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from services.admin.deps import AdminDeps
from services.kernel.security.audit import AuditEntry, append_audit
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.llama_api import LLAMA, patch
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_the_audit_log_is_filtered(admin: AppClient, deps: AdminDeps) -> None:
    patch(admin, {"epsilon": 0.02}, **{"If-Match": "*"})
    deps.wall.advance(60)  # type: ignore[attr-defined]  # a FixedClock
    admin.request("PUT", f"{LLAMA}/pause", json={})
    until = (NOW + timedelta(days=1)).isoformat()
    admin.post("/v1/freezes", json={"until_at": until})

    def found(**query: str) -> list[str]:
        return [e["action"] for e in admin.get("/v1/audit", params=query).json()["items"]]

    assert found() == ["freeze.create", "pause.set", "policy.update"]
    assert found(action="pause.set") == ["pause.set"]
    assert found(object="workload/llm-prod/") == ["pause.set", "policy.update"]
    assert found(from_at=(NOW + timedelta(seconds=30)).isoformat()) == found()[:2]
    assert found(actor="nobody") == []
    assert found(action="key.revoke") == []


def test_an_action_that_is_none_is_refused_with_those_that_are(
    admin: AppClient, database: Engine
) -> None:
    """An empty page read as if nobody had done it."""
    answer = admin.get("/v1/audit", params={"action": "pause.sett"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "action='pause.sett' must be one of advise.cancel, " in answer.json()["detail"]
    assert " pause.set, " in answer.json()["detail"]
    with database.begin() as connection:  # an older release called it so
        append_audit(connection, AuditEntry(NOW, "me", "budget.update", "budget/h100"))
    (entry,) = admin.get("/v1/audit", params={"action": "budget.update"}).json()["items"]
    assert entry["object"] == "budget/h100"
