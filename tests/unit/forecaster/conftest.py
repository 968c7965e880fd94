"""A small fleet and a small model, trained once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from forecaster.config import (
    ForecasterConfig,
    ModelConfig,
    TrainConfig,
    TreeConfig,
    WindowConfig,
)
from forecaster.dataset import split_origins
from forecaster.training.fit import FitResult, fit
from forecaster.training.tree_fit import with_trees
from forecaster.trees.trees import TreeShare
from forecaster.types import Series

STEP_S = 3600
NAMES = ("request_rate_rps", "concurrency_requests", "gpu_duty_ratio")


def make_series(
    seed: int, n_steps: int = 500, scale: float = 100.0, names: tuple[str, ...] = NAMES
) -> Series:
    """A daily wave with correlated noise; the other indicators follow the demand."""
    rng = np.random.default_rng(seed)
    steps = np.arange(n_steps)
    noise = np.zeros(n_steps)
    for t in range(1, n_steps):
        noise[t] = 0.7 * noise[t - 1] + rng.normal(0, 0.08)
    demand = np.maximum(1 + 0.5 * np.sin(2 * np.pi * steps / 24 + seed) + noise, 0) * scale
    columns = [demand, demand / 7 + rng.normal(0, scale / 50, n_steps), demand / (2 * scale)]
    values = np.stack(columns[: len(names)], axis=1).astype(np.float32)
    levels = (1, 2, 3)[: len(names)]
    observed = np.ones(values.shape, dtype=bool)
    return Series(f"w{seed}", values, observed, names, levels, 0, 0, STEP_S)


def make_idle(seed: int, n_steps: int = 500, n_live: int = 70) -> Series:
    """As `make_series`, and idle until its last steps, which all lie in validation."""
    one = make_series(seed, n_steps)
    is_live = np.arange(n_steps)[:, None] >= n_steps - n_live
    return replace(one, workload=f"idle{seed}", values=np.where(is_live, one.values, np.float32(0)))


def make_loaded(seed: int, n_steps: int = 500, further: tuple[int, ...] = (1, 2)) -> Series:
    """A demand, a load that is shaken as it is and one that is shaken the other way."""
    rng = np.random.default_rng(seed)
    shock, own = rng.normal(0, 1, n_steps), rng.normal(0, 1, (2, n_steps))
    wave = 1 + 0.05 * np.sin(2 * np.pi * np.arange(n_steps) / 24 + seed)
    same, against = (0.9 * sign * shock + 0.436 * own[k] for k, sign in enumerate((1, -1)))
    columns = [wave + 0.15 * shock, 7 * (wave + 0.15 * same), 40 * (wave + 0.15 * against)]
    values = np.maximum(np.stack(columns, axis=1), 0).astype(np.float32)
    seen = np.ones(values.shape, dtype=bool)
    names, levels = ("requests_rps", "input_tps", "output_tps"), (1, 1, 1)
    return Series(f"w{seed}", values, seen, names, levels, 0, 0, STEP_S, further=further)


def small_config(**train: object) -> ForecasterConfig:
    """A model that trains in seconds."""
    settings: dict = {
        "max_windows": 600,
        "max_validation_windows": 200,
        "batch": 64,
        "epochs": 2,
        "flow_epochs": 1,
    }
    return ForecasterConfig(
        WindowConfig(context=48, horizon=4, recent=24, season_past=6),
        ModelConfig(width=16, hidden=24, heads=2, flow_hidden=8, flow_context=4),
        TrainConfig(**{**settings, **train}),
        TreeConfig(max_windows=500, max_validation_windows=200, max_trees=12, patience=4),
    )


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def fleet() -> list[Series]:
    return [make_series(seed, scale=10.0 ** (seed + 1)) for seed in range(3)]


@pytest.fixture(scope="session")
def fitted(fleet: list[Series]) -> FitResult:
    return fit(fleet, small_config(), seed=3)


@pytest.fixture(scope="session")
def loaded() -> list[Series]:
    """Workloads with both further loads, with one of them, and with none."""
    return [
        make_loaded(0),
        make_loaded(1),
        make_loaded(2, further=(2,)),
        make_loaded(3, further=()),
    ]


@pytest.fixture(scope="session")
def fitted_jointly(loaded: list[Series]) -> FitResult:
    return fit(loaded, small_config(flow_epochs=2), seed=3)


@pytest.fixture(scope="session")
def mixed(fitted: FitResult, fleet: list[Series]) -> FitResult:
    """The fitted model, with trees that weigh something whatever validation said."""
    origins = split_origins(fleet, fitted.model.config)
    bare = replace(fitted.model, trees=None, tree_share=TreeShare())
    model, _ = with_trees(bare, fleet, *origins, seed=3)
    trees = model.trees or fitted.model.trees
    assert trees is not None
    return FitResult(replace(bare, trees=trees, tree_share=TreeShare(0.4, 0.4)), fitted.report)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)
