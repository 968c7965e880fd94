"""What is advised, as the operator reads it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, insert

from services.kernel.db import schema
from services.operator.plan.headroom import HeadroomAdvice
from services.operator.stored.headroom_repository import load_advice
from tests.unit.operator.examples import NOW

pytestmark = pytest.mark.integration


def store(engine: Engine, gpu_type: str, at: datetime) -> None:
    row = {
        "gpu_type": gpu_type, "risk": 0.01, "need_gpus": 9, "gpus": 16, "chunk_gpus": 8,
        "free_gpus": 4, "risk_before": 0.25, "risk_after": 0.0078125, "usd_per_hour": 40.0,
        "is_capped": False, "n_workloads": 2, "n_unknown": 1, "beyond_ratio": 0.125,
        "dependence": 0.5, "n_dependence_steps": 0, "dependence_at": at, "advised_at": at,
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(schema.metadata.tables["gpu_headroom"]).values(row))


def test_advice_is_read_whole_while_it_holds(database: Engine) -> None:
    store(database, "H100", NOW)
    store(database, "L4", NOW - timedelta(hours=1))
    with database.connect() as connection:
        found = load_advice(connection, NOW - timedelta(minutes=5))
    assert found == {
        "H100": HeadroomAdvice(
            0.01, 9, 16, 8, 4, 0.25, 0.0078125, 40.0, False, 2, 1, 0.125, NOW
        )
    }  # fmt: skip
