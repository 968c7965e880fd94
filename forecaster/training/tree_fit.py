"""Trees beside a trained network: training them, and how much they weigh in the average."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from forecaster.dataset import Origins, actuals, error_units
from forecaster.features import gather_windows
from forecaster.metrics import pinball
from forecaster.predict import TrainedModel
from forecaster.quantiles import crps_weights
from forecaster.training.tree_dataset import draw_pairs, tree_rows
from forecaster.trees.trees import BODY_TO_TAIL, TreeProgress, TreeShare, fit_trees
from forecaster.types import F32, F64, I64, Bool, Series

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)
"""Weights of the trees that validation chooses from. Never all of it: trees cannot extrapolate,
and what a validation part has not shown is the network's to answer."""
MAX_SHARE_PAIRS = 3_000
"""Validation windows, of one target each, that the weight is chosen on."""


@dataclass(frozen=True, slots=True)
class TreeReport:
    """Result of fitting the trees.

    Args:
        share: Their weight in the average with the network.
        losses: `(K, Q)` validation pinball loss at each of `SHARES` and each level, see
            `share_losses`.
    """

    share: TreeShare
    losses: F64 = field(repr=False, compare=False)


def with_trees(
    model: TrainedModel,
    series: Sequence[Series],
    train: Origins,
    validation: Origins,
    seed: int,
    on_level: Callable[[TreeProgress], bool] | None = None,
) -> tuple[TrainedModel, TreeReport | None]:
    """Train trees on the histories of a network and weigh them on validation.

    Args:
        model: The trained network.
        series: W histories.
        train: Origins to train on.
        validation: Origins to weigh the trees on.
        seed: Fixes rows and trees.
        on_level: Called after each level; False ends the training, and there are no trees.

    Returns:
        The model with trees, or the one given where they do not lower the validation loss.
    """
    config = model.config
    generator = torch.Generator().manual_seed(2 * seed)
    rows, held = (
        tree_rows(series, part, config, model.vocabulary, generator, is_training=part is train)
        for part in (train, validation)
    )
    if not rows.actual.size or not held.actual.size:
        return model, None
    trees = fit_trees(rows, held, config.trees, seed, on_level)
    if trees is None:
        return model, None
    both = replace(model, trees=trees)
    losses = share_losses(both, series, validation, generator)
    share = best_share(losses, np.array(config.window.quantile_levels))
    chosen = model if share.is_none else replace(both, tree_share=share)
    return chosen, TreeReport(share, losses)


def best_share(losses: F64, levels: F64) -> TreeShare:
    """The weights of least validation loss: of the CRPS, and of the upper tail's levels alone.

    Args:
        losses: `(K, Q)` pinball loss at each of `SHARES`.
        levels: `(Q,)`.
    """
    is_tail = levels >= BODY_TO_TAIL[0]
    body = int((losses @ crps_weights(levels)).argmin())
    of_network = np.maximum(losses[0, is_tail], np.finfo(np.float64).tiny)
    tail = int((losses[:, is_tail] / of_network).sum(axis=1).argmin())
    return TreeShare(SHARES[body], SHARES[tail])


def share_losses(
    model: TrainedModel, series: Sequence[Series], origins: Origins, generator: torch.Generator
) -> F64:
    """Validation pinball loss at each of `SHARES` and each level, `(K, Q)`.

    Means over steps are taken per workload first, in its own scale. No workload has more say than
    the middle one: in its scale a service of a few bursts, or of one wrong sample, loses ten times
    as much as others, and alone chose the weight for all. So losses are counted in what the network
    alone loses by the CRPS, of the middle workload or of this one if that is more.

    Args:
        model: Network and trees; its own share is not read.
        series: W histories.
        origins: Validation origins.
        generator: Source of the windows that are looked at.
    """
    drawn, targets = draw_pairs(series, origins, model.config, MAX_SHARE_PAIRS, generator)
    scales = error_units(series, model.config, is_training=False)
    means: list[F64] = []
    for i in np.unique(drawn.which):
        at = np.flatnonzero(drawn.which == i)
        losses, observed = _losses(model, series, drawn.take(at), targets[at])
        weight = observed / scales[i, targets[at], None]
        if observed.any():
            total = np.einsum("kbqh,bh->kq", losses, weight, dtype=np.float64)
            means.append(total / observed.sum())
    levels = np.array(model.config.window.quantile_levels)
    if not means:
        return np.zeros((len(SHARES), levels.size))
    losses = np.stack(means)
    of_network = losses[:, 0] @ crps_weights(levels)
    unit = np.maximum(of_network, np.sort(of_network)[of_network.size // 2])
    safe = np.maximum(unit, np.finfo(np.float64).tiny)
    return np.asarray((losses / safe[:, None, None]).mean(axis=0))


def _losses(
    model: TrainedModel, series: Sequence[Series], origins: Origins, targets: I64
) -> tuple[F32, Bool]:
    """Losses `(K, B, Q, H)` at the shares, raw unit, and what was observed `(B, H)`."""
    window, levels = model.config.window, np.array(model.config.window.quantile_levels)
    windows = gather_windows(series, origins.which, origins.position, window)
    target = targets[:, None]
    actual, observed = actuals(series, origins, target, window.horizon)
    network, trees = (
        replace(model, tree_share=TreeShare(share, share)).quantiles_of(windows, target)[:, 0]
        for share in (0.0, 1.0)
    )
    has_data = np.take_along_axis(windows.observed.any(axis=1), target, axis=1)
    losses = [
        pinball(network + np.float32(share) * (trees - network), levels, actual[:, 0])
        for share in SHARES
    ]
    return np.stack(losses), observed[:, 0] & has_data
