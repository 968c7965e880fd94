"""Rows of a workload that runs on H100 and L4."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Engine

from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows

H100 = {
    "name": "h100", "target": "Deployment/llama-h100", "gpu_type": "H100", "gpus_per_replica": 1,
    "price_usd_per_gpu_hour": 4.0,
}  # fmt: skip
L4 = {
    "name": "l4", "target": "Deployment/llama-l4", "gpu_type": "L4", "gpus_per_replica": 1,
    "capacity_per_replica": 5.0, "price_usd_per_gpu_hour": 2.5, "max_replicas": 40,
}  # fmt: skip


def seen(spec: int, ready: int | None = None, **changes: Any) -> dict[str, Any]:
    n_ready = spec if ready is None else ready
    ages = [30.0] * (spec - n_ready)
    return {
        "spec": spec, "ready": n_ready, "starting": len(ages), "pending": 0,
        "start_ages_s": ages, "schedulable_gpus": 200, "held": "",
    } | changes  # fmt: skip


def observe(engine: Engine, workload: int, at: Any, **variants: dict[str, Any]) -> None:
    """A snapshot as the operator writes it; an L4 is worth half a reference replica."""
    total, ready = (
        int(sum((0.5 if name == "l4" else 1.0) * v[part] for name, v in variants.items()))
        for part in ("spec", "ready")
    )
    columns = (
        "workload_id", "observed_at", "spec_replicas", "ready_replicas", "starting_replicas",
        "pending_replicas", "start_ages_s", "schedulable_gpus", "variants",
    )  # fmt: skip
    row = (workload, at, total, ready, total - ready, 0, [], None, json.dumps(variants))
    with engine.begin() as connection:
        copy_rows(connection, CopyTarget(schema.replica_states, columns, "error"), [row])


def variants_of(row: Any) -> dict[str, int]:
    return {v["name"]: v["desired"] for v in row["variants"]}
