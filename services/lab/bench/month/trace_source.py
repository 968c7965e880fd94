"""A trace: the counted part of `harmony bench decide`, every policy as it would be deployed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from decider import DecideConfig
from services.lab.bench.decide.deployed import Deployed
from services.lab.bench.decide.document import GPU_TYPE, USD_PER_GPU_HOUR
from services.lab.bench.decide.figures import workload_figures
from services.lab.bench.decide.forecasts import learned
from services.lab.bench.decide.frontier import DAY_S
from services.lab.bench.decide.run import choose, lead_draws, oracle_run
from services.lab.bench.decide.task import MAX_UTILISATION, MEAN_GPUS, TRAIN_RATIO, DecideTask
from services.lab.bench.month.source import (
    RIVALS,
    MonthFigures,
    MonthOptions,
    MonthSource,
    Watch,
)
from services.simulator.grid_run import GridRun, simulate_grid
from services.simulator.policies.grid import GridPolicy
from services.simulator.policies.rivals import HARMONY, ORACLE, rivals


def trace_source(task: DecideTask, options: MonthOptions, watch: Watch) -> MonthSource:
    """Run the rivals' grids, choose their settings on the prelude, and run Harmony untuned.

    Raises:
        ForecasterError: The forecaster cannot be trained on the trace.
    """
    course = task.course
    found = {HARMONY: _harmony(task, options, watch)}
    grids = rivals(course.step_s)
    for name in RIVALS:
        if name != ORACLE:
            watch(f"{name}: {grids[name].n_settings} settings", 0, 0)
            found[name] = _tuned(task, grids[name], options.epsilon)
    found[ORACLE] = _figures(task, oracle_run(task), 0, "knows the future", None)
    n_counted = course.n_steps - task.n_prelude
    return MonthSource(
        data=task.forecast.data,
        kind="trace",
        n_workloads=len(task.names),
        step_s=course.step_s,
        days_measured=n_counted * course.step_s / DAY_S,
        mean_demand_gpus=mean_demand_gpus(task),
        policies=found,
        assumptions=_assumptions(task, n_counted),
    )


def mean_demand_gpus(task: DecideTask) -> float:
    """GPUs that the counted part's mean demand would fill at the stated capacity.

    A workload counts with its mean known demand for the share of the steps in which it exists.
    """
    part = slice(task.n_prelude, None)
    known = task.is_known[:, part]
    load = np.where(known, task.course.demand[:, part], 0.0).sum(axis=1)
    mean = load / np.maximum(known.sum(axis=1), 1)
    lived = task.course.is_live[:, part].mean(axis=1)
    return float((mean * lived / task.course.capacity).sum())


def _harmony(task: DecideTask, options: MonthOptions, watch: Watch) -> MonthFigures:
    forecasts = learned(task, options.seed, lambda text: watch(text, 0, 0))
    # Answers at other risk levels are for explanations: without them the counts are the same.
    decide = replace(DecideConfig(), epsilons=())
    policy = Deployed((options.epsilon,), lead_draws(task), decide)
    n_steps = task.course.n_steps

    def paths_at(step: int) -> Any:
        watch("replaying Harmony", step, n_steps)
        return forecasts.at(step)

    run = simulate_grid(policy, task.course, paths_at)
    return _figures(task, run, 0, "not tuned", None)


def _tuned(task: DecideTask, policy: GridPolicy[Any], epsilon: float) -> MonthFigures:
    """The cheapest setting that kept the promise on the prelude but for its first quarter."""
    run = simulate_grid(policy, task.course)
    setting, is_kept = choose(task, run, task.n_prelude // 4, epsilon)
    return _figures(task, run, setting, run.labels[setting], is_kept)


def _figures(
    task: DecideTask, run: GridRun, setting: int, words: str, kept: bool | None
) -> MonthFigures:
    one = workload_figures(task, run, setting)
    hours = float(one.gpu_hours.sum())
    return MonthFigures(hours, hours * USD_PER_GPU_HOUR, one.violation_rate, words, kept)


def _assumptions(task: DecideTask, n_counted: int) -> dict[str, Any]:
    return {
        "usd_per_gpu_hour": {GPU_TYPE: USD_PER_GPU_HOUR},
        "gpus_per_replica": 1,
        "max_utilisation": MAX_UTILISATION,
        "mean_gpus_of_training_part": MEAN_GPUS,
        "train_ratio": TRAIN_RATIO,
        "lead_time_steps": task.options.lead_median_steps,
        "lead_sigma": task.options.lead_sigma,
        "capacity_cv": task.options.capacity_cv,
        "steps_counted": n_counted,
        "steps_of_prelude": task.n_prelude,
        "in_words": [
            f"The mean demand of each workload's first {TRAIN_RATIO:.0%} is scaled to "
            f"{MEAN_GPUS:g} GPUs of work; a replica is one {GPU_TYPE} at "
            f"{USD_PER_GPU_HOUR:g} USD/h, used to at most {MAX_UTILISATION:.0%}.",
            f"A start takes {task.options.lead_median_steps:g} step; GPUs are never short; "
            "GPU-hours are those asked for.",
            "The rivals' settings are the cheapest of 48 that kept the promise before the counted "
            "part of the trace; there static peak is a percentile of the past with a margin.",
        ],
    }
