"""Quantile trees: the shape between levels, training, checkpoints, their weight in the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays

from forecaster.config import QUANTILE_LEVELS, TreeConfig
from forecaster.errors import CheckpointError, ConfigError
from forecaster.features import build_windows
from forecaster.training.checkpoint import TREES, model_from_bytes, model_to_bytes
from forecaster.training.fit import FitResult
from forecaster.trees.trees import (
    TREE_LEVELS,
    TreeProgress,
    TreeRows,
    TreeShare,
    fit_trees,
    in_between,
)
from forecaster.types import Series

LEVELS = np.array(QUANTILE_LEVELS)


AT = [int(np.argmin(np.abs(LEVELS - level))) for level in TREE_LEVELS]


def steps_of(n: int) -> st.SearchStrategy[np.ndarray]:
    rises = st.floats(0, 100, width=32)
    return arrays.arrays(np.float32, (1, n, 2), elements=rises).map(lambda a: a.cumsum(axis=1))


@given(known=steps_of(len(TREE_LEVELS)), shape=steps_of(LEVELS.size))
@settings(max_examples=60, deadline=None)
def test_levels_in_between_keep_order_and_what_is_known(
    known: np.ndarray, shape: np.ndarray
) -> None:
    found = in_between(known, TREE_LEVELS, shape, LEVELS)
    assert found.shape == shape.shape
    assert (np.diff(found, axis=1) >= 0).all()
    np.testing.assert_allclose(found[:, AT], known, rtol=1e-5, atol=1e-3)


@given(shape=steps_of(LEVELS.size), level=st.floats(-100, 100, width=32))
@settings(max_examples=60, deadline=None)
def test_levels_outside_of_the_known_ones_keep_their_distance(
    shape: np.ndarray, level: float
) -> None:
    """One level known, in the middle: all others lie as far from it as in the shape."""
    at = LEVELS.size // 2
    found = in_between(np.full((1, 1, 2), level, np.float32), (float(LEVELS[at]),), shape, LEVELS)
    expected = level + shape - shape[:, at, None]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-2)


@given(shape=steps_of(LEVELS.size), move=st.floats(-50, 50), stretch=st.floats(0.1, 10))
@settings(max_examples=60, deadline=None)
def test_a_moved_and_stretched_shape_comes_back_whole(
    shape: np.ndarray, move: float, stretch: float
) -> None:
    moved = (np.float32(move) + np.float32(stretch) * shape).astype(np.float32)
    found = in_between(moved[:, AT], TREE_LEVELS, shape, LEVELS)
    # where the shape is flat nothing tells how it bends, and the way is cut evenly
    is_bent = (np.diff(shape[:, AT], axis=1) > 1e-3).all()
    if is_bent:
        np.testing.assert_allclose(found, moved, rtol=1e-3, atol=1e-2 * stretch)


def rows_of(seed: int, n: int = 3000) -> TreeRows:
    """Normal outcomes whose spread is one of the features; the others are noise and ids."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 6)).astype(np.float32)
    features[:, :2] = rng.integers(0, 3, (n, 2))
    spread = np.exp(features[:, 2])
    actual = (spread * rng.standard_normal(n)).astype(np.float32)
    return TreeRows(features, actual, np.ones(n, dtype=np.float32))


def test_trees_learn_the_levels_of_a_spread_that_a_feature_tells() -> None:
    setting = TreeConfig(max_trees=80, patience=10, min_rows_in_leaf=50)
    trees = fit_trees(rows_of(0, 12_000), rows_of(1, 4_000), setting, seed=5)
    assert trees is not None
    test = rows_of(2, 6_000)
    for level, booster in zip(trees.levels, trees.boosters, strict=True):
        below = (test.actual <= booster.predict(test.features)).mean()
        assert below == pytest.approx(level, abs=0.025)
    wide, narrow = test.features[:, 2] > 1, test.features[:, 2] < -1
    top = trees.boosters[-2].predict(test.features)
    assert top[wide].mean() > 4 * top[narrow].mean()


def test_same_rows_and_seed_give_the_same_trees() -> None:
    setting = TreeConfig(max_trees=10, patience=3)
    first, again, other = (fit_trees(rows_of(0), rows_of(1), setting, seed) for seed in (5, 5, 6))
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.texts() == again.texts() != other.texts()
    assert first.n_parameters > 0


def test_a_training_that_is_ended_leaves_no_trees() -> None:
    seen: list[TreeProgress] = []

    def stop(done: TreeProgress) -> bool:
        seen.append(done)
        return done.n_levels < 3

    setting = TreeConfig(max_trees=5, patience=2)
    assert fit_trees(rows_of(0), rows_of(1), setting, 5, stop) is None
    assert [done.n_levels for done in seen] == [1, 2, 3]
    assert all(0 < done.validation_loss < 10 and 0 < done.train_loss < 10 for done in seen)


def test_the_model_is_the_average_of_network_and_trees(
    mixed: FitResult, fleet: list[Series]
) -> None:
    windows = build_windows(fleet, mixed.model.config.window)
    targets = np.tile(np.arange(3), (3, 1))
    network, half, trees = (
        replace(mixed.model, tree_share=TreeShare(share, share)).quantiles_of(windows, targets)
        for share in (0.0, 0.4, 1.0)
    )
    unit = np.abs(network).max()
    np.testing.assert_allclose(half, 0.6 * network + 0.4 * trees, atol=1e-4 * unit)
    assert not np.allclose(network, trees, atol=1e-2 * unit)
    assert (np.diff(half, axis=2) >= 0).all()
    assert mixed.model.n_parameters > replace(mixed.model, trees=None).n_parameters


def test_a_checkpoint_brings_the_trees_back(mixed: FitResult, fleet: list[Series]) -> None:
    raw = model_to_bytes(mixed.model)
    loaded = model_from_bytes(raw)
    assert model_to_bytes(loaded) == raw
    windows = build_windows(fleet, mixed.model.config.window)
    before, after = (
        model.predict(windows, 4, 10, np.random.default_rng(2)) for model in (mixed.model, loaded)
    )
    assert before.quantiles.tobytes() == after.quantiles.tobytes()
    assert before.paths.tobytes() == after.paths.tobytes()


def test_damaged_trees_are_refused_before_they_are_read(mixed: FitResult) -> None:
    """Also of a model that was stored without a checksum of the whole."""
    raw = model_to_bytes(mixed.model).replace(b'\\"checksum', b'\\"unlooked')
    at = raw.rfind(b"leaf_value=")
    damaged = raw[: at + 11] + b"9" + raw[at + 12 :]
    with pytest.raises(CheckpointError, match="digests differ"):
        model_from_bytes(damaged)
    tensors = safetensors.torch.load(raw)
    assert tensors[f"{TREES}.0"].dtype == torch.uint8


def test_weights_that_differ_between_levels_leave_quantiles_in_order(
    mixed: FitResult, fleet: list[Series]
) -> None:
    windows = build_windows(fleet, mixed.model.config.window)
    for share in (TreeShare(1.0, 0.0), TreeShare(0.0, 1.0)):
        inputs, quantiles, _ = replace(mixed.model, tree_share=share).marginals(
            windows, windows.demand_index[:, None]
        )
        assert (np.diff(quantiles.numpy(), axis=-1) > 0).all()
        assert len(inputs) == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [("learning_rate", 0.0), ("n_leaves", 1), ("max_trees", 0), ("id_dropout", 1.0),
     ("steps_per_window", 0), ("patience", 0)],
)  # fmt: skip
def test_settings_out_of_range_are_named(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        TreeConfig(**{field: value})
