"""Gradient-boosted quantile trees: the second learner beside the network.

One LightGBM model per level, global over workloads, indicators and steps ahead. Trees and networks
err differently on the same few windows, so their average beats both; what trees are bad at
(extrapolation, changes of level never seen) is where the network is good. This is the only file
that imports lightgbm.

Levels between those that are trained lie where the network's quantile function puts them: trees
say how far apart the trained levels are, the network how a distribution bends in between.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import lightgbm
import numpy as np

from forecaster.config import TreeConfig
from forecaster.errors import CheckpointError
from forecaster.trees.features import CATEGORICAL, TreeInputs
from forecaster.types import F32, F64

TREE_LEVELS = (0.005, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995)
BODY_TO_TAIL = (0.92, 0.98)
"""Levels between which the weight of the trees passes from that of the body to the tail's."""
_FIXED = {
    "objective": "quantile",
    "metric": "quantile",
    "num_threads": 1,
    "deterministic": True,
    "force_col_wise": True,
    "verbose": -1,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
    "cat_smooth": 20.0,
}
_ROWS_PER_LEAST = 50
_FEWEST_ROWS_IN_LEAF = 20
_LEAVES = re.compile(r"^num_leaves=(\d+)$", re.MULTILINE)
"""Leaves of a tree in LightGBM's text; as a dump, a booster takes ten times as long."""
_SILENT = {"verbose": -1, "num_threads": 1}


@dataclass(frozen=True, slots=True)
class TreeRows:
    """Examples.

    Args:
        features: `(R, F)`.
        actual: `(R,)` what happened, from the last value in the window's scale.
        weight: `(R,)`, > 0.
    """

    features: F32
    actual: F32
    weight: F32


