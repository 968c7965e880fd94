"""A service whose count Harmony decides, and one whose count somebody else has."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, insert, text

from services.kernel.db import schema
from tests.integration.decision.stored_rows import ORIGIN, STEP


def add_decision(
    engine: Engine, workload: int, replicas: int, origin_at: datetime = ORIGIN - STEP
) -> None:
    """A decision for so many replicas, made at the end of the origin's step."""
    key = 900_000 + int((origin_at - ORIGIN) / STEP)
    row: dict[str, Any] = {
        "id": key, "origin_at": origin_at, "workload_id": workload, "forecast_id": key,
        "policy_version": "before", "decided_at": origin_at + STEP,
        "valid_until": origin_at + 3 * STEP, "current_replicas": replicas,
        "raw_replicas": replicas, "desired_replicas": replicas, "direction": "hold",
        "reason": "hold", "rung": "model", "risk_target": 0.05, "cost_delta_usd_per_h": 0.0,
        "explanation": {},
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(schema.decisions).values(row))


def decided_for_long(engine: Engine, workload: int, replicas: int) -> None:
    """Its count is Harmony's, and has been for a day."""
    add_decision(engine, workload, replicas)
    state = {"own_since_s": ORIGIN.timestamp() - 86_400.0}
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO risk_states (workload_id, state, updated_at) "
                "VALUES (:id, CAST(:state AS jsonb), :at)"
            ),
            {"id": workload, "state": json.dumps(state), "at": ORIGIN},
        )
