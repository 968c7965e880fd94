"""Decision service and operator in turn, on the simulated cluster."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np

from services.decision.decide import service
from services.decision.wiring import DecisionDeps
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows
from services.kernel.jobs import RecordingSender
from tests.integration.operator.conftest import Bench
from tests.integration.stored_indicators import store_indicators

LEVELS = [0.1, 0.5, 0.9, 0.99]
NONE: Mapping[str, float] = {}


class Chain:
    """A workload whose demand is forecast, decided on and followed, step by step."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        settings = bench.deps.settings.model_copy(update={"step_s": bench.step_s})
        self.deps = DecisionDeps(bench.engine, bench.clock, settings, sender=RecordingSender())
        self.n_forecasts = 0
        self.served: list[int] = []

    def step(self, level: float, further: Mapping[str, float] = NONE) -> dict[str, Any]:
        """One step: the cluster moves, the operator looks, a decision is made and followed.

        Args:
            level: Demand, a little less than forecast.
            further: The same of further loads, by name.
        """
        self.bench.step()
        state = max(self.bench.rows("replica_states"), key=lambda row: row["observed_at"])
        self.served.append(state["ready_replicas"])
        step = timedelta(seconds=self.bench.step_s)
        origin_at = self.bench.clock.now() - step
        self._forecast(origin_at, level, further)
        service.decide_shard(self.deps, 0, origin_at)
        self.bench.reconcile()
        return max(self.bench.rows("decisions"), key=lambda row: row["id"])

    def _forecast(self, origin_at: Any, level: float, further: Mapping[str, float]) -> None:
        self.n_forecasts += 1
        workload = self.bench.workload_id("llama")
        shape = np.exp(0.03 * np.random.default_rng(self.n_forecasts).standard_normal((100, 6)))
        paths, scale = level * shape, float(np.float32(level * shape.max()))
        scaled = (paths / scale).astype(np.float16).tobytes()
        tops = [float(np.float32(each * shape.max())) for each in further.values()]
        columns = (
            "id", "origin_at", "workload_id", "model_version", "rung", "reason", "step_s",
            "n_horizon", "quantile_levels", "quantiles", "n_paths", "paths", "path_scale",
            "further_names", "further_paths", "further_scales", "created_at",
        )  # fmt: skip
        row = (
            self.n_forecasts, origin_at, workload, "flow-1", "model", "", self.bench.step_s, 6,
            LEVELS, np.quantile(paths, LEVELS, axis=0).tolist(), 100, scaled, scale,
            list(further), len(further) * scaled, tops, self.bench.clock.now(),
        )  # fmt: skip
        seen = [
            (workload, name, origin_at, 0.97 * value, True)
            for name, value in {"request_rate_rps": level, **further}.items()
        ]
        with self.bench.engine.begin() as connection:
            copy_rows(connection, CopyTarget(schema.forecasts, columns), [row])
            store_indicators(connection, seen)
