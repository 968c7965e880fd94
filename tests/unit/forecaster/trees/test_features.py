"""What trees read: nothing of the future, nothing unobserved, nothing of the unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from forecaster.config import WindowConfig
from forecaster.dataset import Origins, split_origins
from forecaster.features import gather_windows
from forecaster.network.model import Vocabulary
from forecaster.training.tree_dataset import draw_pairs, tree_rows
from forecaster.trees.features import CATEGORICAL, TreeInputs, tree_inputs
from forecaster.types import Series, Windows
from tests.unit.forecaster.conftest import NAMES, STEP_S, make_series, small_config

WINDOW = small_config().window
VOCABULARY = Vocabulary(("w0", "w1"), NAMES)
ORIGIN = 300


def windows_of(*series: Series, at: int = ORIGIN) -> Windows:
    which = np.arange(len(series))
    return gather_windows(series, which, np.full(len(series), at), WINDOW)


def inputs_of(*series: Series, target: int = 0) -> TreeInputs:
    targets = np.full(len(series), target)
    return tree_inputs(windows_of(*series), targets, VOCABULARY, WINDOW)


def changed(series: Series, start: int, stop: int, value: float) -> Series:
    values = series.values.copy()
    values[start:stop] = value
    return replace(series, values=values)


def same(a: TreeInputs, b: TreeInputs) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True)
        for name in ("by_window", "by_step", "location", "scale")
    )


def test_nothing_after_the_origin_is_read() -> None:
    series = make_series(0)
    assert same(inputs_of(series), inputs_of(changed(series, ORIGIN + 1, 500, 1e6)))


def test_the_last_value_is_read_and_is_where_the_answer_is_measured_from() -> None:
    series = make_series(0)
    other = changed(series, ORIGIN, ORIGIN + 1, 77.0)
    assert inputs_of(other).location[0] == np.float32(77.0)
    assert not same(inputs_of(series), inputs_of(other))


def test_what_is_unobserved_is_not_read() -> None:
    series = make_series(0)
    observed = series.observed.copy()
    observed[ORIGIN - 20 : ORIGIN - 10] = False
    gap = replace(series, observed=observed)
    filled_otherwise = replace(changed(series, ORIGIN - 20, ORIGIN - 10, 9e5), observed=observed)
    assert same(inputs_of(gap), inputs_of(filled_otherwise))


@pytest.mark.parametrize("factor", [1e-3, 1e4])
def test_features_do_not_depend_on_the_unit(factor: float) -> None:
    series = make_series(0)
    scaled = replace(series, values=series.values * np.float32(factor))
    plain, other = inputs_of(series), inputs_of(scaled)
    np.testing.assert_allclose(other.by_window, plain.by_window, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(other.by_step, plain.by_step, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(other.scale, plain.scale * factor, rtol=1e-4)


def test_only_the_target_is_read_and_each_indicator_can_be_one() -> None:
    series = make_series(0)
    values = series.values.copy()
    values[:, 1:] = 5.0
    alone = replace(series, values=values)
    assert same(inputs_of(series), inputs_of(alone))
    assert not same(inputs_of(series, target=1), inputs_of(alone, target=1))


def test_unknown_names_are_zero_and_known_ones_are_not() -> None:
    known, unknown = make_series(1), replace(make_series(1), workload="new")
    ids = inputs_of(known, unknown).by_window[:, list(CATEGORICAL)]
    assert ids[0].tolist() == [2, 1]
    assert ids[1].tolist() == [0, 1]


def test_a_still_context_of_a_lively_series_keeps_a_scale() -> None:
    lively = changed(make_series(0), ORIGIN - WINDOW.context + 1, ORIGIN + 1, 40.0)
    dead = changed(make_series(0), 0, 500, 40.0)
    assert inputs_of(lively).scale[0] > 0.1
    assert inputs_of(dead).scale[0] < 0.1
    assert np.isfinite(inputs_of(dead).by_window).all()


def test_a_schedule_tells_of_the_change_to_come() -> None:
    """A flag that moved the demand before is read ahead; without a schedule nothing is said."""
    n_steps = 500
    steps = np.arange(n_steps)
    flag = ((steps // 10) % 2).astype(np.float32)
    demand = 100 + 60 * flag
    values = np.stack([demand, flag], axis=1).astype(np.float32)
    series = Series(
        "w0", values, np.ones(values.shape, bool), ("load_rps", "promo"), (1, 1), 0, 0, STEP_S,
        (False, True),
    )  # fmt: skip
    at = 308  # the flag is 0 and becomes 1 two steps later
    read = tree_inputs(windows_of(series, at=at), np.array([0]), VOCABULARY, WINDOW)
    change = read.by_step[0, :, -1]
    assert abs(change[0]) < 0.05
    assert (change[1:] > 0.5).all()
    plain = inputs_of(make_series(0))
    assert np.isnan(plain.by_step[..., -1]).all()


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


def test_a_context_shorter_than_the_lags_is_read() -> None:
    short = WindowConfig(context=24, horizon=4, recent=12, season_past=6)
    series = [make_series(0)]
    windows = gather_windows(series, np.array([0]), np.array([ORIGIN]), short)
    read = tree_inputs(windows, np.array([0]), VOCABULARY, short)
    assert np.isfinite(read.by_window).all()
