"""What no forecaster can foretell: the level of each step is known, the step's luck is not.

It is no forecaster, for it reads the steps on either side of the one that is asked for, and the
law of that step about them from the very steps that are scored. What it still misses is the luck
of single steps, which nobody can know beforehand: a floor for the errors of all. It holds as far
as a step's luck tells nothing of the next one's; where a forecaster knows what neighbours do not
show, such as a timer that fires each hour, that one is below it.

Shapes: B origins, G targets, Q levels, H steps ahead, T steps of a series.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecaster.dataset import Origins
from forecaster.metrics import crps_of_quantiles
from services.lab.bench.forecast.arm import LEVELS, Prediction, Tell
from services.lab.bench.forecast.task import BenchTask
from services.simulator.fleet.arrays import BoolArray, F32Array, FloatArray

SIDES = (1, 2, 5)
"""Steps on either side that a level is read from; hindsight picks per workload and target."""


@dataclass(frozen=True, slots=True)
class KnownLevelArm:
    """Each step's level from both sides of it, and the law of steps about such levels."""

    def fit(self, task: BenchTask, seed: int, tell: Tell) -> FittedKnownLevel:
        """See `Arm`; the test part is read."""
        n_targets = task.targets.shape[1]
        laws = []
        for w, one in enumerate(task.series):
            rows = np.zeros((n_targets, one.n_steps, LEVELS.size), dtype=np.float32)
            for g, d in enumerate(task.targets[w]):
                if d >= 0 and one.observed[task.validation_ends[w] :, d].any():
                    rows[g] = _law(one.values[:, d], one.observed[:, d], task.validation_ends[w])
            laws.append(rows)
        return FittedKnownLevel(tuple(laws))


@dataclass(frozen=True, slots=True, eq=False)
class FittedKnownLevel:
    """See `Fitted`.

    Attributes:
        laws: Per workload (G, T, Q) quantiles of each step.
    """

    laws: tuple[F32Array, ...]

    @property
    def n_parameters(self) -> int:
        """Nothing is trained."""
        return 0

    def predict(
        self, task: BenchTask, origins: Origins, n_paths: int, rng: np.random.Generator
    ) -> Prediction:
        """See `Fitted`; steps are independent given their levels, so there are no paths."""
        n_targets, horizon = task.targets.shape[1], task.window.horizon
        found = np.zeros((origins.which.size, n_targets, LEVELS.size, horizon), dtype=np.float32)
        for w in np.unique(origins.which):
            rows = np.flatnonzero(origins.which == w)
            steps = origins.position[rows][:, None] + np.arange(1, horizon + 1)
            found[rows] = self.laws[w][:, steps].transpose(1, 0, 3, 2)
        return Prediction(found)


def _law(values: F32Array, observed: BoolArray, first: int) -> F32Array:
    """(T, Q) quantiles of every step of one target: the law that misses least from `first` on."""
    seen = observed.copy()
    seen[:first] = False
    best, least = np.zeros((values.size, LEVELS.size)), np.inf
    for n_steps in SIDES:
        level = _level(values, observed, n_steps)
        for quantiles in (_by_ratio(values, level, seen), _by_difference(values, level, seen)):
            scored = quantiles[seen, :, None].astype(np.float32)
            loss = float(crps_of_quantiles(scored, LEVELS, values[seen, None]).mean())
            if loss < least:
                best, least = quantiles, loss
    return best.astype(np.float32)


def _level(values: F32Array, observed: BoolArray, n_steps: int) -> FloatArray:
    """(T,) mean of what was observed on either side, the step itself left out.

    Where nothing was, the mean of all that was observed.
    """
    known = np.where(observed, values, 0).astype(np.float64)
    kernel = np.ones(2 * n_steps + 1)
    kernel[n_steps] = 0
    total = np.convolve(known, kernel, mode="same")
    count = np.convolve(observed.astype(np.float64), kernel, mode="same").round()
    usual = known.sum() / max(int(observed.sum()), 1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), usual))


def _by_ratio(values: F32Array, level: FloatArray, seen: BoolArray) -> FloatArray:
    """(T, Q) steps in the ratio to their level that `seen` ones had; zero where the level is."""
    is_used = seen & (level > 0)
    if not is_used.any():
        return np.zeros((values.size, LEVELS.size))
    ratio = np.quantile(values[is_used] / level[is_used], LEVELS)
    return np.asarray(np.maximum(level, 0)[:, None] * np.maximum(ratio, 0))


def _by_difference(values: F32Array, level: FloatArray, seen: BoolArray) -> FloatArray:
    """(T, Q) steps as far from their level as `seen` ones were."""
    return np.asarray(level[:, None] + np.quantile((values - level)[seen], LEVELS))
