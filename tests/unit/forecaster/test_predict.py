"""Paths: marginals that the ranks leave alone, base noise, joint against independent statistics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from forecaster.config import QUANTILE_LEVELS
from forecaster.features import build_windows
from forecaster.predict import base_noise, paths_by_rank, stratified
from forecaster.quantiles import interpolation_matrix, mean_of
from forecaster.training.fit import FitResult
from forecaster.types import Series

LEVELS = np.array(QUANTILE_LEVELS)


def some_quantiles(n_rows: int, horizon: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    steps = rng.gamma(2.0, 1.0, (n_rows, LEVELS.size, horizon))
    return (100 + steps.cumsum(axis=1)).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n_paths=st.integers(1, 40), horizon=st.integers(1, 6))
def test_the_shuffle_leaves_marginals_unchanged(seed: int, n_paths: int, horizon: int) -> None:
    rng = np.random.default_rng(seed)
    quantiles = some_quantiles(3, horizon, seed)
    u = stratified(n_paths, horizon, rng)
    scores = rng.standard_normal((3, n_paths, horizon)).astype(np.float32)
    paths = paths_by_rank(quantiles, LEVELS, scores, u)
    for step in range(horizon):
        values = quantiles[:, :, step] @ interpolation_matrix(LEVELS, u[:, step]).T
        assert np.allclose(np.sort(paths[:, :, step], axis=1), values, rtol=1e-5)
    assert np.array_equal(np.argsort(paths, axis=1), np.argsort(scores, axis=1))


def test_points_may_be_shared_by_all_steps(rng: np.random.Generator) -> None:
    quantiles = some_quantiles(2, 3)
    scores = rng.standard_normal((2, 10, 3)).astype(np.float32)
    u = (np.arange(10) + 0.5) / 10
    shared = paths_by_rank(quantiles, LEVELS, scores, u)
    assert np.array_equal(
        shared, paths_by_rank(quantiles, LEVELS, scores, np.repeat(u[:, None], 3, 1))
    )


def test_paths_are_never_negative(rng: np.random.Generator) -> None:
    scores = rng.standard_normal((2, 10, 3)).astype(np.float32)
    paths = paths_by_rank(some_quantiles(2, 3) - 120, LEVELS, scores, stratified(10, 3, rng))
    assert paths.min() == 0


def test_points_are_increasing_one_per_stratum_and_independent_per_step(
    rng: np.random.Generator,
) -> None:
    u = stratified(50, 4, rng)
    assert np.array_equal(np.floor(u * 50), np.repeat(np.arange(50)[:, None], 4, axis=1))
    assert len(np.unique(u[-1])) == 4


def test_base_noise_is_the_rngs_and_stratified_over_paths() -> None:
    noise, u = base_noise(3, 20, 5, np.random.default_rng(1))
    again = base_noise(3, 20, 5, np.random.default_rng(1))
    assert np.array_equal(noise, again[0])
    assert np.array_equal(u, again[1])
    strata = np.sort(np.floor(u.numpy() * 20).clip(max=19), axis=1)
    assert np.array_equal(strata, np.repeat(np.arange(20)[None], 3, axis=0))
    assert not np.array_equal(u[0].numpy().argsort(), u[1].numpy().argsort())


def test_paths_agree_with_the_quantiles(fitted: FitResult, fleet: list[Series]) -> None:
    windows = build_windows(fleet, fitted.model.config.window)
    forecast = fitted.model.predict(windows, 4, 2000, np.random.default_rng(2))
    median = LEVELS.tolist().index(0.5)
    found = np.quantile(forecast.paths, [0.5, 0.9], axis=1)
    assert found[0] == pytest.approx(forecast.quantiles[:, median], rel=0.01)
    high = LEVELS.tolist().index(0.9)
    assert found[1] == pytest.approx(forecast.quantiles[:, high], rel=0.01)
    assert forecast.paths.mean(axis=1) == pytest.approx(
        mean_of(forecast.quantiles, LEVELS), rel=0.03
    )


def test_same_rng_same_bytes(fitted: FitResult, fleet: list[Series]) -> None:
    windows = build_windows(fleet, fitted.model.config.window)
    first = fitted.model.predict(windows, 4, 30, np.random.default_rng(2)).paths
    assert (
        first.tobytes()
        == fitted.model.predict(windows, 4, 30, np.random.default_rng(2)).paths.tobytes()
    )
    assert not np.array_equal(
        first, fitted.model.predict(windows, 4, 30, np.random.default_rng(3)).paths
    )


def test_trees_are_asked_only_for_the_targets_that_are_read(
    mixed: FitResult, fleet: list[Series]
) -> None:
    model = mixed.model
    windows = build_windows(fleet, model.config.window)
    targets = np.tile(np.arange(3), (3, 1))
    asked = np.array([[True, False, True], [False, False, True], [False, False, True]])
    _, some, _ = model.marginals(windows, targets, asked)
    _, both, _ = model.marginals(windows, targets)
    _, network, _ = replace(model, trees=None).marginals(windows, targets)
    is_asked = torch.from_numpy(asked)
    assert torch.equal(some[is_asked], both[is_asked])
    assert torch.equal(some[~is_asked], network[~is_asked])
    assert not torch.equal(both[~is_asked], network[~is_asked])
