"""The trained model: masks, equivariance, determinism, checkpoints, log density."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from forecaster.errors import (
    HorizonError,
    NoObservations,
)
from forecaster.features import build_windows
from forecaster.network.model import ForecastNet, Vocabulary
from forecaster.predict import TrainedModel
from forecaster.training.fit import FitResult
from forecaster.types import Series, Windows
from tests.unit.forecaster.conftest import make_series, small_config


def predict(model: TrainedModel, windows: Windows, n_paths: int = 30) -> tuple:
    forecast = model.predict(windows, 4, n_paths, np.random.default_rng(5))
    return forecast.quantiles, forecast.paths


@pytest.fixture
def windows(fitted: FitResult, fleet: list[Series]) -> Windows:
    return build_windows(fleet, fitted.model.config.window)


@pytest.fixture(params=["hierarchical", "full"])
def lively(request: pytest.FixtureRequest, fleet: list[Series]) -> TrainedModel:
    """A model whose gates are wide open, so that a leak through a mask would be seen."""
    config = small_config()
    config = replace(config, model=replace(config.model, attention=request.param))
    vocabulary = Vocabulary(tuple(s.workload for s in fleet), fleet[0].indicators)
    net = ForecastNet(config, vocabulary, torch.Generator().manual_seed(2))
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("gate"):
                parameter.fill_(2.0)
    net.eval().requires_grad_(requires_grad=False)
    return TrainedModel(net, config, vocabulary)


def test_what_is_masked_or_padded_changes_nothing(lively: TrainedModel) -> None:
    series = make_series(0)
    hidden = series.observed.copy()
    hidden[-9:-3, 0] = False
    hidden[-20:, 1] = False
    hidden[:, 2] = False
    clean = replace(series, observed=hidden)
    dirty = replace(series, observed=hidden)
    # The constructor zeroes what is unobserved: write behind it, as a careless caller might.
    windows = build_windows([clean], lively.config.window)
    values = np.where(windows.observed, windows.values, np.float32(1e6))
    season = np.where(windows.season_observed, windows.season_values, np.float32(-1e6))
    soiled = replace(
        build_windows([dirty], lively.config.window), values=values, season_values=season
    )
    for a, b in zip(predict(lively, windows), predict(lively, soiled), strict=True):
        assert np.array_equal(a, b)

    narrow = make_series(1, names=("request_rate_rps", "concurrency_requests"))
    alone = predict(lively, build_windows([narrow], lively.config.window))
    padded = build_windows([narrow, series], lively.config.window)
    beside = predict(lively, padded.rows([0]))
    for a, b in zip(alone, beside, strict=True):
        assert np.allclose(a, b, rtol=1e-4)
    soiled_values = padded.values.copy()
    soiled_values[0, :, 2] = 1e6
    again = predict(lively, replace(padded, values=soiled_values).rows([0]))
    for a, b in zip(beside, again, strict=True):
        assert np.array_equal(a, b)


def test_other_indicators_reach_the_forecast(lively: TrainedModel) -> None:
    series = make_series(0)
    values = series.values.copy()
    values[:, 2] = values[::-1, 2]
    plain = predict(lively, build_windows([series], lively.config.window))[0]
    changed = predict(
        lively, build_windows([replace(series, values=values)], lively.config.window)
    )[0]
    assert not np.allclose(plain, changed)


@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e5])
def test_a_forecast_scales_with_its_input(
    fitted: FitResult, fleet: list[Series], factor: float
) -> None:
    scaled = [replace(s, values=(s.values * factor).astype(np.float32)) for s in fleet]
    window = fitted.model.config.window
    plain = predict(fitted.model, build_windows(fleet, window))
    big = predict(fitted.model, build_windows(scaled, window))
    for a, b in zip(plain, big, strict=True):
        unit = np.abs(a).max(axis=(1, 2), keepdims=True)
        assert np.allclose(b / factor / unit, a / unit, atol=2e-3)


def test_quantiles_are_monotone_and_paths_have_their_marginals(
    fitted: FitResult, windows: Windows
) -> None:
    quantiles, paths = predict(fitted.model, windows, n_paths=2000)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (quantiles >= 0).all()
    levels = np.array(fitted.model.config.window.quantile_levels)
    for level in (0.05, 0.5, 0.95):
        k = int(np.argmin(np.abs(levels - level)))
        share = (paths <= quantiles[:, k : k + 1]).mean(axis=1)
        assert np.allclose(share, level, atol=0.005)


def test_paths_are_joint(fitted: FitResult, windows: Windows) -> None:
    paths = predict(fitted.model, windows, n_paths=500)[1]
    for row in paths:
        assert np.corrcoef(row[:, 0], row[:, 1])[0, 1] > 0.15


def test_log_density_is_scale_equivariant_and_likes_what_is_likely(
    fitted: FitResult, fleet: list[Series]
) -> None:
    model = fitted.model
    windows = build_windows([s.head(480) for s in fleet], model.config.window)
    actual = np.stack([s.values[480:484, 0] for s in fleet])
    log_p = model.log_prob(windows, actual)
    assert np.isfinite(log_p).all()
    assert (log_p > model.log_prob(windows, 3 * actual)).all()
    doubled = [replace(s.head(480), values=2 * s.values[:480]) for s in fleet]
    shifted = model.log_prob(build_windows(doubled, model.config.window), 2 * actual)
    assert np.allclose(shifted, log_p - 4 * np.log(2), atol=0.05)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(500),
        np.full(500, 42.0),
        np.r_[np.zeros(499), 1e9],
        np.r_[np.full(499, 1e9), 0.0],
        np.where(np.arange(500) % 50 == 0, 1e6, 0.0),
    ],
    ids=["zero", "constant", "last burst", "last zero", "rare bursts"],
)
def test_hard_windows_give_finite_forecasts(fitted: FitResult, values: np.ndarray) -> None:
    series = make_series(0)
    hard = series.values.copy()
    hard[:, 0] = values
    hard[:, 1] = values[::-1] * 1e3
    windows = build_windows([replace(series, values=hard)], fitted.model.config.window)
    quantiles, paths = predict(fitted.model, windows)
    assert np.isfinite(quantiles).all()
    assert np.isfinite(paths).all()


def test_an_unknown_workload_and_indicator_are_served(fitted: FitResult) -> None:
    stranger = replace(make_series(5), workload="new", indicators=("x", "y", "z"))
    quantiles, _ = predict(fitted.model, build_windows([stranger], fitted.model.config.window))
    assert np.isfinite(quantiles).all()


def test_requests_out_of_reach_are_refused(fitted: FitResult, windows: Windows) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(HorizonError, match="horizon=5"):
        fitted.model.predict(windows, 5, 10, rng)
    blind = replace(windows, observed=np.zeros_like(windows.observed))
    with pytest.raises(NoObservations, match="w0"):
        fitted.model.predict(blind, 4, 10, rng)
