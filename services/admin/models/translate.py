"""Rows of beliefs to what the API returns; pure."""

from __future__ import annotations

import numpy as np
from sqlalchemy import RowMapping

from services.admin.models.schemas import ModelView, PosteriorDetail, PosteriorView
from services.admin.rest.translate import finite

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
QUANTITIES = {
    "lead_time": ("lead_time_s",),
    "capacity": ("capacity_per_replica",),
    "response": (
        "idle_latency_ms",
        "queueing_weight",
        "knee_exponent",
        "divergence_load",
        "log_latency_sd",
    ),
    "misses": ("half_missed_load", "slope", "floor_ratio", "concentration"),
}


def to_model(row: RowMapping) -> ModelView:
    """A model of the registry."""
    return ModelView.model_validate(dict(row))


def to_posterior(row: RowMapping) -> PosteriorView:
    """A belief."""
    return PosteriorView.model_validate(dict(row) | {"workload": row["name"]})


def _of_further_loads(row: RowMapping) -> tuple[str, ...]:
    """Quantities that a response to several loads has besides."""
    further = (row["summary"] or {}).get("learned_for", {}).get("further", ())
    return ("sharing_exponent", *(f"half_missed_{name}" for name in further)) if further else ()


def to_posterior_detail(row: RowMapping) -> PosteriorDetail:
    """A belief with quantiles of its draws, which are float32 in rows of one value per quantity."""
    kind = row["kind"]
    names = QUANTITIES.get(kind, ("value",))
    if kind == "misses":
        names += _of_further_loads(row)
    if kind == "capacity" and str(row["scope"]).startswith("gpu_type:"):
        names = ("capacity_over_stated_ratio",)
    draws = np.frombuffer(row["draws"] or b"", dtype="<f4").reshape(-1, len(names)).astype(float)
    found = np.quantile(draws, LEVELS, axis=0).tolist() if draws.size else []
    quantiles = {
        f"{q:g}": [finite(value) for value in at] for q, at in zip(LEVELS, found, strict=False)
    }
    values = dict(row) | {
        "workload": row["name"],
        "n_draws": len(draws) or None,
        "quantiles": quantiles,
        "quantities": list(names),
    }
    return PosteriorDetail.model_validate(values)
