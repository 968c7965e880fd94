"""Anchors: the simple forecasts that the network starts from, and their knots."""

from __future__ import annotations

import numpy as np

from forecaster.config import WindowConfig
from forecaster.features import build_windows, summarise
from forecaster.network.anchors import build_anchors, change_knots, knot_weights
from tests.unit.forecaster.conftest import make_series

WINDOW = WindowConfig(context=48, horizon=4, recent=24, season_past=6)


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
