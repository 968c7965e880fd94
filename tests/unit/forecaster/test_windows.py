"""Windows and anchors: what lies where, and that nothing looks ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecaster.config import WindowConfig
from forecaster.dataset import min_origin, origins_between, split_origins, validation_start
from forecaster.errors import IrregularSteps
from forecaster.features import build_windows, gather_windows, summarise, window_offsets
from forecaster.network.anchors import build_anchors, change_knots, knot_weights
from forecaster.types import Series
from tests.unit.forecaster.conftest import STEP_S, make_series, small_config

WINDOW = WindowConfig(context=48, horizon=4, recent=24, season_past=6)


def counting(n_steps: int = 300) -> Series:
    """A series whose value is its step index."""
    values = np.arange(n_steps, dtype=np.float32)[:, None]
    seen = np.ones(values.shape, dtype=bool)
    return Series("count", values, seen, ("a",), (1,), 0, 0, STEP_S)


def test_context_and_seasons_lie_where_they_should() -> None:
    windows = build_windows([counting()], WINDOW)
    assert windows.values[0, :, 0].tolist() == list(range(252, 300))
    origin = 299
    for block, lag in zip(windows.season_values[0, :, :, 0], (24, 48, 168), strict=True):
        assert block.tolist() == [origin - lag + k for k in range(-5, 5)]
    assert windows.season_observed.all()
    assert windows.origin_s.tolist() == [origin * STEP_S]


def test_nothing_after_the_origin_is_read() -> None:
    short_lag = replace(WINDOW, season_lags_s=(2 * STEP_S,))
    series = counting()
    at = np.array([150])
    windows = gather_windows([series], np.array([0]), at, short_lag)
    changed = series.values.copy()
    changed[151:] = 1e6
    future = gather_windows([replace(series, values=changed)], np.array([0]), at, short_lag)
    assert np.array_equal(windows.season_values, future.season_values)
    assert np.array_equal(windows.values, future.values)
    assert windows.season_observed[0, 0, :, 0].tolist() == [True] * 8 + [False] * 2
    assert (window_offsets(short_lag, STEP_S)[-2:] > 0).all()


def test_steps_outside_a_series_are_unobserved() -> None:
    windows = build_windows([counting(30)], WINDOW)
    assert windows.observed[0, :, 0].tolist() == [False] * 18 + [True] * 30
    assert not windows.season_observed[0, 2].any()
    stale = build_windows([counting(30)], WINDOW, origin_s=40 * STEP_S)
    assert not stale.observed[0, -11:].any()


def test_different_steps_do_not_mix() -> None:
    with pytest.raises(IrregularSteps, match="one value"):
        build_windows([counting(), replace(counting(), step_s=STEP_S // 2)], WINDOW)


def test_anchors_are_the_simple_forecasts_they_claim() -> None:
    series = make_series(1)
    windows = build_windows([series], WINDOW)
    summary = summarise(windows, WINDOW.quantile_levels)
    anchors = build_anchors(windows, summary, windows.demand_index[:, None], WINDOW)
    unit, centre = anchors.scale[0, 0], anchors.location[0, 0]
    context, _ = windows.demand()
    context = context[0]
    levels = np.array(WINDOW.quantile_levels)
    assert anchors.available.all()
    assert np.allclose(
        anchors.window[0, 0, 0] * unit + centre, np.quantile(context, levels), rtol=1e-4
    )
    assert np.allclose(
        anchors.window[0, 0, 1] * unit + centre, np.quantile(context[-24:], levels), rtol=1e-4
    )
    for k, h in enumerate(change_knots(WINDOW)):
        expected = context[-1] + np.quantile(context[h:] - context[:-h], levels)
        assert np.allclose(anchors.change[0, 0, k] * unit + centre, expected, rtol=1e-3)
    points = anchors.points[0, 0] * unit + centre
    day_ago = series.values[500 - 24 : 500 - 20, 0]
    assert np.allclose(points[0], context[-1], rtol=1e-4)
    assert np.allclose(points[1], day_ago, rtol=1e-4)
    before = series.values[499 - 24, 0]
    assert np.allclose(points[4], day_ago + context[-1] - before, rtol=1e-3)


def test_knots_interpolate_every_horizon() -> None:
    weights = knot_weights(WindowConfig())
    assert np.allclose(weights.sum(axis=1), 1)
    assert np.allclose(weights @ np.array(change_knots(WindowConfig())), np.arange(1, 13))


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
    origins = origins_between([replace(series, observed=seen)], config, [(0, 500)])
    assert {202, 205} & set(origins.position.tolist()) == set()
    assert {198, 207} <= set(origins.position.tolist())
