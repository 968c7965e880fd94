"""From the custom resource to the cluster and back: decision service and operator in turn."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from services.decision.decide import service
from services.decision.wiring import DecisionDeps
from services.kernel.db import schema
from services.kernel.db.session import CopyTarget, copy_rows
from services.kernel.jobs import RecordingSender
from tests.integration.operator.conftest import GROUP_PATH, Bench
from tests.integration.operator.reconcile.test_apply_parts import (
    H100,
    L4,
    autoscale,
    deploy,
    replicas,
)

pytestmark = pytest.mark.integration

BUDGET = f"{GROUP_PATH}/gpubudgets"
LEVELS = [0.1, 0.5, 0.9, 0.99]


class Chain:
    """A workload whose demand is forecast, decided on and followed, step by step."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        settings = bench.deps.settings.model_copy(update={"step_s": bench.step_s})
        self.deps = DecisionDeps(bench.engine, bench.clock, settings, sender=RecordingSender())
        self.n_forecasts = 0
        self.served: list[int] = []

    def step(self, level: float) -> dict[str, Any]:
        """One step: the cluster moves, the operator looks, a decision is made and followed."""
        self.bench.step()
        state = max(self.bench.rows("replica_states"), key=lambda row: row["observed_at"])
        self.served.append(state["ready_replicas"])
        step = timedelta(seconds=self.bench.step_s)
        origin_at = self.bench.clock.now() - step
        self._forecast(origin_at, level)
        service.decide_shard(self.deps, 0, origin_at)
        self.bench.reconcile()
        return max(self.bench.rows("decisions"), key=lambda row: row["id"])

    def _forecast(self, origin_at: Any, level: float) -> None:
        self.n_forecasts += 1
        workload = self.bench.workload_id("llama")
        rng = np.random.default_rng(self.n_forecasts)
        paths = level * np.exp(0.03 * rng.standard_normal((100, 6)))
        scale = float(np.float32(paths.max()))
        columns = (
            "id", "origin_at", "workload_id", "model_version", "rung", "reason", "step_s",
            "n_horizon", "quantile_levels", "quantiles", "n_paths", "paths", "path_scale",
            "created_at",
        )  # fmt: skip
        row = (
            self.n_forecasts, origin_at, workload, "flow-1", "model", "", self.bench.step_s, 6,
            LEVELS, np.quantile(paths, LEVELS, axis=0).tolist(), 100,
            (paths / scale).astype(np.float16).tobytes(), scale, self.bench.clock.now(),
        )  # fmt: skip
        seen = (workload, "request_rate_rps", origin_at, 0.97 * level, True)
        names = ("workload_id", "indicator", "step_at", "value", "is_observed")
        with self.bench.engine.begin() as connection:
            copy_rows(connection, CopyTarget(schema.forecasts, columns), [row])
            copy_rows(connection, CopyTarget(schema.indicators, names), [seen])


@pytest.fixture
def chain(bench: Bench) -> Chain:
    return Chain(bench)


def test_the_cheaper_variant_takes_over_without_a_dip(bench: Bench, chain: Chain) -> None:
    """L4 at 2 USD/h per reference replica against 4 takes over what its four GPUs can serve."""
    deploy(bench.lab, h100=3)
    autoscale(bench.lab)
    rows = [chain.step(26.0) for _ in range(10)]
    h100, l4 = replicas(bench)
    assert l4 == 4  # all the L4 that there are
    assert h100 == 1
    assert min(chain.served[1:]) >= 3
    assert rows[-1]["desired_replicas"] == rows[-1]["current_replicas"] == 3
    assert all(v["current"] == v["desired"] for v in rows[-1]["variants"])
    assert all(service.replay(chain.deps, row["id"]).is_identical for row in rows)


def test_a_budget_moves_the_workload_to_the_dearer_type(bench: Bench, chain: Chain) -> None:
    """With one H100 allowed the workload goes over to L4, which cost more here, and says why."""
    deploy(bench.lab, h100=3)
    autoscale(bench.lab, variants=[H100, {**L4, "cost": {"perGpuHour": "2.5"}}])
    for _ in range(3):
        chain.step(22.0)
    assert replicas(bench) == (3, 0)
    body = {"metadata": {"name": "scarce"}, "spec": {"gpuType": "H100", "gpus": 1}}
    bench.lab.post(BUDGET, body)
    try:
        rows = [chain.step(22.0) for _ in range(8)]
    finally:
        bench.lab.http.delete(f"{BUDGET}/scarce")
    assert replicas(bench) == (1, 4)
    assert min(chain.served[3:]) >= 3
    assert rows[0]["explanation"]["mix"]["binding"] == "gpu_budget"
    assert rows[-1]["explanation"]["gpu_budget"]["gpu_type"] == "H100"
    status = bench.lab.autoscaler("llama")["status"]
    assert [v["currentReplicas"] for v in status["variants"]] == [1, 4]
    assert bench.lab.condition("llama", "Ready")["status"] == "True"
