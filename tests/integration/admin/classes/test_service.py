"""SLA classes: an expensive answer is given again, and renewed beside the requests."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from services.admin.classes import service
from services.admin.deps import AdminDeps
from services.kernel.clock import FixedClock
from tests.integration.admin.app_client import AppClient

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def advance(deps: AdminDeps, seconds: float) -> None:
    assert isinstance(deps.clock, FixedClock)
    deps.clock.advance(seconds)


def wait_for_refresh() -> None:
    deadline = time.monotonic() + 30
    while service._refreshing:
        assert time.monotonic() < deadline, "the refresh never ended"
        time.sleep(0.01)  # another thread's query cannot be awaited otherwise


def names(client: AppClient) -> list[str]:
    items: list[dict[str, Any]] = client.get("/v1/sla-classes").json()["items"]
    return [item["name"] for item in items]


def test_an_answer_is_given_again_and_renewed_beside_the_requests(
    viewer: AppClient, deps: AdminDeps, database: Engine
) -> None:
    first = names(viewer)
    assert "platinum" not in first
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE workloads SET spec = jsonb_set(spec, '{sla,sla_class}', '\"platinum\"') "
                "WHERE name = 'sdxl-turbo'"
            )
        )
    assert names(viewer) == first  # remembered
    advance(deps, service.REMEMBERED_S)
    assert names(viewer) == first  # given once more, while the next one is made
    wait_for_refresh()
    assert "platinum" in names(viewer)


def test_what_is_older_is_not_given(viewer: AppClient, deps: AdminDeps, database: Engine) -> None:
    first = names(viewer)
    with database.begin() as connection:
        connection.execute(text("UPDATE workloads SET is_active = false"))
        connection.execute(text("DELETE FROM outcomes"))
    advance(deps, timedelta(seconds=2 * service.REMEMBERED_S).total_seconds())
    assert first
    assert names(viewer) == []
