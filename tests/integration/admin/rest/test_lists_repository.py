"""Pages that hold still."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import Seeded

pytestmark = pytest.mark.integration


def test_pages_hold_still_while_rows_arrive(
    viewer: AppClient, seeded: Seeded, database: Engine
) -> None:
    query: dict[str, Any] = {"limit": 10, "workload": "llm-prod/llama-70b-chat"}
    first = viewer.get("/v1/decisions", params=query).json()
    with database.begin() as connection:
        copied = connection.execute(
            text(
                "INSERT INTO decisions SELECT (jsonb_populate_record(d, jsonb_build_object("
                "'id', d.id + 50000, 'origin_at', d.origin_at + interval '1 hour', "
                "'forecast_id', d.forecast_id + 50000))).* FROM decisions d"
            )
        )
        assert copied.rowcount > 0
    second = viewer.get("/v1/decisions", params=query | {"cursor": first["next_cursor"]}).json()
    origins = [item["origin_at"] for item in first["items"] + second["items"]]
    assert origins == sorted(origins, reverse=True)
    ids = [item["id"] for item in first["items"] + second["items"]]
    assert len(set(ids)) == 20
