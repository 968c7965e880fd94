"""Pages of policies, pauses and schedules."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.integration.admin.app_client import AppClient

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_lists_page_and_filter_by_namespace_and_label(admin: AppClient, database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET spec = spec || CAST(:more AS jsonb) "
                "WHERE name = 'mixtral-agents'"
            ),
            {"more": '{"labels": {"team": "chat", "tier": "a"}}'},
        )
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = admin.get("/v1/policies", params=query).json()
        seen += [item["workload"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["sdxl-turbo", "llama-70b-chat", "mixtral-agents"]

    def found(**query: Any) -> list[str]:
        answer = admin.get("/v1/policies", params=query)
        assert answer.status_code == 200, answer.text
        return [item["workload"] for item in answer.json()["items"]]

    assert found(namespace="diffusion") == ["sdxl-turbo"]
    assert found(label="team=chat") == ["mixtral-agents"]
    assert found(label=["team=chat", "tier=b"]) == []
    assert admin.get("/v1/policies", params={"label": "team"}).status_code == 422
    assert admin.get("/v1/policies", params={"cursor": "AAAA"}).status_code == 422
