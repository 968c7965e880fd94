"""The decision stage with one corrector left out, by the name that tables know it under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from decider import DecideConfig

UNBOUNDED = 1e9
BASE = replace(DecideConfig(), epsilons=())
"""What the service runs with, without the counterfactuals of explanations: no count depends on
them."""
LEAN = replace(
    BASE,
    spread_sigma=0.0,
    risk=replace(BASE.risk, max_risk_ratio=UNBOUNDED),
)
"""Without several at once: two that stand in for each other earn nothing alone."""


@dataclass(frozen=True, slots=True)
class DeciderArm:
    """One arm.

    Attributes:
        config: Settings of the decision stage.
        about: What is left out, for tables.
    """

    config: DecideConfig
    about: str


def _risk(about: str, **changed: float) -> DeciderArm:
    return DeciderArm(replace(BASE, risk=replace(BASE.risk, **changed)), about)


DECIDER_ARMS: Mapping[str, DeciderArm] = {
    "no_feedback": _risk("feedback of violations to the level", gain=0.0),
    "no_pacing": _risk("pacing of the window's budget", pacing_gain=0.0),
    "open_loop": _risk("feedback and pacing", gain=0.0, pacing_gain=0.0),
    "no_margin": _risk("the aim below the promise", aim_ratio=1.0),
    "no_risk_bound": _risk("the bound on a decision's risk in its price", max_risk_ratio=UNBOUNDED),
    "no_spread": DeciderArm(replace(BASE, spread_sigma=0.0), "the smoothed tail of the paths"),
    "no_first_limit": DeciderArm(
        replace(BASE, first_step_ratio=UNBOUNDED), "the limit on the risk of one decision"
    ),
    "no_shortage_price": DeciderArm(
        replace(BASE, shortage_price_ratio=0.0), "the price of unserved load"
    ),
    "no_change_costs": DeciderArm(
        replace(BASE, start_cost_steps=0.0, stop_cost_steps=0.0), "the costs of starts and stops"
    ),
    "no_floor": DeciderArm(replace(BASE, reactive_floor_ratio=0.0), "the reactive floor"),
    "no_floor_no_guard": DeciderArm(
        replace(BASE, reactive_floor_ratio=0.0, consolidation_ratio=0.0),
        "the floor, and the guard that a smaller set holds the last demand",
    ),
    "lean": DeciderArm(LEAN, "bound on risk and smoothed tail together"),
    "lean_no_change_costs": DeciderArm(
        replace(LEAN, start_cost_steps=0.0, stop_cost_steps=0.0),
        "these and the costs of starts and stops",
    ),
}
"""Forecasts are the shipped ones for all of these."""
