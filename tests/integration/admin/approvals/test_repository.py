"""The approvals inbox."""

from __future__ import annotations

import pytest

from tests.integration.admin.app_client import AppClient

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_the_inbox_holds_the_newest_that_nobody_answered(admin: AppClient, waiting: int) -> None:
    (item,) = admin.get("/v1/approvals").json()["items"]
    assert (item["id"], item["workload"]) == (waiting, "sdxl-turbo")
    assert admin.get("/v1/approvals", params={"namespace": "llm-prod"}).json()["items"] == []
    assert admin.get(f"/v1/decisions/{waiting}/verdict").status_code == 404
    said = admin.post(f"/v1/decisions/{waiting}/approve", json={"reason": "campaign"})
    assert (said.status_code, said.json()["verdict"]) == (200, "approved")
    assert admin.get(f"/v1/decisions/{waiting}/verdict").json() == said.json()
    assert admin.get("/v1/approvals").json() == {"items": [], "next_cursor": None}
