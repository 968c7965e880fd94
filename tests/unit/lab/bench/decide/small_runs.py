"""The whole benchmark on a small task with made-up forecasts: no training, few settings."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np

from services.lab.bench.decide import run as bench
from services.lab.bench.decide.forecasts import Forecasts
from services.lab.bench.decide.run import DecideResult
from services.lab.bench.decide.task import DecideTask
from services.simulator.policies.rivals import rivals
from tests.unit.lab.bench.decide.tasks import decide_task, wave

N_PATHS = 40
EPSILONS = (0.02, 0.1)


def wavy_task(n_steps: int = 400, **options: Any) -> DecideTask:
    """Two workloads; a prelude of 60 steps, three tenths of the steps counted."""
    demands = [wave(n_steps), wave(n_steps, seed=1)]
    return decide_task(demands, max_prelude_steps=60, **options)


def noisy_forecasts(task: DecideTask, *_: Any) -> Forecasts:
    """The true mean with honest paths about it, from the first step on: T, W, 40 paths, H."""
    rng = np.random.default_rng(5)
    demand, ahead = task.course.demand, task.options.n_steps_ahead
    padded = np.concatenate([demand, np.repeat(demand[:, -1:], ahead, axis=1)], axis=1)
    shift = np.exp(0.1 * rng.standard_normal((demand.shape[1], demand.shape[0], 1, ahead)))
    spread = np.exp(0.1 * rng.standard_normal((1, demand.shape[0], N_PATHS, ahead)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, ahead, axis=1)
    centre = windows[:, : demand.shape[1]].transpose(1, 0, 2)[:, :, None, :]
    return Forecasts(0, (centre * shift * spread).astype(np.float32))


def small_result(task: DecideTask) -> DecideResult:
    """Two rivals, six prices of Harmony's, and Harmony as deployed at 2 % and 10 %."""
    few = {name: rivals(task.course.step_s)[name] for name in ("hpa", "trailing_percentile")}
    with (
        patch.object(bench, "learned", noisy_forecasts),
        patch.object(bench, "rivals", lambda _: few),
        patch.object(bench, "forecast_policies", dict),
        patch.object(bench, "PRICES", np.geomspace(1.0, 300.0, 6)),
        patch.object(bench, "N_REPLICATES", 5),
    ):
        return bench.bench_decide(task, EPSILONS, 7, lambda _: None)
