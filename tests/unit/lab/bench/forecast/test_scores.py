from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from forecaster.quantiles import interpolation_matrix
from services.lab.bench.forecast.arm import LEVELS, Prediction
from services.lab.bench.forecast.scores import _coverage, score
from services.lab.bench.forecast.task import BenchTask, Protocol, load_task


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory, write_trace: Callable[..., Path]) -> BenchTask:
    folder = tmp_path_factory.mktemp("traces")
    return load_task(write_trace(folder), Protocol.PANEL, max_origins=60)


def figures(task: BenchTask, prediction: Prediction) -> dict:
    origins = task.test_origins()
    rng = np.random.default_rng(0)
    return score(task, origins, task.truth(origins), prediction, rng)


def around(task: BenchTask, spread: float, shift: float = 0.0) -> Prediction:
    """Quantiles of a uniform distribution of width `spread` around the truth plus `shift`."""
    truth = task.truth(task.test_origins()).actual
    offset = (spread * (LEVELS - 0.5) + shift)[None, None, :, None]
    return Prediction((truth[:, :, None] + offset).astype(np.float32))


def test_a_forecast_that_knows_has_no_error(task: BenchTask) -> None:
    found = figures(task, around(task, 0.0))
    assert found["crps"] == pytest.approx(0, abs=1e-6)
    assert found["mse"] == pytest.approx(0, abs=1e-6)


def test_a_certain_error_scores_its_size_in_the_unit(task: BenchTask) -> None:
    found = figures(task, around(task, 0.0, shift=2.0))
    unit = task.units[:, 0]
    assert found["crps"] == pytest.approx(np.mean(2.0 / unit), rel=1e-3)
    assert found["mse"] == pytest.approx(np.mean((2.0 / unit) ** 2), rel=1e-3)
    assert found["crps_by_workload"]["w0"] == pytest.approx(2.0 / unit[0], rel=1e-3)


def test_coverage_counts_outcomes_inside(task: BenchTask) -> None:
    assert figures(task, around(task, 4.0))["coverage"]["0.5"] == 1.0
    assert figures(task, around(task, 0.1, shift=5.0))["coverage"]["0.99"] == 0.0
    assert figures(task, around(task, 0.1, shift=5.0))["coverage_upper"]["0.9"] == 1.0


@pytest.mark.parametrize("value", [103.31339, 78.3455, 109.60577])
def test_a_constant_lies_inside_every_interval_around_it(task: BenchTask, value: float) -> None:
    shape = (
        task.test_origins().which.size,
        len(task.target_names),
        LEVELS.size,
        task.window.horizon,
    )
    truth = task.truth(task.test_origins())
    actual = np.full(truth.actual.shape, value, dtype=np.float32)
    found = _coverage(np.full(shape, value, dtype=np.float32), replace(truth, actual=actual))
    assert set(found.values()) == {1.0}


def test_coverage_of_honest_quantiles_is_nominal(task: BenchTask) -> None:
    truth = task.truth(task.test_origins()).actual
    rng = np.random.default_rng(3)
    u = rng.random(truth.shape)
    # The truth lies at level u of a uniform distribution of width 1 around it.
    quantiles = truth[:, :, None] + (LEVELS[None, None, :, None] - u[:, :, None])
    found = figures(task, Prediction(quantiles.astype(np.float32)))
    for width in ("0.5", "0.8", "0.95"):
        assert found["coverage"][width] == pytest.approx(float(width), abs=0.05)


def test_joint_paths_beat_independent_ones_where_steps_move_together(task: BenchTask) -> None:
    origins = task.test_origins()
    truth = task.truth(origins).actual
    rng = np.random.default_rng(4)
    level = rng.normal(0, 3, (len(truth), 1, 1)).astype(np.float32)
    moved = truth + level
    z = np.sqrt(2) * np.array([_erfinv(2 * v - 1) for v in LEVELS])
    quantiles = (moved[:, :, None] + (3 * z)[None, None, :, None]).astype(np.float32)
    u = (np.arange(200) + 0.5) / 200
    shared = np.einsum("sq,bqh->bsh", interpolation_matrix(LEVELS, u), quantiles[:, 0])
    found = figures(task, Prediction(quantiles, shared.astype(np.float32)))
    assert found["path_sum_crps"] < 0.9 * found["path_sum_crps_independent"]
    assert found["variogram"] < found["variogram_independent"]


def _erfinv(x: float) -> float:
    import torch

    return float(torch.erfinv(torch.tensor(x, dtype=torch.float64)))
