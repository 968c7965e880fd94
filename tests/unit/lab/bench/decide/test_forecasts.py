"""Forecasts land on the steps that they are for, and none is used before it could be made."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from forecaster.dataset import Origins
from forecaster.predict import TrainedModel
from services.kernel.errors import InvalidInput
from services.lab.bench.decide import forecasts
from services.lab.bench.decide.forecasts import (
    LEVEL_STEPS,
    Forecasts,
    check_prelude,
    learned,
    level_known,
    perfect,
)
from services.lab.bench.decide.task import DecideTask
from services.lab.bench.forecast.arm import LEVELS, Prediction, Tell
from services.lab.bench.forecast.task import BenchTask
from tests.unit.lab.bench.decide.tasks import decide_task, wave
from tests.unit.lab.bench.loads.small import load_task

HORIZON = 12


class Echo:
    """Answers with the origin's index plus a hundredth per step ahead; knows nothing else."""

    def predict(
        self, task: BenchTask, origins: Origins, n_paths: int, rng: np.random.Generator
    ) -> Prediction:
        ahead = np.arange(HORIZON) / 100.0
        paths = origins.position[:, None, None] + np.zeros((1, 3, 1)) + ahead
        level = np.zeros((origins.which.size, 1, LEVELS.size, HORIZON), dtype=np.float32)
        return Prediction(level + LEVELS[:, None].astype(np.float32), paths.astype(np.float32))


@dataclass(frozen=True)
class EchoArm:
    def __init__(self, prior: TrainedModel | None = None) -> None:
        """What a fit begins with is read by none."""

    def fit(self, task: BenchTask, seed: int, tell: Tell) -> Echo:
        return Echo()


@pytest.fixture
def task() -> DecideTask:
    return decide_task([wave(1000), wave(700, seed=1)], max_prelude_steps=200)


@pytest.fixture
def echoes(task: DecideTask, monkeypatch: pytest.MonkeyPatch) -> Forecasts:
    monkeypatch.setattr(forecasts, "ModelArm", EchoArm)
    # nothing is corrected: a forecast is known by its numbers
    monkeypatch.setattr(forecasts, "corrected", lambda _task, _at, said, *_: (said.model, None))
    return learned(task, 7, lambda _line: None)


def origin_at(task: DecideTask, found: Forecasts, step: int, workload: int) -> float:
    """Which origin the forecast used at a step of the course came from."""
    paths = found.at(step)
    assert paths is not None
    return float(paths[workload, 0, 0] / task.gpus_per_unit[workload])


def test_a_forecast_is_made_at_the_newest_step_before_the_decision(
    task: DecideTask, echoes: Forecasts
) -> None:
    stops = task.forecast.validation_ends
    for w, n_test in enumerate((300, 210)):
        last = task.n_prelude + n_test - HORIZON
        for step in range(task.n_prelude, last + 1):
            newest = stops[w] + (step - task.n_prelude) - 1
            assert origin_at(task, echoes, step, w) == pytest.approx(newest)


def test_no_forecast_comes_from_the_step_it_decides_on_or_later(
    task: DecideTask, echoes: Forecasts
) -> None:
    for w, stop in enumerate(task.forecast.validation_ends):
        for step in range(echoes.first_step, task.course.n_steps):
            begun = stop + (step - task.n_prelude)
            assert origin_at(task, echoes, step, w) < begun - 1 + 1e-3


def test_steps_ahead_stay_in_order(task: DecideTask, echoes: Forecasts) -> None:
    paths = echoes.at(task.n_prelude)
    assert paths is not None
    assert paths.shape == (2, 3, 4)
    ahead = (paths[0, 0] - paths[0, 0, 0]) / task.gpus_per_unit[0]
    np.testing.assert_allclose(ahead, np.arange(4) / 100, atol=1e-3)


def test_forecasts_begin_in_the_middle_of_validation(task: DecideTask, echoes: Forecasts) -> None:
    """There hedge and calibration start; before the later workload's begin there is none."""
    bench = task.forecast
    middles = [(a + b) // 2 for a, b in zip(bench.train_ends, bench.validation_ends, strict=True)]
    firsts = [
        middle - stop + task.n_prelude
        for middle, stop in zip(middles, bench.validation_ends, strict=True)
    ]
    assert echoes.first_step == max(firsts)
    assert echoes.at(echoes.first_step - 1) is None
    assert origin_at(task, echoes, echoes.first_step, int(np.argmax(firsts))) == pytest.approx(
        middles[int(np.argmax(firsts))] - 1
    )


def test_a_perfect_forecast_is_the_demand_itself() -> None:
    task = decide_task([wave(400)])
    course = task.course
    found = perfect(task)
    step = course.n_steps // 2
    paths = found.at(step)
    assert paths is not None
    np.testing.assert_allclose(paths[0, 0], course.demand[0, step : step + paths.shape[2]])


def test_the_quantile_function_of_a_decision_is_that_of_its_forecast(
    task: DecideTask, echoes: Forecasts
) -> None:
    course, step = task.course, task.n_prelude + 5
    laws = echoes.laws(course, 2)
    assert laws is not None
    for w, one in enumerate(laws.at(course.start_s + step * course.step_s)):
        expected = np.repeat(LEVELS[:, None], 2, axis=1) * task.gpus_per_unit[w]
        np.testing.assert_allclose(one.values, expected, rtol=1e-5)


def test_who_knows_the_level_knows_nothing_of_the_steps_own_luck() -> None:
    demand = wave(400)
    task = decide_task([demand])
    step = task.n_prelude + 20
    calm = level_known(task)
    lucky = task.course.demand.copy()
    lucky[0, step] *= 1.001
    moved = level_known(replace(task, course=replace(task.course, demand=lucky)))
    assert calm.quantiles is not None
    assert moved.quantiles is not None
    middle = int(np.argmin(np.abs(LEVELS - 0.5)))
    change = moved.quantiles[:, 0, middle, 0] / calm.quantiles[:, 0, middle, 0] - 1.0
    assert abs(change[step]) < 1e-5
    assert np.all(change[step + 1 : step + 1 + LEVEL_STEPS] > 5e-5)


@pytest.mark.parametrize(("max_test_steps", "is_enough"), [(22, False), (24, True), (60, True)])
def test_a_prelude_that_holds_no_forecast_is_refused(max_test_steps: int, is_enough: bool) -> None:
    task = load_task(max_test_steps).decide
    if is_enough:
        check_prelude(task)
    else:
        with pytest.raises(InvalidInput, match="--max-test-steps=22: 24 or more are right"):
            check_prelude(task)
