"""Sources of a month made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from services.lab.bench.month.source import MonthFigures, MonthSource

Figures = tuple[float, float, Sequence[float]]
"""GPU-hours, USD, rate of each workload."""

FLEET: dict[str, Figures] = {
    "harmony": (1000.0, 2000.0, (0.004, 0.012)),
    "static_peak": (1600.0, 3000.0, (0.0, 0.002)),
    "hpa": (1200.0, 2500.0, (0.008, 0.009)),
    "trailing_percentile": (900.0, 1900.0, (0.03, 0.05)),
    "oracle": (700.0, 1400.0, (0.0, 0.0)),
}
TRACE: dict[str, Figures] = {
    "harmony": (100.0, 250.0, (0.02,)),
    "static_peak": (200.0, 500.0, (0.0,)),
    "hpa": (150.0, 375.0, (0.03,)),
    "trailing_percentile": (120.0, 300.0, (0.01,)),
    "oracle": (80.0, 200.0, (0.0,)),
}


def source(
    figures: Mapping[str, Figures] = FLEET,
    *,
    data: str = "fleet",
    days: float = 30.0,
    mean_gpus: float = 2.0,
    kept: Mapping[str, bool] | None = None,
) -> MonthSource:
    """A source whose policies did what is written; `kept` says whose settings kept the promise."""
    policies = {
        name: MonthFigures(hours, usd, np.array(rates), f"set {name}", (kept or {}).get(name))
        for name, (hours, usd, rates) in figures.items()
    }
    n_workloads = len(figures["harmony"][2])
    assumptions = {"in_words": [f"All of {data} is made up."], "forecaster": "none"}
    return MonthSource(data, "trace", n_workloads, 300.0, days, mean_gpus, policies, assumptions)
