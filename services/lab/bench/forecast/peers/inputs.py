"""Inputs of the peer forecasters: their optional libraries, tables of features, filled series."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from forecaster.config import ForecasterConfig
from forecaster.dataset import Origins, actuals, origins_between
from forecaster.features import calendar, gather_windows
from forecaster.quantiles import masked_quantiles
from forecaster.scaling import forward_fill, window_scale
from forecaster.trees.features import lags, level_facts, rolls, seasons, shape
from forecaster.types import Windows
from services.kernel.errors import InvalidInput
from services.lab.bench.forecast.task import BenchTask
from services.simulator.fleet.arrays import BoolArray, F32Array, FloatArray, IntArray

CHUNK = 4096
"""Pairs of origin and target whose windows are held at once."""
MIN_SCALE_SHARE = np.float32(0.05)
"""Smallest scale of a window as a share of the task's unit: a still window stays comparable."""
MAX_WEIGHT = np.float32(20)
"""Largest weight of a window: a constant that suddenly moves must not be all that is learned."""
SHAPE_STEPS = (36, 144)


class MissingLibrary(InvalidInput):
    """A peer forecaster's library is not installed."""

    code = "missing_library"


def library(name: str, module: str = "") -> Any:
    """Import an optional library when a peer needs it.

    Args:
        name: Distribution and top package.
        module: Module below it.

    Raises:
        MissingLibrary: It is not installed.
    """
    try:
        return importlib.import_module(f"{name}.{module}" if module else name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise MissingLibrary(
            f"{name} is not installed: pip install 'harmony-gpu[bench]'"
        ) from error


def train_origins(task: BenchTask) -> Origins:
    """Origins whose whole horizon lies in the training part."""
    config = ForecasterConfig(window=task.window)
    return origins_between(task.series, config, [0] * len(task.series), task.train_ends)


def filled(task: BenchTask, i: int, target: int) -> FloatArray:
    """Workload i's indicator, (T,), each gap holding the last value before it.

    A leading gap holds zero.
    """
    series = task.series[i]
    start = np.zeros((1, 1), dtype=np.float32)
    column = slice(target, target + 1)
    values = forward_fill(series.values[None, :, column], series.observed[None, :, column], start)
    return values[0, :, 0].astype(np.float64)


def floors(task: BenchTask) -> F32Array:
    """Lowest value that makes sense, (W, G): zero, or none where history goes below."""
    found = np.zeros(task.targets.shape, dtype=np.float32)
    for i, (series, end) in enumerate(zip(task.series, task.validation_ends, strict=True)):
        lowest = np.where(series.observed[:end], series.values[:end], 0).min(axis=0)
        for g, d in enumerate(task.targets[i]):
            if d >= 0 and lowest[d] < 0:
                found[i, g] = -np.inf
    return found


@dataclass(frozen=True, slots=True)
class Rows:
    """R examples for a tabular model: one per origin, target and step ahead.

    Attributes:
        features: (R, F), NaN where unknown.
        location: (R,) what the target is measured from: the last value.
        scale: (R,) unit of the target: the window's mean absolute deviation.
        weight: (R,) window scale over the task's unit (at most `MAX_WEIGHT`), zero where the
            outcome is unobserved.
        actual: (R,) what happened, in that unit; meaningless where the weight is zero.
    """

    features: F32Array
    location: F32Array
    scale: F32Array
    weight: F32Array
    actual: F32Array

    def take(self, index: IntArray) -> Rows:
        """The rows at `index`."""
        return Rows(
            self.features[index],
            self.location[index],
            self.scale[index],
            self.weight[index],
            self.actual[index],
        )

    @staticmethod
    def concatenate(parts: list[Rows]) -> Rows:
        """All rows of `parts` in order."""
        return Rows(
            np.concatenate([p.features for p in parts]),
            np.concatenate([p.location for p in parts]),
            np.concatenate([p.scale for p in parts]),
            np.concatenate([p.weight for p in parts]),
            np.concatenate([p.actual for p in parts]),
        )


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Turns origins into `Rows`.

    Attributes:
        task: The benchmark.
        has_others: Whether the other indicators' newest values are features.
    """

    task: BenchTask
    has_others: bool = False

    CATEGORICAL: ClassVar[list[int]] = [0, 1]
    """Columns that are ids: workload and target."""

    def rows(self, origins: Origins, target: IntArray, ahead: IntArray) -> Rows:
        """K rows per pair of origin and target, its steps ahead in the order given.

        Args:
            origins: R origins.
            target: (R,) position among the task's targets.
            ahead: (R, K) steps ahead, 1..H.
        """
        parts = []
        for start in range(0, target.size, CHUNK):
            at = np.arange(start, min(start + CHUNK, target.size))
            parts.append(self._chunk(origins.take(at), target[at], ahead[at]))
        return Rows.concatenate(parts)

    def _chunk(self, origins: Origins, target: IntArray, ahead: IntArray) -> Rows:
        task, n_steps = self.task, ahead.shape[1]
        windows = gather_windows(task.series, origins.which, origins.position, task.window)
        column = np.maximum(task.targets[origins.which, target], 0)
        own = replace(windows, demand_index=column)
        values, observed = own.demand()
        median = masked_quantiles(values, observed, np.array([0.5]))
        spread = (np.abs(values - median) * observed).sum(axis=1)
        spread = spread / np.maximum(observed.sum(axis=1), 1)
        unit = task.units[origins.which, target].astype(np.float32)
        scale = np.maximum(spread, MIN_SCALE_SHARE * unit).astype(np.float32)
        past = forward_fill(values[..., None], observed[..., None], median)[..., 0]
        last = past[:, -1]
        z = (past - last[:, None]) / scale[:, None]
        parts = [
            np.stack([origins.which, target], axis=1).astype(np.float32),
            level_facts(observed, last, median[:, 0], scale, unit),
            lags(z),
            rolls(z),
            shape(values, observed, last, scale, SHAPE_STEPS),
        ]
        if self.has_others:
            parts.append(self._others(windows, origins))
        by_season = seasons(*own.season_demand(), last, scale, ahead, task.window.season_past)
        ahead_s = (windows.origin_s[:, None] + ahead * windows.step_s).ravel()
        by_step = [
            ahead.reshape(-1, 1).astype(np.float32),
            calendar(ahead_s),
            by_season.reshape(ahead.size, -1),
        ]
        features = [np.repeat(np.concatenate(parts, axis=1), n_steps, axis=0), *by_step]
        raw, seen = actuals(task.series, origins, column[:, None], task.window.horizon)
        row = np.arange(target.size)[:, None]
        is_known = (task.targets[origins.which, target] >= 0) & observed.any(axis=1)
        seen_at = seen[row, 0, ahead - 1] & is_known[:, None]
        share = np.where(seen_at, np.minimum(scale / unit, MAX_WEIGHT)[:, None], 0)
        actual = (raw[row, 0, ahead - 1] - last[:, None]) / scale[:, None]
        return Rows(
            np.concatenate(features, axis=1),
            np.repeat(last, n_steps),
            np.repeat(scale, n_steps),
            share.ravel().astype(np.float32),
            actual.ravel().astype(np.float32),
        )

    def _others(self, windows: Windows, origins: Origins) -> F32Array:
        """Newest value of every indicator and its move over six steps, by indicator name."""
        names = list(dict.fromkeys(n for s in self.task.series for n in s.indicators))
        found = np.full((origins.which.size, 2 * len(names)), np.nan, dtype=np.float32)
        median = masked_quantiles(
            np.swapaxes(windows.values, 1, 2), np.swapaxes(windows.observed, 1, 2), np.array([0.5])
        )[..., 0]
        levels = window_scale(windows.values, windows.observed, median)
        past = forward_fill(windows.values, windows.observed, median)
        z = (past - levels.location[:, None]) / levels.scale[:, None]
        has_data = windows.observed.any(axis=1)
        newest = np.where(has_data, z[:, -1], np.float32(np.nan))
        move = newest - z[:, -7:-1].mean(axis=1)
        for i in np.unique(origins.which):
            rows = np.flatnonzero(origins.which == i)
            for d, name in enumerate(self.task.series[i].indicators):
                found[rows, 2 * names.index(name)] = newest[rows, d]
                found[rows, 2 * names.index(name) + 1] = move[rows, d]
        return found


@dataclass(frozen=True, slots=True)
class NormalisedWindows:
    """R windows of one target each, measured from their own median in their own spread.

    Attributes:
        z: (R, T) normalised values, gaps holding the last value before them.
        observed: (R, T).
        location: (R,) median of the context.
        scale: (R,) mean absolute deviation of the context, floored.
    """

    z: F32Array
    observed: BoolArray
    location: F32Array
    scale: F32Array

    def take(self, index: IntArray) -> NormalisedWindows:
        """The windows at `index`."""
        return NormalisedWindows(
            self.z[index], self.observed[index], self.location[index], self.scale[index]
        )

    def is_learnable(self, n_ahead: int) -> BoolArray:
        """Rows (R,) whose context and outcome are observed somewhere and not all the same."""
        past, ahead = self.observed[:, :-n_ahead], self.observed[:, -n_ahead:]
        has_both = past.any(axis=1) & ahead.any(axis=1)
        moves = (self.z != 0).any(axis=1)
        return np.asarray(has_both & moves)


def normalised_windows(
    task: BenchTask, origins: Origins, target: IntArray, n_ahead: int
) -> NormalisedWindows:
    """Context and `n_ahead` steps of outcome of each pair; the outcome enters no statistic.

    Args:
        task: The benchmark.
        origins: R origins.
        target: (R,) position among the task's targets.
        n_ahead: Steps after the origin; 0 reads the past alone.
    """
    context = task.window.context
    shape = (target.size, context + n_ahead)
    values, observed = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=bool)
    offsets = np.arange(1 - context, n_ahead + 1)
    column = task.targets[origins.which, target]
    for i in np.unique(origins.which):
        rows, series = np.flatnonzero(origins.which == i), task.series[i]
        steps = origins.position[rows][:, None] + offsets
        at = (np.clip(steps, 0, series.n_steps - 1), np.maximum(column[rows], 0)[:, None])
        is_inside = (steps >= 0) & (steps < series.n_steps) & (column[rows] >= 0)[:, None]
        values[rows], observed[rows] = series.values[at], series.observed[at] & is_inside
    past, seen = values[:, :context], observed[:, :context]
    median = masked_quantiles(past, seen, np.array([0.5]))
    spread = (np.abs(past - median) * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    unit = task.units[origins.which, target].astype(np.float32)
    scale = np.maximum(spread, MIN_SCALE_SHARE * unit).astype(np.float32)
    whole = forward_fill(values[..., None], observed[..., None], median)[..., 0]
    return NormalisedWindows(
        ((whole - median) / scale[:, None]).astype(np.float32), observed, median[:, 0], scale
    )
