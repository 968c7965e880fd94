"""Interface of a forecaster in a benchmark: fit once on a task, then answer at origins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from forecaster.config import QUANTILE_LEVELS
from forecaster.dataset import Origins
from services.lab.bench.forecast.task import BenchTask
from services.simulator.fleet.arrays import F32Array

LEVELS = np.array(QUANTILE_LEVELS)
"""Levels at which every forecaster answers."""
Tell = Callable[[str], None]
"""Called with one line of progress."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A forecaster's answer at B origins.

    Attributes:
        quantiles: (B, G, Q, H) at `LEVELS`, raw unit, increasing along Q.
        paths: (B, S, H) joint paths of the demand; None for a forecaster that has none, which is
            then given paths whose steps are independent.
    """

    quantiles: F32Array
    paths: F32Array | None = None


class Fitted(Protocol):
    """A forecaster after training."""

    @property
    def n_parameters(self) -> int:
        """Trained parameters; 0 where the word does not apply."""
        ...

    def predict(
        self, task: BenchTask, origins: Origins, n_paths: int, rng: np.random.Generator
    ) -> Prediction:
        """Answer at `origins`, each from its own past alone; rows in the given order."""
        ...


class Arm(Protocol):
    """A forecaster that can be trained on a task."""

    def fit(self, task: BenchTask, seed: int, tell: Tell) -> Fitted:
        """Train on `task.histories()`; validation lies between `train_ends` and their end.

        Raises:
            ForecasterError: The task cannot be trained on.
        """
        ...
