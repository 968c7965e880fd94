"""Options of a generated fleet."""

from __future__ import annotations

import pytest

from services.simulator.fleet import FleetOptions


@pytest.mark.parametrize(
    "bad",
    [
        {"step_s": 59},
        {"step_s": 601},
        {"n_workloads": 0},
        {"replay_start_s": 7},
        {"epsilon": 0.0},
        {"n_history": 1},
    ],
)
def test_wrong_options_are_named(bad):
    with pytest.raises(ValueError, match="must be"):
        FleetOptions(**bad)
