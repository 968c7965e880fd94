"""SVG primitives."""

from __future__ import annotations

import numpy as np
import pytest

from services.lab.report.svg import (
    band_path,
    compact,
    line_path,
    nice_ticks,
    nice_top,
    step_path,
    thinned,
)


class TestPrimitives:
    @pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0.013), (0, 7e6), (-3, 250)])
    def test_ticks_are_round_and_inside(self, low, high):
        ticks = nice_ticks(low, high)
        assert 3 <= len(ticks) <= 8
        assert low - 1e-9 <= ticks[0] <= ticks[-1] <= high * (1 + 1e-9)

    def test_top_is_above(self):
        for high in (0.0, 1e-3, 1.0, 99.0, 12345.0, float("nan")):
            assert nice_top(high) > (high if high == high else 0)

    def test_lines_and_bands_break_at_gaps(self):
        x = np.arange(5.0)
        y = np.array([1, 2, np.nan, 4, 5.0])
        assert line_path(x, y).count("M") == 2
        assert band_path(x, y, y + 1).count("Z") == 2

    def test_steps_hold_until_the_next(self):
        assert step_path(np.array([0.0, 10.0]), np.array([1.0, 2.0]), 20.0) == (
            "M0.0 1.0L10.0 1.0L10.0 2.0L20.0 2.0"
        )

    def test_thinning_averages_blocks_and_skips_gaps(self):
        t = np.arange(2400.0)
        values = np.where(t % 2 == 0, 4.0, np.nan)
        at, thin = thinned(t, values)
        assert at.size == 1200
        assert np.all(thin == 4.0)


def test_a_short_number_is_no_power_of_ten() -> None:
    values = (
        0.0,
        0.25,
        99.7,
        999.4,
        999.6,
        12_000.0,
        999_400.0,
        999_600.0,
        3.4e6,
        -999_600.0,
        2e13,
    )
    shown = ["0", "0.25", "99.7", "999", "1k", "12k", "999k", "1M", "3.4M", "-1M", "20,000G"]
    assert [compact(value) for value in values] == shown
