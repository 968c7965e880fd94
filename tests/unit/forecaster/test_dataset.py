"""Origins of windows: none without an outcome, none shared by training and validation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from forecaster.dataset import (
    Origins,
    actuals,
    error_units,
    is_trainable,
    make_examples,
    min_origin,
    origins_between,
    split_origins,
    validation_start,
)
from forecaster.errors import HistoryTooShort
from forecaster.network.model import Vocabulary
from forecaster.scaling import series_scale
from forecaster.types import Series
from tests.unit.forecaster.conftest import make_idle, make_series, small_config


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


def test_errors_of_a_service_that_was_idle_count_in_what_it_does_since() -> None:
    config, idle, usual = small_config(), make_idle(0), make_series(1)
    trained = error_units([idle, usual], config, is_training=True)
    held = error_units([idle, usual], config, is_training=False)
    whole = series_scale(idle.values, idle.observed)
    np.testing.assert_allclose(held[0], whole / 2)
    assert (trained[0] < 1e-5 * whole).all()
    np.testing.assert_array_equal(held[1], trained[1])


def test_what_follows_a_still_stretch_is_not_counted_by_the_thousand_in_validation() -> None:
    config, idle = small_config(), make_idle(0)
    first = int(np.flatnonzero(idle.values[:, 0])[0])
    origins = Origins(np.zeros(1, dtype=np.int64), np.array([first - 1]))
    examples = make_examples([idle], origins, config, Vocabulary(("w0",), idle.indicators))
    in_its_unit = idle.values[first : first + config.window.horizon, 0]
    in_its_unit = in_its_unit / error_units([idle], config, is_training=False)[0, 0]
    counted = (examples.actual * examples.weight)[0, 0].numpy()
    np.testing.assert_allclose(counted, 10 * in_its_unit, rtol=1e-3)
