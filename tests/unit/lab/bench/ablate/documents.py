"""Documents of ablations made by hand: one workload, ten days, costs and rates as wished."""

from __future__ import annotations

from typing import Any

from services.lab.bench.ablate.run import OTHER_PROMISE

N_DAYS = 10
STEPS = 100.0
EPSILON = 0.01
Sums = dict[str, list[list[float]]]


def decided(rate: float, cost: float, churn: float = 4.0) -> list[Sums]:
    """An arm at one promise, the same on every day."""
    values = {"out": rate * STEPS, "held": cost * STEPS, "churn": churn}
    return [{name: [[value] * N_DAYS] for name, value in values.items()}]


def forecast(crps: float, tail: float, inside: float = 0.95, below: float = 0.99) -> Sums:
    """Forecasts with the same figures on every day."""
    values = {"n": 1.0, "crps": crps, "tail": tail, "inside_0.95": inside, "below_99": below}
    return {name: [[value * STEPS] * N_DAYS] for name, value in values.items()}


def document(name: str, **arms: tuple[float, float]) -> dict[str, Any]:
    """Harmony keeps 1 % at twice the oracle's cost; every arm has a rate and a cost."""
    return {
        "data": name,
        "epsilons": [EPSILON],
        "yard": {"held": [[STEPS] * N_DAYS], "known": [[STEPS] * N_DAYS]},
        "decide": {
            "harmony": decided(0.01, 2.0),
            f"{OTHER_PROMISE}0.1": decided(0.001, 3.0),
            f"{OTHER_PROMISE}10": decided(0.1, 1.0),
            **{arm: decided(*figures) for arm, figures in arms.items()},
        },
        "forecast": {"harmony": forecast(1.0, 1.0), "uncalibrated": forecast(0.99, 1.03, 0.94)},
    }
