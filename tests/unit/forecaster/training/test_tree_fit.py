"""Trees beside a network: when they are used, and with which weight."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from forecaster.config import QUANTILE_LEVELS, TreeConfig
from forecaster.dataset import Origins, split_origins
from forecaster.features import build_windows
from forecaster.quantiles import crps_weights
from forecaster.training.checkpoint import TREES, model_from_bytes, model_to_bytes
from forecaster.training.fit import FitProgress, FitResult, fit
from forecaster.training.tree_fit import SHARES, best_share, share_losses, with_trees
from forecaster.trees.trees import (
    TreeRows,
    TreeShare,
    fit_trees,
)
from forecaster.types import Series
from tests.unit.forecaster.conftest import small_config

LEVELS = np.array(QUANTILE_LEVELS)


def test_a_fit_tells_of_its_trees_and_goes_on_without_those_that_are_ended(
    fleet: list[Series],
) -> None:
    lines: list[FitProgress] = []

    def tell(line: FitProgress) -> bool:
        lines.append(line)
        return line.stage != TREES

    result = fit(fleet, small_config(epochs=1), seed=3, on_progress=tell)
    assert [line.epoch for line in lines if line.stage == TREES] == [1]
    assert result.model.trees is None
    assert result.report.trees is None
    windows = build_windows(fleet, result.model.config.window)
    assert np.isfinite(result.model.predict(windows, 4, 8, np.random.default_rng(1)).paths).all()


def test_trees_can_be_left_out(fleet: list[Series]) -> None:
    config = replace(small_config(epochs=1), trees=TreeConfig(is_used=False))
    result = fit(fleet, config, seed=3)
    assert result.model.trees is None
    assert model_from_bytes(model_to_bytes(result.model)).trees is None


def test_the_weight_is_the_one_of_least_validation_loss(
    mixed: FitResult, fleet: list[Series]
) -> None:
    config = mixed.model.config
    origins = split_origins(fleet, config)
    bare = replace(mixed.model, trees=None, tree_share=TreeShare())
    model, report = with_trees(bare, fleet, *origins, seed=3)
    assert report is not None
    assert {report.share.body, report.share.tail} <= set(SHARES)
    assert model.tree_share == report.share
    assert (model.trees is None) == report.share.is_none
    levels = np.array(config.window.quantile_levels)
    crps = report.losses @ crps_weights(levels)
    assert crps[SHARES.index(report.share.body)] == crps.min()


def test_without_anything_to_weigh_them_on_there_are_no_trees(
    mixed: FitResult, fleet: list[Series]
) -> None:
    """Windows of which no outcome was observed give no rows."""
    seen = fleet[0].observed.copy()
    seen[200:300] = False
    series = [replace(fleet[0], observed=seen), *fleet[1:]]
    train, held = split_origins(series, mixed.model.config)
    unseen = Origins(np.array([0]), np.array([210]))
    bare = replace(mixed.model, trees=None, tree_share=TreeShare())
    assert with_trees(bare, series, train, unseen, seed=3) == (bare, None)
    assert with_trees(bare, series, unseen, held, seed=3) == (bare, None)


def test_trees_that_do_not_help_are_left_out(mixed: FitResult, fleet: list[Series]) -> None:
    """Trees of noise: any weight of them costs."""
    assert mixed.model.trees is not None
    rng = np.random.default_rng(0)
    width = mixed.model.trees.boosters[0].num_feature()
    noise = TreeRows(
        rng.normal(size=(500, width)).astype(np.float32),
        (50 * rng.normal(size=500)).astype(np.float32),
        np.ones(500, dtype=np.float32),
    )
    bad = fit_trees(noise, noise, TreeConfig(max_trees=3), seed=1)
    origins = split_origins(fleet, mixed.model.config)
    losses = share_losses(
        replace(mixed.model, trees=bad), fleet, origins[1], torch.Generator().manual_seed(0)
    )
    levels = np.array(mixed.model.config.window.quantile_levels)
    assert best_share(losses, levels) == TreeShare()
    assert (np.diff(losses @ crps_weights(levels)) > 0).all()


def test_one_workload_does_not_choose_the_weight_for_all(
    mixed: FitResult, fleet: list[Series]
) -> None:
    """Two steps of a service that rests are a thousand times all that it does."""
    levels = crps_weights(np.array(mixed.model.config.window.quantile_levels))
    values = np.zeros_like(fleet[0].values)
    values[[100, 440]] = 1e5
    odd = replace(fleet[0], workload="odd", values=values)
    chosen = [
        share_losses(mixed.model, series, split_origins(series, mixed.model.config)[1], rng)
        for series in (fleet, [*fleet, odd])
        for rng in (torch.Generator().manual_seed(0),)
    ]
    alone, beside = (losses @ levels for losses in chosen)
    own = 4 * beside[0] - 3 * alone[0]
    assert 0.5 < own / alone[0] < 1.5, "the odd one has one of four votes"


def test_body_and_tail_are_weighed_apart() -> None:
    """Trees that are right in the body and wrong in the tail, and the other way round."""
    losses = np.ones((len(SHARES), LEVELS.size))
    losses += np.where(LEVELS >= 0.95, 1, -1) * np.array(SHARES)[:, None] / 2
    assert best_share(losses, LEVELS) == TreeShare(SHARES[-1], 0.0)
    assert best_share(2 - losses, LEVELS) == TreeShare(0.0, SHARES[-1])
    weights = TreeShare(0.8, 0.2).at(LEVELS)
    assert weights[LEVELS <= 0.9] == pytest.approx(0.8)
    assert weights[LEVELS >= 0.98] == pytest.approx(0.2)
    assert (np.diff(weights) <= 0).all()
