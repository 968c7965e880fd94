"""The trained model and the simple forecasters as arms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from forecaster.choice.baselines import POOLS
from forecaster.config import ForecasterConfig, TreeConfig
from forecaster.features import gather_windows
from forecaster.trees.trees import TreeShare
from services.lab.bench.forecast import own_arms
from services.lab.bench.forecast.arm import LEVELS, Fitted, Prediction
from services.lab.bench.forecast.own_arms import (
    ColdArm,
    FittedCold,
    FittedModel,
    FittedSimple,
    ModelArm,
    SimpleArm,
    bench_config,
    crps_by_cell,
    young,
)
from services.lab.bench.forecast.task import BenchTask, Protocol, Truth
from tests.unit.lab.bench.forecast.trained import SMALL, quiet, rng

N_PATHS = 6


@pytest.fixture(scope="module")
def told() -> list[str]:
    """Lines of progress of the training."""
    return []


@pytest.fixture(scope="module")
def fitted(task: BenchTask, told: list[str]) -> FittedModel:
    return ModelArm(SMALL).fit(task, 7, told.append)


def test_the_task_says_window_targets_and_split(
    task: BenchTask, tmp_path_factory: pytest.TempPathFactory, small_task: Callable[..., BenchTask]
) -> None:
    config = bench_config(task, SMALL)
    assert config.window == task.window
    assert config.train.targets == "demand"
    # 70 % are trained on and 10 % validate: an eighth of both
    assert config.train.validation_ratio == pytest.approx(1 / 8)
    assert config.model == SMALL.model
    assert bench_config(task).model == ForecasterConfig().model
    paper = small_task(tmp_path_factory.mktemp("paper"), Protocol.FISHER_H1)
    assert bench_config(paper, SMALL).train.targets == "all"


def test_training_tells_its_stages(fitted: FittedModel, told: list[str]) -> None:
    assert told
    assert all("validation" in line for line in told)
    assert fitted.n_parameters == fitted.model.n_parameters > 0


def test_a_model_answers_every_origin_in_order(task: BenchTask, fitted: FittedModel) -> None:
    origins = task.test_origins()
    found = fitted.predict(task, origins, N_PATHS, rng())
    n, horizon = origins.which.size, task.window.horizon
    assert found.quantiles.shape == (n, 1, LEVELS.size, horizon)
    assert found.paths is not None
    assert found.paths.shape == (n, N_PATHS, horizon)
    assert (np.diff(found.quantiles, axis=2) >= 0).all()
    backwards = origins.take(np.arange(n)[::-1])
    again = fitted.predict(task, backwards, N_PATHS, rng())
    np.testing.assert_allclose(again.quantiles[::-1], found.quantiles, rtol=1e-4, atol=1e-4)


def test_a_share_of_the_trees_that_was_asked_for_is_used(
    task: BenchTask, fitted: FittedModel
) -> None:
    share = TreeShare(1.0, 1.0)
    trees = ModelArm(SMALL, share).fit(task, 7, quiet)
    assert trees.model.tree_share == share
    assert fitted.model.tree_share != share
    assert trees.n_parameters == fitted.n_parameters


def test_it_is_told_where_there_are_no_trees_to_weigh(task: BenchTask) -> None:
    lines: list[str] = []
    bare = replace(SMALL, trees=TreeConfig(is_used=False))
    found = ModelArm(bare, TreeShare(1.0, 1.0)).fit(task, 7, lines.append)
    assert found.model.trees is None
    assert lines[-1] == "validation left the trees out: this is the network"


def test_a_cold_workload_has_no_name_and_its_newest_steps_alone(
    task: BenchTask, fitted: FittedModel
) -> None:
    assert ColdArm().n_steps == 48
    cold = FittedCold(fitted, 48)
    assert cold.n_parameters == fitted.n_parameters
    origins = task.test_origins().take(np.array([0, 5]))
    first = int(origins.position.min()) + 1 - 48

    def long_ago(values: np.ndarray) -> np.ndarray:
        changed = values.copy()
        changed[: min(first, 500)] *= 3.0
        return changed

    other = replace(
        task,
        series=tuple(replace(s, values=long_ago(s.values), workload="x") for s in task.series),
    )
    before = cold.predict(task, origins, N_PATHS, rng())
    after = cold.predict(other, origins, N_PATHS, rng())
    np.testing.assert_array_equal(before.quantiles, after.quantiles)
    warm = fitted.predict(task, origins, N_PATHS, rng())
    assert not np.array_equal(before.quantiles, warm.quantiles)


def test_young_windows_show_their_newest_steps(task: BenchTask) -> None:
    windows = gather_windows(task.series, np.array([0, 1]), np.array([400, 500]), task.window)
    shown = young(windows, 10)
    assert not shown.observed[:, :-10].any()
    np.testing.assert_array_equal(shown.observed[:, -10:], windows.observed[:, -10:])
    assert not shown.season_observed.any()
    assert windows.observed[:, :-10].any()
    np.testing.assert_array_equal(shown.values, windows.values)


def test_a_window_whose_newest_demand_is_unseen_keeps_its_context(task: BenchTask) -> None:
    windows = gather_windows(task.series, np.array([0, 1]), np.array([400, 500]), task.window)
    observed = windows.observed.copy()
    observed[0, -10:, windows.demand_index[0]] = False
    blind = replace(windows, observed=observed)
    shown = young(blind, 10)
    np.testing.assert_array_equal(shown.observed[0], observed[0])
    np.testing.assert_array_equal(shown.season_observed[0], windows.season_observed[0])
    assert not shown.observed[1, :-10].any()


def test_a_named_simple_forecaster_is_the_same_everywhere(task: BenchTask) -> None:
    found = SimpleArm("blend").fit(task, 7, quiet)
    assert set(found.picks.ravel()) == {"blend"}
    assert found.picks.shape == task.targets.shape
    assert found.n_parameters == 0


def test_validation_picks_the_simple_forecaster_with_the_least_loss(task: BenchTask) -> None:
    lines: list[str] = []
    picks = SimpleArm().fit(task, 7, lines.append).picks
    assert lines == [f"validating {name}" for name in POOLS]
    origins = task.validation_origins()
    truth = task.truth(origins)
    losses = {
        name: crps_by_cell(
            task,
            origins,
            truth,
            SimpleArm(name).fit(task, 7, quiet).predict(task, origins, 1, rng()),
        )
        for name in POOLS
    }
    for w in range(len(task.series)):
        assert picks[w, 0] == min(POOLS, key=lambda name: losses[name][w, 0])


def test_each_workload_is_answered_by_its_own_pick(task: BenchTask) -> None:
    origins = task.test_origins()
    names = np.array([["last_value"], ["blend"]], dtype=object)
    mixed = FittedSimple(names).predict(task, origins, N_PATHS, rng())
    assert mixed.paths is not None
    assert (mixed.paths > 0).all()
    for w, name in enumerate(("last_value", "blend")):
        fixed = SimpleArm(name).fit(task, 7, quiet).predict(task, origins, N_PATHS, rng())
        own = origins.which == w
        np.testing.assert_array_equal(mixed.quantiles[own], fixed.quantiles[own])


def test_answers_do_not_depend_on_how_many_are_asked_at_once(
    task: BenchTask, fitted: FittedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    origins = task.test_origins()
    arms: tuple[Fitted, ...] = (fitted, SimpleArm("recent_percentile").fit(task, 7, quiet))
    whole = [arm.predict(task, origins, N_PATHS, rng()) for arm in arms]
    monkeypatch.setattr(own_arms, "CHUNK", 7)
    for arm, before in zip(arms, whole, strict=True):
        after = arm.predict(task, origins, N_PATHS, rng())
        np.testing.assert_allclose(after.quantiles, before.quantiles, rtol=1e-4, atol=1e-4)


def test_all_targets_of_the_paper_are_forecast(
    tmp_path_factory: pytest.TempPathFactory, small_task: Callable[..., BenchTask]
) -> None:
    task = small_task(tmp_path_factory.mktemp("paper"), Protocol.FISHER_H1)
    fitted = ModelArm(SMALL).fit(task, 7, quiet)
    origins = task.test_origins().take(np.arange(4))
    found = fitted.predict(task, origins, N_PATHS, rng())
    assert found.quantiles.shape == (4, 2, LEVELS.size, 1)
    # the demand of about ten and a limit of four
    middle = found.quantiles[:, :, LEVELS.size // 2, 0].mean(axis=0)
    demand = int(task.demand_target()[0])
    assert middle[demand] > middle[1 - demand]
    simple = SimpleArm("last_value").fit(task, 7, quiet).predict(task, origins, 2, rng())
    assert simple.quantiles.shape == found.quantiles.shape
    assert simple.paths is not None
    assert simple.paths.mean() == pytest.approx(simple.quantiles[:, demand].mean(), rel=0.3)


def test_a_forecast_that_comes_true_has_no_loss_and_losses_are_in_units(task: BenchTask) -> None:
    origins = task.test_origins()
    truth = task.truth(origins)
    exact = np.repeat(truth.actual[:, :, None], LEVELS.size, axis=2)
    assert crps_by_cell(task, origins, truth, Prediction(exact)) == pytest.approx(
        np.zeros(task.targets.shape)
    )
    off = Prediction(exact + np.float32(2.0))
    assert crps_by_cell(task, origins, truth, off) == pytest.approx(2.0 / task.units, rel=1e-4)


def test_nothing_is_as_bad_as_what_was_never_observed(task: BenchTask) -> None:
    origins = task.test_origins()
    truth = task.truth(origins)
    seen = truth.observed.copy()
    seen[origins.which == 1] = False
    exact = Prediction(np.repeat(truth.actual[:, :, None], LEVELS.size, axis=2))
    found = crps_by_cell(task, origins, Truth(truth.actual, seen), exact)
    assert np.isfinite(found[0]).all()
    assert np.isposinf(found[1]).all()
