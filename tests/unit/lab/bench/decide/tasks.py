"""Small benchmarks of deciders made by hand, and results without a forecaster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from forecaster.types import series_from_rows
from services.lab.bench.decide.task import DecideOptions, DecideTask, make_decide_task
from services.lab.bench.forecast.task import BenchTask, Protocol

STEP_S = 600
START_S = 1_704_067_200


def bench_task(demands: Sequence[np.ndarray], step_s: int = STEP_S) -> BenchTask:
    """A forecasting benchmark whose only indicator is the demand; every series starts at once."""
    series = tuple(
        series_from_rows(
            f"w{i}",
            START_S + step_s * np.arange(len(demand)),
            np.asarray(demand, dtype=float)[:, None],
            ("load",),
            (1,),
            "load",
        )
        for i, demand in enumerate(demands)
    )
    lengths = [s.n_steps for s in series]
    return BenchTask(
        "hand",
        Protocol.PANEL,
        series,
        tuple(round(0.7 * n) for n in lengths),
        tuple(round(0.8 * n) for n in lengths),
        np.zeros((len(series), 1), dtype=np.int64),
        ("demand",),
        np.ones((len(series), 1)),
        10**9,
    )


def decide_task(demands: Sequence[np.ndarray], **options: Any) -> DecideTask:
    """The same as a benchmark of deciders."""
    return make_decide_task(bench_task(demands), DecideOptions(**options))


def wave(n_steps: int, *, seed: int = 0, level: float = 50.0) -> np.ndarray:
    """A daily cycle with noise."""
    rng = np.random.default_rng(seed)
    cycle = 1.0 + 0.4 * np.sin(2 * np.pi * np.arange(n_steps) / 144)
    return level * cycle * np.exp(0.1 * rng.standard_normal(n_steps))
