"""Every corrector left out in turn on one trace, as decisions and as forecasts.

The forecaster is trained once, as in `bench decide`; each arm of it is made of the same parts, and
each arm of the decider reads the same forecasts. All that is kept are sums over days and
workloads (`record`), so that the tables and their bootstrap need no run again.

Shapes: W workloads, T steps of the course, G promises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from decider import DecideConfig
from forecaster.predict import TrainedModel
from services.lab.bench.ablate.decider_arms import BASE, DECIDER_ARMS
from services.lab.bench.ablate.forecast_arms import (
    FORECAST_ARMS,
    HARMONY,
    Parts,
    issued,
    make_parts,
    shifted_paths,
)
from services.lab.bench.ablate.record import decision_sums, forecast_sums
from services.lab.bench.decide.deployed import Deployed
from services.lab.bench.decide.forecasts import Forecasts, on_course
from services.lab.bench.decide.run import capacity_beliefs, lead_draws, oracle_run, task_block
from services.lab.bench.decide.task import DecideTask
from services.lab.bench.forecast.arm import Tell
from services.simulator.fleet.arrays import F32Array
from services.simulator.grid_run import simulate_grid

OTHER_PROMISES = (0.4, 2.5)
"""Promises asked of Harmony beside each promise, as multiples: its own trade of cost for risk."""
OTHER_PROMISE = "promise_x"
Document = dict[str, Any]
Keep = Callable[[Document], None]


@dataclass(frozen=True, slots=True)
class Ablation:
    """What is run on a trace.

    Attributes:
        task: The data.
        epsilons: G promises.
        seed: Of the forecaster.
    """

    task: DecideTask
    epsilons: tuple[float, ...]
    seed: int


def ablate(run: Ablation, tell: Tell, keep: Keep, train: Callable[[], TrainedModel]) -> None:
    """Run every arm; `keep` is given the document after each of them.

    Args:
        run: What is run.
        tell: Called with lines of progress.
        keep: Stores the document, or a longer one of the same run.
        train: The trained forecaster.
    """
    task, seed = run.task, run.seed
    started = time.process_time()
    trained = train()
    document = _header(run)
    document["seconds"] = {"training": round(time.process_time() - started, 1)}
    started = time.process_time()
    parts = make_parts(task, trained, seed, tell)
    shipped = issued(task.forecast, parts, HARMONY, trained)
    document["forecast"]["harmony"] = forecast_sums(task, parts, shipped)
    document["seconds"]["forecasting"] = round(time.process_time() - started, 1)
    forecasts = _on_course(task, parts, shipped)
    for name, arm, own, epsilons in _decisions(run, parts, shipped, forecasts, trained, document):
        tell(f"deciding: {name}")
        started = time.process_time()
        document["decide"][name] = _decide(task, arm, own, epsilons)
        document["seconds"][name] = round(time.process_time() - started, 1)
        keep(document)
    keep(document)  # the last arms may decide nothing of their own


def _header(run: Ablation) -> Document:
    task = run.task
    oracle = oracle_run(task)
    size = task_block(task)
    return {
        "data": task.forecast.data,
        "workloads": len(task.names),
        "test_steps": task.course.n_steps - task.n_prelude,
        "step_s": task.course.step_s,
        "steps_per_block": size,
        "seed": run.seed,
        "epsilons": list(run.epsilons),
        "other_promises": list(OTHER_PROMISES),
        "options": asdict(task.options),
        "yard": decision_sums(task, oracle)[0],
        "decide": {},
        "forecast": {},
    }


def _decisions(
    run: Ablation,
    parts: Parts,
    shipped: F32Array,
    forecasts: Forecasts,
    model: TrainedModel,
    document: Document,
) -> Iterator[tuple[str, DecideConfig, Forecasts, Sequence[float]]]:
    """Name, settings, forecasts and promises of every arm that decides."""
    yield "harmony", BASE, forecasts, run.epsilons
    for ratio in OTHER_PROMISES:
        asked = [epsilon * ratio for epsilon in run.epsilons]
        yield f"{OTHER_PROMISE}{ratio:g}", BASE, forecasts, asked
    for name, arm in DECIDER_ARMS.items():
        yield name, arm.config, forecasts, run.epsilons
    for name, own in FORECAST_ARMS.items():
        quantiles = issued(run.task.forecast, parts, own, model)
        document["forecast"][name] = forecast_sums(run.task, parts, quantiles)
        if not own.decides:
            continue
        if np.array_equal(quantiles, shipped):
            document["decide"][name] = document["decide"]["harmony"]
            continue
        yield name, BASE, _on_course(run.task, parts, quantiles), run.epsilons


def _on_course(task: DecideTask, parts: Parts, quantiles: F32Array) -> Forecasts:
    return on_course(task, parts.replayed, shifted_paths(parts, quantiles))


def _decide(
    task: DecideTask, config: DecideConfig, forecasts: Forecasts, epsilons: Sequence[float]
) -> list[Document]:
    policy = Deployed(tuple(epsilons), lead_draws(task), config, capacity_beliefs(task))
    run = simulate_grid(policy, task.course, forecasts.at)
    return decision_sums(task, run)
