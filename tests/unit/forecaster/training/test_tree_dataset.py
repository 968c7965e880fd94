"""Rows that trees learn from: outcomes, hidden names, gaps, every pair once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from forecaster.dataset import Origins, split_origins
from forecaster.features import gather_windows
from forecaster.network.model import Vocabulary
from forecaster.training.tree_dataset import draw_pairs, tree_rows
from forecaster.trees.features import tree_inputs
from forecaster.types import Series
from tests.unit.forecaster.conftest import NAMES, make_loaded, make_series, small_config

VOCABULARY = Vocabulary(("w0", "w1"), NAMES)


def changed(series: Series, start: int, stop: int, value: float) -> Series:
    values = series.values.copy()
    values[start:stop] = value
    return replace(series, values=values)


def test_validation_rows_hold_what_happened() -> None:
    series, config = [make_series(0), make_series(1)], small_config()
    _, held = split_origins(series, config)
    only = Origins(held.which[:1], held.position[:1])
    rows = tree_rows(
        series, only, config, VOCABULARY, torch.Generator().manual_seed(0), is_training=False
    )
    window = gather_windows(series, only.which, only.position, config.window)
    read = tree_inputs(window, np.array([0]), VOCABULARY, config.window)
    ahead = rows.features[:, read.by_window.shape[1]].astype(int)
    happened = series[0].values[only.position[0] + ahead, 0]
    np.testing.assert_allclose(read.location + read.scale * rows.actual, happened, rtol=1e-4)
    assert sorted(ahead) == sorted(set(ahead))
    assert len(ahead) == min(config.trees.steps_per_window, config.window.horizon)


def test_a_made_up_change_of_level_changes_outcome_and_window_alike() -> None:
    """On a constant demand a shift explains all: what follows equals the last value."""
    series = changed(make_series(0), 0, 500, 40.0)
    values = series.values + np.linspace(0, 1e-3, 500, dtype=np.float32)[:, None]
    config = small_config(shift_share=1.0)
    train, _ = split_origins([replace(series, values=values)], config)
    rows = tree_rows(
        [series], train, config, VOCABULARY, torch.Generator().manual_seed(1), is_training=True
    )
    spread = np.abs(rows.features[:, list(range(2, 7))]).max()
    assert np.isfinite(spread)
    assert np.abs(rows.actual).max() < 1e-3


def test_hidden_names_and_gaps_leave_no_row_without_an_outcome() -> None:
    series, config = make_series(0), small_config()
    observed = series.observed.copy()
    observed[60:350, 0] = False
    gapped = [replace(series, observed=observed)]
    train, _ = split_origins(gapped, config)
    rows = tree_rows(
        gapped, train, config, VOCABULARY, torch.Generator().manual_seed(1), is_training=True
    )
    assert rows.actual.size
    assert np.isfinite(rows.actual).all()
    assert (rows.weight > 0).all()
    assert set(np.unique(rows.features[:, 0])) == {0, 1}


def test_every_pair_of_window_and_indicator_is_drawn_once() -> None:
    few, many = make_series(0, names=NAMES[:1]), make_series(1)
    config = small_config(targets="all")
    origins = Origins(np.array([0, 1, 1]), np.array([300, 300, 301]))
    drawn, targets = draw_pairs([few, many], origins, config, 100, torch.Generator().manual_seed(0))
    pairs = list(zip(drawn.which, drawn.position, targets, strict=True))
    assert pairs == [(0, 300, 0)] + [(1, p, d) for p in (300, 301) for d in range(3)]
    demand, at = draw_pairs([few, many], origins, small_config(), 100, torch.Generator())
    assert at.tolist() == [0, 0, 0]
    assert demand.which.tolist() == [0, 1, 1]


def test_further_loads_are_drawn_beside_the_demand_and_absent_ones_never() -> None:
    both, last = make_loaded(0), make_loaded(1, further=(2,))
    origins = Origins(np.array([0, 1]), np.array([300, 300]))
    generator = torch.Generator().manual_seed(0)
    drawn, targets = draw_pairs([both, last], origins, small_config(), 100, generator)
    pairs = list(zip(drawn.which, targets, strict=True))
    assert pairs == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2)]
