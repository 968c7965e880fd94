"""The parts of the shipped forecaster, and what is made of them without one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecaster.features import gather_windows
from services.lab.bench.ablate.forecast_arms import (
    FORECAST_ARMS,
    HARMONY,
    MAX_STEPS_KEPT,
    ForecastArm,
    Parts,
    issued,
    learner_quantiles,
    make_parts,
    shifted_paths,
)
from services.lab.bench.decide.forecasts import N_PATHS
from services.lab.bench.forecast.arm import LEVELS
from services.simulator.fleet.arrays import F32Array
from tests.unit.lab.bench.ablate.trained import TrainedTask

RAW = ForecastArm("everything online", is_hedged=False, is_calibrated=False)


@pytest.fixture(scope="module")
def told() -> list[str]:
    """Lines of progress."""
    return []


@pytest.fixture(scope="module")
def parts(trained: TrainedTask, told: list[str]) -> Parts:
    return make_parts(trained.task, trained.model, 7, told.append)


def of(trained: TrainedTask, parts: Parts, arm: ForecastArm) -> F32Array:
    return issued(trained.task.forecast, parts, arm, trained.model)


def test_every_origin_of_the_prelude_and_the_counted_part_is_forecast_once(
    trained: TrainedTask, parts: Parts, told: list[str]
) -> None:
    bench, origins = trained.task.forecast, parts.replayed
    stops = np.array(bench.validation_ends)[origins.which]
    step = origins.position + 1 - stops
    assert step.min() == -trained.task.n_prelude
    assert step.max() == trained.task.course.n_steps - trained.task.n_prelude - 1
    pairs = set(zip(origins.which.tolist(), origins.position.tolist(), strict=True))
    assert len(pairs) == origins.which.size
    assert told == [f"forecasting window 0 of {origins.which.size}"]


def test_parts_have_a_row_per_origin(trained: TrainedTask, parts: Parts) -> None:
    n, horizon = parts.replayed.which.size, trained.task.forecast.window.horizon
    assert set(parts.learners) == {"model", "trees", "network"}
    for quantiles in (*parts.learners.values(), parts.last_value):
        assert quantiles.shape == (n, 1, LEVELS.size, horizon)
        assert (np.diff(quantiles, axis=2) >= 0).all()
        assert (quantiles >= 0).all()
    assert parts.paths.shape == (n, N_PATHS, MAX_STEPS_KEPT)


def test_the_model_lies_between_its_network_and_its_trees(
    trained: TrainedTask, parts: Parts
) -> None:
    assert trained.model.trees is not None
    network, trees = parts.learners["network"], parts.learners["trees"]
    assert not np.allclose(network, trees)
    low, high = np.minimum(network, trees), np.maximum(network, trees)
    model = parts.learners["model"]
    assert (model >= low - 1e-3).all()
    assert (model <= high + 1e-3).all()


def test_the_model_says_what_it_says_when_it_serves(trained: TrainedTask, parts: Parts) -> None:
    bench = trained.task.forecast
    own = parts.replayed.take(np.arange(5))
    windows = gather_windows(bench.series, own.which, own.position, bench.window)
    rng = np.random.default_rng(1)
    served = trained.model.predict(windows, bench.window.horizon, 3, rng).quantiles
    np.testing.assert_allclose(parts.learners["model"][:5, 0], served, rtol=1e-4, atol=1e-4)


def test_without_trees_all_learners_are_the_network(trained: TrainedTask) -> None:
    bench = trained.task.forecast
    windows = gather_windows(bench.series, np.array([0, 1]), np.array([400, 500]), bench.window)
    bare = replace(trained.model, trees=None)
    found, encoding = learner_quantiles(bare, windows)
    np.testing.assert_array_equal(found["model"], found["network"])
    np.testing.assert_array_equal(found["trees"], found["network"])
    assert encoding.shape[0] == 2
    whole, _ = learner_quantiles(trained.model, windows)
    np.testing.assert_array_equal(whole["network"], found["network"])


def test_paths_fall_below_each_level_as_often_as_it_says(parts: Parts) -> None:
    model = parts.learners["model"][:, 0, :, :MAX_STEPS_KEPT]
    median = LEVELS.size // 2
    assert LEVELS[median] == 0.5
    share = (parts.paths <= model[:, median][:, None]).mean(axis=1)
    assert share == pytest.approx(np.full(share.shape, 0.5), abs=0.02)


def test_nothing_online_says_what_the_learner_says(trained: TrainedTask, parts: Parts) -> None:
    np.testing.assert_array_equal(of(trained, parts, RAW), parts.learners["model"][:, 0])
    trees = replace(RAW, learner="trees")
    np.testing.assert_array_equal(of(trained, parts, trees), parts.learners["trees"][:, 0])
    unused = FORECAST_ARMS["not_online"]
    np.testing.assert_array_equal(of(trained, parts, unused), parts.learners["model"][:, 0])


def test_hedge_and_calibration_both_change_what_is_said(trained: TrainedTask, parts: Parts) -> None:
    shipped, raw = of(trained, parts, HARMONY), of(trained, parts, RAW)
    unhedged = of(trained, parts, FORECAST_ARMS["unhedged"])
    uncalibrated = of(trained, parts, FORECAST_ARMS["uncalibrated"])
    said = [shipped, raw, unhedged, uncalibrated]
    assert all(
        not np.array_equal(one, other) for k, one in enumerate(said) for other in said[k + 1 :]
    )
    # a hedge mixes: it stays between its two experts
    last = parts.last_value[:, 0]
    assert (uncalibrated >= np.minimum(raw, last) - 1e-3).all()
    assert (uncalibrated <= np.maximum(raw, last) + 1e-3).all()


def test_paths_follow_the_quantiles_that_are_said(parts: Parts) -> None:
    base = parts.learners["model"][:, 0]
    same = shifted_paths(parts, base)
    np.testing.assert_allclose(same, parts.paths, rtol=1e-4, atol=1e-4)
    up = shifted_paths(parts, base + np.float32(2.0))
    np.testing.assert_allclose(up, parts.paths + 2.0, rtol=1e-3, atol=1e-3)
    down = shifted_paths(parts, base - np.float32(1000.0))
    assert (down == 0).all()
