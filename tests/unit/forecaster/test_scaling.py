"""Location and scale: equivariant, never zero, and blind to what was not observed."""

from __future__ import annotations

import numpy as np

from forecaster.scaling import (
    ABSOLUTE_FLOOR,
    RELATIVE_FLOOR,
    forward_fill,
    series_scale,
    window_scale,
)


def test_gaps_take_the_last_observed_value_and_leading_ones_the_start() -> None:
    values = np.array([[[7.0], [2.0], [7.0], [7.0], [5.0]]], dtype=np.float32)
    observed = np.array([[[False], [True], [False], [False], [True]]])
    filled = forward_fill(values, observed, np.array([[1.0]], dtype=np.float32))
    np.testing.assert_array_equal(filled[0, :, 0], [1, 2, 2, 2, 5])


def test_a_window_is_measured_by_its_median_and_mean_absolute_deviation() -> None:
    values = np.array([[[1.0], [3.0], [99.0], [8.0]]], dtype=np.float32)
    observed = np.array([[[True], [True], [False], [True]]])
    found = window_scale(values, observed, np.array([[3.0]], dtype=np.float32))
    np.testing.assert_allclose(found.location, [[3.0]])
    np.testing.assert_allclose(found.scale, [[(2 + 0 + 5) / 3]])
    scaled = window_scale(1000 * values, observed, np.array([[3000.0]], dtype=np.float32))
    np.testing.assert_allclose(scaled.scale, 1000 * found.scale)


def test_still_and_empty_windows_have_a_scale() -> None:
    flat, seen = np.full((1, 6, 1), 50.0, dtype=np.float32), np.ones((1, 6, 1), dtype=bool)
    still = window_scale(flat, seen, np.full((1, 1), 50.0, dtype=np.float32))
    np.testing.assert_allclose(still.scale, 50 * RELATIVE_FLOOR)
    empty = window_scale(0 * flat, ~seen, np.zeros((1, 1), dtype=np.float32))
    np.testing.assert_allclose(empty.scale, ABSOLUTE_FLOOR)


def test_a_series_is_measured_by_its_mean_absolute_deviation() -> None:
    values = np.array([[2.0, 5.0], [4.0, 5.0], [1e9, 5.0]], dtype=np.float32)
    observed = np.array([[True, True], [True, True], [False, True]])
    np.testing.assert_allclose(series_scale(values, observed), [1.0, 5 * RELATIVE_FLOOR])
