"""Checkpoints: the same model comes back; damaged and foreign ones are refused."""

from __future__ import annotations

import numpy as np
import pytest

from forecaster.errors import (
    CheckpointError,
    CheckpointVersionError,
)
from forecaster.features import build_windows
from forecaster.predict import TrainedModel
from forecaster.training.checkpoint import FORMAT_VERSION, model_from_bytes, model_to_bytes
from forecaster.training.fit import FitResult
from forecaster.types import Series, Windows


def predict(model: TrainedModel, windows: Windows, n_paths: int = 30) -> tuple:
    forecast = model.predict(windows, 4, n_paths, np.random.default_rng(5))
    return forecast.quantiles, forecast.paths


@pytest.fixture
def windows(fitted: FitResult, fleet: list[Series]) -> Windows:
    return build_windows(fleet, fitted.model.config.window)


def test_a_checkpoint_gives_the_same_model(fitted: FitResult, windows: Windows) -> None:
    loaded = model_from_bytes(model_to_bytes(fitted.model))
    assert loaded.version == fitted.model.version
    assert loaded.config == fitted.model.config
    for a, b in zip(predict(loaded, windows), predict(fitted.model, windows), strict=True):
        assert a.tobytes() == b.tobytes()


def test_damaged_and_foreign_checkpoints_are_refused(fitted: FitResult) -> None:
    raw = model_to_bytes(fitted.model)
    for bad in (b"", b"nonsense", raw[:100], raw[:-10]):
        with pytest.raises(CheckpointError):
            model_from_bytes(bad)
    mark = f'\\"format_version\\": {FORMAT_VERSION}'.encode()
    assert mark in raw
    with pytest.raises(CheckpointVersionError, match="format_version=9"):
        model_from_bytes(raw.replace(mark, b'\\"format_version\\": 9'))
