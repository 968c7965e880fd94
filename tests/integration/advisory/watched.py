"""Rows of a workload that somebody else scales while Harmony decides for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, insert, text

from services.kernel.db import schema
from services.kernel.db.partitions import ensure_partitions
from services.kernel.db.session import CopyTarget, copy_rows
from tests.integration.decision.stored_rows import NOW, STEP, add_workload

N_STEPS = 24
SINCE = timedelta(hours=2)
START = NOW - SINCE
"""Start of the first of the 24 steps of five minutes before `NOW`."""
GPUS, USD = 2, 3.0
STEP_USD = 0.5
"""A replica's step: two GPUs at 3 USD an hour, for five minutes."""


def add_watched(engine: Engine, name: str, **changes: Any) -> int:
    """A workload whose replicas have two GPUs at 3 USD an hour; it came a day ago."""
    price = {"gpus_per_replica": GPUS, "price_usd_per_gpu_hour": USD}
    workload = add_workload(engine, name, **price | changes)
    came(engine, workload, START - timedelta(days=1))
    return workload


def came(engine: Engine, workload: int, at: datetime) -> None:
    """Since when there is a workload."""
    with engine.begin() as connection:
        statement = text("UPDATE workloads SET created_at = :at WHERE id = :id")
        connection.execute(statement, {"at": at, "id": workload})


def add_ran(
    engine: Engine, workload: int, ready: int, needed: Sequence[int], **columns: Sequence[Any]
) -> None:
    """Outcomes of the window's steps with so many replicas ready in each, and what was told."""
    gpu_hours = ready * GPUS / 12.0
    rows: list[Mapping[str, Any]] = [
        {
            "workload_id": workload,
            "step_at": START + t * STEP,
            "demand": 10.0 * need,
            "ready_mean": float(ready),
            "needed_replicas": need,
            "violation_ratio": float(need > ready),
            "gpu_hours": gpu_hours,
            "cost_usd": gpu_hours * USD,
            "computed_at": NOW,
            **{column: values[t] for column, values in columns.items()},
        }
        for t, need in enumerate(needed)
    ]
    states = [(workload, START + t * STEP, ready, ready, 0, 0, [], 100) for t in range(len(needed))]
    names = (
        "workload_id", "observed_at", "spec_replicas", "ready_replicas", "starting_replicas",
        "pending_replicas", "start_ages_s", "schedulable_gpus",
    )  # fmt: skip
    with engine.begin() as connection:
        ensure_partitions(connection, "outcomes", START, NOW)
        connection.execute(insert(schema.outcomes), rows)
        copy_rows(connection, CopyTarget(schema.replica_states, names, "error"), states)


def add_decided(
    engine: Engine,
    workload: int,
    desired: Sequence[int | None],
    *,
    ran: int = 4,
    result: str = "advisory",
    reason: str = "mode Advisory applies nothing",
    raw: Sequence[int] | None = None,
) -> None:
    """A decision for each step of the window (None: none), with its action; valid for three."""
    decisions, actions = [], []
    for t, count in enumerate(desired):
        if count is None:
            continue
        key, origin_at = workload * 1_000 + t, START + (t - 1) * STEP
        decided_at = origin_at + STEP + timedelta(seconds=1)
        decisions.append(
            {
                "id": key,
                "origin_at": origin_at,
                "workload_id": workload,
                "forecast_id": key,
                "policy_version": "harmony-1",
                "decided_at": decided_at,
                "valid_until": decided_at + 3 * STEP,
                "current_replicas": ran,
                "raw_replicas": count if raw is None else raw[t],
                "desired_replicas": count,
                "direction": "hold",
                "reason": "hold_within_risk",
                "rung": "forecast",
                "risk_target": 0.01,
                "cost_delta_usd_per_h": 0.0,
                "explanation": {},
            }
        )
        actions.append((key, origin_at, key, workload, 1, ran, count, result, reason, decided_at))
    names = (
        "id", "origin_at", "decision_id", "workload_id", "attempt", "from_replicas",
        "to_replicas", "result", "reason", "applied_at",
    )  # fmt: skip
    with engine.begin() as connection:
        ensure_partitions(connection, "decisions", START - STEP, NOW)
        connection.execute(insert(schema.decisions), decisions)
        copy_rows(connection, CopyTarget(schema.actions, names, "error"), actions)


def add_starts(engine: Engine, workload: int, lead_s: float, n: int = 20) -> None:
    """Starts of the window that all took as long."""
    rows = [
        {
            "pod_uid": f"{workload}-{k}",
            "workload_id": workload,
            "gpu_type": "H100",
            "requested_at": START + timedelta(seconds=k),
            "ready_at": START + timedelta(seconds=k + lead_s),
            "observed_at": NOW,
        }
        for k in range(n)
    ]
    with engine.begin() as connection:
        connection.execute(insert(schema.pod_starts), rows)
