"""Scores of one forecaster on one task, as docs/benchmarks/forecast.md defines them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from forecaster.dataset import Origins
from forecaster.metrics import crps_of_quantiles, crps_of_samples, pinball, variogram_score
from forecaster.predict import paths_by_rank, stratified
from forecaster.quantiles import mean_of
from services.lab.bench.forecast.arm import LEVELS, Prediction
from services.lab.bench.forecast.task import BenchTask, Truth
from services.simulator.fleet.arrays import BoolArray, F32Array, FloatArray

INTERVALS = (0.5, 0.8, 0.95, 0.99)
"""Central intervals whose coverage is reported."""
UPPER_LEVELS = (0.9, 0.95, 0.98, 0.99, 0.995)
"""Single quantiles whose coverage is reported: the decider lives on the upper tail."""
PATH_LEVEL = 0.99
INDEPENDENT_PATHS = 500


def score(
    task: BenchTask,
    origins: Origins,
    truth: Truth,
    prediction: Prediction,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """All accuracy figures of one prediction.

    A mean over windows is taken per workload and target first, then over workloads, then over
    targets: a workload with more windows weighs no more.

    Args:
        task: The benchmark.
        origins: B origins.
        truth: What happened there.
        prediction: The forecast.
        rng: For independent paths, where the forecaster gives none.
    """
    n_rows, n_targets, n_steps = truth.actual.shape
    quantiles = prediction.quantiles
    unit = task.units[origins.which].astype(np.float32)[..., None]
    flat = (n_rows * n_targets, LEVELS.size, n_steps)
    actual = truth.actual.reshape(n_rows * n_targets, n_steps)
    shape = (n_rows, n_targets, n_steps)
    crps = crps_of_quantiles(quantiles.reshape(flat), LEVELS, actual).reshape(shape) / unit
    error = (mean_of(quantiles, LEVELS, axis=2) - truth.actual) / unit
    by_cell = cell_means(task, origins, truth, crps)
    demand = task.demand_target()
    row = np.arange(len(task.series))
    tail = pinball(quantiles.reshape(flat), LEVELS, actual).reshape(n_rows, n_targets, -1, n_steps)
    return {
        "crps": float(np.nanmean(by_cell)),
        "mse": float(np.nanmean(cell_means(task, origins, truth, error**2))),
        "crps_demand": float(np.nanmean(by_cell[row, demand])),
        "crps_by_indicator": _named(task.target_names, np.nanmean(by_cell, axis=0)),
        "crps_by_workload": _named([s.workload for s in task.series], np.nanmean(by_cell, axis=1)),
        "pinball": {
            f"{v:g}": _pinball_at(task, origins, truth, tail / unit[..., None], v)
            for v in UPPER_LEVELS
        },
        "coverage": _coverage(quantiles, truth),
        "coverage_upper": {
            f"{v:g}": _share(truth.actual <= quantiles[:, :, _at(v)], truth) for v in UPPER_LEVELS
        },
        "reliability": {
            f"{v:g}": _share(truth.actual <= quantiles[:, :, k], truth)
            for k, v in enumerate(LEVELS)
        },
        **_path_scores(task, origins, truth, prediction, rng),
    }


def _at(level: float) -> int:
    return int(np.argmin(np.abs(LEVELS - level)))


def _named(names: list[str] | tuple[str, ...], values: FloatArray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def cell_means(
    task: BenchTask, origins: Origins, truth: Truth, values: npt.NDArray[np.floating[Any]]
) -> FloatArray:
    """(W, G) means of (B, G, H) values over the observed steps; NaN where there are none."""
    cells = np.full((len(task.series), values.shape[1]), np.nan)
    seen = truth.observed
    total = np.where(seen, values, 0).sum(axis=2, dtype=np.float64)
    count = seen.sum(axis=2)
    for i in np.unique(origins.which):
        own = origins.which == i
        n_seen = count[own].sum(axis=0)
        mean = total[own].sum(axis=0) / np.maximum(n_seen, 1)
        cells[i] = np.where(n_seen > 0, mean, np.nan)
    return cells


def _pinball_at(
    task: BenchTask, origins: Origins, truth: Truth, losses: F32Array, level: float
) -> float:
    return float(np.nanmean(cell_means(task, origins, truth, losses[:, :, _at(level)])))


def _share(hits: BoolArray, truth: Truth) -> float:
    return float(hits[truth.observed].mean())


def _coverage(quantiles: F32Array, truth: Truth) -> dict[str, float]:
    """Share of outcomes inside each central interval, over all windows, targets and steps."""
    found = {}
    for width in INTERVALS:
        low, high = (_quantile(quantiles, level) for level in ((1 - width) / 2, (1 + width) / 2))
        found[f"{width:g}"] = _share((truth.actual >= low) & (truth.actual <= high), truth)
    return found


def _quantile(quantiles: F32Array, level: float) -> FloatArray:
    """(B, G, H) quantile at a level within the outermost two, linear between its neighbours.

    In double precision and as a difference: of a constant forecast every quantile is that constant,
    to the last bit, so that a constant demand lies inside.
    """
    right = int(np.clip(np.searchsorted(LEVELS, level), 1, LEVELS.size - 1))
    share = (level - LEVELS[right - 1]) / (LEVELS[right] - LEVELS[right - 1])
    low, high = (quantiles[:, :, k].astype(np.float64) for k in (right - 1, right))
    return np.asarray(low + share * (high - low), dtype=float)


def _path_scores(
    task: BenchTask,
    origins: Origins,
    truth: Truth,
    prediction: Prediction,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Path statistics of the demand, on windows observed over the whole horizon.

    The pinball loss of the maximum and the CRPS of the sum over the horizon; each also for paths
    with the same marginals and independent steps, which isolates the dependence.
    """
    at = task.demand_target()[origins.which]
    row = np.arange(origins.which.size)
    whole = truth.observed[row, at].all(axis=1)
    actual = truth.actual[row, at][whole]
    which = origins.which[whole]
    unit = task.units[origins.which, at][whole]
    quantiles = prediction.quantiles[row, at][whole]
    n_paths = INDEPENDENT_PATHS if prediction.paths is None else prediction.paths.shape[1]
    independent = _independent_paths(quantiles, n_paths, rng)
    joint = independent if prediction.paths is None else prediction.paths[whole]

    def mean(values: npt.NDArray[np.floating[Any]]) -> float:
        own = [values[which == i].mean(dtype=np.float64) for i in np.unique(which)]
        return float(np.mean(own))

    found = {}
    for name, paths in (("", joint), ("_independent", independent)):
        top = np.quantile(paths.max(axis=2), PATH_LEVEL, axis=1)
        gap = actual.max(axis=1) - top
        loss = np.maximum(PATH_LEVEL * gap, (PATH_LEVEL - 1) * gap) / unit
        found[f"path_max_pinball99{name}"] = mean(loss)
        total = crps_of_samples(paths.sum(axis=2), actual.sum(axis=1)) / unit
        found[f"path_sum_crps{name}"] = mean(total)
        scaled = np.float32(1) / unit.astype(np.float32)
        found[f"variogram{name}"] = mean(
            variogram_score(paths * scaled[:, None, None], actual * scaled[:, None])
        )
    return found


def _independent_paths(quantiles: F32Array, n_paths: int, rng: np.random.Generator) -> F32Array:
    """(B, S, H) draws of each step's own distribution, made as joint paths are, in random order.

    The points are stratified and drawn anew per step in both, so that only the dependence differs.
    """
    n_rows, _, n_steps = quantiles.shape
    scores = rng.random((n_rows, n_paths, n_steps), dtype=np.float32)
    return paths_by_rank(quantiles, LEVELS, scores, stratified(n_paths, n_steps, rng))
