"""A small fleet with a day behind it, written straight into the tables that the others write."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import Engine, insert

from services.kernel.db import schema
from tests.integration.admin.seeded_rows import STEP_S
from tests.integration.admin.seeded_workload import seed_workload

NOW = datetime(2026, 1, 6, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Seeded:
    """What was written: the clock's time, the origins, oldest first."""

    now: datetime
    origins: list[datetime]
    n_workloads: int


def seed_fleet(
    engine: Engine, n_workloads: int = 3, n_steps: int = 48, now: datetime = NOW
) -> Seeded:
    """Write `n_steps` steps of `n_workloads` workloads that end at `now`."""
    rng = np.random.default_rng(7)
    first = now - timedelta(seconds=STEP_S * n_steps)
    steps = [first + timedelta(seconds=STEP_S * k) for k in range(n_steps)]
    with engine.begin() as connection:
        connection.execute(insert(schema.models).values(_model(first)))
        for k in range(n_workloads):
            seed_workload(connection, rng, k, steps)
        budget = {"gpu_type": "H100", "gpus": 64, "source": "GPUBudget/hopper"}
        connection.execute(insert(schema.gpu_budgets).values(budget | {"observed_at": now}))
    return Seeded(now, steps, n_workloads)


def _model(at: datetime) -> dict[str, Any]:
    return {
        "version": "harmony-flow-3",
        "kind": "flow",
        "status": "promoted",
        "reason": "skill 0.21 over the best simple forecaster",
        "config": {"d_model": 64},
        "metrics": {"crps": 0.081},
        "created_at": at,
        "promoted_at": at,
    }
