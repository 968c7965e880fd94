"""The trained model: masks, equivariance, determinism, checkpoints, log density."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from forecaster.config import ForecasterConfig, TrainConfig
from forecaster.errors import (
    CheckpointError,
    CheckpointVersionError,
    ConfigError,
    HistoryTooShort,
    HorizonError,
    NoObservations,
    TrainingDiverged,
)
from forecaster.features import build_windows
from forecaster.network.model import ForecastNet, Vocabulary
from forecaster.predict import TrainedModel
from forecaster.training.checkpoint import FORMAT_VERSION, from_bytes, to_bytes
from forecaster.training.fit import FitProgress, FitResult, fit
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


def test_training_beats_nothing_and_reports_it(fitted: FitResult) -> None:
    report = fitted.report
    assert 0 < report.crps < 1
    assert set(report.crps_by_workload) == {"w0", "w1", "w2"}
    assert set(report.picks.values()) <= {
        "last_value", "trailing_percentile", "recent_percentile", "blend", "seasonal_naive",
        "seasonal_drift",
    }  # fmt: skip
    assert report.flow_gain >= 0
    assert report.n_windows <= 600


def test_same_seed_same_bytes_and_another_seed_others(fleet: list[Series]) -> None:
    first = fit(fleet, small_config(epochs=1), seed=3)
    state = torch.random.get_rng_state()
    again = fit(fleet, small_config(epochs=1), seed=3)
    assert torch.equal(state, torch.random.get_rng_state())
    other = fit(fleet, small_config(epochs=1), seed=4)
    assert to_bytes(first.model) == to_bytes(again.model)
    assert first.model.version == again.model.version != other.model.version
    windows = build_windows(fleet, first.model.config.window)
    for a, b in zip(predict(first.model, windows), predict(again.model, windows), strict=True):
        assert a.tobytes() == b.tobytes()


def test_a_checkpoint_gives_the_same_model(fitted: FitResult, windows: Windows) -> None:
    loaded = from_bytes(to_bytes(fitted.model))
    assert loaded.version == fitted.model.version
    assert loaded.config == fitted.model.config
    for a, b in zip(predict(loaded, windows), predict(fitted.model, windows), strict=True):
        assert a.tobytes() == b.tobytes()


def test_damaged_and_foreign_checkpoints_are_refused(fitted: FitResult) -> None:
    raw = to_bytes(fitted.model)
    for bad in (b"", b"nonsense", raw[:100], raw[:-10]):
        with pytest.raises(CheckpointError):
            from_bytes(bad)
    mark = f'\\"format_version\\": {FORMAT_VERSION}'.encode()
    assert mark in raw
    with pytest.raises(CheckpointVersionError, match="format_version=9"):
        from_bytes(raw.replace(mark, b'\\"format_version\\": 9'))


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


def test_too_little_history_is_refused_and_a_poor_series_skipped(fleet: list[Series]) -> None:
    with pytest.raises(HistoryTooShort, match="longest 20 steps"):
        fit([fleet[0].head(20)], small_config(), seed=0)
    dead = replace(make_series(8), observed=np.zeros((500, 3), dtype=bool))
    result = fit([fleet[0], dead], small_config(epochs=1), seed=0)
    assert list(result.report.skipped) == ["w8"]


def test_divergence_is_caught(fleet: list[Series]) -> None:
    with pytest.raises(TrainingDiverged):
        fit(fleet, small_config(learning_rate=1e12, epochs=8, patience=8), seed=0)


def test_progress_is_told_and_can_stop_a_stage(fleet: list[Series]) -> None:
    lines: list[FitProgress] = []

    def stop(line: FitProgress) -> bool:
        lines.append(line)
        return False

    result = fit(fleet, small_config(epochs=5, flow_epochs=5), seed=0, on_progress=stop)
    assert [(p.stage, p.epoch) for p in lines] == [("marginals", 1), ("flow", 1), ("trees", 1)]
    assert result.report.history == tuple(lines)


def test_all_indicators_can_be_targets(fleet: list[Series]) -> None:
    result = fit(fleet, small_config(targets="all", epochs=1), seed=0)
    windows = build_windows(fleet, result.model.config.window)
    targets = np.tile(np.arange(3), (3, 1))
    quantiles = result.model.quantiles_of(windows, targets)
    assert quantiles.shape == (3, 3, 19, 4)
    assert (np.diff(quantiles, axis=2) >= 0).all()


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("window", "horizon", 0),
        ("window", "context", 10),
        ("window", "quantile_levels", (0.1, 0.9)),
        ("window", "quantile_levels", (0.9, 0.5, 0.1)),
        ("model", "attention", "magic"),
        ("model", "width", 63),
        ("train", "targets", "some"),
        ("train", "validation_ratio", 1.0),
        ("train", "batch", 0),
    ],
)
def test_a_wrong_setting_is_named(section: str, field: str, value: object) -> None:
    part = getattr(ForecasterConfig(), section)
    with pytest.raises(ConfigError, match=field):
        replace(part, **{field: value})


def test_a_configuration_survives_its_dictionary() -> None:
    config = ForecasterConfig(train=TrainConfig(epochs=3))
    assert ForecasterConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ConfigError, match="model"):
        ForecasterConfig.from_dict({"window": {}, "train": {}})
    with pytest.raises(ConfigError, match="colour"):
        ForecasterConfig.from_dict({**config.to_dict(), "model": {"colour": 1}})
