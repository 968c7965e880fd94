"""A configuration of the forecaster that is trained in some seconds."""

from __future__ import annotations

import numpy as np

from forecaster.config import ForecasterConfig, ModelConfig, TrainConfig
from services.kernel.clock import make_rng
from tests.few_trees import FEW_TREES

SMALL = ForecasterConfig(
    model=ModelConfig(width=16, hidden=24, heads=2, flow_hidden=8, flow_context=4),
    train=TrainConfig(
        max_windows=200, max_validation_windows=80, batch=64, epochs=1, flow_epochs=1
    ),
    trees=FEW_TREES,
)


def quiet(_line: str) -> None:
    """Takes lines of progress and shows none."""


def rng() -> np.random.Generator:
    """The same randomness at each call."""
    return make_rng(1, "x")
