from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from forecaster.choice.backtest import MODEL, backtest
from forecaster.choice.baselines import POOLS, Baseline
from forecaster.choice.ensemble import (
    ENSEMBLE,
    MEMBERS,
    N_ROUNDS,
    Ensemble,
    blended,
    contenders,
    greedy_weights,
    mean_losses,
    named_weights,
)
from forecaster.config import QUANTILE_LEVELS
from forecaster.features import build_windows
from forecaster.training.fit import FitResult
from forecaster.types import Series, Windows

LEVELS = np.array(QUANTILE_LEVELS)


def members(seed: int, n_rows: int, shifts: tuple[float, ...]) -> tuple[list, np.ndarray]:
    """Members whose quantiles are those of the truth moved by a shift each, and the truth."""
    rng = np.random.default_rng(seed)
    u = rng.random((n_rows, 3))
    actual = (10 * u).astype(np.float32)
    base = np.broadcast_to(10 * LEVELS[None, :, None], (n_rows, LEVELS.size, 3))
    return [(base + shift).astype(np.float32) for shift in shifts], actual


def weights_of(seed: int, shifts: tuple[float, ...], n_groups: int = 1) -> np.ndarray:
    found, actual = members(seed, 60 * n_groups, shifts)
    group = np.arange(60 * n_groups) % n_groups
    return greedy_weights(found, actual, np.ones(actual.shape, dtype=bool), group, LEVELS)


def test_a_good_model_stays_alone() -> None:
    np.testing.assert_array_equal(weights_of(0, (0.0, 30.0, -30.0)), [[1, 0, 0]])


def test_a_better_member_gets_all_that_the_head_start_leaves() -> None:
    np.testing.assert_allclose(weights_of(1, (4.0, 0.0, 9.0)), [[0.5, 0.5, 0]], atol=1 / N_ROUNDS)


def test_opposite_errors_cancel() -> None:
    share = weights_of(2, (2.0, -2.0))[0]
    assert share[1] > 0.3


@given(st.integers(0, 50), st.lists(st.floats(-5, 5), min_size=2, max_size=4))
def test_weights_sum_to_one_and_never_make_validation_worse(seed: int, shifts: list) -> None:
    found, actual = members(seed, 20, tuple(shifts))
    seen = np.ones(actual.shape, dtype=bool)
    group = np.zeros(20, dtype=np.int64)
    weights = greedy_weights(found, actual, seen, group, LEVELS)
    assert weights.sum() == pytest.approx(1)
    mixed = sum(w * m for w, m in zip(weights[0], found, strict=True)).astype(np.float32)
    alone = mean_losses(found[0], actual, seen, group, LEVELS)[0]
    assert mean_losses(mixed, actual, seen, group, LEVELS)[0] <= alone * (1 + 1e-5)


def test_groups_choose_for_themselves_and_an_unobserved_one_keeps_the_model() -> None:
    found, actual = members(3, 90, (4.0, 0.0))
    group = np.arange(90) % 3
    seen = np.ones(actual.shape, dtype=bool)
    seen[group == 2] = False
    found[0][group == 1] -= 4.0
    weights = greedy_weights(found, actual, seen, group, LEVELS)
    assert weights[0, 1] > 0.4
    assert weights[1, 0] == 1
    assert weights[2, 0] == 1


@pytest.fixture
def windows(fitted: FitResult, fleet: list[Series]) -> Windows:
    return build_windows(fleet, fitted.model.config.window)


def test_a_workload_without_weights_keeps_the_models_forecast(
    fitted: FitResult, windows: Windows, rng: np.random.Generator
) -> None:
    forecast = fitted.model.predict(windows, 4, 20, rng)
    same = blended(forecast, windows, {}, fitted.model.config.window)
    np.testing.assert_array_equal(same.quantiles, forecast.quantiles)
    np.testing.assert_allclose(same.paths, forecast.paths, rtol=1e-5)


def test_the_mixture_is_the_average_of_quantiles_and_paths_keep_their_ranks(
    fitted: FitResult, windows: Windows, rng: np.random.Generator
) -> None:
    weights = {w: {"model": 0.25, "blend": 0.75} for w in windows.workloads}
    forecast = fitted.model.predict(windows, 4, 50, np.random.default_rng(5))
    mixed = Ensemble(fitted.model, weights).predict(windows, 4, 50, np.random.default_rng(5))
    simple = Baseline("blend", fitted.model.config.window).predict(windows, 4, 1, rng)
    expected = 0.25 * forecast.quantiles + 0.75 * simple.quantiles
    np.testing.assert_allclose(mixed.quantiles, expected, rtol=1e-4)
    order = forecast.paths.argsort(axis=1, kind="stable")
    ordered = np.take_along_axis(mixed.paths, order, axis=1)
    assert (np.diff(ordered, axis=1) >= -1e-3 * mixed.paths.max()).all()
    assert set(mixed.rung) == {ENSEMBLE}


def test_the_fit_reports_weights_and_the_gate_compares_the_ensemble(
    fitted: FitResult, fleet: list[Series], rng: np.random.Generator
) -> None:
    assert set(fitted.report.weights) == {s.workload for s in fleet}
    for own in fitted.report.weights.values():
        assert sum(own.values()) == pytest.approx(1, abs=1e-4)
        assert set(own) <= set(MEMBERS)
    gate = backtest(
        fleet,
        contenders(fitted.model, fitted.report.weights),
        fitted.model.config,
        rng,
        n_last=60,
    )
    assert set(next(iter(gate.scores.values()))) == {MODEL, ENSEMBLE, *POOLS}


def test_weights_of_nothing_are_left_out() -> None:
    row = np.zeros((1, len(MEMBERS)))
    row[0, 0] = 1
    assert named_weights(["a"], row) == {"a": {"model": 1.0}}
