"""Other joint laws keep the marginals of every step and load."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.bench.loads.forecasts import LoadForecasts, joint_task, single_task
from tests.unit.lab.bench.loads.small import NAMES, fake_forecasts, load_task

FORECASTS = fake_forecasts(load_task())


def sorted_paths(forecasts: LoadForecasts) -> np.ndarray:
    return np.sort(forecasts.paths, axis=3)


@pytest.mark.parametrize("how", ["joint", "steps", "loads", "ranked"])
def test_marginals_stay(how: str) -> None:
    changed = FORECASTS.changed(how, np.random.default_rng(0))  # type: ignore[arg-type]
    assert np.array_equal(sorted_paths(changed), sorted_paths(FORECASTS))
    assert (changed is FORECASTS) == (how == "joint")


def correlation(paths: np.ndarray, first: tuple[int, int], second: tuple[int, int]) -> float:
    """Mean rank correlation over decisions between two (load, step) of the first workload."""
    ranks = paths[:, 0].argsort(axis=2).argsort(axis=2)
    pairs = [np.corrcoef(r[first[0], :, first[1]], r[second[0], :, second[1]]) for r in ranks]
    return float(np.mean([pair[0, 1] for pair in pairs]))


def test_permuted_steps_know_nothing_of_each_other() -> None:
    found = FORECASTS.changed("steps", np.random.default_rng(0)).paths
    assert abs(correlation(found, (0, 0), (0, 1))) < 0.1
    assert abs(correlation(found, (0, 0), (1, 0))) < 0.1
    assert correlation(FORECASTS.paths, (0, 0), (1, 0)) > 0.5


def test_permuted_loads_keep_their_own_paths() -> None:
    found = FORECASTS.changed("loads", np.random.default_rng(0)).paths
    assert abs(correlation(found, (0, 0), (1, 0))) < 0.1
    own = correlation(FORECASTS.paths, (1, 0), (1, 1))
    assert correlation(found, (1, 0), (1, 1)) == pytest.approx(own)


def test_ranked_alike_all_loads_are_high_at_once() -> None:
    found = FORECASTS.changed("ranked", np.random.default_rng(0)).paths
    assert correlation(found, (0, 2), (2, 2)) == pytest.approx(1.0)
    assert np.array_equal(found[:, :, 0], FORECASTS.paths[:, :, 0])


def test_before_the_first_step_there_is_no_forecast() -> None:
    late = LoadForecasts(3, FORECASTS.paths[3:])
    assert late.at(2) is None
    found = late.at(3)
    assert found is not None
    assert np.array_equal(found, FORECASTS.paths[3].astype(float))


def test_forecasters_are_told_which_loads_bind() -> None:
    task = load_task()
    assert {one.further for one in joint_task(task).series} == {(1, 2)}
    alone = single_task(task, 2)
    assert {one.indicators[one.demand_index] for one in alone.series} == {NAMES[2]}
    assert {one.further for one in alone.series} == {()}
    assert alone.targets.tolist() == [[2], [2], [2]]
