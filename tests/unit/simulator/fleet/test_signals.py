"""Signals that demand is made of."""

from __future__ import annotations

import numpy as np

from services.simulator.fleet.signals import DAY_S, burst_shape, ou_noise, weekly_cycle


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
