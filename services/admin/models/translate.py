"""Rows of beliefs to what the API returns; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import RowMapping

from services.admin.models.schemas import ModelView, PosteriorDetail, PosteriorView
from services.admin.rest.translate import finite
from services.kernel.db.clusters import FIRST

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


_BY_WORKLOAD = ("ratios", "picks", "skipped", "simple_only")
"""Metrics of a fit that name workloads."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Workloads whose names may be seen.

    Attributes:
        namespaces: Those in these; None: in any.
        cluster_id: Those of this cluster; None: of any.
    """

    namespaces: frozenset[str] | None = None
    cluster_id: int | None = None

    def has(self, key: str) -> bool:
        """Check a workload by its name in models: `namespace/name`, behind the id of a cluster."""
        before, colon, own = key.rpartition(":")
        cluster_id = before if colon else str(FIRST)
        if self.cluster_id is not None and cluster_id != str(self.cluster_id):
            return False
        return self.namespaces is None or own.partition("/")[0] in self.namespaces


def to_model(row: RowMapping, seen: Seen | None = None) -> ModelView:
    """A model of the registry; of the workloads that it was trained on only those that are seen."""
    seen = seen or Seen()
    return ModelView.model_validate(dict(row) | {"metrics": _seen_metrics(row["metrics"], seen)})


def _seen_metrics(metrics: Mapping[str, Any], seen: Seen) -> dict[str, Any]:
    found = dict(metrics)
    for name in _BY_WORKLOAD:
        named = found.get(name)
        if isinstance(named, dict):
            found[name] = {key: value for key, value in named.items() if seen.has(str(key))}
        elif isinstance(named, list):
            found[name] = [key for key in named if seen.has(str(key))]
    return found


def to_posterior(row: RowMapping) -> PosteriorView:
    """A belief."""
    return PosteriorView.model_validate(dict(row) | {"workload": row["name"]})


def _of_response(row: RowMapping) -> tuple[str, ...]:
    """Quantities of a response, in the order of `MissDraws.to_array`; none: it does not say.

    One that was rejected does not say which loads and variants it is of.
    """
    learned_for = (row["summary"] or {}).get("learned_for")
    if not isinstance(learned_for, dict):
        return ()
    further = tuple(learned_for.get("further") or ())
    of_loads = ("sharing_exponent", *(f"half_missed_{name}" for name in further))
    n_variants = len(learned_for.get("variant_ratios") or ())
    worths = tuple(f"variant_{place}_over_stated_ratio" for place in range(2, n_variants + 1))
    return (*QUANTITIES["misses"], *(of_loads if further else ()), *worths)


def _draws(row: RowMapping, n_quantities: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Draws, a row each; none where they are not of so many quantities."""
    values = np.frombuffer(row["draws"] or b"", dtype="<f4").astype(float)
    if n_quantities == 0 or values.size % n_quantities:
        return np.zeros((0, max(n_quantities, 1)))
    return values.reshape(-1, n_quantities)


def to_posterior_detail(row: RowMapping) -> PosteriorDetail:
    """A belief with quantiles of its draws, which are float32 in rows of one value per quantity."""
    kind = row["kind"]
    names = QUANTITIES.get(kind, ("value",))
    if kind == "misses":
        names = _of_response(row)
    if str(row["scope"]).startswith(("gpu_type:", "group:")) and kind in ("capacity", "misses"):
        names = ("capacity_over_stated_ratio",)
    draws = _draws(row, len(names))
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
