"""`harmony bench joint`: dependence between indicators is seen where there is some."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecaster.config import ForecasterConfig, ModelConfig, TrainConfig, TreeConfig
from forecaster.types import Series
from services.kernel.errors import InvalidInput
from services.lab.bench.forecast.joint import JointOptions, bench_joint, table_rows
from services.lab.bench.forecast.task import BenchTask, Protocol

NAMES = ("l1_load", "l3_busy", "l3_noise", "l2_limit")
N_STEPS = 700
SMALL = ForecasterConfig(
    model=ModelConfig(width=16, hidden=24, flow_layers=2),
    train=TrainConfig(epochs=1, max_windows=400, max_validation_windows=100, flow_epochs=1),
    trees=TreeConfig(is_used=False),
)


def make_task() -> BenchTask:
    """Two workloads: the second indicator moves with the demand, the third by itself."""
    series = []
    for w in range(2):
        rng = np.random.default_rng(w)
        shock = rng.normal(0, 1, N_STEPS)
        demand = 20 + 3 * np.sin(np.arange(N_STEPS) / 20) + shock
        busy = 10 + shock + 0.1 * rng.normal(0, 1, N_STEPS)
        values = np.stack([demand, busy, 5 + rng.normal(0, 1, N_STEPS), np.full(N_STEPS, 4.0)], 1)
        seen = np.ones(values.shape, dtype=bool)
        series.append(
            Series(f"w{w}", values.astype(np.float32), seen, NAMES, (1, 3, 3, 2), 0, 0, 600)
        )
    return BenchTask(
        "made",
        Protocol.FISHER_H12,
        tuple(series),
        (490, 490),
        (560, 560),
        np.array([[0, 1, 2, 3]] * 2),
        NAMES,
        np.ones((2, 4)),
        10**9,
    )


def test_shared_shocks_are_worth_nats_and_a_constant_is_left_out() -> None:
    options = JointOptions(config=SMALL)
    document = bench_joint(make_task(), options, lambda line: None)
    assert document["indicators"] == ["l1_load", "l3_busy", "l3_noise"]
    found = document["dependences"]
    own, both = found["Gaussian, own steps"], found["Gaussian"]
    # Two indicators with a correlation of 0.99 at each of 12 steps: several nats a step.
    assert both["log_density"] > own["log_density"] + 10
    assert both["sum_crps"] < found["independent"]["sum_crps"]
    rows = table_rows(document)
    assert [row["dependence"] for row in rows] == list(found)
    assert rows[0]["log density, nats"] == "+0.00"


def test_indicators_are_checked_before_anything_is_trained() -> None:
    task = make_task()
    with pytest.raises(InvalidInput, match="'load' is unknown; known: l1_load"):
        bench_joint(task, JointOptions(("load",)), lambda line: None)
    with pytest.raises(InvalidInput, match="at least two are needed"):
        bench_joint(task, JointOptions(("l1_load",)), lambda line: None)
    still = replace(task, target_names=("l1_load", "l2_limit"), targets=task.targets[:, [0, 3]])
    with pytest.raises(InvalidInput, match="at least two are needed"):
        bench_joint(still, JointOptions(), lambda line: None)
