"""Origins of windows: none without an outcome, none shared by training and validation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from forecaster.dataset import (
    Origins,
    actuals,
    is_trainable,
    make_examples,
    min_origin,
    origins_between,
    split_origins,
    validation_start,
)
from forecaster.errors import HistoryTooShort
from forecaster.network.model import Vocabulary
from forecaster.types import Series
from tests.unit.forecaster.conftest import make_series, small_config


def test_training_and_validation_do_not_share_outcomes() -> None:
    config = small_config()
    series = [make_series(0), make_series(1, n_steps=300)]
    train, held = split_origins(series, config)
    for i, one in enumerate(series):
        split = validation_start(one, config)
        assert train.position[train.which == i].max() + config.window.horizon < split
        assert held.position[held.which == i].min() + 1 >= split
    assert train.position.min() >= min_origin(config) - 1


def test_origins_need_an_observed_outcome_and_context() -> None:
    config = small_config()
    series = make_series(0)
    seen = series.observed.copy()
    seen[200:210, 0] = False
    origins = origins_between([replace(series, observed=seen)], config, [0], [500])
    assert {202, 205} & set(origins.position.tolist()) == set()
    assert {198, 207} <= set(origins.position.tolist())


def test_an_origin_s_outcome_lies_within_its_bounds() -> None:
    config = small_config()
    origins = origins_between([make_series(0, n_steps=400)], config, [200], [300])
    assert origins.position.tolist() == list(range(199, 300 - config.window.horizon))


def test_actuals_are_what_followed_and_a_target_that_is_not_there_is_unobserved() -> None:
    series = make_series(0)
    n = len(series.indicators)
    origins = Origins(np.array([0, 0]), np.array([50, 99]))
    targets = np.array([[0, n], [0, n]])
    values, observed = actuals([series], origins, targets, 3)
    for row, position in enumerate((50, 99)):
        ahead = slice(position + 1, position + 4)
        np.testing.assert_array_equal(values[row, 0], series.values[ahead, 0])
        np.testing.assert_array_equal(observed[row, 0], series.observed[ahead, 0])
    assert not observed[:, 1].any()


def test_a_history_is_trained_on_when_both_parts_are_long_enough_and_seen() -> None:
    config = small_config()
    series = make_series(0)
    split = validation_start(series, config)
    assert is_trainable(series, config)
    for part in (slice(None, split), slice(split, None)):
        seen = series.observed.copy()
        seen[part, series.demand_index] = False
        assert not is_trainable(replace(series, observed=seen), config)
    short = make_series(0, n_steps=min_origin(config) + config.window.horizon)
    assert not is_trainable(short, config)
    with pytest.raises(HistoryTooShort, match=r"1 series give 0 training"):
        split_origins([short], config)


def test_further_loads_weigh_as_the_demand_and_absent_ones_nothing(loaded: list[Series]) -> None:
    config = small_config()
    origins = split_origins(loaded, config)[1]
    vocabulary = Vocabulary(("w0", "w1", "w2", "w3"), loaded[0].indicators)
    examples = make_examples(loaded, origins, config, vocabulary)
    which = torch.from_numpy(origins.which)
    assert (examples.weight[which < 2] > 0).all()
    assert not examples.weight[which == 2, 1].any()
    assert not examples.weight[which == 3, 1:].any()
    assert (examples.weight[which == 3, 0] > 0).all()
