"""Simple forecasters: hand-computed pools, joint paths, behaviour on poor input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecaster.choice.baselines import POOLS, Baseline, BestSimple
from forecaster.config import WindowConfig
from forecaster.errors import HorizonError
from forecaster.features import build_windows
from forecaster.types import Series, Windows
from tests.unit.forecaster.conftest import STEP_S, make_series

WINDOW = WindowConfig(context=48, horizon=4, recent=24, season_past=6)


def series_of(demand: np.ndarray) -> Series:
    values = demand.astype(np.float32)[:, None]
    return Series("w", values, np.isfinite(values), ("a",), (1,), 0, 0, STEP_S)


def windows_of(demand: np.ndarray) -> Windows:
    return build_windows([series_of(demand)], WINDOW)


@pytest.mark.parametrize("name", POOLS)
def test_paths_and_quantiles_of_every_baseline(name: str, rng: np.random.Generator) -> None:
    windows = build_windows([make_series(k) for k in range(3)], WINDOW)
    forecast = Baseline(name, WINDOW).predict(windows, 4, 50, rng)
    assert forecast.rung == (name,) * 3
    assert forecast.quantiles.shape == (3, 19, 4)
    assert forecast.paths.shape == (3, 50, 4)
    assert (forecast.paths >= 0).all()
    again = Baseline(name, WINDOW).predict(windows, 4, 50, np.random.default_rng(11))
    assert np.array_equal(forecast.paths, again.paths)


def test_a_ramp_is_continued_by_the_last_value_with_its_changes(rng: np.random.Generator) -> None:
    forecast = Baseline("last_value", WINDOW).predict(windows_of(np.arange(100.0)), 4, 5, rng)
    assert np.allclose(forecast.paths, [100, 101, 102, 103])
    assert np.allclose(forecast.quantiles[0].T, np.array([[100], [101], [102], [103]]))


def test_of_noise_the_smoothed_level_keeps_to_the_mean(rng: np.random.Generator) -> None:
    demand = 100.0 * np.exp(rng.normal(0.0, 0.12, 200))
    demand[-1] = 70.0
    off = {}
    for name in ("smoothed", "blend", "last_value"):
        forecast = Baseline(name, WINDOW).predict(windows_of(demand), 4, 200, rng)
        medians = forecast.quantiles[0][np.argmin(np.abs(forecast.quantile_levels - 0.5))]
        off[name] = float(np.abs(medians - 100.0).max())
    assert off["smoothed"] < 0.8 * off["blend"] < off["last_value"]


def test_of_a_walk_it_is_the_last_value_and_a_ramp_goes_on(rng: np.random.Generator) -> None:
    walk = 100.0 + np.cumsum(rng.normal(0.0, 3.0, 200))
    smoothed, last = (
        Baseline(name, WINDOW).predict(windows_of(walk), 4, 5, rng)
        for name in ("smoothed", "last_value")
    )
    assert np.allclose(smoothed.quantiles, last.quantiles, atol=3.0)
    ramp = Baseline("smoothed", WINDOW).predict(windows_of(np.arange(100.0)), 4, 5, rng)
    assert np.allclose(ramp.quantiles[0][9], [100, 101, 102, 103], atol=0.5)


def test_a_level_that_changed_is_followed_before_a_horizon_has_passed(
    rng: np.random.Generator,
) -> None:
    """No whole stretch began after the change, so the weight stayed that of noise."""
    demand = 300.0 * (1.0 + 0.05 * rng.standard_normal(300))
    demand[-6:] *= 10.0
    window = replace(WINDOW, context=288, horizon=12)
    series = build_windows([series_of(demand)], window)
    forecast = Baseline("smoothed", window).predict(series, 12, 200, rng)
    medians = forecast.quantiles[0][np.argmin(np.abs(forecast.quantile_levels - 0.5))]
    assert medians[0] > 2000.0


def test_a_gap_moves_no_level(rng: np.random.Generator) -> None:
    demand = np.full(200, 10.0)
    demand[:150], demand[190:] = np.nan, np.nan
    forecast = Baseline("smoothed", WINDOW).predict(windows_of(demand), 4, 5, rng)
    assert np.allclose(forecast.paths, 10.0)


def test_paths_of_the_trailing_percentile_are_stretches_of_the_past(
    rng: np.random.Generator,
) -> None:
    demand = rng.gamma(2, 10, 200).astype(np.float32)
    forecast = Baseline("trailing_percentile", WINDOW).predict(windows_of(demand), 4, 20, rng)
    past = {tuple(demand[k : k + 4]) for k in range(152, 197)}
    assert {tuple(path) for path in forecast.paths[0]} <= past


def test_a_perfect_season_is_repeated(rng: np.random.Generator) -> None:
    demand = 50 + 40 * np.sin(2 * np.pi * np.arange(400) / 24)
    for name in ("seasonal_naive", "seasonal_drift"):
        forecast = Baseline(name, WINDOW).predict(windows_of(demand), 4, 5, rng)
        expected = 50 + 40 * np.sin(2 * np.pi * np.arange(400, 404) / 24)
        assert np.allclose(forecast.paths, expected, atol=1e-3)


def test_a_short_history_falls_back_with_a_reason(rng: np.random.Generator) -> None:
    forecast = Baseline("seasonal_naive", WINDOW).predict(windows_of(np.arange(5.0)), 4, 10, rng)
    assert forecast.rung == ("short_history",)
    assert "seasonal_naive" in forecast.reasons[0]
    assert forecast.quantiles.min() >= 0
    assert forecast.quantiles.max() <= 4.0


def test_gaps_never_enter_a_pool(rng: np.random.Generator) -> None:
    demand = np.full(200, 10.0)
    demand[170:175] = np.nan
    for name in POOLS:
        forecast = Baseline(name, WINDOW).predict(windows_of(demand), 4, 50, rng)
        assert np.allclose(forecast.paths, 10), name


def test_best_simple_answers_each_workload_by_its_pick(rng: np.random.Generator) -> None:
    windows = build_windows([make_series(k) for k in range(3)], WINDOW)
    picks = {"w0": "seasonal_naive", "w2": "last_value"}
    forecast = BestSimple(picks, WINDOW).predict(windows, 4, 10, rng)
    assert forecast.rung == ("seasonal_naive", "smoothed", "last_value")
    alone = Baseline("last_value", WINDOW).predict(windows, 4, 10, rng)
    assert np.array_equal(forecast.quantiles[2], alone.quantiles[2])


def test_a_step_missing_a_season_ago_leaves_a_pick_to_a_simpler_one(
    rng: np.random.Generator,
) -> None:
    """Such a service has a long history: it is not answered, nor held, as a new one."""
    demand = 50 + 40 * np.sin(2 * np.pi * np.arange(400) / 24)
    demand[400 - 24 + 1] = np.nan
    windows = windows_of(demand)
    for pick in ("seasonal_naive", "seasonal_drift"):
        forecast = BestSimple({"w": pick}, WINDOW).predict(windows, 4, 10, rng)
        assert forecast.rung == ("smoothed",)
        assert forecast.reasons == (f"fewer than 8 whole stretches for {pick}",)
        alone = Baseline("smoothed", WINDOW).predict(windows, 4, 10, rng)
        assert np.array_equal(forecast.quantiles, alone.quantiles)
    young = BestSimple({"w": "seasonal_naive"}, WINDOW).predict(
        windows_of(np.arange(5.0)), 4, 9, rng
    )
    assert young.rung == ("short_history",)


def test_a_horizon_out_of_reach_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(HorizonError):
        Baseline("blend", WINDOW).predict(windows_of(np.arange(99.0)), 5, 10, rng)


def test_a_shorter_horizon_is_served(rng: np.random.Generator) -> None:
    windows = replace(windows_of(np.arange(100.0)))
    assert Baseline("blend", WINDOW).predict(windows, 2, 10, rng).horizon == 2
