"""A small benchmark of several loads: tokens per request that wander."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from forecaster.types import series_from_rows
from services.lab.bench.decide.task import DecideOptions
from services.lab.bench.forecast.task import BenchTask, Protocol
from services.lab.bench.loads.forecasts import LoadForecasts
from services.lab.bench.loads.task import LoadTask, make_load_task

NAMES = ("requests", "input_tokens", "output_tokens")
N_STEPS, STEP_S, START_S = 700, 600, 1_704_067_200
N_PATHS = 40


def raw_loads(seed: int) -> np.ndarray:
    """(T, 3) loads of one workload: a daily cycle, and tokens per request that drift."""
    rng = np.random.default_rng(seed)
    t = np.arange(N_STEPS)
    requests = 40 * (1 + 0.4 * np.sin(2 * np.pi * t / 144)) * np.exp(0.05 * rng.normal(size=t.size))
    composition = 0.5 * np.sin(2 * np.pi * t / 97 + seed)
    return np.stack(
        [requests, 500 * requests * np.exp(composition), 80 * requests * np.exp(-composition)],
        axis=1,
    )


def bench_task(names: tuple[str, ...] = NAMES, n_workloads: int = 3) -> BenchTask:
    """Workloads whose demand is the requests."""
    times = START_S + STEP_S * np.arange(N_STEPS)
    series = tuple(
        series_from_rows(
            f"w{seed}", times, raw_loads(seed)[:, : len(names)], names, (1,) * len(names), names[0]
        )
        for seed in range(n_workloads)
    )
    n = len(series)
    ends = (round(0.7 * N_STEPS),) * n, (round(0.8 * N_STEPS),) * n
    targets = np.zeros((n, 1), dtype=np.int64)
    return BenchTask(
        "small", Protocol.PANEL, series, *ends, targets, ("demand",), np.ones((n, 1)), 10**9
    )


@lru_cache
def load_task(max_test_steps: int = 60, **options: Any) -> LoadTask:
    """The benchmark of deciders made of them."""
    chosen = DecideOptions(max_test_steps, max_prelude_steps=max_test_steps // 2, **options)
    return make_load_task(bench_task(), NAMES, chosen)


def fake_forecasts(task: LoadTask, spread: float = 0.1) -> LoadForecasts:
    """Paths around the last values of all loads, spread by one common and one own factor."""
    rng = np.random.default_rng(2)
    course = task.decide.course
    n_workloads, n_loads = task.loads.shape[:2]
    horizon = task.decide.options.n_steps_ahead
    shape = (course.n_steps, n_workloads, n_loads, N_PATHS, horizon)
    common = rng.standard_normal((*shape[:2], 1, N_PATHS, 1))
    noise = spread * (common + 0.5 * rng.standard_normal(shape))
    last = task.loads[:, :, task.n_before - 1 : -1]
    centre = np.moveaxis(last, 2, 0)[..., None, None]
    return LoadForecasts(0, (centre * np.exp(noise)).astype(np.float32))
