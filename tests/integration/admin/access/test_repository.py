"""The audit log, filtered."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.admin.deps import AdminDeps
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
