"""Impossible settings are refused."""

from __future__ import annotations

import pytest

from decider import (
    DecideConfig,
)
from decider.errors import InvalidConfig


def test_impossible_configurations_are_refused() -> None:
    with pytest.raises(InvalidConfig, match="sharing='never'"):
        DecideConfig(sharing="never")
