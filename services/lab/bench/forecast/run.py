"""Every forecaster on one task: trained on its first part, scored once on its last.

Time order throughout: the first 70 % train, the next 10 % validate and choose, the last 20 % are
read once, by `score`. Several seeds repeat the training, never the split.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from services.kernel.clock import make_rng
from services.lab.bench.forecast.arm import Arm, Tell
from services.lab.bench.forecast.scores import score
from services.lab.bench.forecast.task import BenchTask

N_PATHS = 500
"""Sample paths per window: the 99 % quantile of a maximum over 100 is a coarse figure."""


@dataclass(frozen=True, slots=True)
class ForecastBench:
    """Scores of every forecaster.

    Attributes:
        task: What was forecast.
        seeds: Seeds of the training.
        runs: Forecaster -> one dict of figures per seed.
    """

    task: BenchTask
    seeds: tuple[int, ...]
    runs: dict[str, list[dict[str, Any]]]

    def models(self) -> dict[str, dict[str, Any]]:
        """Figures per forecaster: means over the seeds, and the CRPS of each seed."""
        found = {}
        for name, runs in self.runs.items():
            merged = _mean(runs)
            merged["crps_by_seed"] = [run["crps"] for run in runs]
            found[name] = merged
        return dict(sorted(found.items(), key=lambda item: float(item[1]["crps"])))

    def to_json(self) -> dict[str, Any]:
        """The document of `--json`; see docs/benchmarks/forecast.md."""
        task = self.task
        return {
            "protocol": str(task.protocol),
            "data": task.data,
            "seeds": list(self.seeds),
            "workloads": len(task.series),
            "targets": list(task.target_names),
            "test_windows": int(task.test_origins().which.size),
            "step_s": task.series[0].step_s,
            "skipped": task.skipped,
            "models": self.models(),
        }


def bench_forecast(
    task: BenchTask, arms: dict[str, Arm], seeds: Sequence[int], tell: Tell
) -> ForecastBench:
    """Train and score every forecaster with every seed.

    Raises:
        ForecasterError: A forecaster cannot be trained on the task.
    """
    origins = task.test_origins()
    truth = task.truth(origins)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in arms}
    for seed in seeds:
        for name, arm in arms.items():
            started = time.perf_counter()
            fitted = arm.fit(task, seed, partial(_tell_of, tell, name))
            train_s = time.perf_counter() - started
            tell(f"{name}: forecasting {origins.which.size} windows")
            started = time.perf_counter()
            prediction = fitted.predict(task, origins, N_PATHS, make_rng(seed, "bench", name))
            infer_s = time.perf_counter() - started
            figures = score(
                task, origins, truth, prediction, make_rng(seed, "bench", "independent")
            )
            figures["train_s"] = train_s
            figures["infer_ms_per_window"] = 1e3 * infer_s / origins.which.size
            figures["params"] = fitted.n_parameters
            runs[name].append(figures)
    return ForecastBench(task, tuple(seeds), runs)


def _tell_of(tell: Tell, name: str, line: str) -> None:
    tell(f"{name}: {line}")


def _mean(runs: Sequence[Any]) -> Any:
    """Element-wise mean of equal nested dicts of numbers."""
    first = runs[0]
    if isinstance(first, dict):
        return {key: _mean([run[key] for run in runs]) for key in first}
    return type(first)(np.mean(runs)) if isinstance(first, int) else float(np.mean(runs))
