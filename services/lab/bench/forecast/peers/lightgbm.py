"""LightGBM quantile regression as an arm of a benchmark: the peer to beat.

One global model per level over all workloads, targets and steps ahead, on features of the window
normalised by the window itself. Settings are picked, and trees are stopped, on validation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from forecaster.dataset import Origins
from services.kernel.clock import make_rng
from services.lab.bench.forecast.arm import LEVELS, Prediction, Tell
from services.lab.bench.forecast.peers.inputs import (
    FeatureTable,
    Rows,
    floors,
    library,
    train_origins,
)
from services.lab.bench.forecast.task import BenchTask
from services.simulator.fleet.arrays import IntArray

MAX_ROWS = 45_000
MAX_VALIDATION_ROWS = 15_000
STEPS_PER_WINDOW = 3
"""Steps ahead drawn per training window, so that more windows fit into the same rows."""
MAX_TREES = 500
PATIENCE = 25
PICK_LEVELS = (0.5, 0.9)
"""Levels that settings are compared at."""
PREDICT_PAIRS = 8192
FIXED = {
    "objective": "quantile",
    "metric": "quantile",
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
    "learning_rate": 0.1,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "cat_smooth": 20.0,
}


@dataclass(frozen=True, slots=True)
class TreeSettings:
    """One point of the grid.

    Attributes:
        num_leaves: Leaves per tree.
        weight_power: Power of window scale over unit that weighs a row: 1 is the benchmark's own
            weight, 0 counts every window the same.
    """

    num_leaves: int
    weight_power: float


GRID = (TreeSettings(15, 1.0), TreeSettings(31, 1.0), TreeSettings(31, 0.0))


@dataclass(frozen=True, slots=True)
class LightGbmArm:
    """Global quantile trees.

    Attributes:
        has_others: Whether the other indicators' newest values are features.
        grid: Settings that validation chooses from.
        max_rows: Training rows, evenly drawn over windows, targets and steps ahead.
        max_trees: Most trees per level.
    """

    has_others: bool = False
    grid: tuple[TreeSettings, ...] = GRID
    max_rows: int = MAX_ROWS
    max_trees: int = MAX_TREES

    def fit(self, task: BenchTask, seed: int, tell: Tell) -> FittedLightGbm:
        """See `Arm`.

        Raises:
            MissingLibrary: lightgbm is not installed.
        """
        lightgbm = library("lightgbm")
        rng = make_rng(seed, "bench", "lightgbm")
        table = FeatureTable(task, self.has_others)
        train = _examples(table, train_origins(task), self.max_rows, rng)
        held = _examples(table, task.validation_origins(), MAX_VALIDATION_ROWS, rng)
        best: tuple[float, _BoosterTrainer, dict[float, Any]] | None = None
        for settings in self.grid:
            trainer = _BoosterTrainer.of(lightgbm, settings, train, held)
            found = {x: trainer.booster(x, seed, self.max_trees) for x in PICK_LEVELS}
            loss = sum(trainer.loss(booster, level) for level, booster in found.items())
            tell(f"lightgbm {settings}: {loss:.5f}")
            if best is None or loss < best[0]:
                best = (loss, trainer, found)
        if best is None:
            raise ValueError("grid=() must hold at least one TreeSettings")
        _, trainer, done = best
        boosters = []
        for level in map(float, LEVELS):
            boosters.append(done.get(level) or trainer.booster(level, seed, self.max_trees))
            tell(f"lightgbm level {level:g}: {boosters[-1].best_iteration} trees")
        return FittedLightGbm(table, tuple(boosters), trainer.settings)


@dataclass(frozen=True, slots=True)
class FittedLightGbm:
    """See `Fitted`.

    Attributes:
        table: Features as in training.
        boosters: One per level of `LEVELS`.
        settings: What validation picked.
    """

    table: FeatureTable
    boosters: tuple[Any, ...]
    settings: TreeSettings

    @property
    def n_parameters(self) -> int:
        """Leaf values and split thresholds."""
        return sum(
            booster.best_iteration * (2 * self.settings.num_leaves - 1) for booster in self.boosters
        )

    def predict(
        self, task: BenchTask, origins: Origins, n_paths: int, rng: np.random.Generator
    ) -> Prediction:
        """See `Fitted`; crossing quantiles are sorted."""
        n_rows, n_targets = origins.which.size, task.targets.shape[1]
        horizon = task.window.horizon
        table = FeatureTable(task, self.table.has_others)
        found = np.empty((n_rows * n_targets, LEVELS.size, horizon), dtype=np.float32)
        for start in range(0, found.shape[0], PREDICT_PAIRS):
            pair = np.arange(start, min(start + PREDICT_PAIRS, found.shape[0]))
            ahead = np.broadcast_to(np.arange(1, horizon + 1), (pair.size, horizon))
            rows = table.rows(origins.take(pair // n_targets), pair % n_targets, ahead)
            for k, booster in enumerate(self.boosters):
                z = booster.predict(rows.features, num_threads=1).astype(np.float32)
                found[pair, k] = (rows.location + rows.scale * z).reshape(pair.size, horizon)
        quantiles = np.sort(found.reshape(n_rows, n_targets, LEVELS.size, horizon), axis=2)
        return Prediction(np.maximum(quantiles, floors(task)[origins.which][:, :, None, None]))


@dataclass(frozen=True, slots=True)
class _BoosterTrainer:
    """Trains one level after another on the same binned rows."""

    lightgbm: Any
    settings: TreeSettings
    held: Rows
    train_set: Any
    held_set: Any

    @staticmethod
    def of(lightgbm: Any, settings: TreeSettings, train: Rows, held: Rows) -> _BoosterTrainer:
        """Bin the rows once."""
        weight = np.power(train.weight, np.float32(settings.weight_power))
        train_set = lightgbm.Dataset(
            train.features,
            train.actual,
            weight=weight,
            categorical_feature=FeatureTable.CATEGORICAL,
            params={"verbose": -1, "num_threads": 1},
            free_raw_data=False,
        )
        held_set = train_set.create_valid(held.features, held.actual, weight=held.weight)
        return _BoosterTrainer(lightgbm, settings, held, train_set, held_set)

    def booster(self, level: float, seed: int, max_trees: int) -> Any:
        """Trees for one level, stopped when validation pinball no longer falls."""
        parameters = {
            **FIXED,
            "alpha": level,
            "num_leaves": self.settings.num_leaves,
            "seed": seed % 2**31,
        }
        stop = self.lightgbm.early_stopping(PATIENCE, verbose=False)
        return self.lightgbm.train(
            parameters, self.train_set, max_trees, valid_sets=[self.held_set], callbacks=[stop]
        )

    def loss(self, booster: Any, level: float) -> float:
        """Mean validation pinball in the task's units."""
        error = self.held.actual - booster.predict(self.held.features, num_threads=1)
        return float(np.mean(self.held.weight * np.maximum(level * error, (level - 1) * error)))


def _examples(table: FeatureTable, origins: Origins, n_most: int, rng: np.random.Generator) -> Rows:
    """At most `n_most` rows with an observed outcome."""
    n_targets, horizon = table.task.targets.shape[1], table.task.window.horizon
    n_steps = min(STEPS_PER_WINDOW, horizon)
    n_pairs = origins.which.size * n_targets
    pair: IntArray = np.arange(n_pairs)
    if n_pairs > n_most // n_steps:
        pair = np.sort(rng.choice(n_pairs, n_most // n_steps, replace=False))
    ahead = rng.random((pair.size, horizon)).argsort(axis=1)[:, :n_steps] + 1
    rows = table.rows(origins.take(pair // n_targets), pair % n_targets, ahead)
    return rows.take(np.flatnonzero(rows.weight > 0))
