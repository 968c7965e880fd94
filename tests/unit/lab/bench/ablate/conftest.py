"""A trained forecaster that the tests of its parts share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.lab.bench.ablate.trained import TrainedTask, train_on


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, write_trace: Callable[..., Path]
) -> TrainedTask:
    return train_on(write_trace(tmp_path_factory.mktemp("trained")))
