"""The floor: what is left of an error once each step's level is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.lab.bench.forecast.arm import LEVELS
from services.lab.bench.forecast.floor_arm import KnownLevelArm
from services.lab.bench.forecast.own_arms import SimpleArm, crps_by_cell
from services.lab.bench.forecast.task import BenchTask
from tests.unit.lab.bench.decide.tasks import bench_task, wave
from tests.unit.lab.bench.forecast.trained import quiet, rng

MIDDLE = int(np.argmin(np.abs(LEVELS - 0.5)))
N_STEPS = 1500


def floor_of(task: BenchTask) -> np.ndarray:
    """(W,) CRPS of the known level on the test part."""
    origins = task.test_origins()
    found = KnownLevelArm().fit(task, 7, quiet).predict(task, origins, 0, rng())
    assert found.paths is None
    return crps_by_cell(task, origins, task.truth(origins), found)[:, 0]


def gamma_noise(shape: float) -> np.ndarray:
    rng = np.random.default_rng(4)
    return 30 * rng.gamma(shape, 1 / shape, N_STEPS)


def test_of_a_level_that_changes_only_the_luck_of_steps_is_left() -> None:
    """The mean CRPS of a normal law that is right is 0.5642 of its standard deviation."""
    rng = np.random.default_rng(1)
    level = 100 + 50 * np.sin(np.arange(N_STEPS) / 60)
    task = bench_task([level + rng.normal(0, 4, N_STEPS)])
    assert floor_of(task)[0] == pytest.approx(0.5642 * 4, rel=0.15)


def test_no_forecaster_that_knows_nothing_of_that_luck_is_below_it() -> None:
    task = bench_task([wave(N_STEPS), wave(N_STEPS, seed=3, level=5.0), gamma_noise(4.0)])
    origins = task.test_origins()
    truth, floor = task.truth(origins), floor_of(task)
    assert (floor > 0).all()
    for name in ("last_value", "blend"):
        simple = SimpleArm(name).fit(task, 7, quiet).predict(task, origins, 1, rng())
        assert (crps_by_cell(task, origins, truth, simple)[:, 0] > floor).all(), name


def test_luck_in_proportion_to_the_level_is_told_as_that() -> None:
    """Of two levels a hundred apart the law is a hundred times as wide at the higher one."""
    noise = np.exp(0.1 * np.random.default_rng(2).standard_normal(N_STEPS))
    level = np.where(np.arange(N_STEPS) // 50 % 2, 1.0, 100.0)
    task = bench_task([level * noise])
    fitted = KnownLevelArm().fit(task, 7, quiet)
    width = fitted.laws[0][0, :, -2] - fitted.laws[0][0, :, 1]
    high, low = width[1225], width[1275]
    assert high == pytest.approx(100 * low, rel=0.3)


def test_a_step_does_not_tell_its_own_level() -> None:
    values = np.full(N_STEPS, 10.0)
    values[1400] = 1000.0
    quantiles = KnownLevelArm().fit(bench_task([values]), 7, quiet).laws[0][0]
    assert quantiles[1400, MIDDLE] == pytest.approx(10)
    assert quantiles[1399, MIDDLE] > 10


def test_what_is_not_observed_is_not_read() -> None:
    values = wave(N_STEPS)
    broken = values.copy()
    gone = np.arange(N_STEPS) % 7 == 0
    broken[gone] = np.nan
    task = bench_task([broken])
    spoilt = replace(
        task,
        series=tuple(
            replace(s, values=np.where(s.observed, s.values, np.float32(1e9))) for s in task.series
        ),
    )
    assert floor_of(spoilt)[0] == floor_of(task)[0]


def test_each_origin_is_told_the_laws_of_the_steps_after_it() -> None:
    task = bench_task([wave(N_STEPS), wave(N_STEPS, seed=5)])
    fitted = KnownLevelArm().fit(task, 7, quiet)
    origins = task.test_origins().take(np.array([3, 900 % task.test_origins().which.size]))
    found = fitted.predict(task, origins, 0, rng()).quantiles
    for row, (w, at) in enumerate(zip(origins.which, origins.position, strict=True)):
        own = fitted.laws[w][0, at + 1 : at + 1 + task.window.horizon]
        assert np.array_equal(found[row, 0], own.T)
    assert (np.diff(found, axis=2) >= 0).all()


def test_a_demand_that_is_unknown_throughout_the_scored_part_has_none() -> None:
    values = wave(N_STEPS)
    values[1200:] = np.nan
    assert not KnownLevelArm().fit(bench_task([values, wave(N_STEPS)]), 7, quiet).laws[0].any()
