"""Training and validation examples from histories, in time order, without leaking the future."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from forecaster.augment import hide_older, shift_level
from forecaster.config import ForecasterConfig
from forecaster.errors import HistoryTooShort
from forecaster.features import gather_windows
from forecaster.network.model import NetInputs, Vocabulary, net_inputs
from forecaster.scaling import series_scale
from forecaster.targets import target_table
from forecaster.types import F32, I64, Bool, Series

CHUNK = 1024
LEAST_OF_WHOLE = 0.5
"""Least unit of validation errors, as a share of the scale of the whole history."""
MOST_BEYOND_SCALE = 10.0
"""Most that an error counts in validation, beside what it is in its unit."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Inputs with what then happened.

    Args:
        inputs: B windows with G targets each.
        actual: `(B, G, H)` in the target's normalised unit, zero where unobserved.
        weight: `(B, G, H)` square root of window scale over series scale, zero where unobserved or
            padded. The scores count errors in the series' scale, which would be the whole ratio;
            but then a few bursts hold most of the gradient, and less is learned from the same
            history (`servegen`, first 80 %: CRPS 0.532 against 0.517, seed 7). In validation it
            is at most ten times the ratio: after a still stretch, whose scale is next to none, the
            root would count what follows by the thousand.
    """

    inputs: NetInputs
    actual: Tensor
    weight: Tensor

    def __len__(self) -> int:
        """Number of windows B."""
        return len(self.inputs)

    def rows(self, index: Tensor | slice) -> Examples:
        """The examples at `index`."""
        return Examples(self.inputs.rows(index), self.actual[index], self.weight[index])


@dataclass(frozen=True, slots=True)
class Origins:
    """Forecast origins: `(B,)` index of the series and step index of the origin."""

    which: I64
    position: I64

    def take(self, index: I64) -> Origins:
        """The origins at `index`."""
        return Origins(self.which[index], self.position[index])


def validation_start(series: Series, config: ForecasterConfig) -> int:
    """First step whose forecasts belong to validation."""
    return series.n_steps - round(series.n_steps * config.train.validation_ratio)


def is_trainable(series: Series, config: ForecasterConfig) -> bool:
    """True when a history is long enough and observed enough to learn from."""
    horizon = config.window.horizon
    split = validation_start(series, config)
    demand = series.observed[:, series.demand_index]
    has_room = split >= min_origin(config) + 2 * horizon and series.n_steps - split > horizon
    return has_room and bool(demand[:split].any()) and bool(demand[split:].any())


def min_origin(config: ForecasterConfig) -> int:
    """Fewest steps of context that an example may have."""
    return max(config.window.horizon, 24)


def origins_between(
    series: Sequence[Series], config: ForecasterConfig, starts: Sequence[int], stops: Sequence[int]
) -> Origins:
    """All origins whose forecast lies within a part of its series, demand observed.

    Args:
        series: W histories.
        config: Configuration.
        starts: First step of each series' part.
        stops: The step after its last one.
    """
    horizon = config.window.horizon
    which: list[I64] = []
    position: list[I64] = []
    for i, (one, start, stop) in enumerate(zip(series, starts, stops, strict=True)):
        origins = np.arange(max(start - 1, min_origin(config) - 1), stop - horizon)
        demand = one.observed[:, one.demand_index]
        seen = np.concatenate([[0], np.cumsum(demand)])
        ahead = seen[origins + 1 + horizon] - seen[origins + 1]
        behind = seen[origins + 1] - seen[np.maximum(origins + 1 - config.window.context, 0)]
        origins = origins[(ahead > 0) & (behind > 0)]
        which.append(np.full(origins.size, i, dtype=np.int64))
        position.append(origins.astype(np.int64))
    return Origins(np.concatenate(which), np.concatenate(position))


def split_origins(series: Sequence[Series], config: ForecasterConfig) -> tuple[Origins, Origins]:
    """Training and validation origins.

    Raises:
        HistoryTooShort: If nothing is left on either side.
    """
    splits = [validation_start(s, config) for s in series]
    train = origins_between(series, config, [0] * len(series), splits)
    held = origins_between(series, config, splits, [s.n_steps for s in series])
    if train.which.size == 0 or held.which.size == 0:
        raise HistoryTooShort(
            f"{len(series)} series give {train.which.size} training and {held.which.size} "
            "validation windows; both must be > 0"
        )
    return train, held


def actuals(
    series: Sequence[Series], origins: Origins, targets: I64, horizon: int
) -> tuple[F32, Bool]:
    """Raw values that followed each origin, and whether they were observed, `(B, G, H)`."""
    shape = (origins.which.size, targets.shape[1], horizon)
    values, observed = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=bool)
    ahead = np.arange(1, horizon + 1)
    for i in np.unique(origins.which):
        rows = np.flatnonzero(origins.which == i)
        steps = origins.position[rows][:, None] + ahead
        own = targets[rows] < len(series[i].indicators)
        columns = np.where(own, targets[rows], 0)
        at = (steps[:, None, :], columns[:, :, None])
        values[rows] = series[i].values[at]
        observed[rows] = series[i].observed[at] & own[..., None]
    return values, observed


def error_units(series: Sequence[Series], config: ForecasterConfig, *, is_training: bool) -> F32:
    """Unit of the errors of every indicator, `(W, D)`; 1 beyond a series' indicators.

    In training it is the scale of what lies before validation. In validation it is no less than
    half of the whole history's: a service that was idle until then has a scale of next to none, and
    its errors alone would choose the epoch and the trees of all the others.
    """
    found = np.ones((len(series), max(len(s.indicators) for s in series)), dtype=np.float32)
    for i, one in enumerate(series):
        split = validation_start(one, config)
        scale = series_scale(one.values[:split], one.observed[:split])
        if not is_training:
            whole = series_scale(one.values, one.observed)
            scale = np.maximum(scale, np.float32(LEAST_OF_WHOLE) * whole)
        found[i, : scale.size] = scale
    return found


def make_examples(
    series: Sequence[Series],
    origins: Origins,
    config: ForecasterConfig,
    vocabulary: Vocabulary,
    generator: torch.Generator | None = None,
) -> Examples:
    """Build examples; with a generator some are changed, see `forecaster.augment` (training).

    Targets stand as in `target_table`; one that a series lacks has no weight. Series may differ in
    step length: then the examples stand in the order of that.
    """
    is_training = generator is not None
    unit = error_units(series, config, is_training=is_training)
    table = target_table(series, config)
    parts: list[NetInputs] = []
    actual: list[Tensor] = []
    weight: list[Tensor] = []
    for chunk in _chunks(series, origins):
        windows = gather_windows(series, chunk.which, chunk.position, config.window)
        factor = np.ones(len(windows), dtype=np.float32)
        if generator is not None:
            windows = hide_older(windows, config.train, generator)
            windows, factor = shift_level(windows, config.train.shift_share, generator)
        own = table[chunk.which]
        targets = np.where(own >= 0, own, windows.demand_index[:, None])
        inputs = net_inputs(windows, config, vocabulary, targets)
        raw, seen = actuals(series, chunk, targets, config.window.horizon)
        raw *= factor[:, None, None]
        scale, location = inputs.scale.numpy()[..., None], inputs.location.numpy()[..., None]
        has_data = inputs.available.numpy()[..., :1]
        seen &= has_data & (own >= 0)[..., None]
        parts.append(inputs)
        actual.append(torch.from_numpy(np.where(seen, (raw - location) / scale, 0).astype("f4")))
        # A window made larger weighs no more than the one it was made from.
        of_unit = unit[chunk.which[:, None], targets] * np.maximum(factor, 1)[:, None]
        share = scale / of_unit[..., None]
        counted = np.sqrt(share)
        if not is_training:
            counted = np.minimum(counted, MOST_BEYOND_SCALE * share)
        weight.append(torch.from_numpy((counted * seen).astype(np.float32)))
    return Examples(NetInputs.concatenate(parts), torch.cat(actual), torch.cat(weight))


def _chunks(series: Sequence[Series], origins: Origins) -> Iterator[Origins]:
    """All origins, some at a time, each time of one step length."""
    steps_s = np.array([one.step_s for one in series])[origins.which]
    for step_s in np.unique(steps_s):
        rows = np.flatnonzero(steps_s == step_s)
        for start in range(0, rows.size, CHUNK):
            yield origins.take(rows[start : start + CHUNK])


def shuffled(n_rows: int, n_most: int, generator: torch.Generator) -> I64:
    """At most `n_most` of `n_rows` indices, sorted, drawn without replacement."""
    chosen = torch.randperm(n_rows, generator=generator)[:n_most]
    return np.sort(chosen.numpy())
