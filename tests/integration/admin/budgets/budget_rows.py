"""Rows of budgets, as the other services write them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, insert

from services.kernel.db import schema
from services.kernel.db.partitions import ensure_partitions
from tests.integration.admin.app_client import AppClient
from tests.integration.admin.seeded_fleet import NOW
from tests.integration.admin.seeded_rows import STEP_S

STEP = timedelta(seconds=STEP_S)


class Fleet:
    """Workloads, snapshots, budgets and decisions, written as the other services write them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.n_decisions = 0

    def add(self, name: str, replicas: int | None, **spec: Any) -> int:
        base = {
            "target": "Deployment/w",
            "demand": "request_rate_rps",
            "indicators": [{"name": "request_rate_rps", "level": 1}],
            "capacity": {"per_replica": 10.0},
        }
        row = {
            "namespace": "demo", "name": name, "shard": 0, "step_s": STEP_S, "spec": base | spec,
            "created_at": NOW, "updated_at": NOW,
        }  # fmt: skip
        with self.engine.begin() as connection:
            statement = insert(schema.workloads).values(row).returning(schema.workloads.c.id)
            workload = int(connection.execute(statement).scalar_one())
            ensure_partitions(connection, "replica_states", NOW - STEP, NOW)
            for back, count in ((1, 99), (0, replicas)):  # the older one must not count
                if replicas is None or count is None:
                    continue
                connection.execute(
                    insert(schema.replica_states).values(
                        workload_id=workload, observed_at=NOW - back * STEP, spec_replicas=count,
                        ready_replicas=0, starting_replicas=0, pending_replicas=0,
                        start_ages_s=[], schedulable_gpus=None,
                    )
                )  # fmt: skip
        return workload

    def budget(self, gpu_type: str, gpus: int | None, age_s: float = 0.0, reason: str = "") -> None:
        values = {
            "gpu_type": gpu_type, "gpus": gpus, "source": "GPUBudget/b", "reason": reason,
            "observed_at": NOW - timedelta(seconds=age_s),
        }  # fmt: skip
        with self.engine.begin() as connection:
            connection.execute(insert(schema.gpu_budgets).values(values))

    def supply(self, gpu_type: str, ceiling: int | None, **given: Any) -> None:
        values = {
            "gpu_type": gpu_type, "ceiling": ceiling, "reason": "Detected", "message": "why",
            "node_gpus": 16, "asked_gpus": 24, "startup_median_s": 240.0, "startup_sigma": 0.5,
            "n_startups": 3, "n_refused": 0, "observed_at": NOW,
        }  # fmt: skip
        table = schema.metadata.tables["gpu_supply"]
        with self.engine.begin() as connection:
            connection.execute(insert(table).values(values | given))

    def headroom(self, gpu_type: str, **given: Any) -> None:
        values = {
            "gpu_type": gpu_type, "risk": 0.01, "need_gpus": 9, "gpus": 16, "chunk_gpus": 8,
            "free_gpus": 4, "risk_before": 0.25, "risk_after": 0.0078125, "usd_per_hour": 40.0,
            "is_capped": False, "n_workloads": 2, "n_unknown": 1, "beyond_ratio": 0.125,
            "dependence": 0.5, "n_dependence_steps": 0, "dependence_at": NOW, "advised_at": NOW,
        }  # fmt: skip
        table = schema.metadata.tables["gpu_headroom"]
        with self.engine.begin() as connection:
            connection.execute(insert(table).values(values | given))

    def decide(
        self,
        workload: int,
        wanted: int,
        granted: int,
        at: datetime = NOW,
        price: float | None = 3.2,
        own_price: float = 4.5,
        **gpu_budget: Any,
    ) -> int:
        """A decision at `at` under a budget that cut `wanted` to `granted`."""
        self.n_decisions += 1
        record: dict[str, Any] = {
            "guard_trace": [
                {"guard": "bounds", "before": 90, "after": wanted, "detail": ""},
                {"guard": "fleet", "before": wanted, "after": granted, "detail": "shared"},
            ],
            "fleet": {"cap": granted, "shadow_price_usd_per_gpu_hour": own_price},
            "gpu_budget": {
                "gpu_type": "H100", "gpus": 25, "held_elsewhere_gpus": 12, "n_cut": 0,
                "gave_up": [], "price_usd_per_gpu_hour": price, "is_feasible": True,
            } | gpu_budget,
        }  # fmt: skip
        values = {
            "id": self.n_decisions, "origin_at": at - STEP, "workload_id": workload,
            "forecast_id": self.n_decisions, "policy_version": "harmony-1", "decided_at": at,
            "valid_until": at + 3 * STEP, "current_replicas": granted, "raw_replicas": wanted,
            "desired_replicas": granted, "direction": "hold",
            "reason": "hold_gpu_budget" if wanted > granted else "hold_within_risk",
            "binding_constraint": "gpu_budget" if wanted > granted else None,
            "rung": "forecast", "risk_target": 0.01, "risk_estimated": 0.02,
            "cost_delta_usd_per_h": 0.0, "explanation": record,
        }  # fmt: skip
        with self.engine.begin() as connection:
            ensure_partitions(connection, "decisions", at - STEP, at)
            connection.execute(insert(schema.decisions).values(values))
        return self.n_decisions


def one(viewer: AppClient, gpu_type: str = "H100") -> dict[str, Any]:
    answer = viewer.get(f"/v1/budgets/{gpu_type}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())
