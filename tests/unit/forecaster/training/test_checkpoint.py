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


def test_one_bit_of_a_parameter_that_flipped_is_found(fitted: FitResult) -> None:
    raw = bytearray(model_to_bytes(fitted.model))
    for at in (len(raw) - 3, 8 + int.from_bytes(raw[:8], "little") + 2):
        raw[at] ^= 0x40
        with pytest.raises(CheckpointError, match="the checkpoint is damaged"):
            model_from_bytes(bytes(raw))
        raw[at] ^= 0x40
    assert model_from_bytes(bytes(raw)).version == fitted.model.version


def test_a_field_of_the_header_that_changed_is_found(fitted: FitResult) -> None:
    raw = model_to_bytes(fitted.model)
    version = fitted.model.version.encode()
    other = bytes([version[0] ^ 1]) + version[1:]
    with pytest.raises(CheckpointError, match="the checkpoint is damaged: checksum="):
        model_from_bytes(raw.replace(version, other))


def test_what_was_written_without_a_checksum_is_read(
    fitted: FitResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped prior is, and so is every model of an earlier release."""
    with monkeypatch.context() as patch:
        patch.setattr("forecaster.training.checkpoint._checksum", lambda *_: "")
        raw = model_to_bytes(fitted.model)
    mark, empty = b'\\"checksum\\": \\"\\"', b'\\"nochecks\\": \\"\\"'
    assert mark in raw
    assert model_from_bytes(raw.replace(mark, empty)).version == fitted.model.version
