"""A workload whose demand can be replayed."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import Engine, insert

from services.kernel.db import schema
from tests.integration.admin.seeded_fleet import NOW
from tests.integration.stored_indicators import store_indicators

STEP_S = 600
KEY = "prod/tiny"


@pytest.fixture
def tiny(database: Engine) -> str:
    """A workload with two days of demand on steps of ten minutes; nothing was decided for it."""
    spec = {
        "target": "Deployment/tiny",
        "demand": "request_rate_rps",
        "indicators": [{"name": "request_rate_rps", "level": 1}],
        "capacity": {"per_replica": 10.0},
        "min_replicas": 1,
        "max_replicas": 20,
    }
    n = 2 * 86_400 // STEP_S
    t = np.arange(n)
    rng = np.random.default_rng(3)
    demand = 60 + 40 * np.sin(2 * np.pi * t * STEP_S / 86_400) + rng.normal(0, 4, n)
    first = NOW - timedelta(seconds=STEP_S * n)
    at = {"created_at": first, "updated_at": first}
    with database.begin() as connection:
        row = {"namespace": "prod", "name": "tiny", "shard": 0, "step_s": STEP_S, "spec": spec}
        statement = insert(schema.workloads).values(row | at).returning(schema.workloads.c.id)
        workload = connection.execute(statement).scalar_one()
        rows = [
            (workload, "request_rate_rps", first + timedelta(seconds=STEP_S * int(k)), value, True)
            for k, value in zip(t, demand.tolist(), strict=True)
        ]
        store_indicators(connection, rows)
    return KEY
