"""Knobs of grids."""

from __future__ import annotations

import numpy as np
import pytest

from services.simulator.policies.grid import count_settings
from services.simulator.policies.knobs import knob_value, require_within


class TestKnobs:
    def test_one_value_or_one_per_setting(self):
        assert knob_value(0.5, 7) == 0.5
        assert knob_value(np.array([0.5, 0.6]), 1) == 0.6
        with pytest.raises(IndexError):
            knob_value(np.array([0.5, 0.6]), 2)

    def test_disagreeing_sizes_are_refused(self):
        with pytest.raises(ValueError, match=r"\[2, 3\]"):
            count_settings(np.zeros(2), np.zeros(3))

    def test_ends_of_the_range(self):
        require_within("x", np.array([0.1, 1.0]), 0.0, 1.0)
        require_within("x", 0.0, 0.0, 1.0, is_low_open=False)
        with pytest.raises(ValueError, match=r"x=0.0 must be in \(0, 1\]"):
            require_within("x", 0.0, 0.0, 1.0)
        with pytest.raises(ValueError, match=r"x=2.0 must be in \[0, 1\]"):
            require_within("x", 2.0, 0.0, 1.0, is_low_open=False)
