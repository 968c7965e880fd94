"""What was made once is found again, and what depends on something else is made anew."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from forecaster.dataset import Origins
from services.lab.bench.decide.forecasts import RawForecasts, raw_forecasts
from services.lab.bench.forecast.own_arms import FittedModel, ModelArm
from services.lab.bench.forecast.task import load_task
from services.lab.bench.race.entrants import Entrant
from services.lab.bench.race.keep import FORECAST_CODE, SOURCE, RaceShelf
from services.simulator.native_run import NativePace, NativeRun
from services.simulator.policies.reactive.keda import KedaGrid
from tests.unit.lab.bench.decide.small_runs import wavy_task

KEDA = Entrant(KedaGrid(np.array([50.0, 80.0])), 60.0)


class Maker:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.n = 0

    def run(self) -> NativeRun:
        self.n += 1
        parts = (np.full((2, 1, 3), float(self.n + i)) for i in range(3))
        return NativeRun("keda", ("50", "80"), *parts)

    def forecasts(self) -> RawForecasts:
        self.n += 1
        at = np.arange(4)
        return RawForecasts(
            Origins(at, at + 9), *(np.full((4, k, 2), float(self.n), np.float32) for k in (3, 3, 5))
        )


def test_a_rivals_run_is_made_once_per_course_cadence_and_setting(tmp_path):
    shelf, maker, course = RaceShelf(tmp_path), Maker(), wavy_task().course
    pace = NativePace(60.0, np.zeros(course.n_steps, dtype=np.int64))
    first = shelf.rival(KEDA, course, pace, maker.run)
    again = RaceShelf(tmp_path).rival(KEDA, course, pace, maker.run)
    assert maker.n == 1
    np.testing.assert_array_equal(again.shortage, first.shortage)
    assert again.labels == tuple(KEDA.policy.label(g) for g in range(2))
    other = [
        (KEDA, replace(course, demand=2.0 * course.demand), pace),
        (KEDA, replace(course, lead_s=2.0 * course.lead_s), pace),
        (KEDA, course, replace(pace, cadence_s=30.0)),
        (KEDA, course, replace(pace, block=pace.block + 1)),
        (replace(KEDA, policy=KedaGrid(np.array([50.0, 81.0]))), course, pace),
    ]
    for i, one in enumerate(other):
        shelf.rival(*one, maker.run)
        assert maker.n == i + 2


def test_forecasts_are_made_once_per_data_seed_and_prior(tmp_path):
    shelf, maker, task = RaceShelf(tmp_path), Maker(), wavy_task()
    first = shelf.forecasts(task, 7, maker.forecasts)
    again = shelf.forecasts(task, 7, maker.forecasts)
    assert maker.n == 1
    for name in ("model", "last_value", "paths"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    np.testing.assert_array_equal(again.origins.position, first.origins.position)
    shelf.forecasts(task, 8, maker.forecasts)
    assert maker.n == 2
    shelf.forecasts(task, 7, maker.forecasts, "prior-1")
    assert maker.n == 3


def test_forecasts_of_another_demand_of_the_same_file_are_made_anew(tmp_path):
    """A file with two demands has the same values whichever of them is raced."""
    shelf, maker, task = RaceShelf(tmp_path), Maker(), wavy_task()
    series = tuple(
        replace(
            one,
            values=np.repeat(one.values, 2, axis=1),
            observed=np.repeat(one.observed, 2, axis=1),
            indicators=("requests", "tokens"),
            levels=(1, 1),
            known_ahead=(),
        )
        for one in task.forecast.series
    )
    other = tuple(replace(one, demand_index=1) for one in series)
    later = tuple(replace(one, start_s=one.start_s + 6 * one.step_s) for one in series)
    for n, rows in enumerate((series, other, later), start=1):
        raced = replace(task, forecast=replace(task.forecast, series=rows))
        shelf.forecasts(raced, 7, maker.forecasts)
        assert maker.n == n


@pytest.mark.parametrize("part", [raw_forecasts, ModelArm, FittedModel, load_task])
def test_what_makes_forecasts_is_part_of_the_code_that_they_depend_on(part):
    path = Path(inspect.getfile(part)).relative_to(SOURCE)
    assert any(path.is_relative_to(place) for place in FORECAST_CODE)


def test_without_a_folder_everything_is_made(tmp_path):
    maker = Maker()
    for _ in range(2):
        RaceShelf().forecasts(wavy_task(), 7, maker.forecasts)
    assert maker.n == 2
    assert not list(tmp_path.iterdir())


def test_a_run_that_was_cut_off_leaves_nothing(tmp_path):
    def fail() -> RawForecasts:
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError):
        RaceShelf(tmp_path).forecasts(wavy_task(), 7, fail)
    assert not list(tmp_path.iterdir())
