"""Workloads of three teams with costs that no float holds exactly."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, insert, text

from services.kernel.db import schema
from services.kernel.db.partitions import ensure_partitions
from tests.integration.decision.stored_rows import STEP_S, spec

TO = datetime(2026, 1, 6, 12, tzinfo=UTC)
STEP = timedelta(seconds=STEP_S)
N_STEPS = 24
FROM = TO - N_STEPS * STEP
FIRST = FROM - timedelta(days=30)
"""When the workloads were registered."""


def add(
    engine: Engine, key: str, labels: dict[str, str], *, at: datetime = FIRST, **row: Any
) -> int:
    """A workload of `namespace/name`."""
    namespace, _, name = key.partition("/")
    values = {
        "namespace": namespace,
        "name": name,
        "shard": 0,
        "step_s": STEP_S,
        "spec": json.dumps(spec(labels=labels)),
        "created_at": at,
        "updated_at": at,
        "is_active": True,
        **row,
    }
    with engine.begin() as connection:
        return connection.execute(
            text(
                "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                "updated_at, is_active) VALUES (:namespace, :name, :shard, :step_s, "
                "CAST(:spec AS jsonb), :created_at, :updated_at, :is_active) RETURNING id"
            ),
            values,
        ).scalar_one()


def add_costs(engine: Engine, workload: int, costs: list[float | None]) -> None:
    """Outcomes of the window's first steps; None: one whose cost is not known."""
    rows = [
        {
            "workload_id": workload,
            "step_at": FROM + t * STEP,
            "gpu_hours": None if cost is None else cost / 3.0,
            "cost_usd": cost,
            "computed_at": TO,
        }
        for t, cost in enumerate(costs)
    ]
    with engine.begin() as connection:
        ensure_partitions(connection, "outcomes", FROM, TO)
        if rows:
            connection.execute(insert(schema.outcomes), rows)


def seed_teams(engine: Engine) -> None:
    """Two namespaces; two teams, and a workload without one."""
    add_costs(
        engine, add(engine, "prod/chat", {"team": "chat"}), [0.1 + 0.01 * k for k in range(24)]
    )
    add_costs(engine, add(engine, "prod/search", {"team": "search"}), [1.0 / 3.0] * 24)
    add_costs(engine, add(engine, "lab/chat", {"team": "chat"}), [0.7, None, 1e9 / 7, 1e-9])
    add_costs(engine, add(engine, "lab/free", {}), [2.5] * 12)
