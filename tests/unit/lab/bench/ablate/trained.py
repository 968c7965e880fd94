"""A small benchmark of deciders and a forecaster with trees, trained in some seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from forecaster.predict import TrainedModel
from services.lab.bench.decide.task import DecideOptions, DecideTask, load_decide_task
from services.lab.bench.forecast.own_arms import ModelArm
from tests.unit.lab.bench.forecast.trained import SMALL


@dataclass(frozen=True, slots=True)
class TrainedTask:
    """The benchmark and the forecaster that was trained for it."""

    task: DecideTask
    model: TrainedModel


def train_on(path: Path) -> TrainedTask:
    """Two workloads of 1000 steps, 40 of them counted."""
    options = DecideOptions(40, max_prelude_steps=20, seed=7)
    task = load_decide_task(path, options=options)
    return TrainedTask(task, ModelArm(SMALL).fit(task.forecast, 7, lambda _line: None).model)
