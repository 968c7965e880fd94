"""A registry with models of every status."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from services.kernel.db import schema
from tests.integration.admin.seeded_fleet import NOW


@pytest.fixture
def registry(database: Engine) -> None:
    """Beside the promoted harmony-flow-3: a shadow, a retired one, a failed one."""
    rows: list[dict[str, Any]] = [
        {"version": "harmony-flow-2", "status": "retired", "retired_at": NOW},
        {"version": "harmony-flow-4", "status": "shadow"},
        {"version": "failed-1", "status": "failed", "artifact": None},
    ]
    blank = {"kind": "flow", "reason": "", "config": {}, "metrics": {}, "artifact": b"x"}
    with database.begin() as connection:
        for n, row in enumerate(rows):
            at = NOW - timedelta(hours=n)
            connection.execute(insert(schema.models).values(blank | {"created_at": at} | row))
