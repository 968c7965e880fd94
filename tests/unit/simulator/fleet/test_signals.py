"""Signals that demand is made of."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.fleet.signals import (
    DAY_S,
    burst_shape,
    bursts,
    daily_cycle,
    launch,
    level_shifts,
    ou_noise,
    weekly_cycle,
)


class TestSignals:
    def test_weekend(self):
        monday_noon = 1_768_176_000 + 43_200.0
        days = monday_noon + DAY_S * np.arange(7)
        level = weekly_cycle(days, -1.0)
        assert np.allclose(level[:5], 0.0, atol=0.05)
        assert np.allclose(level[5:], -1.0, atol=0.05)

    def test_ou_noise_keeps_variance_and_correlation_at_any_step(self):
        for step_s in (60.0, 300.0):
            x = ou_noise(np.random.default_rng(1), 40, 4000, step_s, 3600.0)
            assert 0.85 < x.var() < 1.15
            lag = round(3600 / step_s)
            pairs = np.corrcoef(x[:, :-lag].ravel(), x[:, lag:].ravel())[0, 1]
            assert abs(pairs - np.exp(-1)) < 0.06

    def test_a_burst_begins_at_its_start_and_peaks_at_one(self):
        t = np.arange(0.0, 7200.0, 10.0)
        shape = burst_shape(t, 600.0, 300.0, 1200.0)
        assert np.all(shape[t <= 600] == 0)
        assert shape.max() == 1.0
        assert t[shape.argmax()] == 900.0

    def test_a_day_peaks_at_its_hour_and_repeats(self):
        t = np.arange(0.0, DAY_S, 600.0)
        level = daily_cycle(t, 0.5, 15 * 3600.0, 0.0)
        assert t[level.argmax()] == 15 * 3600.0
        assert level.max() - level.min() == pytest.approx(1.0)
        assert np.allclose(daily_cycle(t + DAY_S, 0.5, 15 * 3600.0, 0.3), level_of(t, 0.3))

    def test_bursts_are_as_frequent_as_asked_for(self):
        t = np.arange(0.0, 4 * DAY_S, 60.0)
        assert not bursts(np.random.default_rng(1), t, 0.0, 0.3).any()
        few, many = (bursts(np.random.default_rng(1), t, n, 0.3).mean() for n in (1.0, 20.0))
        assert 0.0 < few < many

    def test_levels_jump_and_stay(self):
        t = np.arange(0.0, 4 * DAY_S, 60.0)
        level = level_shifts(np.random.default_rng(1), t, 2.0, 0.5)
        assert level[0] == 0.0
        jumps = np.flatnonzero(np.diff(level))
        assert 1 <= jumps.size <= 30
        assert not level_shifts(np.random.default_rng(1), t, 0.0, 0.5).any()

    def test_a_launch_is_half_done_at_its_time(self):
        t = np.array([0.0, 36_000.0, 72_000.0])
        start, half, end = launch(t, 36_000.0, 7200.0, 0.8)
        assert (start, half, end) == pytest.approx((0.0, 0.4, 0.8), abs=1e-6)


def level_of(t, sharpness):
    return daily_cycle(t, 0.5, 15 * 3600.0, sharpness)
