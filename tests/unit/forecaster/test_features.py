"""Windows and anchors: what lies where, and that nothing looks ahead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forecaster.config import WindowConfig
from forecaster.errors import IrregularSteps
from forecaster.features import build_windows, gather_windows, window_offsets
from forecaster.types import Series
from tests.unit.forecaster.conftest import STEP_S

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


def test_a_demand_of_its_first_day_is_young_whatever_else_is_known() -> None:
    values = np.repeat(counting().values, 2, axis=1)
    seen = np.ones(values.shape, dtype=bool)
    seen[:-20, 0] = False
    both = [Series("w", values, seen, ("a", "b"), (1, 2), k, 0, STEP_S) for k in range(2)]
    assert build_windows(both, WINDOW).is_young().tolist() == [True, False]


def test_steps_outside_a_series_are_unobserved() -> None:
    windows = build_windows([counting(30)], WINDOW)
    assert windows.observed[0, :, 0].tolist() == [False] * 18 + [True] * 30
    assert not windows.season_observed[0, 2].any()
    stale = build_windows([counting(30)], WINDOW, origin_s=40 * STEP_S)
    assert not stale.observed[0, -11:].any()


def test_different_steps_do_not_mix() -> None:
    with pytest.raises(IrregularSteps, match="one value"):
        build_windows([counting(), replace(counting(), step_s=STEP_S // 2)], WINDOW)
