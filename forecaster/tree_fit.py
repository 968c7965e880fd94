"""Trees beside a trained network: training them, and how much they weigh in the average."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from forecaster.backtest import gate_losses
from forecaster.dataset import Origins, actuals
from forecaster.features import gather_windows
from forecaster.predict import TrainedModel
from forecaster.tree_dataset import draw_pairs, target_scales, tree_rows
from forecaster.trees import TreeProgress, fit_trees
from forecaster.types import F32, F64, I64, Bool, Series

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8)
"""Weights of the trees that validation chooses from. Never all of it: trees cannot extrapolate,
and what a validation part has not shown is the network's to answer."""
MAX_SHARE_PAIRS = 3_000
"""Validation windows, of one target each, that the weight is chosen on."""


@dataclass(frozen=True, slots=True)
class TreeReport:
    """What the trees brought.

    Args:
        share: Their weight in the average with the network; 0: they are left out.
        loss: Validation loss (`gate_losses`) at that weight, in the series' scale.
        loss_network: The same of the network alone.
    """

    share: float
    loss: float
    loss_network: float


def with_trees(
    model: TrainedModel,
    series: Sequence[Series],
    origins: tuple[Origins, Origins],
    seed: int,
    on_level: Callable[[TreeProgress], bool] | None = None,
) -> tuple[TrainedModel, TreeReport | None]:
    """Train trees on the histories of a network and weigh them on validation.

    Args:
        model: The trained network.
        series: W histories.
        origins: Those of training and of validation.
        seed: Fixes rows and trees.
        on_level: Called after each level; False ends the training, and there are no trees.

    Returns:
        The model with trees, or the one given where they do not lower the validation loss.
    """
    config = model.config
    generator = torch.Generator().manual_seed(2 * seed)
    train, held = (
        tree_rows(series, part, config, model.vocabulary, generator, is_training=is_training)
        for part, is_training in zip(origins, (True, False), strict=True)
    )
    if not train.actual.size or not held.actual.size:
        return model, None
    trees = fit_trees(train, held, config.trees, seed, on_level)
    if trees is None:
        return model, None
    both = replace(model, trees=trees)
    losses = share_losses(both, series, origins[1], generator)
    best = int(losses.argmin())
    report = TreeReport(SHARES[best], float(losses[best]), float(losses[0]))
    return (replace(both, tree_share=report.share) if report.share > 0 else model), report


def share_losses(
    model: TrainedModel, series: Sequence[Series], origins: Origins, generator: torch.Generator
) -> F64:
    """Validation loss at each of `SHARES`, mean over workloads of means over steps.

    Args:
        model: Network and trees; its own share is not read.
        series: W histories.
        origins: Validation origins.
        generator: Source of the windows that are looked at.
    """
    drawn, targets = draw_pairs(series, origins, model.config, MAX_SHARE_PAIRS, generator)
    scales = target_scales(series, model.config)
    means = []
    for i in np.unique(drawn.which):
        at = np.flatnonzero(drawn.which == i)
        losses, observed = _losses(model, series, drawn.take(at), targets[at])
        losses /= scales[i, targets[at], None]
        if observed.any():
            means.append(losses[:, observed].mean(axis=1, dtype=np.float64))
    return np.asarray(np.mean(means, axis=0)) if means else np.zeros(len(SHARES))


def _losses(
    model: TrainedModel, series: Sequence[Series], origins: Origins, targets: I64
) -> tuple[F32, Bool]:
    """Losses `(K, B, H)` at the shares, raw unit, and what was observed `(B, H)`."""
    window, levels = model.config.window, np.array(model.config.window.quantile_levels)
    windows = gather_windows(series, origins.which, origins.position, window)
    target = targets[:, None]
    actual, observed = actuals(series, origins, target, window.horizon)
    network, trees = (
        replace(model, tree_share=share).quantiles_of(windows, target)[:, 0] for share in (0.0, 1.0)
    )
    has_data = np.take_along_axis(windows.observed.any(axis=1), target, axis=1)
    losses = [
        gate_losses(network + np.float32(share) * (trees - network), actual[:, 0], levels)
        for share in SHARES
    ]
    return np.stack(losses), observed[:, 0] & has_data