@dataclass(frozen=True, slots=True)
class Trees:
    """Trained trees.

    Args:
        levels: K increasing levels.
        boosters: K LightGBM boosters.
    """

    levels: tuple[float, ...]
    boosters: tuple[lightgbm.Booster, ...]

    @property
    def n_parameters(self) -> int:
        """Leaf values and split thresholds."""
        return sum(_n_numbers(booster) for booster in self.boosters)

    def texts(self) -> list[str]:
        """LightGBM's own text of each booster; equal trees give equal texts."""
        return [booster.model_to_string() for booster in self.boosters]

    def quantiles(self, inputs: TreeInputs, location: F32, scale: F32) -> F32:
        """Quantiles at `levels`, `(B, K, H)`, increasing along K.

        Args:
            inputs: Features of B windows.
            location: `(B,)` origin of the unit that the answer is measured in.
            scale: `(B,)` size of that unit.
        """
        n_rows, n_steps = inputs.by_step.shape[:2]
        row = np.repeat(np.arange(n_rows), n_steps)
        step = np.tile(np.arange(n_steps), n_rows)
        features = inputs.rows(row, step)
        z = np.stack([booster.predict(features, num_threads=1) for booster in self.boosters])
        by_level = np.sort(z.reshape(len(self.levels), n_rows, n_steps), axis=0)
        offset = ((inputs.location - location) / scale)[:, None]
        answer = offset + (inputs.scale / scale)[:, None] * by_level
        return np.ascontiguousarray(np.swapaxes(answer, 0, 1), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class TreeShare:
    """Weight of the trees in their average with the network, in [0, 1].

    Args:
        body: At levels up to 92 %.
        tail: At levels from 98 %, which few outcomes decide; linear in between.
    """

    body: float = 0.0
    tail: float = 0.0

    def at(self, levels: F64) -> F32:
        """Weight per level, `(Q,)`."""
        return np.interp(levels, BODY_TO_TAIL, (self.body, self.tail)).astype(np.float32)

    @property
    def is_none(self) -> bool:
        """True when the trees have no weight at all."""
        return self.body == 0 and self.tail == 0


NETWORK_ALONE = TreeShare()


def trees_from_texts(levels: Sequence[float], texts: Sequence[str]) -> Trees:
    """Inverse of `Trees.texts`.

    Raises:
        CheckpointError: If a text is damaged.
    """
    try:
        boosters = tuple(lightgbm.Booster(model_str=text) for text in texts)
    except lightgbm.basic.LightGBMError as error:
        raise CheckpointError(f"trees of the checkpoint are unreadable: {error}") from error
    return Trees(tuple(float(level) for level in levels), boosters)


def _n_numbers(booster: lightgbm.Booster) -> int:
    leaves = _LEAVES.findall(booster.model_to_string())
    return sum(2 * int(n) - 1 for n in leaves)


def in_between(known: F32, levels: Sequence[float], shape: F32, all_levels: F64) -> F32:
    """Quantiles at all levels from those at some, bent as another quantile function is.

    Between two neighbouring known levels the share of the way is that of `shape`; levels outside
    of them keep their distance in `shape`.

    Args:
        known: `(B, K, H)` increasing along K.
        levels: K levels, each one of `all_levels`.
        shape: `(B, Q, H)` increasing along Q.
        all_levels: `(Q,)`.

    Returns:
        `(B, Q, H)` increasing along Q, equal to `known` at its levels.
    """
    at = [int(np.argmin(np.abs(all_levels - level))) for level in levels]
    found = np.empty_like(shape)
    found[:, : at[0]] = known[:, :1] + shape[:, : at[0]] - shape[:, at[0], None]
    found[:, at[-1] :] = known[:, -1:] + shape[:, at[-1] :] - shape[:, at[-1], None]
    for k, (low, high) in enumerate(pairwise(at)):
        gap = shape[:, high] - shape[:, low]
        safe = np.where(gap > 0, gap, np.float32(1))
        rise = known[:, k + 1] - known[:, k]
        for q in range(low, high):
            even = np.float32((all_levels[q] - levels[k]) / (levels[k + 1] - levels[k]))
            share = np.where(gap > 0, (shape[:, q] - shape[:, low]) / safe, even)
            found[:, q] = known[:, k] + share * rise
    return np.maximum.accumulate(found, axis=1)


@dataclass(frozen=True, slots=True)
class TreeProgress:
    """One level is trained.

    Args:
        n_levels: Levels that are done.
        n_all: Levels in all.
        train_loss: Weighted pinball loss of the level on its training rows.
        validation_loss: The same on the validation rows.
    """

    n_levels: int
    n_all: int
    train_loss: float
    validation_loss: float


def fit_trees(
    train: TreeRows,
    held: TreeRows,
    setting: TreeConfig,
    seed: int,
    on_level: Callable[[TreeProgress], bool] | None = None,
) -> Trees | None:
    """Train one booster per level, each stopped when its validation loss no longer falls.

    Args:
        train: Training rows.
        held: Validation rows.
        setting: How to train.
        seed: Same rows and seed, same trees.
        on_level: Called after each level; False ends the training.

    Returns:
        None when it was ended early: half a distribution is none.
    """
    data = lightgbm.Dataset(
        train.features,
        train.actual,
        weight=train.weight,
        categorical_feature=list(CATEGORICAL),
        params=_SILENT,
        free_raw_data=False,
    )
    judge = data.create_valid(held.features, held.actual, weight=held.weight)
    # A young fleet has few rows: leaves may then be smaller, down to what a tail level needs.
    few = max(train.actual.size // _ROWS_PER_LEAST, _FEWEST_ROWS_IN_LEAF)
    least = min(setting.min_rows_in_leaf, few)
    boosters = []
    for level in TREE_LEVELS:
        record: dict[str, dict[str, list[float]]] = {}
        booster = lightgbm.train(
            {
                **_FIXED,
                "alpha": level,
                "learning_rate": setting.learning_rate,
                "num_leaves": setting.n_leaves,
                "min_data_in_leaf": least,
                "seed": seed % 2**31,
            },
            data,
            setting.max_trees,
            valid_sets=[data, judge],
            valid_names=["train", "held"],
            callbacks=[
                lightgbm.early_stopping(setting.patience, verbose=False),
                lightgbm.record_evaluation(record),
            ],
        )
        boosters.append(_pruned(booster))
        losses = [float(record[name]["quantile"][booster.best_iteration - 1]) for name in record]
        done = TreeProgress(len(boosters), len(TREE_LEVELS), *losses)
        if on_level is not None and not on_level(done):
            return None
    return Trees(TREE_LEVELS, tuple(boosters))


def _pruned(booster: lightgbm.Booster) -> lightgbm.Booster:
    """The booster up to its best iteration, as it comes back from its own text."""
    text = booster.model_to_string(num_iteration=booster.best_iteration)
    return lightgbm.Booster(model_str=text)
