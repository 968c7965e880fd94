"""The explanation of a seeded decision."""

from __future__ import annotations

from typing import Any

import numpy as np


def explanation(
    name: str,
    current: int,
    raw: int,
    final: int,
    direction: str,
    reason: str,
    table: np.ndarray,
    delta: float,
) -> dict[str, Any]:
    """The record that the decision service stores."""
    guards = [
        "stale_input",
        "paused",
        "one_way",
        "schedule",
        "bounds",
        "consolidation",
        "schedulable",
        "rate_limit",
        "tolerance",
        "stabilisation",
        "fleet",
    ]
    trace, count = [], raw
    for guard in guards:
        after = final if guard == "stabilisation" else count
        detail = "recommendations of the last 300 s" if after != count else ""
        trace.append({"guard": guard, "before": count, "after": after, "detail": detail})
        count = after
    return {
        "workload": name,
        "current": current,
        "raw": raw,
        "final": final,
        "direction": direction,
        "reason": reason,
        "binding_constraint": "risk",
        "rung": "forecast",
        "guard_trace": trace,
        "risk": {
            "target": 0.01,
            "level": 0.0118,
            "before": 0.083,
            "after": 0.0042,
            "committed": 0.001,
            "is_budget_exhausted": False,
        },
        "cost_delta_usd_per_hour": delta,
        "plan": [final] * 6 + [max(2, final - 1)] * 6,
        "quantiles": {
            "p10": float(table[2, 3]),
            "p50": float(table[4, 3]),
            "p90": float(table[6, 3]),
            "p99": float(table[8, 3]),
        },
        "counterfactuals": {
            "epsilon_0.001": raw + 2,
            "epsilon_0.01": raw,
            "epsilon_0.05": max(2, raw - 1),
            "median_forecast": max(2, raw - 3),
            "zero_lead_time": max(2, raw - 2),
        },
        "fleet": {"cap": None, "shadow_price_usd_per_gpu_hour": 0.0},
    }
