"""Errors of the forecaster can be caught by name, by root and as what Python would raise."""

from __future__ import annotations

import pytest

from forecaster import errors
from forecaster.errors import (
    CheckpointError,
    CheckpointVersionError,
    ForecasterError,
    TrainingDiverged,
)

NAMED = [
    found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, ForecasterError)
]
OF_VALUES = [kind for kind in NAMED if kind not in (ForecasterError, TrainingDiverged)]


@pytest.mark.parametrize("kind", NAMED)
def test_every_error_is_caught_by_the_root_with_its_message(kind: type[ForecasterError]) -> None:
    with pytest.raises(ForecasterError, match="window=0: must be at least 1"):
        raise kind("window=0: must be at least 1")


@pytest.mark.parametrize("kind", OF_VALUES)
def test_a_wrong_value_is_a_value_error(kind: type[ForecasterError]) -> None:
    assert issubclass(kind, ValueError)


def test_training_that_diverges_is_nobodys_wrong_value() -> None:
    assert issubclass(TrainingDiverged, RuntimeError)
    assert not issubclass(TrainingDiverged, ValueError)


def test_another_version_is_a_checkpoint_that_cannot_be_read() -> None:
    assert issubclass(CheckpointVersionError, CheckpointError)
