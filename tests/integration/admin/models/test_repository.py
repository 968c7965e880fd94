"""Models by status and time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


@pytest.mark.usefixtures("registry")
def test_models_filter_by_status_and_time(admin: AppClient) -> None:
    def found(**query: str) -> list[str]:
        items = admin.get("/v1/models", params=query).json()["items"]
        return [item["version"] for item in items]

    assert found(status="shadow") == ["harmony-flow-4"]
    since = (NOW - timedelta(minutes=30)).isoformat()
    assert found(from_at=since) == ["harmony-flow-2"]
    assert admin.get("/v1/models", params={"status": "great"}).status_code == 422
