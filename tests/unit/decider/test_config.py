"""Impossible settings are refused."""

from __future__ import annotations

import pytest

from decider import DecideConfig, RiskControlConfig
from decider.errors import InvalidConfig


def test_impossible_configurations_are_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"n_pairs=0 must be >= 1"):
        DecideConfig(n_pairs=0)
    with pytest.raises(InvalidConfig, match=r"change_cost_step_s=-1 must be finite and >= 0"):
        DecideConfig(change_cost_step_s=-1)
    with pytest.raises(InvalidConfig, match=r"revision=9 must be from 1 to 8"):
        DecideConfig(revision=9)
    with pytest.raises(InvalidConfig, match=r"aim_ratio=2.0 must be in \(0, 1\]"):
        RiskControlConfig(aim_ratio=2.0)


@pytest.mark.parametrize(
    ("step_s", "start", "stop"), [(15.0, 2.0, 4.0), (60.0, 0.5, 1.0), (600.0, 0.5, 1.0)]
)
def test_a_change_costs_no_less_because_steps_are_short(
    step_s: float, start: float, stop: float
) -> None:
    costs = DecideConfig(start_cost_steps=0.5, stop_cost_steps=1.0).change_costs(step_s)
    assert (costs.start, costs.stop) == (start, stop)


def test_changes_that_cost_nothing_do_so_at_any_step() -> None:
    costs = DecideConfig(start_cost_steps=0.0, stop_cost_steps=0.0).change_costs(1.0)
    assert (costs.start, costs.stop) == (0.0, 0.0)
