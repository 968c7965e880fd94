"""Requests about the seeded workload llama-70b-chat."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, text

from tests.integration.admin.app_client import AppClient

LLAMA = "/v1/workloads/llm-prod/llama-70b-chat"
FORECASTS = f"{LLAMA}/forecasts"
SHIFT = {"name": "day", "start_time": "08:00", "end_time": "18:00", "min_replicas": 4}


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def patch(client: AppClient, body: dict[str, Any], **headers: str) -> Any:
    return client.request("PATCH", f"{LLAMA}/policy", json=body, headers=headers)
