"""Each arm of the decider leaves out what it says, and nothing else."""

from __future__ import annotations

from dataclasses import fields

import pytest

from decider import DecideConfig
from services.lab.bench.ablate.decider_arms import BASE, DECIDER_ARMS, UNBOUNDED

CHANGED = {
    "no_feedback": {"risk.gain": 0.0},
    "no_pacing": {"risk.pacing_gain": 0.0},
    "open_loop": {"risk.gain": 0.0, "risk.pacing_gain": 0.0},
    "no_margin": {"risk.aim_ratio": 1.0},
    "no_risk_bound": {"risk.max_risk_ratio": UNBOUNDED},
    "no_spread": {"spread_sigma": 0.0},
    "no_first_limit": {"first_step_ratio": UNBOUNDED},
    "no_shortage_price": {"shortage_price_ratio": 0.0},
    "no_change_costs": {"start_cost_steps": 0.0, "stop_cost_steps": 0.0},
    "no_floor": {"reactive_floor_ratio": 0.0},
    "no_floor_no_guard": {"reactive_floor_ratio": 0.0, "consolidation_ratio": 0.0},
    "lean": {"spread_sigma": 0.0, "risk.max_risk_ratio": UNBOUNDED},
    "lean_no_change_costs": {
        "spread_sigma": 0.0,
        "risk.max_risk_ratio": UNBOUNDED,
        "start_cost_steps": 0.0,
        "stop_cost_steps": 0.0,
    },
}


def settings(config: DecideConfig) -> dict[str, object]:
    """All settings of a decision stage, those of the controller of risk with their prefix."""
    own = {f.name: getattr(config, f.name) for f in fields(config) if f.name != "risk"}
    return own | {f"risk.{f.name}": getattr(config.risk, f.name) for f in fields(config.risk)}


def test_the_base_is_what_the_service_runs_without_counterfactuals() -> None:
    served, base = settings(DecideConfig()), settings(BASE)
    assert base == served | {"epsilons": ()}


def test_every_arm_is_known_here() -> None:
    assert set(DECIDER_ARMS) == set(CHANGED)
    assert all(arm.about for arm in DECIDER_ARMS.values())


@pytest.mark.parametrize("name", CHANGED)
def test_an_arm_changes_what_it_leaves_out_alone(name: str) -> None:
    base, arm = settings(BASE), settings(DECIDER_ARMS[name].config)
    assert {key: value for key, value in arm.items() if value != base[key]} == CHANGED[name]
