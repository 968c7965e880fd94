"""Impossible settings are refused."""

from __future__ import annotations

import pytest

from decider import DecideConfig, RiskControlConfig
from decider.errors import InvalidConfig


def test_impossible_configurations_are_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"n_pairs=0 must be >= 1"):
        DecideConfig(n_pairs=0)
    with pytest.raises(InvalidConfig, match=r"aim_ratio=2.0 must be in \(0, 1\]"):
        RiskControlConfig(aim_ratio=2.0)
