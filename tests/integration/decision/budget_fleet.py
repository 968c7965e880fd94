"""A fleet in several shards that shares GPU budgets, moved on step by step."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import numpy as np
from sqlalchemy import Engine, text

from services.decision.decide import service
from services.decision.wiring import DecisionDeps
from services.kernel.clock import FixedClock
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows
from services.kernel.jobs import RecordingSender
from services.kernel.settings import Settings
from tests.integration.decision.stored_rows import LEVELS, NOW, ORIGIN, STEP, STEP_S
from tests.integration.stored_indicators import store_indicators


class Fleet:
    """Workloads in shards, moved on step by step as the operator and the cluster would."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self.engine = engine
        settings = settings.model_copy(update={"step_s": STEP_S})
        self.clock = FixedClock(NOW)
        self.deps = DecisionDeps(engine, self.clock, settings, sender=RecordingSender())
        self.origin = ORIGIN
        self.levels: dict[int, float] = {}
        self.n_forecasts = 0

    def add(self, name: str, shard: int, replicas: int, level: float, **changes: Any) -> int:
        """A workload of one H100 per replica, of which each serves 10."""
        spec: dict[str, Any] = {
            "target": "Deployment/w",
            "mode": "Auto",
            "demand": "request_rate_rps",
            "indicators": [{"name": "request_rate_rps", "level": 1}],
            "capacity": {"per_replica": 10.0},
            "lead_time": {"median_s": 60.0, "sigma": 0.3},
            "min_replicas": 1,
            "max_replicas": 60,
        }
        with self.engine.begin() as connection:
            workload: int = connection.execute(
                text(
                    "INSERT INTO workloads (namespace, name, shard, step_s, spec, created_at, "
                    "updated_at, cluster_id) VALUES ('demo', :name, :shard, :step_s, "
                    "CAST(:spec AS jsonb), :at, :at, :shard / 1048576 + 1) RETURNING id"
                ),
                {"name": name, "shard": shard, "step_s": STEP_S, "at": ORIGIN,
                 "spec": json.dumps(spec | changes)},
            ).scalar_one()  # fmt: skip
        self.levels[workload] = level
        self.observe(workload, replicas)
        self.forecast(workload)
        return workload

    def observe(self, workload: int, replicas: int) -> None:
        self._observe_all({workload: replicas})

    def _observe_all(self, replicas: dict[int, int]) -> None:
        columns = (
            "workload_id", "observed_at", "spec_replicas", "ready_replicas", "starting_replicas",
            "pending_replicas", "start_ages_s", "schedulable_gpus",
        )  # fmt: skip
        now = self.clock.now()
        rows = [(one, now, n, n, 0, 0, [], 1000) for one, n in replicas.items()]
        self._copy("replica_states", columns, rows)

    def forecast(self, workload: int) -> None:
        self._forecast_all([workload])

    def _forecast_all(self, workloads: Iterable[int]) -> None:
        columns = (
            "id", "origin_at", "workload_id", "model_version", "rung", "reason", "step_s",
            "n_horizon", "quantile_levels", "quantiles", "n_paths", "paths", "path_scale",
            "created_at",
        )  # fmt: skip
        rows, demands = [], []
        for workload in workloads:
            self.n_forecasts += 1
            level = self.levels[workload]
            rng = np.random.default_rng(self.n_forecasts)
            paths = level * np.exp(0.05 * rng.standard_normal((100, 6)))
            scale = float(np.float32(paths.max()))
            quantiles = np.quantile(paths, LEVELS, axis=0).tolist()
            blob = (paths / scale).astype(np.float16).tobytes()
            rows.append(
                (self.n_forecasts, self.origin, workload, "best-simple", "model", "", STEP_S, 6,
                 LEVELS, quantiles, 100, blob, scale, self.clock.now())
            )  # fmt: skip
            demands.append((workload, "request_rate_rps", self.origin, 0.95 * level, True))
        self._copy("forecasts", columns, rows)
        with self.engine.begin() as connection:
            store_indicators(connection, demands)

    def _copy(self, table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
        with self.engine.begin() as connection:
            copy_rows(connection, CopyTarget(schema.metadata.tables[table], columns), rows)

    def budget(self, gpus: int | None, gpu_type: str = "H100", age_s: float = 0.0) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO gpu_budgets (gpu_type, gpus, source, observed_at) VALUES "
                    "(:gpu_type, :gpus, 'GPUBudget/b', :at) ON CONFLICT (gpu_type) "
                    "DO UPDATE SET gpus = :gpus, observed_at = :at"
                ),
                {
                    "gpu_type": gpu_type,
                    "gpus": gpus,
                    "at": self.clock.now() - timedelta(seconds=age_s),
                },
            )

    def decide(self, *shards: int) -> dict[int, Any]:
        for shard in shards:
            service.decide_shard(self.deps, shard, self.origin)
        return self.decisions()

    def decisions(self) -> dict[int, Any]:
        """The newest decision of each workload."""
        newest = (
            "SELECT DISTINCT ON (workload_id) * FROM decisions "
            "ORDER BY workload_id, origin_at DESC, id DESC"
        )
        with self.engine.connect() as connection:
            return {row["workload_id"]: row for row in connection.execute(text(newest)).mappings()}

    def step(self) -> None:
        """What was decided is applied and seen, and the next origin has its forecasts."""
        self.origin += STEP
        self.clock.advance(STEP_S)
        decided = self.decisions()
        self._observe_all({workload: row["desired_replicas"] for workload, row in decided.items()})
        self._forecast_all(self.levels)
