"""Origins in pages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.admin.app_client import AppClient
from tests.integration.admin.llama_api import FORECASTS
from tests.integration.admin.seeded_fleet import Seeded

pytestmark = pytest.mark.integration


def test_origins_page_without_gap_or_repeat(viewer: AppClient, seeded: Seeded) -> None:
    seen: list[Any] = []
    query: dict[str, Any] = {"limit": 20, "from_at": seeded.origins[3].isoformat()}
    while True:
        page = viewer.get(f"{FORECASTS}/origins", params=query).json()
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert [item["id"] % 100_000 for item in seen] == list(range(47, 2, -1))


def test_a_nul_in_the_url_is_refused(viewer: AppClient) -> None:
    for path in ("/v1/workloads/a%00/b", "/v1/workloads?search=%00", "/v1/models/%00"):
        answer = viewer.get(path)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), path
