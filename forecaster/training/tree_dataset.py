"""Training rows of the trees, from the same histories and disturbances as the network's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from forecaster.augment import hide_older, shift_level
from forecaster.config import ForecasterConfig
from forecaster.dataset import Origins, actuals, error_units, shuffled
from forecaster.features import gather_windows
from forecaster.network.model import Vocabulary
from forecaster.targets import target_table
from forecaster.trees.features import tree_inputs
from forecaster.trees.trees import TreeRows
from forecaster.types import F32, I64, Series

CHUNK = 1024
MAX_WEIGHT = 20.0
"""Largest weight of a window: a constant that suddenly moves must not be all that is learned."""


def tree_rows(
    series: Sequence[Series],
    origins: Origins,
    config: ForecasterConfig,
    vocabulary: Vocabulary,
    generator: torch.Generator,
    *,
    is_training: bool,
) -> TreeRows:
    """Rows of at most the configured number of windows, some steps ahead of each.

    Args:
        series: W histories.
        origins: Origins to draw windows from.
        config: Configuration.
        vocabulary: Names that the features may know.
        generator: Source of all choices.
        is_training: Training windows are disturbed and weighed by the square root of their scale
            (see `forecaster.dataset.Examples`), validation ones by the scale, as scores are.
    """
    setting = config.trees
    n_most = setting.max_windows if is_training else setting.max_validation_windows
    drawn, targets = draw_pairs(series, origins, config, n_most, generator)
    scales = error_units(series, config, is_training=is_training)[drawn.which, targets]
    parts = []
    for start in range(0, targets.size, CHUNK):
        at = np.arange(start, min(start + CHUNK, targets.size))
        one = _Draw(drawn.take(at), targets[at], scales[at])
        parts.append(_chunk(series, one, config, vocabulary, generator, is_training))
    features, actual, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    return TreeRows(features, actual, weight)


def draw_pairs(
    series: Sequence[Series],
    origins: Origins,
    config: ForecasterConfig,
    n_most: int,
    generator: torch.Generator,
) -> tuple[Origins, I64]:
    """At most `n_most` pairs of an origin and an indicator to forecast there, `(R,)` each."""
    table = target_table(series, config)
    n_targets = (table >= 0).sum(axis=1)
    first = np.concatenate([[0], np.cumsum(n_targets[origins.which])])
    pairs = shuffled(int(first[-1]), n_most, generator)
    at = np.searchsorted(first, pairs, side="right") - 1
    drawn = origins.take(at)
    own_first = np.take_along_axis(table, np.argsort(table < 0, axis=1, kind="stable"), axis=1)
    targets = own_first[drawn.which, pairs - first[at]]
    return drawn, targets


@dataclass(frozen=True, slots=True)
class _Draw:
    """Origins with one target each and its series' scale, `(R,)`."""

    origins: Origins
    target: I64
    scale: F32


def _chunk(
    series: Sequence[Series],
    drawn: _Draw,
    config: ForecasterConfig,
    vocabulary: Vocabulary,
    generator: torch.Generator,
    is_training: bool,
) -> tuple[F32, F32, F32]:
    """Features, outcomes and weights of some steps ahead of each window."""
    setting, horizon = config.trees, config.window.horizon
    windows = gather_windows(series, drawn.origins.which, drawn.origins.position, config.window)
    factor = np.ones(len(windows), dtype=np.float32)
    if is_training:
        windows = hide_older(windows, config.train, generator)
        windows, factor = shift_level(windows, config.train.shift_share, generator)
    inputs = tree_inputs(windows, drawn.target, vocabulary, config.window)
    column = drawn.target[:, None]
    raw, seen = actuals(series, drawn.origins, column, horizon)
    has_data = np.take_along_axis(windows.observed.any(axis=1), column, axis=1)
    seen &= has_data[..., None]
    n_steps = min(setting.steps_per_window, horizon)
    order = torch.rand(len(windows), horizon, generator=generator).numpy().argsort(axis=1)
    step = order[:, :n_steps].ravel()
    row = np.repeat(np.arange(len(windows)), n_steps)
    actual = (raw[row, 0, step] * factor[row] - inputs.location[row]) / inputs.scale[row]
    # A window made larger weighs no more than the one it was made from.
    share = np.minimum(inputs.scale / (drawn.scale * np.maximum(factor, 1)), MAX_WEIGHT)
    weight = (np.sqrt(share) if is_training else share)[row]
    features = inputs.rows(row, step)
    if is_training:
        is_hidden = torch.rand(row.size, generator=generator).numpy() < setting.id_dropout
        features[is_hidden, 0] = 0
    kept = seen[row, 0, step] & (weight > 0)
    return features[kept], actual[kept].astype(np.float32), weight[kept].astype(np.float32)
