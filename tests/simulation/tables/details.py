"""What the operator's statements find of what a status shows beside the decision."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from tests.simulation.memory_store import Found, Given, Row, Tables


def load_details(_tables: Tables, given: Given) -> Found:
    """Of a fleet without forecasts: nothing."""
    names = (
        "last_sample_at", "model_version", "rung", "origin_at", "horizon_s", "reach_s", "wanted_s",
        "quantile_levels", "next_step", "risk_state",
    )  # fmt: skip
    bare: Row = dict.fromkeys(names)
    return Found([bare | {"workload_id": id_, "errors": []} for id_ in given["ids"]])


def load_history_figures(tables: Tables, given: Given) -> Found:
    """Of a fleet without forecasts: how long pods took to start."""
    leads: dict[int, list[tuple[datetime, float]]] = defaultdict(list)
    for row in tables.rows["pod_starts"].values():
        if row["ready_at"] is not None:
            lead_s = (row["ready_at"] - row["requested_at"]).total_seconds()
            leads[row["workload_id"]].append((row["requested_at"], lead_s))
    found = []
    for id_ in given["ids"]:
        recent = sorted(lead_s for _, lead_s in sorted(leads[id_], reverse=True)[:200])
        levels = {"p50_s": 0.5, "p90_s": 0.9}
        figures = {name: _quantile(recent, level) for name, level in levels.items()}
        own: Row = {"workload_id": id_, "coverage": None, "n_starts": len(recent)}
        found.append(own | figures)
    return Found(found)


def _quantile(values: Sequence[float], level: float) -> float | None:
    """As `percentile_cont` has it."""
    if not values:
        return None
    place = level * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])
