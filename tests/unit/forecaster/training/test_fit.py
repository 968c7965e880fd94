"""Fits: they help, repeat to the byte, report, and refuse what they cannot learn from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from forecaster.errors import (
    HistoryTooShort,
    TrainingDiverged,
)
from forecaster.features import build_windows
from forecaster.predict import TrainedModel
from forecaster.training.checkpoint import model_to_bytes
from forecaster.training.fit import FitProgress, FitResult, fit
from forecaster.training.flow_fit import FLOW
from forecaster.types import Series, Windows
from tests.unit.forecaster.conftest import make_idle, make_series, small_config


def predict(model: TrainedModel, windows: Windows, n_paths: int = 30) -> tuple:
    forecast = model.predict(windows, 4, n_paths, np.random.default_rng(5))
    return forecast.quantiles, forecast.paths


@pytest.fixture
def windows(fitted: FitResult, fleet: list[Series]) -> Windows:
    return build_windows(fleet, fitted.model.config.window)


def test_training_beats_nothing_and_reports_it(fitted: FitResult) -> None:
    report = fitted.report
    assert 0 < report.crps < 1
    assert set(report.crps_by_workload) == {"w0", "w1", "w2"}
    assert set(report.picks.values()) <= {
        "last_value", "trailing_percentile", "recent_percentile", "blend", "seasonal_naive",
        "seasonal_drift", "smoothed",
    }  # fmt: skip
    assert report.flow_gain >= 0
    assert report.n_windows <= 600


def test_same_seed_same_bytes_and_another_seed_others(fleet: list[Series]) -> None:
    first = fit(fleet, small_config(epochs=1), seed=3)
    state = torch.random.get_rng_state()
    again = fit(fleet, small_config(epochs=1), seed=3)
    assert torch.equal(state, torch.random.get_rng_state())
    other = fit(fleet, small_config(epochs=1), seed=4)
    assert model_to_bytes(first.model) == model_to_bytes(again.model)
    assert first.model.version == again.model.version != other.model.version
    windows = build_windows(fleet, first.model.config.window)
    for a, b in zip(predict(first.model, windows), predict(again.model, windows), strict=True):
        assert a.tobytes() == b.tobytes()


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


@pytest.mark.slow
def test_a_service_that_was_idle_until_validation_does_not_choose_for_the_others(
    fleet: list[Series],
) -> None:
    """Its errors have no unit in training: they were millions of times those of the others."""
    alone = fit(fleet, small_config(), seed=3).report
    beside = fit([*fleet, make_idle(9)], small_config(), seed=3).report
    for one, other in zip(alone.history, beside.history, strict=True):
        if one.stage != FLOW:
            assert other.validation_loss < 10 * one.validation_loss
    assert alone.trees is not None
    assert beside.trees is not None
    assert (beside.trees.losses < 30 * alone.trees.losses).all()
