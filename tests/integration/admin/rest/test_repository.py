"""Stored answers of writes."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from services.admin.deps import AdminDeps
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.llama_api import count, patch

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("seeded")]


def test_an_old_answer_is_dropped(admin: AppClient, database: Engine, deps: AdminDeps) -> None:
    headers = {"If-Match": "*", "Idempotency-Key": "k4"}
    patch(admin, {"epsilon": 0.02}, **headers)
    deps.wall.advance(86_401)  # type: ignore[attr-defined]  # a FixedClock
    assert patch(admin, {"epsilon": 0.02}, **headers).json()["version"] == 2
    assert count(database, "idempotency_keys") == 1
