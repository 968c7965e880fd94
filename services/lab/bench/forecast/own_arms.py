"""Harmony's own forecasters as arms of a benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from forecaster.choice.baselines import POOLS, forecast_from_pool, pool_of
from forecaster.config import ForecasterConfig
from forecaster.dataset import Origins
from forecaster.features import gather_windows
from forecaster.metrics import crps_of_quantiles
from forecaster.predict import TrainedModel
from forecaster.training.fit import FitProgress, fit
from forecaster.trees.trees import TreeShare
from forecaster.types import Windows
from services.kernel.clock import make_rng
from services.lab.bench.forecast.arm import LEVELS, Prediction, Tell
from services.lab.bench.forecast.scores import cell_means
from services.lab.bench.forecast.task import TRAIN_RATIO, VALIDATION_RATIO, BenchTask, Truth
from services.simulator.fleet.arrays import F32Array, FloatArray, IntArray

CHUNK = 512


def bench_config(task: BenchTask, base: ForecasterConfig | None = None) -> ForecasterConfig:
    """The product's configuration under the task's window, targets and split."""
    config = base or ForecasterConfig()
    train = replace(
        config.train,
        targets="all" if task.protocol.has_all_targets else "demand",
        validation_ratio=VALIDATION_RATIO / (TRAIN_RATIO + VALIDATION_RATIO),
    )
    return replace(config, window=task.window, train=train)


@dataclass(frozen=True, slots=True)
class ModelArm:
    """The trained model, without hedge or calibration.

    Attributes:
        config: Its configuration; the window, targets and split are the task's.
        tree_share: Weight of the trees; None: what validation chose.
        prior: What the network begins with; None: random parameters.
    """

    config: ForecasterConfig | None = None
    tree_share: TreeShare | None = None
    prior: TrainedModel | None = None

    def fit(self, task: BenchTask, seed: int, tell: Tell) -> FittedModel:
        """See `Arm`."""

        def report(line: FitProgress) -> None:
            tell(f"{line.stage} {line.epoch}/{line.n_epochs} validation {line.validation_loss:.4f}")

        config = bench_config(task, self.config)
        result = fit(task.histories(), config, seed, prior=self.prior, on_progress=report)
        model = result.model
        if self.tree_share is not None:
            if model.trees is None:
                tell("validation left the trees out: this is the network")
            model = replace(model, tree_share=self.tree_share)
        return FittedModel(model, model.n_parameters)


@dataclass(frozen=True, slots=True)
class FittedModel:
    """See `Fitted`."""

    model: TrainedModel
    n_parameters: int

    def predict(
        self,
        task: BenchTask,
        origins: Origins,
        n_paths: int,
        rng: np.random.Generator,
        n_shown: int | None = None,
    ) -> Prediction:
        """See `Fitted`; `n_shown` hides all but the newest steps of the context."""
        quantiles: list[F32Array] = []
        paths: list[F32Array] = []
        demand = task.demand_target()
        for at in _chunks(origins):
            own = origins.take(at)
            windows = gather_windows(task.series, own.which, own.position, task.window)
            if n_shown is not None:
                windows = young(windows, n_shown)
            targets = task.targets[own.which]
            answer = self.model.predict(windows, task.window.horizon, n_paths, rng)
            paths.append(answer.paths)
            if task.protocol.has_all_targets:
                found = self.model.quantiles_of(windows, np.maximum(targets, 0))
                found[np.arange(len(at)), demand[own.which]] = answer.quantiles
            else:
                found = answer.quantiles[:, None]
            quantiles.append(found)
        return Prediction(np.concatenate(quantiles), np.concatenate(paths))

    def as_unknown(
        self,
        task: BenchTask,
        origins: Origins,
        rng: np.random.Generator,
        n_shown: int | None,
        n_paths: int = 1,
    ) -> Prediction:
        """Answer as if the workloads were new: unknown by name, `n_shown` steps of history."""
        renamed = tuple(replace(s, workload=f"new/{s.workload}") for s in task.series)
        return self.predict(replace(task, series=renamed), origins, n_paths, rng, n_shown)


@dataclass(frozen=True, slots=True)
class ColdArm:
    """The network for a workload that has just begun: unknown by name, `n_steps` of history.

    Attributes:
        n_steps: Steps of context that are shown; older ones and all seasons are unobserved.
    """

    n_steps: int = 48

    def fit(self, task: BenchTask, seed: int, tell: Tell) -> FittedCold:
        """See `Arm`."""
        return FittedCold(ModelArm().fit(task, seed, tell), self.n_steps)


@dataclass(frozen=True, slots=True)
class FittedCold:
    """See `Fitted`."""

    warm: FittedModel
    n_steps: int

    @property
    def n_parameters(self) -> int:
        """Of the network."""
        return self.warm.n_parameters

    def predict(
        self, task: BenchTask, origins: Origins, n_paths: int, rng: np.random.Generator
    ) -> Prediction:
        """See `Fitted`; an origin whose demand is not seen in what is shown keeps its context."""
        return self.warm.as_unknown(task, origins, rng, self.n_steps, n_paths)


def young(windows: Windows, n_shown: int) -> Windows:
    """Windows whose history began `n_shown` steps before the origin."""
    n_steps = windows.values.shape[1]
    recent = np.arange(n_steps) >= n_steps - n_shown
    has_demand = (windows.demand()[1] & recent).any(axis=1)
    keep = recent | ~has_demand[:, None]
    return replace(
        windows,
        observed=windows.observed & keep[..., None],
        season_observed=windows.season_observed & ~has_demand[:, None, None, None],
    )


@dataclass(frozen=True, slots=True)
class SimpleArm:
    """A simple forecaster: one of `POOLS`, or the one that validation picks per target.

    Attributes:
        name: A key of `POOLS`; None picks per workload and target.
    """

    name: str | None = None

    def fit(self, task: BenchTask, seed: int, tell: Tell) -> FittedSimple:
        """See `Arm`."""
        if self.name is not None:
            return FittedSimple(np.full(task.targets.shape, self.name, dtype=object))
        origins = task.validation_origins()
        truth = task.truth(origins)
        rng = make_rng(seed, "bench", "best_simple")
        losses = []
        for name in POOLS:
            tell(f"validating {name}")
            fixed = FittedSimple(np.full(task.targets.shape, name, dtype=object))
            losses.append(crps_by_cell(task, origins, truth, fixed.predict(task, origins, 1, rng)))
        return FittedSimple(np.array(list(POOLS), dtype=object)[np.argmin(losses, axis=0)])


@dataclass(frozen=True, slots=True)
class FittedSimple:
    """See `Fitted`; `picks` is (W, G) names."""

    picks: npt.NDArray[np.object_]

    @property
    def n_parameters(self) -> int:
        """Nothing is trained."""
        return 0

    def predict(
        self, task: BenchTask, origins: Origins, n_paths: int, rng: np.random.Generator
    ) -> Prediction:
        """See `Fitted`."""
        n_rows, n_targets = origins.which.size, task.targets.shape[1]
        horizon = task.window.horizon
        quantiles = np.zeros((n_rows, n_targets, LEVELS.size, horizon), dtype=np.float32)
        paths = np.zeros((n_rows, n_paths, horizon), dtype=np.float32)
        demand = task.demand_target()
        for at in _chunks(origins):
            own = origins.take(at)
            windows = gather_windows(task.series, own.which, own.position, task.window)
            for g in range(n_targets):
                chosen = np.maximum(task.targets[own.which, g], 0)
                picks = self.picks[own.which, g]
                for name in sorted(set(picks)):
                    rows = np.flatnonzero(picks == name)
                    one = replace(windows.rows(rows), demand_index=chosen[rows])
                    pool, _ = pool_of(name, one, horizon, task.window)
                    found, drawn = forecast_from_pool(
                        one, pool, n_paths, rng, task.window.quantile_levels
                    )
                    quantiles[at[rows], g] = found
                    is_demand = demand[own.which[rows]] == g
                    paths[at[rows[is_demand]]] = drawn[is_demand]
        return Prediction(quantiles, paths)


def crps_by_cell(
    task: BenchTask, origins: Origins, truth: Truth, prediction: Prediction
) -> FloatArray:
    """(W, G) CRPS in the task's units; infinite where nothing was observed."""
    n_rows, n_targets, n_steps = truth.actual.shape
    crps = crps_of_quantiles(
        prediction.quantiles.reshape(n_rows * n_targets, LEVELS.size, n_steps),
        LEVELS,
        truth.actual.reshape(n_rows * n_targets, n_steps),
    ).reshape(n_rows, n_targets, n_steps)
    cells = cell_means(task, origins, truth, crps) / task.units
    return np.where(np.isfinite(cells), cells, np.inf)


def _chunks(origins: Origins) -> Iterator[IntArray]:
    for start in range(0, origins.which.size, CHUNK):
        yield np.arange(start, min(start + CHUNK, origins.which.size))
