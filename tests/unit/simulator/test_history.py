"""The allocation before the replay."""

from __future__ import annotations

import numpy as np

from services.simulator import simulate_history


def test_history_is_scaled_by_somebody(fleet):
    history = simulate_history(fleet)
    assert history.ready_mean.shape == (3, 480)
    assert np.all(history.ready_mean <= history.spec.max())
    assert np.all(history.spec >= 1)
