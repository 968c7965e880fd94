"""Time and memory of a forecast of a whole fleet."""

from __future__ import annotations

import resource
import time
from typing import Any

import numpy as np

from forecaster.config import ForecasterConfig, TrainConfig
from forecaster.features import build_windows
from forecaster.training.fit import fit
from forecaster.types import Series, Windows
from services.kernel.clock import make_rng
from services.kernel.errors import InvalidInput

N_TRAINED = 8
N_STEPS = 1200
STEP_S = 600
CONFIG = ForecasterConfig(train=TrainConfig(max_windows=512, epochs=1, flow_epochs=1))
SHARD = 512
"""Workloads per call, as a shard of the service holds."""
NAMES = ("request_rate_rps", "concurrency_requests", "gpu_duty_ratio")


def bench_inference(n_workloads: int, n_paths: int, n_threads: int, seed: int) -> dict[str, Any]:
    """Forecast `n_workloads` in shards: features, network, trees and paths, without the database.

    The network is the product's in size; what it has learned does not change its speed, so it is
    trained for one short epoch on synthetic waves. The trees are trained in full, and always asked.
    """
    import torch

    torch.set_num_threads(n_threads)
    series = [_wave(i, seed) for i in range(N_TRAINED)]
    model = fit(series, CONFIG, seed).model
    if model.trees is None:
        raise InvalidInput(f"--seed={seed}: validation left the trees out; take another seed")
    windows = build_windows(series, CONFIG.window)
    rng = make_rng(seed, "bench", "inference")
    model.predict(_repeated(windows, SHARD), CONFIG.window.horizon, n_paths, rng)
    shards = [min(SHARD, n_workloads - start) for start in range(0, n_workloads, SHARD)]
    started = time.perf_counter()
    for size in shards:
        rows = _repeated(windows, size)
        model.predict(rows, CONFIG.window.horizon, n_paths, rng)
    elapsed_s = time.perf_counter() - started
    return {
        "workloads": n_workloads,
        "paths": n_paths,
        "steps_ahead": CONFIG.window.horizon,
        "threads": n_threads,
        "trees": sum(booster.num_trees() for booster in model.trees.boosters),
        "seconds": round(elapsed_s, 2),
        "ms_per_workload": round(1e3 * elapsed_s / n_workloads, 3),
        "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _repeated(windows: Windows, n_rows: int) -> Windows:
    return windows.rows(np.arange(n_rows) % len(windows))


def _wave(index: int, seed: int) -> Series:
    rng = make_rng(seed, "bench", "wave", index)
    steps = np.arange(N_STEPS)
    noise = np.cumsum(rng.normal(0, 0.02, N_STEPS))
    demand = np.maximum(1 + 0.5 * np.sin(2 * np.pi * steps * STEP_S / 86_400) + noise, 0.01)
    values = np.stack([100 * demand, 8 * demand, np.minimum(demand / 3, 1)], axis=1)
    return Series(
        f"wave{index}",
        values.astype(np.float32),
        np.ones(values.shape, dtype=bool),
        NAMES,
        (1, 2, 3),
        0,
        0,
        STEP_S,
    )
