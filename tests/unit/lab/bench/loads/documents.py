"""Documents of a benchmark of several loads made by hand: rates and costs as wished."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

N_DAYS, STEPS, N_WORKLOADS = 10, 100.0, 4
EPSILONS = (0.003, 0.01, 0.1)
TRADE = ((0.002, 1.5), (0.01, 1.25), (0.1, 1.0))
"""Rate and cost over need of Harmony at each promise."""
SIZES = tuple(20.0 + w for w in range(N_WORKLOADS))
"""Mean need of each workload."""


def sums(rate: float, cost: float) -> dict[str, list[list[float]]]:
    """An arm at one promise, the same on every day; workloads differ in size."""
    row = {"out": rate * STEPS, "held": cost * STEPS, "known": STEPS, "churn": 4.0}
    row["believed"] = 2 * row["out"]
    return {
        name: [[value * (size if name == "held" else 1.0)] * N_DAYS for size in SIZES]
        for name, value in row.items()
    }


def arm(factor: float, trade: Sequence[tuple[float, float]] = TRADE) -> list[Any]:
    """Harmony's rates at other costs."""
    return [sums(rate, factor * cost) for rate, cost in trade]


def document(**arms: list[Any]) -> dict[str, Any]:
    """Harmony and some arms."""
    every = {"full": arm(1.0), **arms}
    workloads = [f"w{w}" for w in range(N_WORKLOADS)]
    return {
        "data": "hand",
        "workloads": workloads,
        "loads": ["requests", "tokens"],
        "truth": "drawn",
        "bound_by": [{name: {"requests": 0.25, "tokens": 0.75} for name in workloads}],
        "draws": 1,
        "is_open_loop": False,
        "ages": [],
        "test_steps": int(STEPS * N_DAYS),
        "seed": 7,
        "epsilons": list(EPSILONS),
        "known": [[STEPS] * N_DAYS] * N_WORKLOADS,
        "needed": [[size * STEPS] * N_DAYS for size in SIZES],
        "seconds": dict.fromkeys(every, 1.0),
        "about": dict.fromkeys(every, "something"),
        "arms": every,
    }
