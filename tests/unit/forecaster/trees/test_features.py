"""What trees read: nothing of the future, nothing unobserved, nothing of the unit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecaster.config import WindowConfig
from forecaster.features import gather_windows
from forecaster.network.model import Vocabulary
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


def test_a_context_shorter_than_the_lags_is_read() -> None:
    short = WindowConfig(context=24, horizon=4, recent=12, season_past=6)
    series = [make_series(0)]
    windows = gather_windows(series, np.array([0]), np.array([ORIGIN]), short)
    read = tree_inputs(windows, np.array([0]), VOCABULARY, short)
    assert np.isfinite(read.by_window).all()
